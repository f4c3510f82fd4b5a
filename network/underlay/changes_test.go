package underlay

import (
	"context"
	"net/netip"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestMerge(t *testing.T) {
	const ms = time.Millisecond
	for _, test := range []struct {
		name    string
		news    []time.Duration // since the start
		arrives []time.Duration
	}{
		{"one", []time.Duration{50 * ms}, []time.Duration{50 * ms}},
		{"the first at once, the rest together", []time.Duration{0, 1 * ms, 2 * ms, 99 * ms}, []time.Duration{0, 100 * ms}},
		{"far apart", []time.Duration{0, 150 * ms, 400 * ms}, []time.Duration{0, 150 * ms, 400 * ms}},
		{"one after the last", []time.Duration{0, 60 * ms, 120 * ms, 180 * ms, 240 * ms}, []time.Duration{0, 100 * ms, 200 * ms, 300 * ms}},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				news := make(chan struct{}, 1)
				merged := merge(ctx, news)
				start := time.Now()
				go func() {
					for _, at := range test.news {
						time.Sleep(at - time.Since(start))
						select {
						case news <- struct{}{}:
						default:
						}
					}
					time.Sleep(time.Second)
					cancel()
				}()
				var arrives []time.Duration
				for range merged {
					arrives = append(arrives, time.Since(start))
				}
				if !slices.Equal(arrives, test.arrives) {
					t.Errorf("messages at %v, want %v", arrives, test.arrives)
				}
			})
		})
	}
}

// TestMergeUnread lets messages lie: they become one, which is not lost.
func TestMergeUnread(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		news := make(chan struct{}, 1)
		merged := merge(ctx, news)
		for range 3 {
			news <- struct{}{}
			time.Sleep(mergeWithin)
		}
		cancel()
		synctest.Wait()
		messages := 0
		for range merged {
			messages++
		}
		if messages != 1 {
			t.Errorf("%d messages, want 1", messages)
		}
	})
}

func TestPoll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		home, away := netip.MustParsePrefix("192.168.1.5/24"), netip.MustParsePrefix("10.0.0.9/8")
		var now atomic.Pointer[[]netip.Prefix]
		now.Store(&[]netip.Prefix{home})
		notified := 0
		go poll(ctx, func() []netip.Prefix { return *now.Load() }, func() { notified++ })
		for step, change := range []struct {
			to   []netip.Prefix
			want int
		}{
			{[]netip.Prefix{home}, 0},
			{[]netip.Prefix{home, away}, 1},
			{[]netip.Prefix{away}, 2},
			{[]netip.Prefix{away}, 2},
			{nil, 3},
		} {
			synctest.Wait()
			now.Store(&change.to)
			time.Sleep(pollEvery)
			synctest.Wait()
			if notified != change.want {
				t.Errorf("step %d: notified %d times, want %d", step, notified, change.want)
			}
		}
		cancel()
	})
}

func TestSlept(t *testing.T) {
	for _, test := range []struct {
		name            string
		wall, monotonic time.Duration
		want            bool
	}{
		{"awake", clockEvery, clockEvery, false},
		{"busy", clockEvery + 3*time.Second, clockEvery + 3*time.Second, false},
		{"asleep, the monotonic clock stood still", time.Hour, clockEvery, true},
		{"asleep, both clocks went on", time.Hour, time.Hour, true},
		{"wall clock corrected", clockEvery + time.Second, clockEvery, false},
		{"wall clock set back", -time.Hour, clockEvery, false},
		{"stopped", clockEvery + 11*time.Second, clockEvery + 11*time.Second, true},
	} {
		if got := slept(test.wall, test.monotonic); got != test.want {
			t.Errorf("%s: slept(%v, %v) = %v", test.name, test.wall, test.monotonic, got)
		}
	}
}
