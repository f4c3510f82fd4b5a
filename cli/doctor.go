package cli

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"kith.alt/kith/control"
)

func doctorCommand() command {
	return command{
		name: "doctor", summary: "say what is wrong, why, and what helps", group: groupNode,
		help: "Exits with 1 when there is a problem.",
		ask: func(ctx context.Context, e *env, node *control.Client, _ []string) error {
			findings, err := node.Doctor(ctx)
			if err != nil {
				return err
			}
			if err := e.Print(findings, findingsText(findings)); err != nil {
				return err
			}
			if slices.ContainsFunc(findings, func(f control.Finding) bool { return f.Level == control.Problem }) {
				return errSilent
			}
			return nil
		},
	}
}

func findingsText(findings []control.Finding) string {
	var b strings.Builder
	for _, f := range findings {
		fmt.Fprintf(&b, "%-8s %s\n", f.Level, f.What)
		if f.Cause != "" {
			fmt.Fprintf(&b, "%-8s   cause:  %s\n", "", f.Cause)
		}
		if f.Remedy != "" {
			fmt.Fprintf(&b, "%-8s   remedy: %s\n", "", f.Remedy)
		}
	}
	return b.String()
}
