package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"time"

	"kith.alt/kith/bench/harness"
	"kith.alt/kith/bench/measure"
	"kith.alt/kith/control"
)

const (
	goal   = 500 * time.Millisecond // after the new address is up
	away   = 300 * time.Millisecond // without any address
	settle = 4 * time.Second        // between moves
)

func main() {
	rounds := flag.Int("rounds", 5, "moves of each kind; the median and the worst count")
	peer := flag.String("libp2p", "", "also measure this `PROGRAM`, built from bench/libp2p")
	only := flag.String("only", "", "measure ways whose name contains this")
	verbose := flag.Bool("verbose", false, "show each move")
	harness.Main("move", map[string]harness.Role{"echo": echo}, func(ctx context.Context, b *harness.Bench) error {
		fmt.Println("| over | who moves | median silence | worst | works again after the new address is up, median | worst | goal | messages lost |")
		fmt.Println("|---|---|---:|---:|---:|---:|---:|---:|")
		r := reporter{verbose: *verbose}
		for i, over := range []string{"kith, on one network", "kith, on networks of their own"} {
			if !strings.Contains(over, *only) {
				continue
			}
			if err := withKith(ctx, b, &r, over, i == 1, *rounds); err != nil {
				return fmt.Errorf("%s: %w", over, err)
			}
		}
		for _, carrier := range []string{"tcp", "quic"} {
			over := "libp2p, " + carrier
			for _, m := range moves {
				if *peer == "" || !strings.Contains(over, *only) {
					continue
				}
				if err := withPeer(ctx, &r, over, *peer, carrier, m); err != nil {
					return fmt.Errorf("%s: %w", over, err)
				}
			}
		}
		return nil
	})
}

// A move is who moves.
type move struct {
	name           string
	client, server bool
}

var moves = []move{{"client", true, false}, {"server", false, true}, {"both", true, true}}

// make moves them and measures.
func (m move) make(p *pingPong, client, server *computer) (gap, error) {
	var moving []*computer
	if m.client {
		moving = append(moving, client)
	}
	if m.server {
		moving = append(moving, server)
	}
	from := time.Now()
	for _, c := range moving {
		if err := c.unplug(); err != nil {
			return gap{}, err
		}
	}
	<-time.After(away)
	up := time.Now() // a few ms too early: ip takes those
	for _, c := range moving {
		if err := c.plug(); err != nil {
			return gap{}, err
		}
	}
	err := p.awaitCalm(up)
	return p.gap(from, up), err
}

// withKith has three nodes, of which the first two talk, move in turn.
func withKith(ctx context.Context, b *harness.Bench, r *reporter, over string, routed bool, rounds int) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	l, err := newLab(routed)
	if err != nil {
		return err
	}
	defer l.close()
	var nodes [3]*computer
	var stops []func()
	defer func() {
		for _, stop := range stops {
			stop()
		}
	}()
	data := func(name string) string { return fmt.Sprintf("%s/%s-%t", b.Dir, name, routed) }
	verb := []string{"up"}
	for i, name := range []string{"birch", "maple", "oak"} {
		if nodes[i], err = l.computer(name); err != nil {
			return err
		}
		_, stop, err := launch(nodes[i].on(b.Kith(ctx, data(name), append(verb, "--name", name)...)))
		if err != nil {
			return err
		}
		stops = append(stops, stop)
		if i < 2 {
			founder := control.NewClient(data("birch"))
			invitation, err := founder.Invite(ctx, control.InviteRequest{})
			founder.Close()
			if err != nil {
				return err
			}
			verb = []string{"join", invitation.Ticket}
		}
	}
	server, client := nodes[1], nodes[2]
	self, err := os.Executable()
	if err != nil {
		return err
	}
	cmd := server.command(ctx, self)
	cmd.Env = append(os.Environ(), harness.AsRole("echo"))
	lines, stop, err := launch(cmd)
	if err != nil {
		return err
	}
	stops = append(stops, stop)
	if out, err := server.on(b.Kith(ctx, data("maple"), "expose", lines[0], "--to", "7000")).CombinedOutput(); err != nil {
		return fmt.Errorf("kith expose: %w: %s", err, out)
	}
	<-time.After(settle)
	p, err := startPingPong(client.on(b.Kith(ctx, data("oak"), "dial", "maple", "7000")))
	if err != nil {
		return err
	}
	defer p.end()
	if err := p.awaitCalm(time.Now()); err != nil {
		return err
	}
	for _, m := range moves {
		var gaps []gap
		for range rounds {
			g, err := m.make(p, client, server)
			if err != nil {
				return fmt.Errorf("%s moves: %w", m.name, err)
			}
			r.note(over, m.name, g)
			gaps = append(gaps, g)
			<-time.After(settle)
		}
		r.row(over, m.name, gaps)
	}
	return nil
}

// withPeer has the same done by libp2p.
func withPeer(ctx context.Context, r *reporter, over, program, carrier string, m move) error {
	l, err := newLab(true)
	if err != nil {
		return err
	}
	defer l.close()
	var computers [3]*computer
	for i, name := range []string{"birch", "maple", "oak"} {
		if computers[i], err = l.computer(name); err != nil {
			return err
		}
	}
	relay, server, client := computers[0], computers[1], computers[2]
	lines, stop, err := launch(relay.command(ctx, program, "relay", "-carrier", carrier))
	if err != nil {
		return err
	}
	defer stop()
	at, err := line(lines, relay.address(relay.moves))
	if err != nil {
		return err
	}
	lines, stop, err = launch(server.command(ctx, program, "listen", "-carrier", carrier, "-relay", at))
	if err != nil {
		return err
	}
	defer stop()
	now, err := line(lines, server.address(server.moves))
	if err != nil {
		return err
	}
	id := now[strings.LastIndex(now, "/")+1:]
	args := []string{"dial", "-carrier", carrier, "-relay", at, now,
		strings.ReplaceAll(now, server.address(server.moves), server.address(server.moves+1)), at + "/p2p-circuit/p2p/" + id}
	p, err := startPingPong(client.command(ctx, program, args...))
	if err != nil {
		return err
	}
	defer p.end()
	if err := p.awaitCalm(time.Now()); err != nil {
		return err
	}
	<-time.After(settle)
	g, err := m.make(p, client, server)
	if err != nil {
		fmt.Printf("| %s | %s | | | not within %v | | %v | |\n", over, m.name, patience, goal)
		return nil
	}
	r.note(over, m.name, g)
	r.row(over, m.name, []gap{g})
	return nil
}

// line finds the line that names an address.
func line(lines []string, address string) (string, error) {
	for _, l := range lines {
		if strings.Contains(l, "/"+address+"/") {
			return l, nil
		}
	}
	return "", fmt.Errorf("%s is not in %q", address, lines)
}

// launch starts a command and returns what it printed before "ready".
func launch(cmd *exec.Cmd) (lines []string, stop func(), err error) {
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, nil, err
	}
	stop = func() {
		in.Close()
		cmd.Process.Signal(os.Interrupt)
		cmd.Wait()
	}
	said := bufio.NewScanner(out)
	for said.Scan() {
		if said.Text() == "ready" {
			go io.Copy(io.Discard, out)
			return lines, stop, nil
		}
		lines = append(lines, said.Text())
	}
	stop()
	return nil, nil, errors.New(strings.Join(cmd.Args, " ") + " ended before it was ready")
}

// echo is the role of a process that answers what comes with the same. It says
// at which port.
func echo(ctx context.Context, _ []string, ready func(string)) error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	defer context.AfterFunc(ctx, func() { l.Close() })()
	ready(fmt.Sprintf("%d\nready", l.Addr().(*net.TCPAddr).Port))
	for {
		conn, err := l.Accept()
		if err != nil {
			return nil
		}
		go func() {
			defer conn.Close()
			io.Copy(conn, conn)
		}()
	}
}

// A reporter prints what moves did.
type reporter struct{ verbose bool }

func (r *reporter) note(over, who string, g gap) {
	if r.verbose {
		fmt.Fprintf(os.Stderr, "%s, %s: silent for %v, until %v after the new address was up, %d lost\n",
			over, who, g.silence.Round(time.Millisecond), g.after.Round(time.Millisecond), g.lost)
	}
}

func (r *reporter) row(over, who string, gaps []gap) {
	var silences, afters []time.Duration
	lost := 0
	for _, g := range gaps {
		silences, afters = append(silences, g.silence), append(afters, g.after)
		lost += g.lost
	}
	ms := func(list []time.Duration, share float64) time.Duration {
		return measure.Quantile(list, share).Round(time.Millisecond)
	}
	fmt.Printf("| %s | %s | %v | %v | %v | %v | %v | %d |\n", over, who,
		ms(silences, 0.5), ms(silences, 1), ms(afters, 0.5), ms(afters, 1), goal, lost)
}
