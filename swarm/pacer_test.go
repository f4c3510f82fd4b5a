package swarm

import (
	"math/rand/v2"
	"testing"
	"time"
)

// TestPacer sends on a link of a given rate whose queue it models: the link must
// be full and the queue short.
func TestPacer(t *testing.T) {
	for _, c := range []struct {
		name   string
		rate   float64 // bytes a second
		jitter time.Duration
		hiccup float64 // how often an end was not scheduled for 20 ms
	}{
		{"ADSL", 128 << 10, time.Millisecond, 0},
		{"10 Mbit/s", 1.25e6, 0, 0},
		{"10 Mbit/s, busy computers", 1.25e6, time.Millisecond, 0.2},
		{"10 Mbit/s, noisy", 1.25e6, 2 * time.Millisecond, 0},
		{"ADSL, busy computers", 128 << 10, time.Millisecond, 0.4},
		{"100 Mbit/s", 12.5e6, time.Millisecond, 0.1},
		{"1 Gbit/s", 125e6, 0, 0},
		{"10 Gbit/s", 1250e6, 0, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			p, random := newPacer(), rand.New(rand.NewPCG(1, 2))
			const step = time.Millisecond
			var queue, sent, late, left float64
			var steps int
			var worst, first, found, due time.Duration
			for now := time.Duration(0); now < 40*time.Second; now += step {
				out := p.aim * step.Seconds()
				left += out
				queue = min(max(queue+out-c.rate*step.Seconds(), 0), c.rate/10) // the router keeps 100 ms
				delay := time.Duration(queue / c.rate * float64(time.Second))
				if first = max(first, delay); found == 0 && out > 0.9*c.rate*step.Seconds() {
					found = now
				}
				if now > 5*time.Second {
					steps++
					late += delay.Seconds()
					worst = max(worst, delay)
					sent += min(out, c.rate*step.Seconds())
				}
				if now >= due {
					if random.Float64() < c.hiccup {
						delay += 20 * time.Millisecond
					}
					p.measured(now, delay+time.Duration(random.Float64()*float64(c.jitter)), int64(left), true)
					left, due = 0, now+p.due()
				}
			}
			use := sent / (c.rate * float64(steps) * step.Seconds())
			mean := time.Duration(late / float64(steps) * float64(time.Second))
			t.Logf("found after %v with a queue of %v; use %.3f, queue %v on average, %v at worst", found, first, use, mean, worst)
			if found > 5*time.Second || first > 90*time.Millisecond && c.rate > firstRate {
				t.Errorf("found after %v with a queue of %v", found, first)
			}
			if use < 0.97 {
				t.Errorf("uses %.3f of the link", use)
			}
			frames := time.Duration(2 * frame / c.rate * float64(time.Second))
			if mean > frames+5*time.Millisecond || worst > frames+20*time.Millisecond {
				t.Errorf("queue of %v on average, %v at worst", mean, worst)
			}
		})
	}
}

// TestPacerFollows has the link become faster, and slower.
func TestPacerFollows(t *testing.T) {
	p := newPacer()
	const step = time.Millisecond
	var queue, left float64
	var due, now time.Duration
	run := func(rate float64, length time.Duration, reached func() bool) time.Duration {
		begun := now
		for ; now < begun+length; now += step {
			out := p.aim * step.Seconds()
			left += out
			queue = min(max(queue+out-rate*step.Seconds(), 0), rate/10)
			if now >= due {
				p.measured(now, time.Duration(queue/rate*float64(time.Second)), int64(left), true)
				left, due = 0, now+p.due()
			}
			if reached() {
				return now - begun
			}
		}
		return length
	}
	never := func() bool { return false }
	run(1.25e6, 10*time.Second, never)
	for _, c := range []struct{ from, to float64 }{{1.25e6, 12.5e6}, {12.5e6, 125e6}, {125e6, 1.25e6}, {1.25e6, 625e3}} {
		took := run(c.to, 10*time.Second, func() bool {
			return p.rate > 0.9*c.to && p.rate < 1.2*c.to && queue/c.to < 0.01+frame/c.to
		})
		t.Logf("from %.0f to %.0f bytes a second: %v", c.from, c.to, took)
		if took > 4*time.Second {
			t.Errorf("from %.0f to %.0f bytes a second it takes %v", c.from, c.to, took)
		}
		run(c.to, 10*time.Second, never)
	}
}
