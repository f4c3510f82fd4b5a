package main

import (
	"bufio"
	"context"
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
	"kith.alt/kith/kithtest/netlab"
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
		c.unplug()
	}
	<-time.After(away)
	up := time.Now() // a few ms too early: ip takes those
	for _, c := range moving {
		c.plug()
	}
	err := p.awaitCalm(up)
	return p.gap(from, up), err
}

// withKith has three nodes, of which the first two talk, move in turn.
func withKith(ctx context.Context, b *harness.Bench, r *reporter, over string, routed bool, rounds int) error {
	return netlab.Do(func(t netlab.T) {
		net := newNetwork(t, routed)
		var nodes [3]*computer
		data := func(name string) string { return fmt.Sprintf("%s/%s-%t", b.Dir, name, routed) }
		verb := []string{"up"}
		for i, name := range []string{"birch", "maple", "oak"} {
			nodes[i] = net.computer(name)
			launch(t, nodes[i].On(b.Kith(ctx, data(name), append(verb, "--name", name)...)))
			if i < 2 {
				founder := control.NewClient(data("birch"))
				invitation, err := founder.Invite(ctx, control.InviteRequest{})
				founder.Close()
				if err != nil {
					t.Fatal(err)
				}
				verb = []string{"join", invitation.Ticket}
			}
		}
		server, client := nodes[1], nodes[2]
		self, err := os.Executable()
		if err != nil {
			t.Fatal(err)
		}
		cmd := server.On(exec.CommandContext(ctx, self))
		cmd.Env = append(os.Environ(), harness.AsRole("echo"))
		port := launch(t, cmd)[0]
		if out, err := server.On(b.Kith(ctx, data("maple"), "expose", port, "--to", "7000")).CombinedOutput(); err != nil {
			t.Fatalf("kith expose: %v: %s", err, out)
		}
		<-time.After(settle)
		p := startPingPong(t, client.On(b.Kith(ctx, data("oak"), "dial", "maple", "7000")))
		if err := p.awaitCalm(time.Now()); err != nil {
			t.Fatal(err)
		}
		for _, m := range moves {
			var gaps []gap
			for range rounds {
				g, err := m.make(p, client, server)
				if err != nil {
					t.Fatalf("%s moves: %v", m.name, err)
				}
				r.note(over, m.name, g)
				gaps = append(gaps, g)
				<-time.After(settle)
			}
			r.row(over, m.name, gaps)
		}
	})
}

// withPeer has the same done by libp2p.
func withPeer(ctx context.Context, r *reporter, over, program, carrier string, m move) error {
	return netlab.Do(func(t netlab.T) {
		net := newNetwork(t, true)
		relay, server, client := net.computer("birch"), net.computer("maple"), net.computer("oak")
		run := func(c *computer, args ...string) *exec.Cmd {
			return c.On(exec.CommandContext(ctx, program, args...))
		}
		at := line(t, launch(t, run(relay, "relay", "-carrier", carrier)), relay.address(relay.moves))
		now := line(t, launch(t, run(server, "listen", "-carrier", carrier, "-relay", at)), server.address(server.moves))
		id := now[strings.LastIndex(now, "/")+1:]
		p := startPingPong(t, run(client, "dial", "-carrier", carrier, "-relay", at, now,
			strings.ReplaceAll(now, server.address(server.moves), server.address(server.moves+1)), at+"/p2p-circuit/p2p/"+id))
		if err := p.awaitCalm(time.Now()); err != nil {
			t.Fatal(err)
		}
		<-time.After(settle)
		g, err := m.make(p, client, server)
		if err != nil {
			fmt.Printf("| %s | %s | | | not within %v | | %v | |\n", over, m.name, patience, goal)
			return
		}
		r.note(over, m.name, g)
		r.row(over, m.name, []gap{g})
	})
}

// line finds the line that names an address.
func line(t netlab.T, lines []string, address string) string {
	for _, l := range lines {
		if strings.Contains(l, "/"+address+"/") {
			return l
		}
	}
	t.Fatalf("%s is not in %q", address, lines)
	return ""
}

// launch starts a command, which ends with the lab, and returns what it printed
// before "ready".
func launch(t netlab.T, cmd *exec.Cmd) (lines []string) {
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		in.Close()
		cmd.Process.Signal(os.Interrupt)
		cmd.Wait()
	})
	for said := bufio.NewScanner(out); said.Scan(); lines = append(lines, said.Text()) {
		if said.Text() == "ready" {
			go io.Copy(io.Discard, out)
			return lines
		}
	}
	t.Fatal(strings.Join(cmd.Args, " ") + " ended before it was ready")
	return nil
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
