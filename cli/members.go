package cli

import (
	"context"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"kith.alt/kith/control"
)

func membersCommand() command {
	return command{
		name: "members", summary: "list the computers of the group, and how each is reached", group: groupMembers,
		help: `Shows each host's state (awake, asleep, revoked), the path to it (same network,
direct, relayed by another member) with its carrier and round-trip time, since when
it is the path and why it took the place of the one before, and what the host's
router does. An asterisk marks admins.`,
		ask: func(ctx context.Context, e *env, node *control.Client, _ []string) error {
			status, err := node.Status(ctx)
			if err != nil {
				return err
			}
			return e.Print(status.Members, membersTable(status.Members, time.Now())+"\n"+ownReach(status))
		},
	}
}

func membersTable(members []control.Member, now time.Time) string {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "HOST\tSTATE\tPATH\tROUND TRIP\tFOR\tROUTER\tWHY")
	for _, m := range members {
		var span string
		if !m.Since.IsZero() {
			span = ago(now.Sub(m.Since))
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", starred(m), stateText(m, now), pathText(m.Path, m.Via, m.Carrier), roundTrip(m.RTT), span, m.NAT, m.Why)
	}
	w.Flush() // to a strings.Builder, which does not fail
	return trimLines(b.String())
}

// sitesTable lists members with their sites.
func sitesTable(members []control.Member, now time.Time) string {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "HOST\tSTATE\tPATH\tSITE")
	for _, m := range members {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", starred(m), stateText(m, now), pathText(m.Path, m.Via, m.Carrier), m.Site)
	}
	w.Flush()
	return trimLines(b.String())
}

func ownReach(s control.Status) string {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "This host\t%s\n", s.Host)
	writeReach(w, s.Reach)
	writeRelaying(w, s.Relaying)
	w.Flush()
	return b.String()
}

// starred is a member's name, with an asterisk if it is an admin.
func starred(m control.Member) string {
	if m.Admin {
		return m.Host + "*"
	}
	return m.Host
}

// pathText is a path in words.
func pathText(path, via, carrier string) string {
	text := path
	switch path {
	case control.PathSelf:
		text = "this computer"
	case control.PathLAN:
		text = "same network"
	case control.PathRelayed:
		if via != "" {
			text = "relayed by " + via
		}
	}
	if carrier != "" {
		text += " (" + carrier + ")"
	}
	return text
}

// roundTrip is a round-trip time in words, "" while it is not measured.
func roundTrip(ms float64) string {
	switch {
	case ms >= 0.1:
		return fmt.Sprintf("%.1f ms", ms)
	case ms > 0:
		return "< 0.1 ms"
	}
	return ""
}

// stateText is a member's state in words.
func stateText(m control.Member, now time.Time) string {
	switch {
	case m.State == control.Online:
		return "awake"
	case m.State == control.Offline && m.LastSeen.IsZero():
		return "asleep"
	case m.State == control.Offline:
		return "asleep for " + ago(now.Sub(m.LastSeen))
	}
	return m.State
}

// ago rounds a time to what people say.
func ago(d time.Duration) string {
	switch {
	case d < 2*time.Minute:
		return "a minute"
	case d < 2*time.Hour:
		return fmt.Sprintf("%d minutes", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%d hours", int(d.Hours()))
	default:
		return fmt.Sprintf("%d days", int(d.Hours()/24))
	}
}
