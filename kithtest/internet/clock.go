package internet

import (
	"container/heap"
	"time"
)

// A clock runs events in the order of their times, and those of one time in
// the order in which they were made.
type clock struct {
	start  time.Time
	events eventHeap
	made   uint64
	timer  *time.Timer // for the first event; nil before there was one
}

type event struct {
	at     time.Duration // since start
	number uint64
	run    func()
}

func (n *Net) now() time.Duration { return time.Since(n.clock.start) }

// after runs f, with n.mu held, when d has passed. The caller holds n.mu.
func (n *Net) after(d time.Duration, f func()) {
	c := &n.clock
	c.made++
	e := event{n.now() + max(d, 0), c.made, f}
	heap.Push(&c.events, e)
	if c.events[0].number == e.number {
		n.wind()
	}
}

// wind sets the timer to the first event.
func (n *Net) wind() {
	c := &n.clock
	wait := c.events[0].at - n.now()
	if c.timer == nil {
		c.timer = time.AfterFunc(wait, n.tick)
		return
	}
	c.timer.Reset(wait)
}

func (n *Net) tick() {
	n.mu.Lock()
	defer n.mu.Unlock()
	c := &n.clock
	for len(c.events) > 0 && c.events[0].at <= n.now() {
		heap.Pop(&c.events).(event).run()
	}
	if len(c.events) > 0 {
		n.wind()
	}
}

type eventHeap []event

func (h eventHeap) Len() int      { return len(h) }
func (h eventHeap) Swap(i, j int) { h[i], h[j] = h[j], h[i] }
func (h *eventHeap) Push(e any)   { *h = append(*h, e.(event)) }

func (h eventHeap) Less(i, j int) bool {
	if h[i].at != h[j].at {
		return h[i].at < h[j].at
	}
	return h[i].number < h[j].number
}

func (h *eventHeap) Pop() any {
	last := len(*h) - 1
	e := (*h)[last]
	(*h)[last] = event{}
	*h = (*h)[:last]
	return e
}
