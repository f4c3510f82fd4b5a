package library

import "time"

// A pace lets a burst through and then one each interval. The zero due time
// is that of a pace that rested.
type pace struct {
	burst int
	every time.Duration
	due   time.Time
}

// rest is how long the next one has to wait; it may go when that is 0 or less.
func (p *pace) rest() time.Duration {
	return time.Until(p.due.Add(-time.Duration(p.burst-1) * p.every))
}

// spend notes that one goes now.
func (p *pace) spend() {
	if now := time.Now(); p.due.Before(now) {
		p.due = now
	}
	p.due = p.due.Add(p.every)
}
