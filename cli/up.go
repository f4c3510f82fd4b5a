package cli

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"slices"
	"strconv"
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

// upFlags are the flags of up and join; only up defines --group.
type upFlags struct {
	node.Config
	verbose bool
	quiet   bool
}

func (u *upFlags) define(set *flag.FlagSet) {
	set.StringVar(&u.Name, "name", "", "this host's `NAME` in the group; without it, the computer's")
	set.Func("port-base", "have the loopback ports begin at `N`, instead of the usual ones", func(text string) (err error) {
		if u.PortBase, err = strconv.Atoi(text); err != nil {
			return err
		}
		return config.CheckPortBase(u.PortBase)
	})
	set.Func("overlay-port", "listen for members on UDP and TCP port `N`, instead of 4747", func(text string) (err error) {
		if u.OverlayPort, err = strconv.Atoi(text); err != nil {
			return err
		}
		if u.OverlayPort < 1 || u.OverlayPort > 65535 {
			return fmt.Errorf("port %d is not from 1 to 65535: %w", u.OverlayPort, kith.Invalid)
		}
		return nil
	})
	set.StringVar(&u.OverlayHost, "overlay-host", "", "listen for members on this `ADDRESS` of the computer only, instead of all")
	set.BoolVar(&u.SharedLoopback, "shared-loopback", false, "let other users of this computer use the loopback ports")
	reachFlags(set, &u.Settings)
	dhtFlag(set, &u.DHTNodes)
	set.Func("suspend-for", "how long open sockets wait for a lost path, a `TIME` from 1s to 720h, instead of 24h", func(text string) (err error) {
		if u.SuspendFor, err = time.ParseDuration(text); err != nil {
			return fmt.Errorf("%q is no time such as 10m or 24h: %w", text, kith.Invalid)
		}
		return config.CheckSuspendFor(u.SuspendFor)
	})
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

The line "ready" follows once every listener accepts that can. What cannot, as
another program holds its port, is said before it.`,
		flags: func(set *flag.FlagSet) {
			u.define(set)
			set.StringVar(&u.Group, "group", "", "the `NAME` of the group to found; without it, "+config.DefaultGroup)
		},
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
	if u.OverlayHost != "" && net.ParseIP(u.OverlayHost) == nil {
		return fmt.Errorf("--overlay-host %q is not an IP address: %w", u.OverlayHost, kith.Invalid)
	}
	return nil
}

// asksAtStart reports whether there are flags that a node reads only when it
// starts.
func (u *upFlags) asksAtStart() bool {
	return u.PortBase != 0 || u.OverlayPort != 0 || u.OverlayHost != "" || u.SharedLoopback || u.DHTNodes != nil || u.SuspendFor != 0
}

// configure has a node that runs take the flags that may change meanwhile.
func (u *upFlags) configure(ctx context.Context, n control.Node) error {
	if u.Settings == (control.Settings{}) {
		return nil
	}
	return n.Configure(ctx, u.Settings)
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
	before := e.movedPorts()
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
		moved := slices.DeleteFunc(e.movedPorts(), func(m config.Move) bool { return slices.Contains(before, m) })
		if err := e.announce(ctx, n, start{joined: u.Ticket != "", moved: moved}); err != nil && ctx.Err() == nil {
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
	if u.asksAtStart() {
		return remedied{fmt.Errorf("kith runs already, and changes its ports and times only when it starts: %w", kith.InUse),
			"Stop it first: " + e.Line("stop")}
	}
	if err := u.configure(ctx, n); err != nil {
		return err
	}
	if err := e.announce(ctx, n, start{already: true}); err != nil {
		return err
	}
	_, err = fmt.Fprintln(e.Stdout, "ready")
	return err
}

// A start is what up has to say about how the node came to run.
type start struct {
	already bool          // it ran before
	joined  bool          // with a ticket
	moved   []config.Move // ports that were taken, and moved at this start
}

// announce says where kith runs and what to do next, in a dozen lines.
func (e *env) announce(ctx context.Context, n control.Node, s start) error {
	status, err := n.Status(ctx)
	if err != nil {
		return err
	}
	running, stop := "is running", "Ctrl-C, or "+e.Line("stop")
	if s.already {
		running, stop = "is already running", e.Line("stop")
	}
	var b strings.Builder
	fmt.Fprintf(&b, "Kith %s on %s, in the group %s.\n\n", running, status.Host, status.Group)
	row := func(what, text string) { fmt.Fprintf(&b, "  %-11s %s\n", what, text) }
	if status.Dashboard == "" {
		row("Dashboard", "not available: "+dashboardError(status))
	} else {
		link, err := n.SignInLink(ctx, "")
		note := "  (signs you in once, within 10 minutes)"
		if err != nil {
			link, note = status.Dashboard, ""
		}
		row("Dashboard", link+note)
		row("Your site", status.Site)
	}
	row("Invite", e.Line("invite"))
	row("Stop", stop)
	if strings.HasPrefix(e.Line(), goRun) {
		row("Keep", "go install ./cmd/kith, then kith service install, which starts it with the computer")
	} else {
		row("Keep", e.Line("service", "install")+", which starts it with the computer")
	}
	b.WriteByte('\n')
	if notes := e.notes(status, s); notes != "" {
		b.WriteString(notes + "\n")
	}
	_, err = io.WriteString(e.Stdout, b.String())
	return err
}

// dashboardError says why there is no dashboard.
func dashboardError(status control.Status) string {
	for _, l := range status.Listeners {
		if isDashboard(l) && l.Error != "" {
			return listenerTrouble(l)
		}
	}
	return "nothing listens for it"
}

// notes says what is not as people expect it: names and ports.
func (e *env) notes(status control.Status, s start) string {
	var b strings.Builder
	if s.joined {
		b.WriteString(e.nameNote(status))
	}
	for _, m := range s.moved {
		fmt.Fprintf(&b, "Port %d (%s) was taken; it is %d here.\n", m.From, m.Service, m.To)
	}
	for _, l := range inOrder(status.Listeners) {
		if l.Error != "" && !isDashboard(l) {
			fmt.Fprintf(&b, "Not listening: %s on %s: %s\n", listenerName(l), l.Address, listenerTrouble(l))
		}
	}
	return b.String()
}

// movedPorts are the ports that are remembered and are not the usual ones.
func (e *env) movedPorts() []config.Move {
	stored, err := config.Read(e.data)
	if err != nil {
		return nil // nothing is stored yet
	}
	return stored.Moved()
}

// logger writes to standard error: warnings, or everything.
func (e *env) logger(verbose bool) *slog.Logger {
	level := slog.LevelWarn
	if verbose {
		level = slog.LevelDebug
	}
	return slog.New(slog.NewTextHandler(e.Stderr, &slog.HandlerOptions{Level: level}))
}
