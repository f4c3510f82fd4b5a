package control

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"kith.alt/kith"
	"kith.alt/kith/network/memory"
)

// pipeListener accepts the connections that a test hands it.
type pipeListener struct {
	conns chan net.Conn
	done  chan struct{}
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case conn := <-l.conns:
		return conn, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) Close() error {
	select {
	case <-l.done:
	default:
		close(l.done)
	}
	return nil
}

func (l *pipeListener) Addr() net.Addr { return kith.Address{Host: "control"} }

// FuzzServer sends arbitrary bytes to a control socket, in every state that
// they bring it to: the server answers or hangs up, and serves the next caller.
func FuzzServer(f *testing.F) {
	hub := memory.NewHub()
	id := kith.ID{1}
	network := hub.Network(id)
	echo, err := network.Listen(f.Context(), kith.Address{Port: 7})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { echo.Close() })
	go func() {
		for {
			conn, err := echo.Accept()
			if err != nil {
				return
			}
			go func() {
				io.Copy(conn, conn)
				conn.Close()
			}()
		}
	}()
	s := NewServer(Config{Node: &fuzzNode{network}, Metrics: new(kith.Metrics), Log: slog.New(slog.DiscardHandler),
		APIs: map[string]http.Handler{"web": http.NotFoundHandler()}})
	ln := &pipeListener{conns: make(chan net.Conn), done: make(chan struct{})}
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- s.Serve(ctx, ln) }()
	f.Cleanup(func() {
		cancel()
		if err := <-served; err != nil {
			f.Error(err)
		}
	})
	wires := memory.NewHub().Network(kith.ID{9})
	wire, err := wires.Listen(f.Context(), kith.Address{})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { wire.Close() })
	address := parseAddr(wire.Addr().String())

	post := func(method, body string) string {
		return fmt.Sprintf("POST /v1/%s HTTP/1.1\r\nHost: kith\r\nConnection: Upgrade\r\nUpgrade: kith-socket\r\nContent-Length: %d\r\n\r\n%s", method, len(body), body)
	}
	f.Add([]byte(post("status", "{}") + post("status", "{}")))
	f.Add([]byte(post("dial", `{"host":"`+id.String()+`","port":7}`) + "\x00hello"))
	f.Add([]byte(post("listen", `{}`) + "\x00"))
	f.Add([]byte(post("listen-packet", `{}`) + "\x00" + string(frame{address: kith.Address{Host: id.String(), Port: 7}, payload: []byte("hello")}.append(nil))))
	f.Add([]byte(post("accept", `{"token":"x"}`)))
	f.Add([]byte("GET /metrics HTTP/1.1\r\nHost: kith\r\n\r\n"))
	f.Add([]byte("POST /api/web/x HTTP/1.1\r\nHost: kith\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"))
	f.Add([]byte("\x16\x03\x01\x00\x05hello"))
	f.Fuzz(func(t *testing.T, sent []byte) {
		exchange := func(sent []byte) []byte {
			client, err := wires.Dial(t.Context(), address)
			if err != nil {
				t.Fatal(err)
			}
			defer client.Close()
			server, err := wire.Accept()
			if err != nil {
				t.Fatal(err)
			}
			ln.conns <- server
			client.SetDeadline(time.Now().Add(20 * time.Second))
			go func() {
				client.Write(sent)
				kith.CloseWrite(client)
			}()
			answer, err := io.ReadAll(client)
			if err, ok := err.(net.Error); ok && err.Timeout() {
				t.Fatalf("the server keeps a connection that has ended; it said %q", answer)
			}
			return answer
		}
		exchange(sent)
		if answer := exchange([]byte(post("leave", "{}"))); !bytes.HasPrefix(answer, []byte("HTTP/1.1 200 OK\r\n")) {
			t.Fatalf("afterwards the server answers %q", answer)
		}
	})
}

// fuzzNode is a fakeNode without notes, which concurrent calls would race for.
type fuzzNode struct{ *memory.Network }

func (fuzzNode) Status(context.Context) (Status, error)              { return fakeStatus, nil }
func (fuzzNode) Doctor(context.Context) ([]Finding, error)           { return nil, nil }
func (fuzzNode) Events(context.Context) ([]Event, error)             { return nil, nil }
func (fuzzNode) Sockets(context.Context) ([]Socket, error)           { return nil, nil }
func (fuzzNode) Ping(context.Context, string) (Ping, error)          { return Ping{}, kith.NotFound }
func (fuzzNode) Trace(context.Context, string) (Trace, error)        { return Trace{}, nil }
func (fuzzNode) Diagnose(context.Context, string) ([]Finding, error) { return nil, nil }
func (fuzzNode) Configure(context.Context, Settings) error           { return nil }
func (fuzzNode) Stop(context.Context) error                          { return nil }
func (fuzzNode) Invite(context.Context, InviteRequest) (Invitation, error) {
	return fakeInvitation, nil
}
func (fuzzNode) Join(context.Context, string) error           { return kith.Expired }
func (fuzzNode) Trust(context.Context, string) error          { return kith.NotFound }
func (fuzzNode) Revoke(context.Context, string) error         { return kith.NotFound }
func (fuzzNode) SetAdmin(context.Context, string, bool) error { return nil }
func (fuzzNode) Leave(context.Context) error                  { return nil }
func (fuzzNode) Rename(context.Context, RenameRequest) error  { return nil }
func (fuzzNode) Accounts(context.Context) ([]Account, error)  { return nil, nil }
func (fuzzNode) AddAccount(context.Context, string) error     { return nil }
func (fuzzNode) AddAppPassword(context.Context, string, string) (AppPassword, error) {
	return fakePassword, nil
}
func (fuzzNode) RemoveAppPassword(context.Context, string, string) error { return nil }
func (fuzzNode) SetPassword(context.Context, string, string) error       { return nil }
func (fuzzNode) SignInLink(context.Context, string) (string, error)      { return "", nil }
func (fuzzNode) Open(context.Context, string, string) error              { return nil }
func (fuzzNode) Certificate(context.Context) (Certificate, error)        { return fakeCertificate, nil }

func (fuzzNode) Backup(context.Context) (Backup, error) { return Backup{}, kith.Quota }

// FuzzRequest sends arbitrary bodies to every method: the answer is JSON, and
// never that the server is at fault.
func FuzzRequest(f *testing.F) {
	hub := memory.NewHub()
	s := NewServer(Config{Node: fuzzNode{hub.Network(kith.ID{1})}, Log: slog.New(slog.DiscardHandler)})
	for name := range s.methods() {
		f.Add(name, []byte(`{"host":"maple","port":80,"ticket":"t","account":"ada","uses":1,"expires":1,"token":"x"}`))
	}
	f.Add("fly", []byte(`{`))
	f.Fuzz(func(t *testing.T, method string, body []byte) {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", bytes.NewReader(body))
		r.URL.Path = prefix + method
		w := httptest.NewRecorder()
		s.handler.ServeHTTP(w, r)
		if w.Code/100 == 3 { // the mux cleans the path
			return
		}
		if (method == "listen" || strings.HasSuffix(method, "-packet")) && w.Code == http.StatusInternalServerError {
			return // a recorder's connection cannot be upgraded
		}
		if w.Code >= http.StatusInternalServerError && w.Code != http.StatusBadGateway && w.Code != http.StatusGatewayTimeout && w.Code != http.StatusServiceUnavailable {
			t.Errorf("%s %q: %d %s", method, body, w.Code, w.Body)
		}
		if err := kith.ReadError(w.Result()); w.Code != http.StatusOK && err.Error() == "" {
			t.Errorf("%s %q: an error without a text", method, body)
		}
	})
}
