package cli

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"time"

	"kith.alt/kith"
	"kith.alt/kith/config"
	"kith.alt/kith/control"
	"kith.alt/kith/node"
)

const (
	stopTime = 4800 * time.Millisecond // the contract gives five seconds from the signal to the exit
	wait     = 6 * time.Second         // for a node that starts or stops at this moment
	pause    = 50 * time.Millisecond   // between two looks at it
)

// A runner is a node as up and join run it: node.Node, or a test's.
type runner interface {
	control.Node
	Serve(context.Context) error
	Ready() <-chan struct{}
}

func newNode(c node.Config) (runner, error) { return node.New(c) }

// upFlags are the flags of up and join.
type upFlags struct {
	node.Config
	verbose bool
	quiet   bool
}

func (u *upFlags) define(set *flag.FlagSet) {
	set.StringVar(&u.Name, "name", "", "this host's `NAME` in the group; without it, the computer's")
	set.StringVar(&u.Group, "group", "", "the `NAME` of the group to found; without it, "+config.DefaultGroup)
	set.IntVar(&u.PortBase, "port-base", 0, "have the loopback ports begin at `N`, instead of the usual ones")
	set.IntVar(&u.OverlayPort, "overlay-port", 0, "listen for members on UDP and TCP port `N`, instead of 4747")
	set.StringVar(&u.OverlayHost, "overlay-host", "", "listen for members on this `ADDRESS` of the computer only, instead of all")
	set.BoolVar(&u.SharedLoopback, "shared-loopback", false, "let other users of this computer use the loopback ports")
	set.BoolVar(&u.quiet, "quiet", false, "print nothing but the line ready, and no sign-in link: for services, whose output is kept")
	set.BoolVar(&u.verbose, "verbose", false, "log what happens to standard error")
}

func upCommand() command {
	var u upFlags
	return command{
		name: "up", summary: "start kith on this computer (as kith alone does)", group: groupNode,
		help: `Starts a node and stays in the foreground until Ctrl-C or kith stop. The
first start makes everything: a key, a group of one, your account, a sample site. Names
and ports are remembered. Where kith runs already, it prints its links.

The line "ready" follows once every listener accepts.`,
		flags: u.define,
		run: func(ctx context.Context, e *env, _ []string) error {
			return e.up(ctx, &u)
		},
	}
}

// check finds mistakes in the flags before anything is made.
func (u *upFlags) check() error {
	for _, label := range []struct{ flag, text string }{{"--name", u.Name}, {"--group", u.Group}} {
		if label.text != "" {
			if err := kith.CheckLabel(label.text); err != nil {
				return fmt.Errorf("%s: %w", label.flag, err)
			}
		}
	}
	if u.PortBase != 0 {
		if err := config.CheckPortBase(u.PortBase); err != nil {
			return fmt.Errorf("--port-base: %w", err)
		}
	}
	if u.OverlayHost != "" && net.ParseIP(u.OverlayHost) == nil {
		return fmt.Errorf("--overlay-host %q is not an IP address: %w", u.OverlayHost, kith.Invalid)
	}
	if u.OverlayPort < 0 || u.OverlayPort > 65535 {
		return fmt.Errorf("--overlay-port %d is not from 1 to 65535: %w", u.OverlayPort, kith.Invalid)
	}
	return nil
}

// asksForPorts reports whether there are flags that a node reads only when it
// starts.
func (u *upFlags) asksForPorts() bool {
	return u.PortBase != 0 || u.OverlayPort != 0 || u.OverlayHost != "" || u.SharedLoopback
}

// up runs a node until ctx ends or it is stopped. Where one runs on the data
// directory, up says so instead.
func (e *env) up(ctx context.Context, u *upFlags) error {
	if err := u.check(); err != nil {
		return err
	}
	u.Data, u.Apps = e.data, e.apps
	u.Version = readBuild().Version
	u.Log = e.logger(u.verbose)
	slog.SetDefault(u.Log) // libraries that print do so there
	for start := time.Now(); ; {
		if client, err := e.client(ctx); err == nil {
			defer client.Close()
			return e.meet(ctx, client, u)
		} else if !errors.Is(err, control.ErrNotRunning) {
			return err
		}
		err := e.serve(ctx, u)
		// A node that starts or stops holds the directory without a socket.
		held := starting{}
		if !errors.As(err, &held) {
			return err
		}
		if time.Since(start) > wait {
			return held.error
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(pause):
		}
	}
}

// starting is the error of a node that could not start because another holds
// its directory.
type starting struct{ error }

func (s starting) Unwrap() error { return s.error }

// serve runs a node of this process.
func (e *env) serve(ctx context.Context, u *upFlags) error {
	n, err := e.newNode(u.Config)
	if err != nil {
		return err
	}
	served := make(chan error, 1)
	go func() { served <- n.Serve(ctx) }()
	select {
	case err := <-served:
		if errors.Is(err, kith.InUse) {
			return starting{err}
		}
		if ctx.Err() != nil {
			return nil
		}
		return err
	case <-n.Ready():
	}
	if !u.quiet {
		if err := e.announce(ctx, n, false); err != nil && ctx.Err() == nil {
			e.Tell("kith: %v", err) // it runs nevertheless
		}
	}
	fmt.Fprintln(e.Stdout, "ready")
	select {
	case err := <-served:
		return err
	case <-ctx.Done():
	}
	select {
	case err := <-served:
		return err
	case <-time.After(stopTime):
		e.Tell("kith: the node did not stop in time")
		return nil
	}
}

// meet is what up does where a node runs already.
func (e *env) meet(ctx context.Context, n control.Node, u *upFlags) error {
	status, err := n.Status(ctx)
	if err != nil {
		return err
	}
	for _, asked := range []struct{ flag, want, have string }{
		{"--name", u.Name, status.Host},
		{"--group", u.Group, status.Group},
	} {
		if asked.want != "" && asked.want != asked.have {
			return remedied{fmt.Errorf("%s %s: it is %s already: %w", asked.flag, asked.want, asked.have, kith.Exists),
				"To change it: " + e.Line("rename")}
		}
	}
	if u.asksForPorts() {
		return remedied{fmt.Errorf("kith runs already, and changes its ports only when it starts: %w", kith.InUse),
			"Stop it first: " + e.Line("stop")}
	}
	if err := e.announce(ctx, n, true); err != nil {
		return err
	}
	_, err = fmt.Fprintln(e.Stdout, "ready")
	return err
}

// announce says where kith runs and what to do next, in a dozen lines.
func (e *env) announce(ctx context.Context, n control.Node, already bool) error {
	status, err := n.Status(ctx)
	if err != nil {
		return err
	}
	link, err := n.SignInLink(ctx, "")
	note := "  (signs you in once, within 10 minutes)"
	if err != nil {
		link, note = status.Dashboard, ""
	}
	running, stop := "is running", "Ctrl-C, or "+e.Line("stop")
	if already {
		running, stop = "is already running", e.Line("stop")
	}
	var b strings.Builder
	fmt.Fprintf(&b, "Kith %s on %s, in the group %s.\n\n", running, status.Host, status.Group)
	row := func(what, text string) { fmt.Fprintf(&b, "  %-11s %s\n", what, text) }
	row("Dashboard", link+note)
	row("Your site", status.Site)
	row("Invite", e.Line("invite"))
	row("Stop", stop)
	if strings.HasPrefix(e.Line(), goRun) {
		row("Keep", "go install ./cmd/kith, then kith service install, which starts it with the computer")
	} else {
		row("Keep", e.Line("service", "install")+", which starts it with the computer")
	}
	b.WriteByte('\n')
	e.portNotes(&b, status)
	_, err = io.WriteString(e.Stdout, b.String())
	return err
}

// portNotes says which ports are not where people expect them.
func (e *env) portNotes(b *strings.Builder, status control.Status) {
	any := false
	if stored, err := config.Read(e.data); err == nil {
		for _, moved := range stored.Moved() {
			fmt.Fprintf(b, "Port %d (%s) was taken; it is %d here.\n", moved.From, moved.Service, moved.To)
			any = true
		}
	}
	for _, l := range status.Listeners {
		if l.Error != "" {
			fmt.Fprintf(b, "Not listening: %s (%s) on %s: %s\n", l.App, l.Protocol, l.Address, l.Error)
			any = true
		}
	}
	if any {
		b.WriteByte('\n')
	}
}

// logger writes to standard error: warnings, or everything.
func (e *env) logger(verbose bool) *slog.Logger {
	level := slog.LevelWarn
	if verbose {
		level = slog.LevelDebug
	}
	return slog.New(slog.NewTextHandler(e.Stderr, &slog.HandlerOptions{Level: level}))
}
