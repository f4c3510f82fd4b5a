package control

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http/httptest"
	"path/filepath"
	"testing"

	"kith.alt/kith"
)

// BenchmarkRelay sends through the control socket to a sink, beside the same
// two hops copied bare. The second hop is TCP, where the kernel may copy, or
// TLS, as the overlay has it.
func BenchmarkRelay(b *testing.B) {
	certificates := httptest.NewUnstartedServer(nil)
	certificates.StartTLS()
	b.Cleanup(certificates.Close)
	for _, hop := range []struct {
		name string
		dial func(context.Context, string) (net.Conn, error)
		wrap func(net.Listener) net.Listener
	}{
		{"tcp", func(ctx context.Context, address string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "tcp", address)
		}, func(ln net.Listener) net.Listener { return ln }},
		{"tls", func(ctx context.Context, address string) (net.Conn, error) {
			d := tls.Dialer{Config: &tls.Config{InsecureSkipVerify: true}}
			return d.DialContext(ctx, "tcp", address)
		}, func(ln net.Listener) net.Listener {
			return tls.NewListener(ln, &tls.Config{Certificates: certificates.TLS.Certificates})
		}},
	} {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { ln.Close() })
		go func() {
			sink := hop.wrap(ln)
			for {
				conn, err := sink.Accept()
				if err != nil {
					return
				}
				go func() {
					io.CopyBuffer(struct{ io.Writer }{io.Discard}, conn, make([]byte, 64<<10))
					conn.Close()
				}()
			}
		}()
		far := func(ctx context.Context) (net.Conn, error) { return hop.dial(ctx, ln.Addr().String()) }

		b.Run(hop.name+"/bare", func(b *testing.B) {
			path := filepath.Join(b.TempDir(), "s")
			ln, err := net.Listen("unix", path)
			if err != nil {
				b.Fatal(err)
			}
			defer ln.Close()
			go func() {
				conn, err := ln.Accept()
				if err != nil {
					return
				}
				defer conn.Close()
				to, err := far(context.Background())
				if err != nil {
					return
				}
				defer to.Close()
				go func() { io.Copy(conn, to); conn.Close() }()
				io.Copy(to, conn)
				kith.CloseWrite(to)
			}()
			conn, err := net.Dial("unix", path)
			if err != nil {
				b.Fatal(err)
			}
			send(b, conn)
		})
		b.Run(hop.name+"/control", func(b *testing.B) {
			node := &dialNode{fakeNode: new(fakeNode), dial: far}
			conn, err := serve(b, node, nil).Dial(b.Context(), kith.Address{})
			if err != nil {
				b.Fatal(err)
			}
			send(b, conn)
		})
	}
}

// dialNode dials one place only.
type dialNode struct {
	*fakeNode
	dial func(context.Context) (net.Conn, error)
}

func (n *dialNode) Dial(ctx context.Context, _ kith.Address) (net.Conn, error) { return n.dial(ctx) }

// send sends b.N blocks and waits until all have arrived.
func send(b *testing.B, conn net.Conn) {
	defer conn.Close()
	block := make([]byte, 64<<10)
	b.SetBytes(int64(len(block)))
	b.ResetTimer()
	for range b.N {
		if _, err := conn.Write(block); err != nil {
			b.Fatal(err)
		}
	}
	kith.CloseWrite(conn)
	conn.Read(make([]byte, 1))
}
