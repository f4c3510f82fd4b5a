package cli

import (
	"context"
	"flag"
	"fmt"
	"net"
	"strings"

	"kith.alt/kith"
	"kith.alt/kith/control"
)

func openCommand() command {
	var to string
	return command{
		name: "open", args: "APP", summary: "let a phone on your network use an application", group: groupUse,
		help: `Client programs on other computers, such as a phone in the same network, reach the
application then, those of its ports where they sign in over TLS: with mail, to read
and to send. It stays open until kith close, over restarts, and at whatever address
this computer has. They know it by a name below .local, which the certificate of this
computer is good for; give the phone that certificate (kith ca), as the dashboard
shows in Settings, Programs.

Example: kith open mail`,
		flags: func(set *flag.FlagSet) {
			set.StringVar(&to, "to", kith.OpenLAN, "`WHOM`: lan for local networks, any, or an address of this computer, which its certificate names then")
		},
		ask: func(ctx context.Context, e *env, node *control.Client, words []string) error {
			if to == "" {
				return usageError("--to is empty; to let nobody in: %s", e.Line("close", words[0]))
			}
			return e.open(ctx, node, words[0], to)
		},
	}
}

func closeCommand() command {
	return command{
		name: "close", args: "APP", summary: "let programs of this computer alone use it again", group: groupUse,
		help: `Connections of client programs on other computers end at once.

Example: kith close mail`,
		ask: func(ctx context.Context, e *env, node *control.Client, words []string) error {
			return e.open(ctx, node, words[0], "")
		},
	}
}

// open opens an application, or closes it, and tells what came of it.
func (e *env) open(ctx context.Context, node *control.Client, app, to string) error {
	before, err := node.Certificate(ctx)
	if err != nil {
		return err
	}
	if err := node.Open(ctx, app, to); err != nil {
		return err
	}
	certificate, err := node.Certificate(ctx)
	if err != nil {
		return err
	}
	status, err := node.Status(ctx)
	if err != nil {
		return err
	}
	for _, d := range status.Doors {
		if d.App != app {
			continue
		}
		text := doorText(d, status.Listeners)
		if certificate.Fingerprint != before.Fingerprint {
			text += "The certificate of this computer is a new one, with these names in it. Programs on other\ncomputers need it: " + e.Line("ca") + ". Those of this computer go on as before.\n"
		}
		return e.Print(d, text)
	}
	return fmt.Errorf("the node does not say what became of %s: %w", app, kith.NotFound)
}

func doorText(d control.Door, listeners []control.Listener) string {
	if d.Open == "" {
		return fmt.Sprintf("Programs of this computer alone use %s now.\n", d.App)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "Open: %s, for programs that know this computer as %s", d.App, d.Name)
	if len(d.Addresses) > 0 {
		fmt.Fprintf(&b, " (%s)", strings.Join(d.Addresses, ", "))
	}
	b.WriteString("\n")
	for _, l := range listeners {
		if host, port, err := net.SplitHostPort(l.Address); err == nil && l.App == d.App && len(d.Addresses) > 0 && host == d.Addresses[0] {
			fmt.Fprintf(&b, "  %s  port %s\n", l.Protocol, port)
		}
	}
	for _, p := range d.Problems {
		fmt.Fprintln(&b, p)
	}
	return b.String()
}
