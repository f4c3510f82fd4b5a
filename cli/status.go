package cli

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"kith.alt/kith"
	"kith.alt/kith/control"
)

func statusCommand() command {
	return command{
		name: "status", summary: "show this node: names, links, listeners, members", group: groupNode,
		ask: func(ctx context.Context, e *env, node *control.Client, _ []string) error {
			status, err := node.Status(ctx)
			if err != nil {
				return err
			}
			return e.Print(status, statusText(status, time.Now()))
		},
	}
}

func statusText(s control.Status, now time.Time) string {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "Name\t%s\n", s.Name)
	fmt.Fprintf(w, "ID\t%s\n", s.ID)
	fmt.Fprintf(w, "Running\tsince %s, version %s\n", s.Started.Local().Format("2 January 15:04"), s.Version)
	fmt.Fprintf(w, "Data\t%s\n", s.Data)
	if s.Dashboard == "" {
		fmt.Fprintf(w, "Dashboard\tnot available\n")
	} else {
		fmt.Fprintf(w, "Dashboard\t%s\nSite\t%s\n", s.Dashboard, s.Site)
	}
	fmt.Fprintf(w, "Sockets\t%s\n", socketsText(s))
	writeReach(w, s.Reach)
	writeRelaying(w, s.Relaying)
	w.Flush() // to a strings.Builder, which does not fail

	fmt.Fprintf(&b, "\n")
	fmt.Fprintln(w, "LISTENER\tADDRESS")
	for _, l := range inOrder(s.Listeners) {
		address := l.Address
		if port, ok := strings.CutPrefix(address, "overlay:"); ok {
			address = "members, port " + port
		}
		if l.Error != "" {
			address += ": " + listenerTrouble(l)
		}
		fmt.Fprintf(w, "%s\t%s\n", listenerName(l), address)
	}
	w.Flush()
	fmt.Fprintf(&b, "\n%s", sitesTable(s.Members, now))
	return b.String()
}

// socketsText says how many sockets there are, and how many of them wait.
func socketsText(s control.Status) string {
	text := fmt.Sprintf("%d open", s.Sockets)
	if s.Suspended > 0 {
		text += fmt.Sprintf(", %d of them waiting for a path since %s", s.Suspended, s.SuspendedSince.Local().Format("15:04"))
	}
	return text
}

// inOrder sorts listeners: the gateway's, those of applications, the overlay's.
func inOrder(listeners []control.Listener) []control.Listener {
	place := func(l control.Listener) int {
		switch l.App {
		case control.AppGateway:
			return 0
		case control.AppOverlay:
			return 2
		}
		return 1
	}
	return slices.SortedStableFunc(slices.Values(listeners), func(a, b control.Listener) int {
		return cmp.Or(place(a)-place(b), cmp.Compare(a.App, b.App))
	})
}

// listenerName says what a listener is for.
func listenerName(l control.Listener) string {
	switch {
	case isDashboard(l):
		return "dashboard and sites"
	case l.App == control.AppGateway && l.Protocol == control.ProtocolProxy:
		return "proxy (SOCKS, HTTP)"
	}
	return fmt.Sprintf("%s (%s)", l.App, l.Protocol)
}

// listenerTrouble says why a listener does not listen, without the kind of the
// error.
func listenerTrouble(l control.Listener) string {
	return strings.TrimSuffix(l.Error, ": "+kith.InUse.Error())
}

func isDashboard(l control.Listener) bool {
	return l.App == control.AppGateway && l.Protocol == control.ProtocolHTTP
}
