package gossip

import "time"

// A Pace lets a burst through and then one each interval. It has rested when it is
// made. It is not safe for concurrent use.
type Pace struct {
	Burst int
	Every time.Duration
	due   time.Time
}

// Rest is how long the next one has to wait; it may go when that is 0 or less.
func (p *Pace) Rest() time.Duration {
	return time.Until(p.due.Add(-time.Duration(p.Burst-1) * p.Every))
}

// Spend notes that one goes now.
func (p *Pace) Spend() {
	if now := time.Now(); p.due.Before(now) {
		p.due = now
	}
	p.due = p.due.Add(p.Every)
}
