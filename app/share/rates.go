package share

import (
	"context"
	"sync"
	"time"

	"kith.alt/kith"
)

// rates are the curves of what moves: a sample each second, for a while. It is
// safe for concurrent use.
type rates struct {
	mu     sync.Mutex
	curves map[kith.ContentID]*curve
}

// samples is how many seconds a curve has.
const samples = 120

// A curve is what one content took and gave in the last seconds, the newest last.
type curve struct {
	Down, Up [samples]float64 // bytes a second
	still    int              // seconds without anything
}

// sample takes samples until ctx ends.
func (r *rates) sample(ctx context.Context, holdings func() []kith.Holding) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			r.add(holdings())
		}
	}
}

// add moves all curves on by a second. Content that rests has none.
func (r *rates) add(holdings []kith.Holding) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.curves == nil {
		r.curves = make(map[kith.ContentID]*curve)
	}
	now := make(map[kith.ContentID]kith.Holding)
	for _, h := range holdings {
		if h.Down < 1 && h.Up < 1 {
			continue
		}
		if now[h.Content] = h; r.curves[h.Content] == nil {
			r.curves[h.Content] = new(curve)
		}
	}
	for id, c := range r.curves {
		h, moves := now[id]
		if c.still++; moves {
			c.still = 0
		} else if c.still > samples {
			delete(r.curves, id)
			continue
		}
		copy(c.Down[:], c.Down[1:])
		copy(c.Up[:], c.Up[1:])
		c.Down[samples-1], c.Up[samples-1] = h.Down, h.Up
	}
}

// of returns the curve of a content, flat if nothing moved.
func (r *rates) of(id kith.ContentID) curve {
	r.mu.Lock()
	defer r.mu.Unlock()
	if c := r.curves[id]; c != nil {
		return *c
	}
	return curve{}
}
