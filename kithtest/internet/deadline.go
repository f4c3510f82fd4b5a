package internet

import (
	"sync"
	"time"
)

// An alarm rings once when it is due. Setting it often makes few events: one
// that comes early sets itself again.
type alarm struct {
	due     time.Duration // since the clock's start; 0: never
	pending time.Duration // when the next event comes; 0 without one
}

func (a *alarm) set(n *Net, due time.Duration, ring func()) {
	a.due = due
	if due == 0 || a.pending != 0 && a.pending <= due {
		return
	}
	a.pending = due
	n.after(due-n.now(), func() {
		a.pending = 0
		if a.due == 0 {
			return
		}
		if a.due > n.now() {
			a.set(n, a.due, ring)
			return
		}
		a.due = 0
		ring()
	})
}

// A deadline wakes who waits on a condition when it passes.
type deadline struct {
	at    time.Time // zero: never
	alarm alarm
}

func (d *deadline) set(n *Net, at time.Time, wake *sync.Cond) {
	d.at = at
	wake.Broadcast()
	if at.IsZero() || d.passed() {
		d.alarm.due = 0
		return
	}
	d.alarm.set(n, at.Sub(n.clock.start), wake.Broadcast)
}

func (d *deadline) passed() bool { return !d.at.IsZero() && !time.Now().Before(d.at) }
