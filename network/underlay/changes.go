package underlay

import (
	"context"
	"net/netip"
	"slices"
	"time"
)

const (
	mergeWithin = 100 * time.Millisecond // at most one message in this time
	pollEvery   = 2 * time.Second        // where the kernel does not tell
	clockEvery  = 5 * time.Second        // between two looks at the clocks
	sleptFor    = 10 * time.Second       // at least, or it does not matter
)

func (s system) Changes(ctx context.Context) <-chan struct{} {
	news := make(chan struct{}, 1)
	notify := func() {
		select {
		case news <- struct{}{}:
		default: // merge has not taken the last one yet, and will look after this
		}
	}
	if err := watchKernel(ctx, notify); err != nil {
		go poll(ctx, s.Interfaces, notify)
	}
	go watchClocks(ctx, notify)
	return merge(ctx, news)
}

// merge passes news on: the first at once, later ones at most once per
// mergeWithin, and always one after the last.
func merge(ctx context.Context, news <-chan struct{}) <-chan struct{} {
	merged := make(chan struct{}, 1)
	go func() {
		defer close(merged)
		for {
			select {
			case <-news:
			case <-ctx.Done():
				return
			}
			select {
			case merged <- struct{}{}:
			default: // one lies there unread
			}
			select {
			case <-time.After(mergeWithin):
			case <-ctx.Done():
				return
			}
		}
	}()
	return merged
}

// poll compares what interfaces returns with what it returned before.
func poll(ctx context.Context, interfaces func() []netip.Prefix, notify func()) {
	ticker := time.NewTicker(pollEvery)
	defer ticker.Stop()
	for before := interfaces(); ; {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
		if now := interfaces(); !slices.Equal(before, now) {
			before = now
			notify()
		}
	}
}

// watchClocks notices that the computer slept, or that this process was stopped.
func watchClocks(ctx context.Context, notify func()) {
	ticker := time.NewTicker(clockEvery)
	defer ticker.Stop()
	for before := time.Now(); ; {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
		now := time.Now()
		if slept(now.Round(0).Sub(before.Round(0)), now.Sub(before)) {
			notify()
		}
		before = now
	}
}

// slept reports whether, between two ticks, more time passed on the wall clock
// or on the monotonic one, which stands still in sleep on most systems, than
// there is between ticks. Setting the wall clock forward looks the same.
func slept(wall, monotonic time.Duration) bool {
	return wall-monotonic > sleptFor || monotonic > clockEvery+sleptFor
}
