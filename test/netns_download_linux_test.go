package test

import (
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	mathrand "math/rand/v2"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"kith.alt/kith/kithtest/netlab"
)

// A download runs over one socket for as long as a test wants: a server on one
// member, which its node exposes, sends fresh bytes as fast as they are taken,
// and "kith dial" on another prints them for a reader that takes 4 MiB a second.
// So the buffers on the way are full.
type download struct {
	t              *testing.T
	sent, received atomic.Int64
	last           chan struct{} // closed when the server is to end
	sentSum        chan sum
	receivedSum    chan sum
}

type sum struct {
	hash [32]byte
	err  error
}

func startDownload(t *testing.T, from, to *netlab.Member) *download {
	t.Helper()
	d := &download{t: t, last: make(chan struct{}), sentSum: make(chan sum, 1), receivedSum: make(chan sum, 1)}
	ln := from.ListenTCP("127.0.0.1:0")
	go func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			if _, err := conn.Read(make([]byte, 1)); err == nil { // else the node looked whether somebody listens
				d.sentSum <- d.serve(conn)
			}
			conn.Close()
		}
	}()
	from.Must(fmt.Sprintf("kith expose %d --to 7000", ln.Addr().(*net.TCPAddr).Port), from.Home)

	dial := to.Command("exec kith dial "+from.Name+" 7000", to.Home)
	dial.Stdin = strings.NewReader("1")
	out, err := dial.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var complaint strings.Builder
	dial.Stderr = &complaint
	if err := dial.Start(); err != nil {
		t.Fatal(err)
	}
	read := make(chan struct{})
	t.Cleanup(func() {
		dial.Process.Kill()
		<-read
	})
	go func() {
		defer close(read)
		got := d.read(out)
		if err := dial.Wait(); err != nil {
			got.err = errors.Join(got.err, fmt.Errorf("kith dial: %w: %s", err, complaint.String()))
		}
		d.receivedSum <- got
	}()
	d.goesOn("as it begins")
	return d
}

func (d *download) serve(conn net.Conn) sum {
	var seed [32]byte
	rand.Read(seed[:])
	fresh, hash := mathrand.NewChaCha8(seed), sha256.New()
	buf := make([]byte, 64<<10)
	for {
		select {
		case <-d.last:
			return sum{hash: [32]byte(hash.Sum(nil))}
		default:
		}
		fresh.Read(buf)
		hash.Write(buf)
		if _, err := conn.Write(buf); err != nil {
			return sum{err: fmt.Errorf("write after %d bytes: %w", d.sent.Load(), err)}
		}
		d.sent.Add(int64(len(buf)))
	}
}

func (d *download) read(out io.Reader) sum {
	hash := sha256.New()
	buf := make([]byte, 64<<10)
	pace := time.NewTicker(time.Second / 64)
	defer pace.Stop()
	for {
		n, err := out.Read(buf)
		hash.Write(buf[:n])
		d.received.Add(int64(n))
		if err == io.EOF {
			return sum{hash: [32]byte(hash.Sum(nil))}
		}
		if err != nil {
			return sum{err: fmt.Errorf("read after %d bytes: %w", d.received.Load(), err)}
		}
		<-pace.C
	}
}

// goesOn waits until bytes have arrived that the server had not sent before the
// call. What happened is for the log.
func (d *download) goesOn(what string) {
	d.t.Helper()
	start := time.Now()
	before, target := d.received.Load(), d.sent.Load()+1
	var first time.Duration
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for d.received.Load() < target {
		if first == 0 && d.received.Load() > before {
			first = time.Since(start)
		}
		if time.Since(start) > 2*patience {
			d.t.Fatalf("%s: %d bytes of %d have arrived", what, d.received.Load(), target)
		}
		select {
		case <-tick.C:
		case end := <-d.receivedSum:
			d.t.Fatalf("%s: the download ends after %d bytes: %v", what, d.received.Load(), end.err)
		}
	}
	d.t.Logf("%s: the first byte after %v, everything sent before after %v", what,
		first.Round(10*time.Millisecond), time.Since(start).Round(10*time.Millisecond))
}

// finish ends the download, and compares what was sent with what arrived.
func (d *download) finish() {
	d.t.Helper()
	close(d.last)
	deadline := time.After(2 * patience)
	var sums [2]sum
	for i, end := range []chan sum{d.sentSum, d.receivedSum} {
		select {
		case sums[i] = <-end:
		case <-deadline:
			d.t.Fatalf("the download does not end: %d bytes of %d have arrived", d.received.Load(), d.sent.Load())
		}
		if sums[i].err != nil {
			d.t.Fatal(sums[i].err)
		}
	}
	if sums[0] != sums[1] || d.sent.Load() != d.received.Load() {
		d.t.Errorf("%d bytes were sent, %d others arrived", d.sent.Load(), d.received.Load())
	}
	d.t.Logf("%d MiB, SHA-256 as sent", d.received.Load()>>20)
}
