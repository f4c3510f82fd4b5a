package node

import (
	"context"
	"fmt"
	"net/netip"
	"runtime"
	"strings"

	"kith.alt/kith/control"
	"kith.alt/kith/folders"
)

// Doctor looks at everything that commonly goes wrong and says, of each problem,
// the cause and the remedy. Problems come first.
func (n *Node) Doctor(context.Context) ([]control.Finding, error) {
	var problems, notices, good []control.Finding
	checks := []func() control.Finding{n.checkListeners, n.checkMembership, n.checkDisk, n.checkBrowsers}
	if _, member := n.group().Roster().Member(n.id); member {
		checks = append(checks, n.checkAdmins, n.checkRoom, n.checkReachable, n.checkMembers, n.checkName)
	}
	for _, check := range checks {
		switch finding := check(); finding.Level {
		case control.Problem:
			problems = append(problems, finding)
		case control.Notice:
			notices = append(notices, finding)
		case control.Good:
			good = append(good, finding)
		}
	}
	return append(append(problems, notices...), good...), nil
}

func (n *Node) checkListeners() control.Finding {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, l := range n.listeners {
		if l.Error != "" {
			return control.Finding{
				Level: control.Problem, What: fmt.Sprintf("Nothing listens on %s for %s (%s).", l.Address, l.App, l.Protocol),
				Cause: l.Error, Remedy: "End the other program and start kith again, or start kith with --port-base N to move all its ports.",
			}
		}
	}
	return control.Finding{Level: control.Good, What: "Every listener accepts."}
}

func (n *Node) checkMembership() control.Finding {
	roster := n.group().Roster()
	if _, member := roster.Member(n.id); member {
		return control.Finding{Level: control.Good, What: fmt.Sprintf("This computer is a member of %s.", roster.Group())}
	}
	cause := "The roster does not have it."
	if removal, ok := roster.Removal(n.id); ok {
		cause = removal.Reason
	}
	return control.Finding{
		Level: control.Problem, What: fmt.Sprintf("This computer is not in the group %s any more.", roster.Group()), Cause: cause,
		Remedy: "'kith leave' makes it a group of its own again; with a new ticket 'kith join TICKET' brings it back.",
	}
}

func (n *Node) checkAdmins() control.Finding {
	roster := n.group().Roster()
	if admins := roster.Admins(); admins < 2 && len(roster.Members()) > 1 {
		return control.Finding{
			Level: control.Notice, What: fmt.Sprintf("The group has %d admin.", admins),
			Cause:  "When that computer is lost, nobody can invite or revoke.",
			Remedy: "'kith admin add HOST' makes another member an admin.",
		}
	}
	return control.Finding{Level: control.Good, What: "There are admins enough."}
}

func (n *Node) checkRoom() control.Finding {
	if used, limit := n.group().Room(); used*5 > limit*4 {
		return control.Finding{
			Level: control.Notice, What: fmt.Sprintf("The group's roster is filling up: %d of %d entries.", used, limit),
			Cause:  "Every invitation, admission, revocation and new name is an entry for good.",
			Remedy: "Invite with --uses N instead of one ticket for each; have another admin do it. When it is full, found a new group.",
		}
	}
	return control.Finding{Level: control.Good, What: "The group's roster has room."}
}

func (n *Node) checkReachable() control.Finding {
	addresses := n.mesh.OwnAddresses()
	if n.overlayPort.Load() == 0 {
		if !n.reachable() {
			return control.Finding{Level: control.Good, What: "Nobody else is in the group: kith listens on loopback only."}
		}
		return control.Finding{
			Level: control.Problem, What: "Other members cannot reach this computer.", Cause: "The overlay has no port.",
			Remedy: "See 'kith status' for the reason, and start kith with --overlay-port N.",
		}
	}
	if reach := n.reach(); reach.Open {
		return control.Finding{Level: control.Good, What: "Members on other networks can dial this computer" + openBy(reach) + "."}
	} else if reach.NAT == control.NATBlocked {
		return control.Finding{
			Level: control.Notice, What: "This network lets no UDP out: there are no direct paths to other networks.",
			Cause: "UDP is blocked, by a firewall perhaps. Members on other networks are reached over TCP, or through others.", Remedy: "Allow UDP for kith.",
		}
	}
	return control.Finding{
		Level: control.Notice, What: "Members on other networks cannot dial this computer.",
		Cause:  "It is behind a router. Its addresses: " + joinAddresses(addresses) + ".",
		Remedy: fmt.Sprintf("A member that can be dialled is enough: it brings the others together. Or pass on UDP and TCP port %d on the router, and say 'kith up --public ADDRESS'.", n.overlayPort.Load()),
	}
}

// openBy says how a host comes to be reachable.
func openBy(r control.Reach) string {
	switch r.By {
	case control.ByPublic:
		return " at " + strings.Join(r.Public, ", ") + ", as its owner says"
	case control.ByMapping:
		return ": the router passes on " + r.Mappings[0].Address
	}
	return ": one has"
}

func (n *Node) checkMembers() control.Finding {
	var asleep []string
	presences := n.mesh.Presences()
	for _, member := range n.group().Roster().Members() {
		p, met := presences[member.ID]
		switch {
		case !met: // this host, or one that joined this moment
		case p.Refusal != "":
			return control.Finding{
				Level: control.Problem, What: member.Host + " does not let this computer in.", Cause: p.Refusal,
				Remedy: "If this computer was revoked by mistake, ask an admin for a new ticket; otherwise wait until the two have met a third member.",
			}
		case !p.Online:
			asleep = append(asleep, member.Host)
		}
	}
	if len(asleep) > 0 {
		return control.Finding{
			Level: control.Notice, What: strings.Join(asleep, ", ") + ": no connection.",
			Cause: "Switched off, asleep, or no path leads there.", Remedy: fmt.Sprintf("'kith doctor %s' walks the way there and says where it ends.", asleep[0]),
		}
	}
	return control.Finding{Level: control.Good, What: "All members are connected."}
}

func (n *Node) checkDisk() control.Finding {
	free, err := folders.Free(n.dir.Path())
	const low = 100 << 20
	if err == nil && free < low {
		return control.Finding{
			Level: control.Problem, What: fmt.Sprintf("The disk is almost full: %d MiB left.", free>>20),
			Cause: n.dir.Path() + " is on it.", Remedy: "Make room: without it nothing new can be kept.",
		}
	}
	return control.Finding{Level: control.Good, What: "The disk has room."}
}

func (n *Node) checkName() control.Finding {
	if m, ok := n.group().Roster().Member(n.id); ok && m.Wanted != m.Host {
		return control.Finding{
			Level: control.Notice, What: fmt.Sprintf("This computer is called %s, not %s.", m.Host, m.Wanted),
			Cause: "Another member has that name.", Remedy: "'kith rename NAME' takes another.",
		}
	}
	return control.Finding{Level: control.Good, What: "The name " + n.name().String() + " is this computer's own."}
}

func (n *Node) checkBrowsers() control.Finding {
	what := "Chrome, Edge and Firefox open sites by the links in the dashboard, with no set-up."
	if runtime.GOOS != "darwin" {
		return control.Finding{Level: control.Good, What: what}
	}
	return control.Finding{
		Level: control.Notice, What: what + " Safari does not.", Cause: "Safari does not know names that end in .localhost.",
		Remedy: fmt.Sprintf("For Safari set the automatic proxy configuration of macOS to %sproxy.pac and open http://%s/.", n.dashboard(), n.name()),
	}
}

func joinAddresses(addresses []netip.AddrPort) string {
	text := make([]string, len(addresses))
	for i, a := range addresses {
		text[i] = a.Addr().String()
	}
	return strings.Join(text, ", ")
}
