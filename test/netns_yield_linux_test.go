package test

import (
	"context"
	"flag"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"kith.alt/kith/bench/measure"
	"kith.alt/kith/client"
	"kith.alt/kith/kithtest/netlab"
	"kith.alt/kith/kithtest/require"
)

// By hand, on a quiet machine: go test ./test -run TestYields -v -uplinks 5,10,20
var uplinks = flag.String("uplinks", "10", "`RATES` of the uplinks of TestYields, in Mbit/s, with commas")

// TestYields measures the round trip of 64 bytes between two programs on two hosts, while nothing
// else is on their links, while one host takes a file from the other, and while both do.
func TestYields(t *testing.T) {
	table := "| uplink, Mbit/s | shared meanwhile | of the uplink | round trip p50, ms | p99, ms | more than idle, p50 | goal | p99 | goal |\n" +
		"|---:|---|---:|---:|---:|---:|---:|---:|---:|\n"
	for text := range strings.SplitSeq(*uplinks, ",") {
		rate, err := strconv.Atoi(text)
		if err != nil {
			t.Fatal(err)
		}
		t.Run(text, func(t *testing.T) { table += yields(t, rate) })
	}
	t.Log("\n" + table)
}

// yields returns rows of the table.
func yields(t *testing.T, rate int) (rows string) {
	const (
		lasts = 4 * time.Second // each measurement
		begin = 2 * time.Second // until the link is full
	)
	l := netlab.New(t)
	l.InMemory()
	hub := l.Switch("switch")
	rates := netlab.Rates{Up: rate * netlab.Mbit, Down: 50 * netlab.Mbit}
	members := l.Group(hub.Host("maple", rates), hub.Host("oak", rates))
	maple, oak := members[0], members[1]
	maple.Meets(2)
	oak.Meets(2)
	ping := newPing(t, maple, oak)

	twoFrames := time.Duration(2 * 1514 * 8 * float64(time.Second) / float64(rate*netlab.Mbit))
	var idle [2]time.Duration
	row := func(what string, limit time.Duration, from ...*netlab.Member) {
		t.Helper()
		before, began := hub.Traffic(maple.Computer).Sent, time.Now()
		trips := ping.measure(lasts)
		sent := float64(hub.Traffic(maple.Computer).Sent-before) * 8 / time.Since(began).Seconds() / float64(rate*netlab.Mbit)
		p50, p99 := measure.Median(trips), measure.Quantile(trips, 0.99)
		if what == "nothing" {
			idle = [2]time.Duration{p50, p99}
		}
		more, goal := [2]time.Duration{p50 - idle[0], p99 - idle[1]}, [2]time.Duration{twoFrames + 5*time.Millisecond, twoFrames + 20*time.Millisecond}
		rows += fmt.Sprintf("| %d | %s | %.2f | %s | %s | %s | %s | %s | %s |\n", rate, what, sent,
			ms(p50), ms(p99), ms(more[0]), ms(goal[0]), ms(more[1]), ms(goal[1]))
		if require.Everything() && more[0] > limit {
			t.Errorf("while %s is shared at %d Mbit/s, half of the round trips take %v more than %v", what, rate, more[0], idle[0])
		}
	}
	size := int64(float64(rate*netlab.Mbit/8) * (2*lasts + 2*begin + 4*time.Second).Seconds())
	row("nothing", 0)
	oak.Get(maple.Share("hers", size), "got")
	<-time.After(begin)
	row("by the one", 40*time.Millisecond)
	maple.Get(oak.Share("his", size), "got")
	<-time.After(begin)
	row("by both", 40*time.Millisecond)
	return rows
}

func ms(d time.Duration) string { return fmt.Sprintf("%.1f", d.Seconds()*1e3) }

// A ping is a socket of the overlay from one host to another, where all that
// arrives is sent back.
type ping struct {
	t    *testing.T
	conn net.Conn
}

func newPing(t *testing.T, from, to *netlab.Member) *ping {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	ln, err := client.At(to.Data()).Listen(ctx, ":7000")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	go func() {
		if conn, err := ln.Accept(); err == nil {
			io.Copy(conn, conn)
			conn.Close()
		}
	}()
	conn, err := client.At(from.Data()).Dial(ctx, to.Name+":7000")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return &ping{t, conn}
}

// measure sends 64 bytes, and again 10 ms after they have come back.
func (p *ping) measure(lasts time.Duration) (trips []time.Duration) {
	p.t.Helper()
	var message [64]byte
	p.conn.SetDeadline(time.Now().Add(lasts + patience))
	for end := time.Now().Add(lasts); time.Now().Before(end); <-time.After(10 * time.Millisecond) {
		began := time.Now()
		_, err := p.conn.Write(message[:])
		if err == nil {
			_, err = io.ReadFull(p.conn, message[:])
		}
		if err != nil {
			p.t.Fatal(err)
		}
		trips = append(trips, time.Since(began))
	}
	return trips
}
