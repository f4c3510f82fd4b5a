package swarm

import (
	"math"
	"time"
)

// A pacer finds the rate at which this host may send without a queue in front of
// its uplink that others would wait in. It is a state machine without a clock: the way to
// a peer is measured every so often (see due) while there is something to send, what
// it takes beyond the shortest one to that peer is the queue, and a controller with a proportional and
// an integral part holds that at queueTarget. So the link is full, and a small
// packet of somebody else waits for a few milliseconds at most: the aim of
// LEDBAT (RFC 6817), whose 100 ms would be felt in a conversation.
//
// It begins by growing fast, until the queue shows for the first time; it also does
// after the queue has been empty for a while, as when the link became faster.
type pacer struct {
	rate   float64       // bytes a second; what the link is thought to carry
	aim    float64       // bytes a second; what to send at now
	found  bool          // the link has been full, and may be still
	out    float64       // bytes a second; what left lately
	empty  int           // measurements in a row without a queue
	cut    time.Duration // when the rate was found to be too high
	at     time.Duration
	before float64 // seconds; as it was measured last
}

const (
	probeFast   = 25 * time.Millisecond  // between two measurements, while the rate grows fast
	probeEvery  = 50 * time.Millisecond  // else,
	probeSteady = 100 * time.Millisecond // and while the queue is as long as it should be
	longEmpty   = 40                     // measurements: the link has become much faster
	draining    = 600 * time.Millisecond // that a queue which became too long is given
	firstRate   = 512 << 10              // bytes a second
	leastRate   = 8 << 10
	mostRate    = 1 << 40
	queueTarget = 0.0022 // seconds; beyond a frame, as are the others
	queueFull   = 0.010  // ends the fast growth
	queueLong   = 0.040  // more than the controller's small steps are for
	frame       = 1514   // bytes: what is shorter is no queue, and not ours to shorten
	doubling    = 0.120  // seconds: a sixth more with each measurement
	proportion  = 6.7    // of the rate, per second of queue
	integral    = 11.0   // of the rate, per second of queue and second
)

func newPacer() *pacer { return &pacer{rate: firstRate, aim: firstRate, out: firstRate} }

// due returns how long after a measurement the next one is to be made.
func (p *pacer) due() time.Duration {
	switch {
	case !p.found:
		return probeFast
	case p.before > queueTarget/3 && p.before < 2*(queueTarget+frame/p.rate):
		return probeSteady
	}
	return probeEvery
}

// measured takes how much longer than the shortest one the way to a peer took, and how
// many bytes left since the one before. Busy tells that there was always something
// to send: only then does an empty queue mean that there is room. Nor does it where less left
// than was to, as the processor or the peer was the bottleneck.
func (p *pacer) measured(now, late time.Duration, sent int64, busy bool) {
	// The shorter of two: a process that was not scheduled is no queue.
	queue, grew := min(late.Seconds(), p.before), late.Seconds()-p.before
	since := min(max((now-p.at).Seconds(), 0.001), 1)
	p.at, p.before = now, late.Seconds()
	p.out += (float64(sent)/since - p.out) * min(since/0.1, 1)
	busy = busy && p.out > p.aim/3

	queue = max(queue-frame/p.rate, 0)
	if !p.found && queue > queueFull || queue > queueLong && now-p.cut > draining {
		// The link was never without work, so what it carried is what left, less
		// what the queue grew by.
		least := 0.8
		if p.cut > 0 && now-p.cut < 2*draining {
			least = 0.5 // it did not drain
		}
		p.rate = min(p.rate, max(float64(sent)/max(since+grew, since/4), p.rate*least))
		p.found, p.cut = true, now
	}
	if !p.found {
		if busy && late.Seconds() < queueFull {
			p.rate = min(p.rate*math.Pow(2, min(since, doubling/2)/doubling), mostRate)
		}
		p.aim = p.rate
		return
	}

	missing := queueTarget - queue
	switch {
	case queue > queueTarget:
		p.empty = 0
		p.rate *= 1 + integral*max(missing, -0.03)*min(since, 0.25)
	case busy && queue < queueTarget/3: // there is room, and the longer so the more
		p.empty++
		most := 0.05 // routers let a burst through before a queue shows
		if p.empty > longEmpty {
			most = 0.2
		}
		p.rate *= 1 + min(0.003*math.Pow(2, float64(p.empty)/6), most)*min(since/probeEvery.Seconds(), 1)
	case busy:
		p.rate *= 1 + integral*missing*min(since, 0.25)
	}
	p.rate = min(max(p.rate, leastRate), mostRate)
	p.aim = max(p.rate*max(1+proportion*missing, 0.1), leastRate)
}
