package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"sync"
	"time"

	"kith.alt/kith/kithtest/netlab"
)

const (
	every    = 20 * time.Millisecond
	patience = 90 * time.Second
	calm     = time.Second // so long it must have been regular before it counts as working
)

// A pingPong sends a number every 20 ms to the input of a command, and notes
// when it comes back from the output.
type pingPong struct {
	cmd  *exec.Cmd
	stop chan struct{}
	done sync.WaitGroup

	mu       sync.Mutex
	arrivals []arrival
	err      error
}

type arrival struct {
	at     time.Time
	number uint64
}

// startPingPong begins. The ping-pong ends with the lab.
func startPingPong(t netlab.T, cmd *exec.Cmd) *pingPong {
	p := &pingPong{cmd: cmd, stop: make(chan struct{})}
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.end)
	p.done.Go(func() {
		defer in.Close()
		ticks := time.NewTicker(every)
		defer ticks.Stop()
		for number := uint64(1); ; number++ {
			select {
			case <-ticks.C:
			case <-p.stop:
				return
			}
			if _, err := in.Write(binary.BigEndian.AppendUint64(nil, number)); err != nil {
				return
			}
		}
	})
	p.done.Go(func() {
		var message [8]byte
		for {
			_, err := io.ReadFull(out, message[:])
			p.mu.Lock()
			if err != nil {
				p.err = err
				p.mu.Unlock()
				return
			}
			p.arrivals = append(p.arrivals, arrival{time.Now(), binary.BigEndian.Uint64(message[:])})
			p.mu.Unlock()
		}
	})
	return p
}

// end ends the command by the end of its input.
func (p *pingPong) end() {
	close(p.stop)
	defer time.AfterFunc(calm, func() { p.cmd.Process.Kill() }).Stop()
	p.done.Wait()
	p.cmd.Wait()
}

// awaitCalm returns when messages have come back regularly for a while, since
// the given time at the earliest, up to the newest.
func (p *pingPong) awaitCalm(since time.Time) error {
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); <-time.After(every) {
		p.mu.Lock()
		list, err := p.arrivals, p.err
		p.mu.Unlock()
		if err != nil {
			return fmt.Errorf("the ping-pong ends: %w", err)
		}
		first := slices.IndexFunc(list, func(a arrival) bool { return !a.at.Before(since) && time.Since(a.at) < calm })
		if first < 0 {
			continue
		}
		list = list[first:]
		regular := float64(len(list)) > 0.8*float64(calm/every)
		newest := list[len(list)-1]
		if regular && newest.at.Sub(list[0].at) > calm*8/10 && list[0].at.Sub(since) > 0 {
			return nil
		}
	}
	return errors.New("the ping-pong does not go on")
}

// A gap is what a move did.
type gap struct {
	silence time.Duration // the longest
	after   time.Duration // its end, after the new address was up
	lost    int           // messages that did not come back
}

// gap measures between two times that are calm.
func (p *pingPong) gap(from, up time.Time) gap {
	p.mu.Lock()
	defer p.mu.Unlock()
	var g gap
	for i := 1; i < len(p.arrivals); i++ {
		last, next := p.arrivals[i-1], p.arrivals[i]
		if next.at.Before(from) {
			continue
		}
		g.lost += int(next.number - last.number - 1)
		if silence := next.at.Sub(last.at); silence > g.silence {
			g.silence, g.after = silence, next.at.Sub(up)
		}
	}
	return g
}
