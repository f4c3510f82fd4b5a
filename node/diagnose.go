package node

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"kith.alt/kith"
	"kith.alt/kith/control"
	"kith.alt/kith/group"
	"kith.alt/kith/mesh"
)

// A ladder is what leads to a member, step by step: findings, the first that is
// a problem being where it ends.
type ladder struct {
	node   *Node
	member group.Member
	found  []control.Finding
}

func (l *ladder) good(format string, args ...any) {
	l.found = append(l.found, control.Finding{Level: control.Good, What: fmt.Sprintf(format, args...)})
}

func (l *ladder) notice(what, cause, remedy string) {
	l.found = append(l.found, control.Finding{Level: control.Notice, What: what, Cause: cause, Remedy: remedy})
}

func (l *ladder) problem(what, cause, remedy string) {
	l.found = append(l.found, control.Finding{Level: control.Problem, What: what, Cause: cause, Remedy: remedy})
}

// Diagnose walks the steps that lead to a member, up to the one that fails, and
// says what would help.
func (n *Node) Diagnose(ctx context.Context, host string) ([]control.Finding, error) {
	l := &ladder{node: n}
	if l.name(host) && l.place() && l.life() {
		l.way(ctx)
	}
	return l.found, ctx.Err()
}

// name: the name means a key, and the key is a member's.
func (l *ladder) name(host string) bool {
	id, err := l.node.resolve(host)
	switch {
	case errors.Is(err, kith.Denied):
		l.problem(fmt.Sprintf("The name %s is not used.", host), kith.Sentence(err),
			fmt.Sprintf("Ask its owner to read you the key; if it is the one in 'kith members --json', say 'kith trust %s'.", host))
		return false
	case err != nil:
		l.problem(fmt.Sprintf("The name %s means no computer here.", host), kith.Sentence(err), "'kith members' lists the names of the group.")
		return false
	}
	roster := l.node.group().Roster()
	member, ok := roster.Member(id)
	if !ok {
		cause := "Its key is not in the roster."
		if removal, was := roster.Removal(id); was {
			cause = kith.Sentence(errors.New(removal.Reason))
		}
		l.problem(host+" is not in the group.", cause, "An admin invites it again: 'kith invite'.")
		return false
	}
	l.member = member
	l.good("The name %s means the computer with the key %s.", member.Host, id.Short())
	if id == l.node.id {
		l.good("It is this computer. 'kith doctor' without a name says how it is.")
		return false
	}
	if _, member := roster.Member(l.node.id); !member {
		l.problem("This computer is not in the group itself.", "Members let nobody else in.", "'kith doctor' says why, and what to do.")
		return false
	}
	if refusal := l.node.shutOut(); refusal != "" {
		l.problem("No member lets this computer in.", kith.Sentence(errors.New(refusal)), getTicket)
		return false
	}
	l.good("It is a member of %s, and so is this computer.", roster.Group())
	return true
}

// place: what is known of where it is.
func (l *ladder) place() bool {
	n := l.node
	if n.overlayPort.Load() == 0 {
		l.problem("This computer takes no connections.", "The overlay has no port.", "See 'kith status' for the reason, and start kith with --overlay-port N.")
		return false
	}
	at, worth := n.group().Whereabouts(l.member.ID), n.mesh.AddressesOf(l.member.ID)
	var said []string
	if len(at.Addresses) > 0 {
		said = append(said, "its addresses are "+strings.Join(texts(at.Addresses), ", "))
	}
	if at.NAT != "" {
		said = append(said, natInWords(at.NAT))
	}
	if len(at.Relays) > 0 {
		said = append(said, "it can be reached through "+strings.Join(n.namesOf(at.Relays), ", "))
	}
	switch {
	case len(said) == 0 && len(worth) == 0:
		l.notice("Nothing is known of where "+l.member.Host+" is.", "No word of it has come within 30 days.",
			"It has to meet any member once: on one network, or by 'kith up --introduce dht' on both.")
	case len(said) == 0:
		l.good("It was met at %s.", strings.Join(texts(worth), ", "))
	default:
		l.good("What it says of itself: %s (word came %s).", strings.Join(said, "; "), since(at.Received))
	}
	if len(said) > 0 && len(worth) == 0 {
		l.notice("None of its addresses can be dialled from here.", "They belong to another network.", "")
	}
	return true
}

// life: whether it is awake, as far as can be told.
func (l *ladder) life() bool {
	p := l.presence()
	switch {
	case p.Refusal != "":
		l.problem(l.member.Host+" does not let this computer in.", kith.Sentence(errors.New(p.Refusal)),
			getTicket)
		return false
	case p.Online:
		l.good("It is awake: heard of %s.", since(p.Seen))
	case p.Seen.IsZero():
		l.notice("It has not been heard of since kith was started here.", "It is asleep, or no path leads to it.", "")
	default:
		l.notice("It was heard of last "+since(p.Seen)+".", "It is asleep, or no path leads to it.", "")
	}
	return true
}

// way: the ways there, and what came of each.
func (l *ladder) way(ctx context.Context) {
	trace, err := l.node.Trace(ctx, l.member.ID.String())
	if err != nil {
		l.problem("The way there could not be tried.", kith.Sentence(err), "")
		return
	}
	for _, t := range trace.Tried {
		l.notice("Tried "+t.Way+".", kith.Sentence(errors.New(t.Why)), "")
	}
	if trace.Error == "" {
		far := trace.Hops[len(trace.Hops)-1]
		l.good("It answers after %.1f ms.", far.RTT)
		l.path(trace)
		return
	}
	cause, remedy := l.failure(trace)
	l.problem("No way leads to "+l.member.Host+".", cause, remedy)
}

// path says which way is in use, and why not a better one.
func (l *ladder) path(trace control.Trace) {
	switch trace.Path {
	case control.PathLAN:
		l.good("The two are on one network (%s).", trace.Carrier)
	case control.PathDirect:
		l.good("The path is direct (%s).", trace.Carrier)
	case control.PathRelayed:
		cause, remedy := l.indirect()
		l.notice("The path goes through "+trace.Hops[1].Host+", which passes on sealed bytes within its limits.", cause, remedy)
	}
}

const (
	getTicket = "If this computer was revoked by mistake, ask an admin for a new ticket; otherwise wait until the two have met a third member."
	openOwn   = "'kith up --public ADDRESS' on one of them, once its router passes on UDP and TCP port %d, gives a direct path."
	introduce = "'kith up --introduce dht' on both lets them find each other through the BitTorrent DHT."
)

// indirect says why there is no direct path.
func (l *ladder) indirect() (cause, remedy string) {
	mine, theirs := l.node.reach().NAT, l.node.group().Whereabouts(l.member.ID).NAT
	remedy = fmt.Sprintf(openOwn, l.node.overlayPort.Load())
	switch {
	case mine == control.NATBlocked || theirs == control.NATBlocked:
		return "The network of " + l.whose(mine == control.NATBlocked) + " lets no UDP out.", "Allow UDP there. " + remedy
	case mine == control.NATSymmetric && theirs == control.NATSymmetric:
		return "Both are behind routers that show each peer another address, so that neither can tell the other where to come.", remedy
	case mine == control.NATSymmetric || theirs == control.NATSymmetric:
		return "The router of " + l.whose(mine == control.NATSymmetric) + " shows each peer another address, and the other's lets in only whom it knows.", remedy
	}
	return "The two have not got through to each other yet; they go on trying.", remedy
}

func (l *ladder) whose(own bool) string {
	if own {
		return "this computer"
	}
	return l.member.Host
}

// failure says why nothing led there, and what would help.
func (l *ladder) failure(trace control.Trace) (cause, remedy string) {
	n := l.node
	online := false
	for _, p := range n.mesh.Presences() {
		online = online || p.Carrier != ""
	}
	addresses, relays := n.mesh.AddressesOf(l.member.ID), n.mesh.RelaysOf(l.member.ID)
	switch {
	case l.presence().Online:
		cause, remedy = l.indirect()
		return "It is awake, and no member that both know relays between the two. " + cause,
			"A member that can be dialled by both would relay. " + remedy
	case !online && len(n.group().Roster().Members()) > 2:
		return "No member is reached from here: this computer may be without a network.",
			"Look at the network first. If it works: " + introduce
	case len(addresses) == 0 && len(relays) == 0:
		return "No address of it can be dialled from here, and no member is known that reaches it.",
			"Bring both to one network once, or have a member join that can be dialled from everywhere. " + introduce
	}
	cause = "It is asleep or switched off, or has moved while nobody who is awake saw it."
	if len(trace.Tried) == 0 {
		cause += " " + kith.Sentence(fmt.Errorf("%s%w", strings.TrimSuffix(trace.Error, kith.Unreachable.Error()), kith.Unreachable))
	}
	return cause, "Wake it. If it is awake, it may have moved: " + introduce
}

func (l *ladder) presence() mesh.Presence { return l.node.mesh.Presences()[l.member.ID] }

// natInWords says what a router does.
func natInWords(nat string) string {
	switch nat {
	case control.NATOpen:
		return "others can dial it"
	case control.NATCone:
		return "it is behind a router that can be passed by arrangement"
	case control.NATSymmetric:
		return "it is behind a router that shows each peer another address"
	case control.NATBlocked:
		return "its network lets no UDP out"
	}
	return "its router is of the kind " + nat
}

// since says how long ago something was.
func since(t time.Time) string {
	d := time.Since(t)
	switch {
	case d < 2*time.Second:
		return "just now"
	case d < 2*time.Minute:
		return fmt.Sprintf("%d seconds ago", int(d.Seconds()))
	case d < 2*time.Hour:
		return fmt.Sprintf("%d minutes ago", int(d.Minutes()))
	}
	return t.Local().Format("on 2 January at 15:04")
}
