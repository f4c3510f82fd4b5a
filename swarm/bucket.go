package swarm

import (
	"sync"
	"time"
)

// A bucket holds a rate down. Who uses some of it gets a ticket, and goes on when
// the rate has allowed all that was used until then: in the order in which they
// came. The rate may change at any time.
type bucket struct {
	rate func(time.Time) int64 // bytes a second; 0: any
	wake func()                // called when there is room again; may be nil

	mu      sync.Mutex
	used    float64   // bytes, ever
	allowed float64   // bytes, ever; at most what is saved up more than used
	at      time.Time // of allowed
}

const (
	burst    = 250 * time.Millisecond // for how long a bucket that was not used saves up
	lookMost = 250 * time.Millisecond // after which the rate is looked at again
)

// A ticket is what a bucket has to allow before its holder goes on.
type ticket float64

// advanceLocked counts what was allowed until now, and returns the rate. The bucket is locked.
func (b *bucket) advanceLocked(now time.Time) float64 {
	rate := float64(b.rate(now))
	if rate == 0 {
		b.allowed = b.used
	} else {
		b.allowed = min(b.allowed+rate*now.Sub(b.at).Seconds(), b.used+rate*burst.Seconds())
	}
	b.at = now
	return rate
}

// ready reports whether all that was used is allowed.
func (b *bucket) ready(now time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.advanceLocked(now)
	return b.allowed >= b.used
}

// take uses n bytes.
func (b *bucket) take(n int) ticket {
	b.mu.Lock()
	defer b.mu.Unlock()
	rate := b.advanceLocked(time.Now())
	if rate == 0 {
		b.allowed += float64(n)
	}
	b.used += float64(n)
	if short := b.used - b.allowed; short > 0 && b.wake != nil {
		time.AfterFunc(duration(short, rate), b.wake)
	}
	return ticket(b.used)
}

// left is how long it is, at this rate, until the holder of a ticket goes on.
func (b *bucket) left(t ticket, now time.Time) time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	if rate := b.advanceLocked(now); float64(t) > b.allowed {
		return duration(float64(t)-b.allowed, rate)
	}
	return 0
}

// duration is what n bytes take at a rate, and a moment: so that they are allowed then,
// however it was rounded.
func duration(n, rate float64) time.Duration {
	return time.Duration(n/rate*float64(time.Second)) + time.Millisecond
}

// wait uses n bytes and waits until they are allowed, or quit is closed.
func (b *bucket) wait(n int, quit <-chan struct{}) {
	t := b.take(n)
	for {
		left := b.left(t, time.Now())
		if left == 0 {
			return
		}
		timer := time.NewTimer(min(left, lookMost))
		select {
		case <-timer.C:
		case <-quit:
			timer.Stop()
			return
		}
	}
}
