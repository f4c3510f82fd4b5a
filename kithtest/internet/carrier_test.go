package internet_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/tls"
	"crypto/x509"
	"io"
	"math/big"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/quic-go/quic-go"

	"kith.alt/kith/kithtest/internet"
)

// tlsConfigs returns those of a server and of a client that believes anybody.
func tlsConfigs(t *testing.T) (server, client *tls.Config) {
	t.Helper()
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(24 * time.Hour)}
	der, err := x509.CreateCertificate(nil, template, template, public, private)
	if err != nil {
		t.Fatal(err)
	}
	server = &tls.Config{
		Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: private}},
		NextProtos:   []string{"test"}, MinVersion: tls.VersionTLS13,
	}
	client = &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"test"}, MinVersion: tls.VersionTLS13}
	return server, client
}

func TestTLS(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := internet.New(internet.Config{Seed: 1, Loss: 0.01})
		near, far := connect(t, n.Router(internet.Symmetric).Host("oak"), n.Public().Host("elm"))
		serverConfig, clientConfig := tlsConfigs(t)
		want := pattern(1 << 20)
		go func() {
			server := tls.Server(far, serverConfig)
			server.Write(want)
			server.Close()
		}()
		got, err := io.ReadAll(tls.Client(near, clientConfig))
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("read %d bytes: %v", len(got), err)
		}
	})
}

// quicPair is a QUIC connection from a to b. It ends with the test.
func quicPair(t *testing.T, a, b *internet.Host) (dialled, accepted *quic.Conn) {
	t.Helper()
	serverConfig, clientConfig := tlsConfigs(t)
	config := &quic.Config{MaxIdleTimeout: 5 * time.Minute, KeepAlivePeriod: 10 * time.Second}
	listen := func(h *internet.Host) *quic.Transport {
		conn, err := h.ListenUDP(t.Context(), "", 4747)
		if err != nil {
			t.Fatal(err)
		}
		transport := &quic.Transport{Conn: conn}
		t.Cleanup(func() { transport.Close(); conn.Close() })
		return transport
	}
	l, err := listen(b).Listen(serverConfig, config)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	dialled, err = listen(a).Dial(ctx, net.UDPAddrFromAddrPort(at(b, 4747)), clientConfig, config)
	if err != nil {
		t.Fatal(err)
	}
	if accepted, err = l.Accept(ctx); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		dialled.CloseWithError(0, "")
		accepted.CloseWithError(0, "")
		l.Close()
	})
	return dialled, accepted
}

// transfer sends size bytes over a stream of its own and returns how long that
// took.
func transfer(t *testing.T, from, to *quic.Conn, size int) time.Duration {
	t.Helper()
	want, start := pattern(size), time.Now()
	go func() {
		s, err := from.OpenUniStream()
		if err != nil {
			t.Error(err)
			return
		}
		s.Write(want)
		s.Close()
	}()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	s, err := to.AcceptUniStream(ctx)
	if err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(s)
	if err != nil || !bytes.Equal(got, want) {
		t.Fatalf("read %d bytes: %v", len(got), err)
	}
	return time.Since(start)
}

// TestQUIC transfers 1 MiB over 20 ms with 2 % loss.
func TestQUIC(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := internet.New(internet.Config{Seed: 1, Loss: 0.01}) // of each of two links
		oak, elm := n.Router(internet.PortRestricted).Host("oak"), n.Public().Host("elm")
		lost := 0
		n.Capture(func(p internet.Packet) {
			if p.Fate == internet.Lost {
				lost++
			}
		})
		a, b := quicPair(t, oak, elm)
		took := transfer(t, b, a, 1<<20)
		t.Logf("1 MiB in %v, %d packets lost", took, lost)
		if took > 30*time.Second || lost == 0 {
			t.Errorf("1 MiB took %v, with %d packets lost", took, lost)
		}
	})
}

// TestQUICMoves has a connection outlive a NAT that gives its host another
// outside port, and the loss of the cable.
func TestQUICMoves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := internet.New(internet.Config{Seed: 1})
		router := n.Router(internet.Symmetric)
		oak, elm := router.Host("oak"), n.Public().Host("elm")
		a, b := quicPair(t, oak, elm)
		before := b.RemoteAddr().String()
		router.Forget()
		transfer(t, a, b, 1<<10)
		time.Sleep(time.Second) // for the validation of the path
		if b.RemoteAddr().String() == before {
			t.Error("the outside port is the same after the router forgot it")
		}
		oak.Sleep()
		time.Sleep(time.Minute)
		oak.Wake()
		transfer(t, a, b, 1<<10)
	})
}
