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
		name: "doctor", args: "[HOST]", summary: "say what is wrong, why, and what helps; with HOST, on the way to it", group: groupNode,
		help: `With a member's name it walks the way there, step by step: the name, the key, what is
known of where the member is, whether it is awake, the ways that are tried and what came
of each. Exits with 1 when there is a problem.`,
		ask: func(ctx context.Context, e *env, node *control.Client, words []string) error {
			findings, err := look(ctx, node, words)
			if err != nil {
				return err
			}
			if err := e.Print(findings, e.findingsText(findings)); err != nil {
				return err
			}
			if slices.ContainsFunc(findings, func(f control.Finding) bool { return f.Level == control.Problem }) {
				return errSilent
			}
			return nil
		},
	}
}

func look(ctx context.Context, node *control.Client, words []string) ([]control.Finding, error) {
	if len(words) > 0 {
		return node.Diagnose(ctx, words[0])
	}
	return node.Doctor(ctx)
}

// asStarted writes the commands that a text of the node quotes in the form in
// which this program was started.
func (e *env) asStarted(text string) string {
	return strings.ReplaceAll(text, "'kith ", "'"+e.Line()+" ")
}

func (e *env) findingsText(findings []control.Finding) string {
	var b strings.Builder
	for _, f := range findings {
		fmt.Fprintf(&b, "%-8s %s\n", f.Level, f.What)
		if f.Cause != "" {
			fmt.Fprintf(&b, "%-8s   cause:  %s\n", "", f.Cause)
		}
		if f.Remedy != "" {
			fmt.Fprintf(&b, "%-8s   remedy: %s\n", "", e.asStarted(f.Remedy))
		}
	}
	return b.String()
}
