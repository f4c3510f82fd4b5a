package overlay

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"kith.alt/kith"
)

// RelayLimits bound what this host relays for other members, both directions
// together. Zero values are the defaults.
type RelayLimits struct {
	Off            bool  // relay nothing
	BytesPerSecond int64 // 0: 2 MiB
	BytesPerDay    int64 // since midnight UTC, half of what is left for one caller; 0: 10 GiB
	Streams        int   // at once, half of them for one caller; 0: 64
}

const (
	relayBytesPerSecond = 2 << 20
	relayBytesPerDay    = 10 << 30
	relayStreams        = 64

	relayBurst   = 256 << 10        // bytes that need not wait
	relayPiece   = 32 << 10         // bytes taken at once
	relayOpening = 10 * time.Second // to open the far half
	relayIdle    = 10 * time.Minute // without a byte one way; carriers ping every 25 s
	relayDaily   = 24 * time.Hour
)

// A RelayUse is what this host relays and has relayed for others.
type RelayUse struct {
	Limits  RelayLimits // with the defaults filled in
	Streams int         // at present
	Today   int64       // bytes since midnight UTC
	Day     int64       // which day that is, counted from 1 January 1970
	Total   uint64      // bytes since the start
}

// relaying is the state of the relay. It is safe for concurrent use.
type relaying struct {
	rate  *rate.Limiter
	total atomic.Uint64

	mu      sync.Mutex
	limits  RelayLimits
	streams int
	callers map[kith.ID]int // streams by who asked for them
	day     int64
	today   int64
	shares  map[kith.ID]int64 // of today, by who asked
}

func newRelaying(limits RelayLimits) *relaying {
	r := &relaying{rate: rate.NewLimiter(0, relayBurst), callers: make(map[kith.ID]int), shares: make(map[kith.ID]int64)}
	r.set(limits)
	return r
}

func (r *relaying) set(l RelayLimits) {
	if l.BytesPerSecond <= 0 {
		l.BytesPerSecond = relayBytesPerSecond
	}
	if l.BytesPerDay <= 0 {
		l.BytesPerDay = relayBytesPerDay
	}
	if l.Streams <= 0 {
		l.Streams = relayStreams
	}
	r.mu.Lock()
	r.limits = l
	r.mu.Unlock()
	r.rate.SetLimit(rate.Limit(l.BytesPerSecond))
}

// enter takes a place for one more stream of a caller, who may have half of
// them. leave gives it back.
func (r *relaying) enter(caller kith.ID) (leave func(), err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.turnLocked()
	switch l := r.limits; {
	case l.Off:
		return nil, fmt.Errorf("this host relays for nobody: %w", kith.Denied)
	case r.streams >= l.Streams:
		return nil, fmt.Errorf("this host relays %d connections already: %w", r.streams, kith.Quota)
	case r.callers[caller] >= (l.Streams+1)/2:
		return nil, fmt.Errorf("this host relays %d connections for the caller already: %w", r.callers[caller], kith.Quota)
	case r.today >= l.BytesPerDay:
		return nil, errRelayedEnough
	case !r.shareLocked(caller, 1):
		return nil, errShareUsed
	}
	r.streams++
	r.callers[caller]++
	return sync.OnceFunc(func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.streams--
		if r.callers[caller]--; r.callers[caller] == 0 {
			delete(r.callers, caller)
		}
	}), nil
}

var errRelayedEnough = fmt.Errorf("this host has relayed as much as it does in a day: %w", kith.Quota)

var errShareUsed = fmt.Errorf("this host has relayed as much for the caller as it does in a day: %w", kith.Quota)

// shareLocked reports whether n bytes more are within a caller's share, which
// is half of what others have left of the day's.
func (r *relaying) shareLocked(caller kith.ID, n int) bool {
	had := r.shares[caller]
	return had+int64(n) <= (r.limits.BytesPerDay-(r.today-had)+1)/2
}

// pass takes n bytes from the allowances, waiting for its turn.
func (r *relaying) pass(ctx context.Context, caller kith.ID, n int) error {
	r.mu.Lock()
	r.turnLocked()
	off, enough := r.limits.Off, r.today+int64(n) > r.limits.BytesPerDay
	used := !r.shareLocked(caller, n)
	if !off && !enough && !used {
		r.today += int64(n)
		r.shares[caller] += int64(n)
	}
	r.mu.Unlock()
	switch {
	case off:
		return kith.Denied
	case enough:
		return errRelayedEnough
	case used:
		return errShareUsed
	}
	r.total.Add(uint64(n))
	return r.rate.WaitN(ctx, n)
}

func (r *relaying) turnLocked() {
	if day := time.Now().Unix() / int64(relayDaily/time.Second); day != r.day {
		r.day, r.today = day, 0
		clear(r.shares)
	}
}

// SetRelayLimits changes the limits, also of what is relayed at present.
func (o *Overlay) SetRelayLimits(l RelayLimits) { o.relaying.set(l) }

// RelayedToday takes over what was relayed today before this start.
func (o *Overlay) RelayedToday(day, bytes int64) {
	r := o.relaying
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.turnLocked(); day == r.day && bytes > 0 {
		r.today += min(bytes, math.MaxInt64-r.today)
	}
}

// Relayed returns what this host relays for others.
func (o *Overlay) Relayed() RelayUse {
	r := o.relaying
	r.mu.Lock()
	defer r.mu.Unlock()
	r.turnLocked()
	return RelayUse{Limits: r.limits, Streams: r.streams, Today: r.today, Day: r.day, Total: r.total.Load()}
}

// relay answers a member that wants to reach another through us. Both have to
// have a carrier to us; relays are not chained. The bytes are those of a TLS
// connection between the two.
func (o *Overlay) relay(l *link, st stream, h header) {
	far, leave, err := o.openRelayed(l, h)
	if err != nil {
		st.SetWriteDeadline(time.Now().Add(headerPatience))
		writeVerdict(st, err)
		st.close()
		return
	}
	defer leave()
	st.SetWriteDeadline(time.Now().Add(headerPatience))
	if err := writeVerdict(st, nil); err != nil {
		st.reset()
		far.reset()
		return
	}
	st.SetWriteDeadline(time.Time{})
	ctx, cancel := context.WithCancel(o.ctx)
	context.AfterFunc(ctx, func() {
		st.reset()
		far.reset()
	})
	defer cancel()
	done := make(chan struct{}, 2)
	for _, way := range [][2]stream{{st, far}, {far, st}} {
		if !o.spawn(func() {
			o.relayBytes(ctx, l.peer, way[1], way[0])
			done <- struct{}{}
		}) {
			return
		}
	}
	<-done // a carrier needs both directions
}

// openRelayed opens the far half: a stream that says for whom it is.
func (o *Overlay) openRelayed(l *link, h header) (far stream, leave func(), err error) {
	if !l.via.IsZero() {
		return nil, nil, fmt.Errorf("relays are not chained: %w", kith.Invalid)
	}
	to := o.directLink(h.host)
	if to == nil || h.host == l.peer {
		return nil, nil, fmt.Errorf("no connection to host %s here: %w", h.host.Short(), kith.NotFound)
	}
	leavePlace, err := o.relaying.enter(l.peer)
	if err != nil {
		return nil, nil, err
	}
	for _, half := range []*link{l, to} { // Release spares both
		half.relaying.Add(1)
	}
	left := func() {
		leavePlace()
		l.relaying.Add(-1)
		to.relaying.Add(-1)
	}
	defer func() {
		if err != nil {
			left()
		}
	}()
	ctx, cancel := context.WithTimeout(o.ctx, relayOpening)
	defer cancel()
	if far, err = to.openStream(ctx); err != nil {
		return nil, nil, fmt.Errorf("host %s (%v): %w", h.host.Short(), err, kith.Unreachable)
	}
	candidates := h.candidates
	if l.kind() == carrierQUIC { // what we see ourselves is sure
		candidates = append([]netip.AddrPort{l.remote()}, candidates...)
	}
	far.SetWriteDeadline(time.Now().Add(relayOpening))
	_, err = far.Write(header{kind: forRelayed, host: l.peer, candidates: candidates}.append(nil))
	far.SetWriteDeadline(time.Time{})
	if err != nil {
		far.reset()
		return nil, nil, fmt.Errorf("host %s (%v): %w", h.host.Short(), err, kith.Unreachable)
	}
	o.log.Debug("relaying", "from", l.peer.Short(), "to", h.host.Short())
	return far, left, nil
}

// relayBytes passes bytes on until either side ends, nothing comes for
// relayIdle, or an allowance is used up.
func (o *Overlay) relayBytes(ctx context.Context, caller kith.ID, to, from stream) error {
	buf := make([]byte, relayPiece)
	for {
		from.SetReadDeadline(time.Now().Add(relayIdle))
		n, err := from.Read(buf)
		if n > 0 {
			if err := o.relaying.pass(ctx, caller, n); err != nil {
				return err
			}
			if _, err := to.Write(buf[:n]); err != nil {
				return err
			}
		}
		if err != nil {
			return err
		}
	}
}

// directLink returns the link to a peer if no relay is in between.
func (o *Overlay) directLink(id kith.ID) *link {
	if l := o.currentLink(id); l != nil && l.via.IsZero() {
		return l
	}
	return nil
}

var errNoVerdict = errors.New("the relay gave no verdict")
