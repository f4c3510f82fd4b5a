package overlay

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/quic-go/quic-go"

	"kith.alt/kith"
)

const (
	carrierDelay = 150 * time.Millisecond // the head start of the carrier that is preferred
	addressDelay = 50 * time.Millisecond  // between a peer's addresses
	relayDelay   = 100 * time.Millisecond // between relays, and their delay where an address has answered before
	maxAddresses = 8                      // of one peer, tried at once

	verdictPatience = 30 * time.Second
	redials         = 2 // when the carrier ends while a stream is opened
)

// Dial opens a socket to a port of the host whose ID address.Host is. See
// kith.Network; names are not known here.
func (o *Overlay) Dial(ctx context.Context, address kith.Address) (net.Conn, error) {
	return o.dial(ctx, address, header{kind: forSocket, suspend: o.cfg.SuspendFor})
}

func (o *Overlay) dial(ctx context.Context, address kith.Address, h header) (net.Conn, error) {
	s, err := o.openSocket(ctx, address, h)
	if err != nil {
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		return nil, &net.OpError{Op: "dial", Net: "kith", Addr: address, Err: err}
	}
	return s, nil
}

func (o *Overlay) openSocket(ctx context.Context, address kith.Address, h header) (*socket, error) {
	id, err := kith.ParseID(address.Host)
	if err != nil {
		return nil, err
	}
	if address.Port == 0 {
		return nil, fmt.Errorf("port 0 names nobody: %w", kith.Invalid)
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if h.port = address.Port; h.port == o.cfg.SyncPort {
		h.suspend = 0 // with a new carrier both hosts begin anew there
	}
	for redialled := 0; ; redialled++ {
		rand.Read(h.socket[:])
		l, err := o.linkTo(ctx, id)
		if err != nil {
			return nil, err
		}
		if err := l.awaitLevel(ctx, h.port); err != nil && !errors.Is(err, errLinkGone) {
			return nil, err
		}
		s, refusal, err := o.openStream(ctx, l, h)
		switch {
		case err == nil && refusal == nil:
			return s, nil
		case err == nil:
			return nil, refusal
		case errors.Is(err, errReset), errors.Is(err, io.EOF), errors.Is(err, os.ErrDeadlineExceeded):
			return nil, fmt.Errorf("host %s gave no verdict (%v): %w", id.Short(), err, kith.Temporary)
		case ctx.Err() != nil || redialled == redials:
			return nil, l.lost(err)
		}
		if err != errStalled {
			l.close() // it retired, or the path is gone: it has ended, or is about to
		}
	}
}

// openStream opens a stream, sends the header and waits for the verdict: a
// socket or the peer's refusal. err says why there is none.
func (o *Overlay) openStream(ctx context.Context, l *link, h header) (s *socket, refusal, err error) {
	st, err := l.openStream(ctx)
	if err != nil {
		return nil, nil, err
	}
	stop := context.AfterFunc(ctx, st.reset)
	st.SetReadDeadline(time.Now().Add(verdictPatience))
	answered := l.ask(st)
	if _, err = st.Write(h.append(nil)); err == nil {
		refusal, err = readVerdict(st)
	}
	answered()
	if errors.Is(err, os.ErrDeadlineExceeded) && l.vigil.stalled.Load() {
		err = errStalled
	}
	if !stop() { // st.reset has begun
		return nil, nil, ctx.Err()
	}
	if err != nil || refusal != nil {
		st.reset()
		return nil, refusal, err
	}
	st.SetReadDeadline(time.Time{})
	st.SetWriteDeadline(time.Time{})
	if s, err = o.newSocket(l, st, h, false); err != nil {
		st.reset()
	}
	return s, nil, err
}

// An attempt is a dial to a peer, shared by all who wait for its outcome. It
// goes on when they leave, for whoever comes next: it ends by itself soon.
type attempt struct {
	done   chan struct{} // closed when link or err is set
	link   *link
	err    error
	cancel context.CancelCauseFunc
}

// linkTo returns the link to a peer, dialling if there is none.
func (o *Overlay) linkTo(ctx context.Context, id kith.ID) (*link, error) {
	if id == o.id {
		return o.selfLink()
	}
	o.mu.Lock()
	if o.stopped {
		o.mu.Unlock()
		return nil, errStopped
	}
	p := o.peerLocked(id)
	if l := p.current; l != nil && !l.ended() {
		o.mu.Unlock()
		return l, nil
	}
	a := p.attempt
	if a == nil {
		dialCtx, cancel := context.WithCancelCause(o.ctx)
		a = &attempt{done: make(chan struct{}), cancel: cancel}
		p.attempt = a
		o.tasks.Go(func() {
			defer cancel(nil)
			a.link, a.err = o.connect(dialCtx, id)
			o.mu.Lock()
			if a.err != nil && p.current != nil { // the peer was faster
				a.link, a.err = p.current, nil
			}
			p.attempt = nil
			o.forgetLocked(id, p)
			o.mu.Unlock()
			close(a.done)
		})
	}
	o.mu.Unlock()

	select {
	case <-a.done:
		if errors.Is(a.err, errMoved) {
			return o.linkTo(ctx, id)
		}
		return a.link, a.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (l *link) ended() bool {
	select {
	case <-l.done():
		return true
	default:
		return false
	}
}

// A candidate is a handshake that one way of dialling brought.
type candidate struct {
	carrier func() (carrier, error) // confirms, and makes the carrier
	discard func()
	theirs  hello
	via     kith.ID // the relay
}

// connect dials a peer on all its addresses and carriers, and beside that
// through members that may have a carrier to it, and adopts the first that
// answers with the right key and admits us. When that is a relayed one, direct
// dials that are under way go on.
func (o *Overlay) connect(ctx context.Context, id kith.ID) (*link, error) {
	if err := o.admit(id, nil); err != nil {
		return nil, err
	}
	addresses := o.addressesOf(id)
	relays := o.relays(id, addresses)
	if len(relays) == 0 {
		return o.reach(ctx, id, o.ways(addresses, o.cfg.Carriers))
	}
	direct := o.ways(o.openTo(id, addresses), o.cfg.Carriers)

	directly, stopDirect := context.WithCancelCause(o.ctx)
	detach := context.AfterFunc(ctx, func() {
		if cause := context.Cause(ctx); cause != errRelayUp {
			stopDirect(cause)
		}
	})
	defer detach()
	relayed, stopRelays := context.WithCancel(ctx)
	defer stopRelays()
	type outcome struct {
		link *link
		err  error
	}
	outcomes := make(chan outcome, 2)
	if !o.spawn(func() {
		defer stopDirect(nil)
		l, err := o.reach(directly, id, direct)
		outcomes <- outcome{l, err}
	}) || !o.spawn(func() {
		l, err := o.reach(relayed, id, relays)
		outcomes <- outcome{l, err}
	}) {
		stopDirect(errStopped)
		return nil, errStopped
	}
	var failures []string
	for range cap(outcomes) {
		select {
		case out := <-outcomes:
			if out.err == nil {
				return out.link, nil
			}
			if !errors.Is(out.err, kith.Unreachable) {
				stopDirect(out.err)
				return nil, out.err
			}
			failures = append(failures, strings.TrimSuffix(out.err.Error(), ": "+string(kith.Unreachable)))
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
	return nil, fmt.Errorf("%s: %w", strings.Join(failures, "; "), kith.Unreachable)
}

// openTo returns the addresses at which a peer can be dialled out of the blue.
// At those where its router would keep us out, and where it will dial us from
// after an introduction, we open our own router to it.
func (o *Overlay) openTo(id kith.ID, addresses []netip.AddrPort) []netip.AddrPort {
	nat := o.natOf(id)
	if nat == natUnknown || nat == natOpen {
		return addresses
	}
	var open, closed []netip.AddrPort
	for _, a := range addresses {
		if o.nearby(a.Addr()) || o.contacts.known(unmapped(a)) {
			open = append(open, a)
		} else {
			closed = append(closed, a)
		}
	}
	if nat != natBlocked {
		o.Punch(closed)
	}
	return open
}

// connectDirect is connect without relays, to addresses of the peer's record
// and to others, where it may be reached by QUIC.
func (o *Overlay) connectDirect(ctx context.Context, id kith.ID, others []netip.AddrPort) (*link, error) {
	if err := o.admit(id, nil); err != nil {
		return nil, err
	}
	return o.reach(ctx, id, o.directWays(id, others))
}

func (o *Overlay) directWays(id kith.ID, others []netip.AddrPort) []way {
	ways := o.ways(o.addressesOf(id), o.cfg.Carriers)
	for _, w := range o.ways(others[:min(len(others), maxAddresses)], []string{carrierQUIC}) {
		if !slices.ContainsFunc(ways, func(known way) bool { return known.address == w.address && known.carrier == w.carrier }) {
			w.after = 0
			ways = append(ways, w)
		}
	}
	if nat := o.natOf(id); nat == natCone || nat == natSymmetric { // TCP does not get in there
		ways = slices.DeleteFunc(ways, func(w way) bool {
			return w.carrier == carrierTLS && !o.nearby(w.address.Addr()) && !o.contacts.known(w.address)
		})
	}
	return ways
}

// ConnectAt dials the peer at addresses where it was seen just now, also while
// it has a carrier. It returns once one is up there; if the path is better than
// that of the carrier before, sockets move to it.
func (o *Overlay) ConnectAt(ctx context.Context, id kith.ID, addresses []netip.AddrPort) error {
	if err := o.admit(id, nil); err != nil {
		return err
	}
	for _, a := range addresses {
		o.contacts.wake(unmapped(a))
	}
	_, err := o.reach(ctx, id, o.ways(addresses[:min(len(addresses), maxAddresses)], o.cfg.Carriers))
	return err
}

// Punch sends a packet that says nothing to each address, so that this host's
// router lets in who answers from there. Addresses that do not answer get three,
// then they rest.
func (o *Overlay) Punch(addresses []netip.AddrPort) {
	o.mu.Lock()
	d := o.door
	o.mu.Unlock()
	if d == nil {
		return
	}
	for _, a := range addresses[:min(len(addresses), maxAddresses)] {
		if a = unmapped(a); o.contacts.begin(a, false) {
			d.socket.WriteTo([]byte{0}, net.UDPAddrFromAddrPort(a)) // QUIC ignores it (RFC 9443)
		}
	}
}

// natOf is what the peer says of its router.
func (o *Overlay) natOf(id kith.ID) string {
	if o.cfg.NAT == nil {
		return natUnknown
	}
	return o.cfg.NAT(id)
}

func (o *Overlay) addressesOf(id kith.ID) []netip.AddrPort {
	if o.cfg.Addresses == nil {
		return nil
	}
	addresses := o.cfg.Addresses(id)
	return addresses[:min(len(addresses), maxAddresses)]
}

// reach races ways to the peer and adopts the first that succeeds.
func (o *Overlay) reach(ctx context.Context, id kith.ID, ways []way) (*link, error) {
	config, err := o.diallerConfig(id)
	if err != nil {
		return nil, err
	}
	nat := o.natOf(id)
	overTCP := make(map[netip.AddrPort]bool)
	for _, w := range ways {
		overTCP[w.address] = overTCP[w.address] || w.carrier == carrierTLS || nat == natUnknown || nat == natOpen
	}
	ways = slices.DeleteFunc(ways, func(w way) bool {
		rests := w.carrier != carrierTLS && o.contacts.rests(w.address)
		return w.carrier != carrierRelay && (rests || !o.contacts.begin(w.address, overTCP[w.address]))
	})
	if len(ways) == 0 {
		return nil, fmt.Errorf("no address of host %s to try: %w", id.Short(), kith.Unreachable)
	}
	var mu sync.Mutex
	left := make(map[netip.AddrPort]int) // ways to an address that have not failed
	for _, w := range ways {
		left[w.address]++
	}
	slices.SortStableFunc(ways, func(a, b way) int { return int(a.after - b.after) })
	tries := make([]try[candidate], len(ways))
	for i, w := range ways {
		tries[i] = try[candidate]{name: w.String(), after: w.after, run: func(ctx context.Context) (candidate, error) {
			if w.begun != nil {
				w.begun.Add(1)
			}
			ctx, cancel := context.WithTimeout(ctx, handshakePatience)
			defer cancel()
			c, err := o.approach(ctx, id, w, config.Clone())
			switch {
			case w.carrier == carrierRelay:
			case err == nil:
				o.contacts.succeeded(w.address)
			case ctx.Err() == nil || errors.Is(ctx.Err(), context.DeadlineExceeded):
				if isAnswer(err) {
					o.contacts.succeeded(w.address)
				}
				mu.Lock()
				left[w.address]--
				if left[w.address] == 0 {
					o.contacts.failed(w.address)
				}
				mu.Unlock()
			default:
				o.contacts.abandon(w.address)
			}
			return c, err
		}}
	}
	c, err := race(ctx, o.spawn, tries, func(c candidate) { c.discard() })
	if err != nil {
		if cause := context.Cause(ctx); cause != nil && !errors.Is(cause, context.Canceled) {
			return nil, cause
		}
		return nil, fmt.Errorf("host %s: %w", id.Short(), err)
	}
	carrier, err := c.carrier()
	if err != nil {
		return nil, fmt.Errorf("host %s (%v): %w", id.Short(), err, kith.Unreachable)
	}
	return o.adopt(carrier, arrival{peer: id, dialled: true, theirs: c.theirs, via: c.via})
}

// A way is a carrier to an address or through a relay, and when to try it.
type way struct {
	carrier string
	address netip.AddrPort
	via     kith.ID // the relay
	after   time.Duration
	begun   *atomic.Int32   // ways that have begun, where the peer waits for one of them
	door    *quic.Transport // for QUIC
}

func (w way) String() string {
	if w.carrier == carrierRelay {
		return "through " + w.via.Short()
	}
	return w.carrier + " " + w.address.String()
}

// ways orders what can be tried at addresses, leaving out those that rest
// unless nothing else is left. On a network of ours TLS over TCP is first, since
// a byte costs a quarter there; beyond it QUIC, which passes NATs and tells both
// sides where their UDP ports are seen.
func (o *Overlay) ways(addresses []netip.AddrPort, carriers []string) []way {
	o.mu.Lock()
	var transport *quic.Transport
	if o.door != nil {
		transport = o.door.transport
	}
	o.mu.Unlock()
	var all []netip.AddrPort
	for _, a := range addresses {
		if a = unmapped(a); !slices.Contains(all, a) {
			all = append(all, a)
		}
	}
	fresh := slices.DeleteFunc(slices.Clone(all), func(a netip.AddrPort) bool { return o.contacts.rests(a) && !o.contacts.spares(a) })
	if len(fresh) == 0 {
		fresh = slices.DeleteFunc(all, func(a netip.AddrPort) bool { return !o.contacts.wake(a) })
	}
	var ways []way
	for i, address := range fresh {
		order := carriers
		if len(order) == 0 {
			order = []string{carrierQUIC, carrierTLS}
			if o.nearby(address.Addr()) {
				order = []string{carrierTLS, carrierQUIC}
			}
		}
		for rank, carrier := range order {
			if carrier == carrierQUIC && transport == nil {
				continue
			}
			ways = append(ways, way{
				carrier: carrier, address: address, door: transport,
				after: time.Duration(rank)*carrierDelay + time.Duration(i)*addressDelay,
			})
		}
	}
	return ways
}

// A try is one of several ways to the same end.
type try[T any] struct {
	name  string
	after time.Duration // since the first began; less when one before it failed
	run   func(ctx context.Context) (T, error)
}

// race runs tries, sorted by after, beside each other until one succeeds, as
// RFC 8305 5 does with addresses. It discards what arrives later. A peer's
// own refusal ends the race; otherwise the error is of kind Unreachable and
// names what was tried.
func race[T any](ctx context.Context, spawn func(func()) bool, tries []try[T], discard func(T)) (T, error) {
	type outcome struct {
		value T
		err   error
		name  string
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	outcomes := make(chan outcome)
	start := func(t try[T]) bool {
		return spawn(func() {
			value, err := t.run(ctx)
			select {
			case outcomes <- outcome{value, err, t.name}:
			case <-ctx.Done():
				if err == nil {
					discard(value)
				}
			}
		})
	}
	var zero T
	var failures []string
	began := time.Now()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for next, running := 0, 0; next < len(tries) || running > 0; {
		select {
		case <-timer.C:
			if next < len(tries) {
				if !start(tries[next]) {
					return zero, errStopped
				}
				running++
				if next++; next < len(tries) {
					timer.Reset(time.Until(began.Add(tries[next].after)))
				}
			}
		case out := <-outcomes:
			running--
			if out.err == nil {
				return out.value, nil
			}
			if isAnswer(out.err) {
				return zero, out.err
			}
			if failures = append(failures, out.name+": "+out.err.Error()); next < len(tries) {
				timer.Reset(0)
			}
		case <-ctx.Done():
			return zero, ctx.Err()
		}
	}
	const most = 4
	if len(failures) > most {
		failures = append(failures[:most], fmt.Sprintf("%d more", len(failures)-most))
	}
	return zero, fmt.Errorf("%s: %w", strings.Join(failures, "; "), kith.Unreachable)
}

// isAnswer reports whether an error is what the peer itself, which has shown its
// key, has to say.
func isAnswer(err error) bool {
	return slices.ContainsFunc([]kith.Kind{kith.NotMember, kith.Denied, kith.Quota, kith.Expired, kith.Invalid},
		func(kind kith.Kind) bool { return errors.Is(err, kind) })
}
