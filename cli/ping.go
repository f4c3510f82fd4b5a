package cli

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"time"

	"kith.alt/kith"
	"kith.alt/kith/control"
)

const (
	pingEvery    = time.Second
	pingPatience = 10 * time.Second // for one answer; the first may have to find a path
)

// A pingSummary is what kith ping --json prints.
type pingSummary struct {
	Host     string         `json:"host"`
	Sent     int            `json:"sent"`
	Received int            `json:"received"`
	Loss     float64        `json:"loss_percent"`
	Min      float64        `json:"rtt_min_ms"`
	Avg      float64        `json:"rtt_avg_ms"`
	Max      float64        `json:"rtt_max_ms"`
	Answers  []control.Ping `json:"answers"`
}

func (s *pingSummary) add(p control.Ping) {
	if s.Received == 0 || p.RTT < s.Min {
		s.Min = p.RTT
	}
	s.Max = max(s.Max, p.RTT)
	s.Avg = (s.Avg*float64(s.Received) + p.RTT) / float64(s.Received+1)
	s.Received++
	s.Answers = append(s.Answers, p)
}

func (s pingSummary) text() string {
	text := fmt.Sprintf("\n%d sent, %d answered, %.0f%% lost\n", s.Sent, s.Received, s.Loss)
	if s.Received > 0 {
		text += fmt.Sprintf("round trip min/avg/max = %.2f/%.2f/%.2f ms\n", s.Min, s.Avg, s.Max)
	}
	return text
}

func pingCommand() command {
	var times int
	return command{
		name: "ping", args: "HOST", summary: "measure round trips to a member, and show the path they take", group: groupMembers,
		help: `Each goes through the overlay to the member's node and back, one a second. A path
is sought for the first where there is none. Exits with 10 when nothing was answered.`,
		flags: func(set *flag.FlagSet) { set.IntVar(&times, "c", 4, "send `N`; 0: until Ctrl-C") },
		ask: func(ctx context.Context, e *env, node *control.Client, words []string) error {
			if times < 0 {
				return usageError("-c %d: a number from 0", times)
			}
			return e.ping(ctx, node, words[0], times)
		},
	}
}

func (e *env) ping(ctx context.Context, node control.Node, host string, times int) error {
	s := pingSummary{Host: host, Answers: []control.Ping{}}
	tick := time.NewTicker(pingEvery)
	defer tick.Stop()
	var failure error
	for ctx.Err() == nil {
		asking, cancel := context.WithTimeout(ctx, pingPatience)
		p, err := node.Ping(asking, host)
		cancel()
		if ctx.Err() != nil {
			break // interrupted
		}
		if err != nil && !mayPass(err) {
			return err
		}
		s.Sent++
		if err == nil {
			s.add(p)
			e.say("%s answers: %.2f ms, %s\n", p.Host, p.RTT, pathText(p.Path, p.Via, p.Carrier))
		} else {
			failure = err
			e.say("%s does not answer\n", host)
		}
		if s.Sent == times {
			break
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
	}
	if s.Sent > 0 {
		s.Loss = 100 * float64(s.Sent-s.Received) / float64(s.Sent)
	}
	if err := e.Print(s, s.text()); err != nil || s.Received > 0 {
		return err
	}
	if errors.Is(failure, context.DeadlineExceeded) {
		failure = fmt.Errorf("%s gave no answer within %s: %w", host, pingPatience, kith.Unreachable)
	}
	if failure == nil {
		return ctx.Err()
	}
	return remedied{failure, "To find out why: " + e.Line("doctor", host)}
}

// mayPass reports whether the next ping may be answered after this error.
func mayPass(err error) bool {
	return errors.Is(err, kith.Unreachable) && !errors.Is(err, control.ErrNotRunning) || errors.Is(err, kith.Temporary) || errors.Is(err, context.DeadlineExceeded)
}

// say prints a line of a result that comes piece by piece; JSON comes at the end.
func (e *env) say(format string, args ...any) {
	if !e.JSON {
		fmt.Fprintf(e.Stdout, format, args...)
	}
}
