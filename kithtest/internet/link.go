package internet

import (
	"math/rand/v2"
	"time"
)

// A Link joins a host or a router with the network that it is on, in both
// directions.
type Link struct {
	net     *Net
	random  *rand.Rand
	delay   time.Duration
	loss    float64
	reorder float64
}

func (n *Net) newLink(to *Router) *Link {
	l := &Link{net: n, random: n.random()}
	l.attach(to)
	return l
}

// attach gives the link what links to that network have at first.
func (l *Link) attach(to *Router) {
	l.delay, l.loss, l.reorder = l.net.config.LANDelay, 0, 0
	if to == l.net.public {
		l.delay, l.loss = l.net.config.Delay, l.net.config.Loss
	}
}

// SetLoss sets the probability, from 0 to 1, that a packet is lost.
func (l *Link) SetLoss(probability float64) {
	l.net.mu.Lock()
	defer l.net.mu.Unlock()
	l.loss = probability
}

// SetReorder sets the probability, from 0 to 1, that a packet takes up to
// twice the delay and 1 ms more, so that later ones overtake it.
func (l *Link) SetReorder(probability float64) {
	l.net.mu.Lock()
	defer l.net.mu.Unlock()
	l.reorder = probability
}

// cross carries p over the link to its other end.
func (l *Link) cross(p *packet, arrive func(*packet)) {
	if l.loss > 0 && l.random.Float64() < l.loss {
		l.net.end(p, Lost)
		return
	}
	delay := l.delay
	if l.reorder > 0 && l.random.Float64() < l.reorder {
		delay += time.Duration(l.random.Int64N(int64(l.delay + time.Millisecond)))
	}
	l.net.after(delay, func() { arrive(p) })
}
