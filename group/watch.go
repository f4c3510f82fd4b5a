package group

import (
	"context"
	"iter"

	"kith.alt/kith"
)

// A Change is the difference between two rosters, and nothing else: several
// entries that come together are one change.
type Change struct {
	Added   []Member  // members that were not
	Removed []Removal // members that are none any more
	Renamed []Renamed
	Roles   []Member // members that became admins, or are none any more
	Group   string   // the group's new name, or ""
	Self    *Removal // this host is out, and why; else nil
}

// Renamed is a member that is called otherwise than before.
type Renamed struct {
	Member
	Before string
}

// Watch returns the changes of the roster from this call on, one after the
// other, waiting for each, until ctx ends or the loop does. A slow loop
// misses nothing: what happened meanwhile comes as one change.
//
//	for change := range g.Watch(ctx) {
func (g *Group) Watch(ctx context.Context) iter.Seq[Change] {
	old := g.Roster()
	return func(yield func(Change) bool) {
		for {
			state := g.state.Load()
			if change, ok := diff(old, state.roster, g.id); ok {
				if ctx.Err() != nil || !yield(change) {
					return
				}
			}
			old = state.roster
			select {
			case <-state.changed:
			case <-ctx.Done():
				return
			}
		}
	}
}

// diff says what changed from one roster to another, for the host self.
func diff(before, after *Roster, self kith.ID) (change Change, changed bool) {
	if before == after {
		return change, false
	}
	for _, m := range after.members {
		old, ok := before.Member(m.ID)
		if !ok {
			change.Added = append(change.Added, m)
			continue
		}
		if old.Host != m.Host {
			change.Renamed = append(change.Renamed, Renamed{Member: m, Before: old.Host})
		}
		if old.Admin != m.Admin {
			change.Roles = append(change.Roles, m)
		}
	}
	for _, m := range before.members {
		if _, ok := after.Member(m.ID); ok {
			continue
		}
		removal, ok := after.Removal(m.ID)
		if !ok {
			removal = Removal{ID: m.ID, Why: Voided, Entry: m.Entry, Reason: "its admission has no effect any more; it needs a new ticket"}
		}
		removal.Host = m.Host
		change.Removed = append(change.Removed, removal)
		if m.ID == self {
			change.Self = &removal
		}
	}
	if before.group != after.group {
		change.Group = after.group
	}
	changed = len(change.Added)+len(change.Removed)+len(change.Renamed)+len(change.Roles) > 0 || change.Group != ""
	return change, changed
}
