package cli

import (
	"context"
	"flag"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
)

// Headings of the list of commands; applications have one each.
const (
	groupNode    = "This computer"
	groupMembers = "The group"
	groupUse     = "Sockets and accounts"
	groupMore    = "More"
)

func helpCommand() command {
	return command{
		name: "help", args: "[COMMAND...]", summary: "explain a command, or exit-codes", group: groupMore,
		run: func(_ context.Context, e *env, words []string) error {
			commands := e.commands()
			if len(words) == 0 {
				e.writeOverview(commands)
				return nil
			}
			topic := strings.Join(words, " ")
			if topic == "exit-codes" {
				writeExitCodes(e.Stdout)
				return nil
			}
			found := false
			for _, c := range commands {
				if c.name == topic || strings.HasPrefix(c.name, topic+" ") {
					if found {
						fmt.Fprintln(e.Stdout)
					}
					found = true
					e.writeHelp(c)
				}
			}
			if !found {
				return usageError("there is no help on %q", topic)
			}
			return nil
		},
	}
}

// writeOverview lists the commands by their headings.
func (e *env) writeOverview(commands []command) {
	fmt.Fprint(e.Stdout, `kith: your own Internet, run by the computers you already have.

  `+e.Line()+`            start it on this computer
  `+e.Line()+` COMMAND    do something with the node that runs

Flags stand before or after the command and its arguments.
`)
	var headings []string
	byHeading := make(map[string][]command)
	for _, c := range commands {
		if byHeading[c.group] == nil {
			headings = append(headings, c.group)
		}
		byHeading[c.group] = append(byHeading[c.group], c)
	}
	w := tabwriter.NewWriter(e.Stdout, 0, 0, 2, ' ', 0)
	for _, heading := range headings {
		fmt.Fprintf(w, "\n%s\n", heading)
		for _, c := range byHeading[heading] {
			fmt.Fprintf(w, "  %s\t%s\n", strings.TrimSpace(c.name+" "+c.args), c.summary)
		}
	}
	fmt.Fprint(w, "\nEverywhere\n")
	fmt.Fprint(w, "  --data DIR\tthe node's data directory, instead of $KITH_DATA or the default\n")
	fmt.Fprint(w, "  --json\tprint the result as JSON\n")
	fmt.Fprint(w, "  --help\texplain the command\n")
	w.Flush() // writes to a terminal or pipe that may be gone: nothing to do
}

// writeHelp explains one command.
func (e *env) writeHelp(c command) {
	set := flag.NewFlagSet("", flag.ContinueOnError)
	if c.flags != nil {
		c.flags(set)
	}
	line := "kith " + c.name
	if c.args != "" {
		line += " " + c.args
	}
	any := false
	set.VisitAll(func(*flag.Flag) { any = true })
	if any {
		line += " [flags]"
	}
	fmt.Fprintf(e.Stdout, "%s: %s\n", line, c.summary)
	if c.help != "" {
		fmt.Fprintf(e.Stdout, "\n%s\n", c.help)
	}
	if any {
		fmt.Fprint(e.Stdout, "\nFlags:\n")
		writeFlags(e.Stdout, set)
	}
	fmt.Fprint(e.Stdout, "\nExit codes: kith help exit-codes\n")
}

func writeFlags(out io.Writer, set *flag.FlagSet) {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	set.VisitAll(func(f *flag.Flag) {
		value, text := flag.UnquoteUsage(f)
		if isBool(f) {
			value = ""
		}
		if f.DefValue != "" && f.DefValue != "0" && f.DefValue != "false" {
			text += " (" + f.DefValue + " if not given)"
		}
		fmt.Fprintf(w, "  %s\t%s\n", strings.TrimSpace(dashed(f.Name)+" "+value), text)
	})
	w.Flush()
}
