package swarm

import (
	"math"
	"time"
)

// A pacer finds the rate at which this host may send without a queue in front of
// its uplink that others would wait in. It is a state machine without a clock: a
// round trip is measured every probeEvery while there is something to send, what
// it takes beyond the shortest one to that peer is the queue, and a controller with a proportional and
// an integral part holds that at queueTarget. So the link is full, and a small
// packet of somebody else waits for a few milliseconds at most: the aim of
// LEDBAT (RFC 6817), whose 100 ms would be felt in a conversation.
//
// It begins by doubling, until the queue shows for the first time; it also does
// after the queue has been empty for a while, as when the link became faster.
type pacer struct {
	rate   float64 // bytes a second; what the link is thought to carry
	aim    float64 // bytes a second; what to send at now
	found  bool    // the link has been full
	empty  int     // measurements in a row without a queue
	queue  float64 // seconds; at the measurement before
	at     time.Duration
	before float64 // seconds; as it was measured last
}

const (
	probeEvery  = 50 * time.Millisecond
	firstRate   = 1 << 20 // bytes a second
	leastRate   = 8 << 10
	mostRate    = 1 << 40
	queueTarget = 0.003 // seconds
	queueFull   = 0.010 // ends the doubling
	doubling    = 0.1   // seconds
	proportion  = 6.7   // of the rate, per second of queue
	integral    = 11.0  // of the rate, per second of queue and second
	emptyFor    = 8
)

func newPacer() *pacer { return &pacer{rate: firstRate, aim: firstRate} }

// steady reports whether the queue is about as long as it should be: then every other
// measurement will do.
func (p *pacer) steady() bool {
	return p.found && p.before > queueTarget/3 && p.before < 2*queueTarget
}

// measured takes how much longer than the shortest one a round trip took. Busy tells
// that there was always something to send since the one before: only then does
// an empty queue mean that there is room.
func (p *pacer) measured(now, late time.Duration, busy bool) {
	// The shorter of two: a process that was not scheduled is no queue.
	queue := min(late.Seconds(), p.before)
	p.before = late.Seconds()
	since := min(max((now-p.at).Seconds(), 0.001), 0.25)
	grew := queue - p.queue
	p.at, p.queue = now, queue

	switch {
	case !p.found && queue < queueFull:
		if busy {
			p.rate = min(p.rate*math.Pow(2, since/doubling), mostRate)
		}
		p.aim = p.rate
		return
	case !p.found:
		p.found = true
		p.rate /= 1 + min(max(grew/since, 0), 3) // what arrived, of what was sent
	}

	missing := queueTarget - queue
	if missing < 0 || busy {
		p.rate *= 1 + integral*max(missing, -0.03)*since
	}
	if p.empty++; queue > queueTarget/3 || !busy {
		p.empty = 0
	}
	if over := p.empty - emptyFor; over > 0 {
		p.rate *= 1 + min(0.01*math.Pow(2, float64(over)/4), 1)*since/probeEvery.Seconds()
	}
	p.rate = min(max(p.rate, leastRate), mostRate)
	p.aim = max(p.rate*max(1+proportion*missing, 0.1), leastRate)
}
