package gateway

import (
	"context"
	"io"
	"log/slog"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"kith.alt/kith"
)

// A pipeListener accepts connections in memory.
type pipeListener struct{ *handoff }

func newPipeListener() pipeListener {
	return pipeListener{&handoff{conns: make(chan net.Conn), closed: make(chan struct{}), addr: kith.Address{Host: "pipe"}}}
}

func (l pipeListener) dial() net.Conn {
	near, far := net.Pipe()
	l.give(far)
	return near
}

// startPiped serves on pipes. Whatever is dialled must be a key.
func startPiped(ctx context.Context, t testing.TB, dial func(ctx context.Context, address kith.Address) (net.Conn, error)) (web, proxy pipeListener, done chan error) {
	g := New(Config{
		Dial: func(ctx context.Context, address kith.Address) (net.Conn, error) {
			if _, err := kith.ParseID(strings.TrimSuffix(address.Host, ".kith.alt")); err != nil || address.Port == 0 {
				t.Errorf("dialled %s", address)
			}
			return dial(ctx, address)
		},
		Resolve:   func(name string) (kith.ID, error) { return idOf(name), nil },
		Self:      func() kith.Name { return kith.Name{Host: "oak", Group: "home"} },
		HTTPPort:  func() int { return 8080 },
		ProxyPort: func() int { return 1080 },
		Log:       slog.New(slog.DiscardHandler),
		Metrics:   new(kith.Metrics),
	})
	web, proxy, done = newPipeListener(), newPipeListener(), make(chan error, 1)
	go func() { done <- g.Serve(ctx, web, proxy) }()
	return web, proxy, done
}

// FuzzProxyFirstBytes has the proxy converse with a client that sends
// anything, and the far side of a tunnel echo it.
func FuzzProxyFirstBytes(f *testing.F) {
	for _, seed := range []string{
		"", "\x05", "\x05\x01\x00", "\x05\x01\x02",
		"\x05\x01\x00\x05\x01\x00\x03\x05maple\x00\x16hello",
		"\x05\x01\x00\x05\x01\x00\x03\x05maple\x00\x50GET / HTTP/1.1\r\nHost: maple\r\n\r\n",
		"\x05\x01\x00\x05\x01\x00\x01\x7f\x00\x00\x01\x00\x50",
		"\x05\x01\x00\x05\x01\x00\x03\x0a0x7f000001\x00\x50",
		"CONNECT maple.home.kith.alt:22 HTTP/1.1\r\n\r\nhello",
		"CONNECT maple:80 HTTP/1.1\r\n\r\nGET / HTTP/1.1\r\nHost: maple\r\nOrigin: null\r\n\r\n",
		"GET http://maple/ HTTP/1.1\r\nHost: x\r\n\r\n",
		"GET http://127.0.0.1/ HTTP/1.1\r\nHost: x\r\n\r\n",
		"GET /proxy.pac HTTP/1.1\r\nHost: localhost:1080\r\n\r\n",
		"\x04\x01\x00\x50\x7f\x00\x00\x01\x00", "\x16\x03\x01",
	} {
		f.Add([]byte(seed))
	}
	ctx, cancel := context.WithCancel(context.Background())
	_, proxy, done := startPiped(ctx, f, func(context.Context, kith.Address) (net.Conn, error) {
		near, far := net.Pipe()
		go func() { io.Copy(far, far); far.Close() }()
		return near, nil
	})
	f.Cleanup(func() { cancel(); <-done })
	f.Fuzz(func(t *testing.T, data []byte) {
		conn := proxy.dial()
		go func() { conn.Write(data); conn.Close() }()
		io.Copy(io.Discard, conn)
	})
}

// FuzzWeb is the same for the web gateway and the answers of a site.
func FuzzWeb(f *testing.F) {
	f.Add([]byte("GET / HTTP/1.1\r\nHost: maple--home.localhost:8080\r\nConnection: close\r\n\r\n"),
		[]byte("HTTP/1.1 302 Found\r\nLocation: //maple.home.kith.alt\r\nSet-Cookie: a=1; Domain=x\r\nContent-Length: 0\r\n\r\n"))
	f.Add([]byte("GET / HTTP/1.0\r\nHost: localhost:8080\r\n\r\n"), []byte{})
	f.Add([]byte("GET / HTTP/1.1\r\nHost: a--b.localhost:8080\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n"),
		[]byte("HTTP/1.1 101 S\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\nhello"))
	answers := make(chan []byte, 1)
	ctx, cancel := context.WithCancel(context.Background())
	web, _, done := startPiped(ctx, f, func(context.Context, kith.Address) (net.Conn, error) {
		near, far := net.Pipe()
		var answer []byte
		select {
		case answer = <-answers:
		default:
		}
		go func() {
			go io.Copy(io.Discard, far)
			far.Write(answer)
			far.Close()
		}()
		return near, nil
	})
	f.Cleanup(func() { cancel(); <-done })
	f.Fuzz(func(t *testing.T, request, answer []byte) {
		select {
		case <-answers:
		default:
		}
		answers <- answer
		conn := web.dial()
		go func() { conn.Write(request); conn.Close() }()
		io.Copy(io.Discard, conn)
	})
}

// TestSlowClients are cut off, in every state of a conversation before its
// work begins, and slow members are given up.
func TestSlowClients(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		web, proxy, done := startPiped(ctx, t, func(ctx context.Context, _ kith.Address) (net.Conn, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		})
		for _, test := range []struct {
			name   string
			listen pipeListener
			send   string
			after  time.Duration
		}{
			{"nothing", proxy, "", headerTimeout},
			{"SOCKS version", proxy, "\x05", headerTimeout},
			{"SOCKS methods", proxy, "\x05\x01\x00", headerTimeout},
			{"SOCKS request", proxy, "\x05\x01\x00\x05\x01\x00\x03\x05map", headerTimeout},
			{"SOCKS dial", proxy, "\x05\x01\x00\x05\x01\x00\x03\x05maple\x00\x16", dialTimeout},
			{"method", proxy, "GET ", headerTimeout},
			{"header", proxy, "GET / HTTP/1.1\r\nHost: ", headerTimeout},
			{"web header", web, "GET / HTTP/1.1\r\nHost: ", headerTimeout},
			{"next request", web, "GET / HTTP/1.1\r\nHost: x\r\n\r\n", idleTimeout},
			{"site", web, "GET / HTTP/1.1\r\nHost: maple--home.localhost:8080\r\nConnection: close\r\n\r\n", dialTimeout},
		} {
			began := time.Now()
			conn := test.listen.dial()
			go io.WriteString(conn, test.send)
			io.Copy(io.Discard, conn)
			conn.Close()
			if took := time.Since(began); took < test.after || took > test.after+time.Second {
				t.Errorf("%s: cut off after %v, want %v", test.name, took, test.after)
			}
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// TestLimit has connections beyond the limit wait for a free place.
func TestLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pipes := newPipeListener()
		l := newLimitListener(pipes, 1)
		accepted := make(chan net.Conn)
		go func() {
			for {
				conn, err := l.Accept()
				if err != nil {
					close(accepted)
					return
				}
				accepted <- conn
			}
		}()
		go pipes.dial()
		first := <-accepted
		dialled := false
		go func() { pipes.dial(); dialled = true }()
		synctest.Wait()
		if dialled {
			t.Error("a second connection is accepted at a limit of 1")
		}
		first.Close()
		first.Close() // frees one place only
		second := <-accepted
		l.closeAll()
		if _, ok := <-accepted; ok {
			t.Error("a third connection is accepted")
		}
		if _, err := second.Read(make([]byte, 1)); err == nil {
			t.Error("a connection outlives closeAll")
		}
	})
}
