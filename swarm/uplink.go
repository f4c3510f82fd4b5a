package swarm

import (
	"context"
	"sync"
	"time"

	"kith.alt/kith/content"
)

// An uplink decides when the next block leaves this host. It asks the exchanges in
// turn, late: when the link has room, not before.
type uplink struct {
	limit  bucket                                              // of the owner; torrent clients use it, too
	ask    func() (size int, waits bool)                       // gives the next block to a link; where it gives none, some may wait for a link that is busy
	ping   func(context.Context) (late time.Duration, ok bool) // to a peer to whom something is being sent
	kicks  chan struct{}
	leaves chan struct{} // capacity 1: a block leaves

	mu    sync.Mutex
	pacer *pacer
	start time.Time
	next  time.Time // when there is room again
	sent  int64     // bytes since the last measurement
	idle  bool      // there was a moment without anything to send since the last measurement
}

func newUplink(limit func(time.Time) int64, ask func() (int, bool), ping func(context.Context) (time.Duration, bool)) *uplink {
	return &uplink{limit: bucket{rate: limit}, ask: ask, ping: ping, kicks: make(chan struct{}, 1), leaves: make(chan struct{}, 1), pacer: newPacer(), start: time.Now()}
}

// kick says that there may be something to send.
func (u *uplink) kick() {
	select {
	case u.kicks <- struct{}{}:
	default:
	}
}

// rate is what to send at now, in bytes a second.
func (u *uplink) rate() float64 {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.rateLocked(time.Now())
}

// atOnce is how many blocks to write to a peer at once: where that takes hardly any time
// they cost less together.
func (u *uplink) atOnce() int {
	return int(min(max(u.rate()*atOnceTime.Seconds()/content.BlockSize, 1), mostAtOnce))
}

const (
	atOnceTime = 2 * time.Millisecond
	mostAtOnce = 16 // blocks
)

func (u *uplink) rateLocked(now time.Time) float64 {
	rate := u.pacer.aim
	if limit := u.limit.rate(now); limit > 0 {
		rate = min(rate, float64(limit))
	}
	return rate
}

// slack is how far behind its rate the uplink may be and still catch up: timers
// are late.
const slack = 2 * time.Millisecond

// serve sends until ctx ends.
func (u *uplink) serve(ctx context.Context) {
	var measuring sync.WaitGroup
	defer measuring.Wait()
	measuring.Go(func() { u.measure(ctx) })
	room := time.NewTimer(0)
	defer room.Stop()
	<-room.C
	for ctx.Err() == nil {
		size, waits := u.ask()
		if size == 0 {
			u.mu.Lock()
			u.idle = u.idle || !waits
			u.mu.Unlock()
			select {
			case <-u.kicks:
			case <-ctx.Done():
			}
			continue
		}
		wait, t := u.charge(size)
		for wait > 0 && ctx.Err() == nil {
			room.Reset(min(wait, lookMost))
			select {
			case <-room.C:
			case <-ctx.Done():
			}
			wait = u.left(t)
		}
	}
}

// left is how long it is until there is room again, after what was charged last.
func (u *uplink) left(t ticket) time.Duration {
	now := time.Now()
	u.mu.Lock()
	wait := u.next.Sub(now)
	u.mu.Unlock()
	return max(wait, u.limit.left(t, now), 0)
}

// charge takes size bytes off the room and returns how long it is until there is
// some again.
func (u *uplink) charge(size int) (time.Duration, ticket) {
	t := u.limit.take(size)
	select {
	case u.leaves <- struct{}{}:
	default:
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	now := time.Now()
	if late := now.Add(-slack); u.next.Before(late) {
		u.next = late
	}
	u.sent += int64(size)
	u.next = u.next.Add(time.Duration(float64(size) / u.pacer.aim * float64(time.Second)))
	return max(u.next.Sub(now), u.limit.left(t, now), 0), t
}

// measure measures round trips while blocks leave.
func (u *uplink) measure(ctx context.Context) {
	due := time.NewTimer(probeFast)
	defer due.Stop()
	for {
		select {
		case <-due.C:
		case <-ctx.Done():
			return
		}
		begun := time.Now()
		late, ok := u.ping(ctx)
		if !ok {
			select {
			case <-u.leaves:
				due.Reset(probeFast)
			case <-ctx.Done():
				return
			}
			continue
		}
		u.mu.Lock()
		now := time.Now()
		limit := float64(u.limit.rate(now))
		limited := limit > 0 && limit < u.pacer.aim
		u.pacer.measured(now.Sub(u.start), late, u.sent, !u.idle && !limited)
		u.idle, u.sent = false, 0
		due.Reset(max(u.pacer.due()-now.Sub(begun), time.Millisecond))
		u.mu.Unlock()
	}
}
