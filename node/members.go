package node

import (
	"context"

	"kith.alt/kith"
	"kith.alt/kith/group"
)

// watchGroup tells the owner what changes in the group, whichever it is.
func (n *Node) watchGroup(ctx context.Context) error {
	for ctx.Err() == nil {
		current := n.current.Load()
		watching, cancel := current.during(ctx)
		changes := current.Watch(watching) // before anything is made of the roster: a change meanwhile is none that is missed
		n.updateCertificates()
		if err := n.showCard(watching); err != nil && watching.Err() == nil {
			n.log.Warn("members do not see who is here", "err", err)
		}
		for change := range changes {
			n.tell(change)
			n.updateCertificates()
		}
		cancel()
	}
	return nil
}

// tell puts a change of the roster into words.
func (n *Node) tell(change group.Change) {
	roster := n.group().Roster()
	nameOf := func(id kith.ID) string {
		if m, ok := roster.Member(id); ok {
			return m.Host
		}
		if r, ok := roster.Removal(id); ok {
			return r.Host
		}
		return id.Short()
	}
	for _, m := range change.Added {
		n.event("%s joined the group; %s let it in.", m.Host, nameOf(m.By))
	}
	for _, r := range change.Removed {
		switch r.Why {
		case group.Left:
			n.event("%s left the group.", r.Host)
		case group.Revoked:
			n.event("%s was taken out of the group by %s.", r.Host, nameOf(r.By))
		default:
			n.event("%s is out of the group: %s", r.Host, r.Reason)
		}
	}
	for _, m := range change.Renamed {
		n.event("%s is called %s now.", m.Before, m.Host)
	}
	for _, m := range change.Roles {
		if m.Admin {
			n.event("%s is an admin now.", m.Host)
		} else {
			n.event("%s is no admin any more.", m.Host)
		}
	}
	if change.Group != "" {
		n.event("The group is called %s now.", change.Group)
	}
	if change.Self != nil {
		n.event("This computer is out of the group: %s", change.Self.Reason)
	}
}
