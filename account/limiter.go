package account

import (
	"sync"
	"time"
)

const (
	maxLimited = 10_000         // keys that a limiter remembers
	makesRoom  = maxLimited / 8 // keys forgotten at a time, as looking for them takes long
)

// A limiter allows each key a number of attempts at once and one more each
// interval. For each key it keeps one time: when the key will have all its
// attempts back.
type limiter struct {
	burst    time.Duration // attempts at once, times interval
	interval time.Duration

	mu   sync.Mutex
	full map[string]time.Time
}

func newLimiter(attempts int, interval time.Duration) *limiter {
	return &limiter{
		burst:    time.Duration(attempts) * interval,
		interval: interval,
		full:     make(map[string]time.Time),
	}
}

// take uses one attempt of key, or tells how long to wait for one.
func (l *limiter) take(key string) (wait time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	full, known := l.full[key]
	if full.Before(now) {
		full = now
	}
	full = full.Add(l.interval)
	if wait := full.Sub(now) - l.burst; wait > 0 {
		return wait
	}
	if !known && len(l.full) >= maxLimited {
		l.makeRoom(now)
	}
	l.full[key] = full
	return 0
}

// spent reports whether key has used any attempt and not got it back.
func (l *limiter) spent(key string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.full[key].After(time.Now())
}

// giveBack returns an attempt.
func (l *limiter) giveBack(key string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	full, known := l.full[key]
	if full = full.Add(-l.interval); full.After(time.Now()) {
		l.full[key] = full
	} else if known {
		delete(l.full, key)
	}
}

// makeRoom forgets the keys that have all their attempts, and others where
// those are few.
func (l *limiter) makeRoom(now time.Time) {
	for key, full := range l.full {
		if full.Before(now) {
			delete(l.full, key)
		}
	}
	for key := range l.full {
		if len(l.full) <= maxLimited-makesRoom {
			return
		}
		delete(l.full, key)
	}
}
