package cli

import (
	"context"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"kith.alt/kith"
	"kith.alt/kith/control"
)

func traceCommand() command {
	return command{
		name: "trace", args: "HOST", summary: "show the path to a member, hop by hop", group: groupMembers,
		help: `Shows this computer, the member that relays if one does, and the far one, with where
each is seen, what its router does and the round trip to it; then which other ways were
tried, and why they are not used. Exits with 10 when the member is not reached.`,
		ask: func(ctx context.Context, e *env, node *control.Client, words []string) error {
			trace, err := node.Trace(ctx, words[0])
			if err != nil {
				return err
			}
			if err := e.Print(trace, traceText(trace, time.Now())); err != nil || trace.Error == "" {
				return err
			}
			what := strings.TrimSuffix(trace.Error, ": "+kith.Unreachable.Error())
			return remedied{fmt.Errorf("%s: %w", what, kith.Unreachable), "To find out why: " + e.Line("doctor", words[0])}
		},
	}
}

func traceText(t control.Trace, now time.Time) string {
	var b strings.Builder
	switch t.Path {
	case control.PathNone:
		fmt.Fprintf(&b, "No path to %s.\n\n", t.Host)
	case control.PathSelf:
		fmt.Fprintf(&b, "%s is this computer.\n\n", t.Host)
	default:
		fmt.Fprintf(&b, "%s to %s", sentenceCase(pathText(t.Path, viaOf(t), t.Carrier)), t.Host)
		if !t.Since.IsZero() {
			fmt.Fprintf(&b, ", for %s", ago(now.Sub(t.Since)))
		}
		if t.Why != "" {
			fmt.Fprintf(&b, ": %s", t.Why)
		}
		b.WriteString("\n\n")
	}
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	for i, hop := range t.Hops {
		trip := roundTrip(hop.RTT)
		if i == 0 {
			trip = "here"
		} else if trip == "" {
			trip = "no answer"
		}
		address := hop.Address
		if len(hop.Outside) > 0 {
			address += ", seen at " + strings.Join(hop.Outside, ", ")
		}
		router := ""
		if hop.NAT != "" {
			router = "router: " + natText(hop.NAT)
		}
		fmt.Fprintf(w, "%d\t%s\t%s\t%s\t%s\n", i+1, hop.Host, trip, strings.TrimPrefix(address, ", "), router)
	}
	w.Flush() // to a strings.Builder, which does not fail
	if len(t.Tried) > 0 {
		b.WriteString("\nNot used:\n")
		for _, try := range t.Tried {
			fmt.Fprintf(w, "  %s\t%s\n", try.Way, try.Why)
		}
		w.Flush()
	}
	return trimLines(b.String())
}

// viaOf is the member that relays on the path, or "".
func viaOf(t control.Trace) string {
	if t.Path != control.PathRelayed || len(t.Hops) < 3 {
		return ""
	}
	return t.Hops[1].Host
}

// trimLines takes away what a table's empty cells leave at the ends of lines.
func trimLines(text string) string {
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		lines[i] = strings.TrimRight(line, " ")
	}
	return strings.Join(lines, "\n")
}
