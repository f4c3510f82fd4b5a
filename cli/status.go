package cli

import (
	"context"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

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
	fmt.Fprintf(w, "Dashboard\t%s\n", s.Dashboard)
	fmt.Fprintf(w, "Site\t%s\n", s.Site)
	fmt.Fprintf(w, "Sockets\t%d open\n", s.Sockets)
	w.Flush() // to a strings.Builder, which does not fail

	fmt.Fprintf(&b, "\n")
	fmt.Fprintln(w, "LISTENER\tPROTOCOL\tADDRESS")
	for _, l := range s.Listeners {
		address := l.Address
		if l.Error != "" {
			address += ": " + l.Error
		}
		fmt.Fprintf(w, "%s\t%s\t%s\n", l.App, l.Protocol, address)
	}
	w.Flush()
	fmt.Fprintf(&b, "\n%s", membersTable(s.Members, now))
	return b.String()
}
