package ui

import (
	"html/template"
	"time"
)

// A Letter is what a [Timeline] shows of one: all names are for people to read.
type Letter struct {
	To                   string
	State                string   // queued, held, delivered, refused or expired
	Note                 string   // why it is where it is, as a sentence; may be empty
	Held                 []string // who has it now, beside this host
	Sent, Since, Expires time.Time
}

// A step is a point of a timeline.
type step struct {
	Class string // done, now, ahead, good or problem
	Title string
	Note  string
	Time  time.Time
	Until bool // Time is the last moment for it
}

// Timeline draws the way of a letter from its sender to its receiver: what was, what
// is, and what is to come, as a list that also reads well aloud.
func Timeline(l Letter) template.HTML { return component("timeline", l.steps()) }

func (l Letter) steps() []step {
	list := []step{{Class: "done", Title: "Written", Time: l.Sent}}
	switch l.State {
	case "delivered":
		return append(list, step{Class: "good", Title: "Delivered to " + l.To, Time: l.Since})
	case "refused":
		return append(list, step{Class: "problem", Title: "Refused", Note: l.Note, Time: l.Since})
	case "expired":
		return append(list, step{Class: "problem", Title: "Expired", Note: l.Note, Time: l.Since})
	case "held":
		list = append(list, step{Class: "now", Title: "Held by " + And(l.Held...), Note: l.Note})
	default:
		list = append(list, step{Class: "now", Title: "Waits here", Note: l.Note})
	}
	return append(list, step{Class: "ahead", Title: "To be delivered to " + l.To, Time: l.Expires, Until: true})
}
