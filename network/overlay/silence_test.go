package overlay

import (
	"crypto/tls"
	"fmt"
	"net"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// TestSlowStrangers has strangers stop at each step of the handshake: the
// acceptor hangs up in time.
func TestSlowStrangers(t *testing.T) {
	for _, c := range []struct {
		name     string
		protocol string // of the TLS handshake; "": none is begun
		then     string
	}{
		{"silent", "", ""},
		{"half a client hello", "", "\x16\x03\x01"},
		{"no hello", alpnKith, ""},
		{"half a hello", alpnKith, "\x01\x00\x20"},
		{"no confirmation", alpnKith, string(hello{instance: instance{1}}.append(nil))},
		{"no join request", alpnJoin, ""},
		{"half a join request", alpnJoin, "\x01\x00\x09plea"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				club := newClub()
				club.set(idOf(newKey(2)), true)
				var open atomic.Bool
				open.Store(true)
				config := Config{Key: newKey(1), Admit: club.admit}
				inviting(&open)(&config)
				o := New(config)
				near, far := net.Pipe()
				received := make(chan error, 1)
				began := time.Now()
				go func() { received <- o.receiveTLS(near, func() {}) }()
				go func() {
					var conn net.Conn = far
					if c.protocol != "" {
						certificate, err := newCertificate(newKey(2))
						if err != nil {
							t.Error(err)
						}
						conn = tls.Client(far, baseConfig(certificate, c.protocol))
					}
					if _, err := conn.Write([]byte(c.then)); err != nil {
						t.Errorf("stranger: %v", err)
					}
					for {
						if _, err := conn.Read(make([]byte, 1024)); err != nil {
							return
						}
					}
				}()
				if err := <-received; err == nil || time.Since(began) != handshakePatience {
					t.Errorf("%v after %v, want an error after %v", err, time.Since(began), handshakePatience)
				}
				far.Close()
			})
		})
	}
}

// A cable is a conn that can be cut: what is written then is lost.
type cable struct {
	net.Conn
	cut   *atomic.Bool
	wrote *atomic.Int64
}

func (c cable) Write(p []byte) (int, error) {
	c.wrote.Add(int64(len(p)))
	if c.cut.Load() {
		return len(p), nil
	}
	return c.Conn.Write(p)
}

// TestSilentCarrier watches an idle carrier for an hour, then cuts it: both
// ends notice within a minute.
func TestSilentCarrier(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var cut atomic.Bool
		var wrote atomic.Int64
		near, far := net.Pipe()
		var ends []*yamuxCarrier
		for _, end := range []net.Conn{near, far} {
			c, err := newYamuxCarrier(carrierTLS, cable{end, &cut, &wrote}, end == near)
			if err != nil {
				t.Fatal(err)
			}
			ends = append(ends, c)
		}
		time.Sleep(time.Hour)
		pings := wrote.Load() / 24 // 12 bytes, and 12 of the answer
		if want := int64(time.Hour / keepAlive); pings > want+10 {
			t.Errorf("%d pings in an hour, want %d", pings, want)
		}
		cut.Store(true)
		lost := time.Now()
		for i, c := range ends {
			<-c.done()
			if took := time.Since(lost); took > time.Minute {
				t.Errorf("end %d notices after %v", i, took)
			}
		}
	})
}

func TestGate(t *testing.T) {
	g := newGate()
	var releases []func()
	for i := range gateAddress + 1 {
		release, ok := g.enter(&net.TCPAddr{IP: net.ParseIP("192.0.2.1"), Port: i})
		if ok != (i < gateAddress) {
			t.Errorf("stranger %d: %t", i, ok)
		}
		releases = append(releases, release)
	}
	for i := range gateTotal {
		release, ok := g.enter(&net.UDPAddr{IP: net.ParseIP(fmt.Sprintf("2001:db8:0:%x::1", i))})
		if ok != (i < gateTotal-gateAddress) {
			t.Errorf("stranger from network %d: %t", i, ok)
		}
		releases = append(releases, release)
	}
	if !g.busy() {
		t.Error("a full gate is not busy")
	}
	for _, release := range releases {
		release()
		release()
	}
	if g.total != 0 || len(g.from) != 0 {
		t.Errorf("%d places and %d addresses are left", g.total, len(g.from))
	}
	for i, same := range []string{"2001:db8::1", "2001:db8::2", "::ffff:192.0.2.1", "192.0.2.1"} {
		g.enter(&net.UDPAddr{IP: net.ParseIP(same)})
		if want := i/2 + 1; len(g.from) != want {
			t.Errorf("%d networks after %s, want %d", len(g.from), same, want)
		}
	}
}
