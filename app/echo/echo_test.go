package echo

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"kith.alt/kith"
	"kith.alt/kith/network/memory"
	"kith.alt/kith/store/sqlite"
)

// fakeHost is a host in memory with what echo asks of one.
type fakeHost struct {
	kith.Host
	network   *memory.Network
	store     kith.Store
	metrics   kith.Metrics
	listening chan struct{} // closed when it listens
}

func (h *fakeHost) Name() kith.Name              { return kith.Name{Host: "maple", Group: "home"} }
func (h *fakeHost) Link(path string) string      { return "http://maple--home.localhost:8080" + path }
func (h *fakeHost) PrivateDir(dir string) bool   { return filepath.Base(dir) == "private" }
func (h *fakeHost) PrivatePort(port uint16) bool { return port == 8080 }
func (h *fakeHost) Store() kith.Store            { return h.store }
func (h *fakeHost) Log() *slog.Logger            { return slog.New(slog.DiscardHandler) }
func (h *fakeHost) Metrics() *kith.Metrics       { return &h.metrics }
func (h *fakeHost) Listen(ctx context.Context, _ string) (net.Listener, error) {
	defer close(h.listening)
	return h.network.Listen(ctx, kith.Address{Port: App().Ports[0].Overlay})
}

// start runs echo on maple and returns it with a function that dials it as oak.
func start(t *testing.T) (kith.Service, func() net.Conn) {
	t.Helper()
	store, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "kith.db"))
	if err != nil {
		t.Fatal(err)
	}
	if err := store.Migrate(t.Context(), App().Name, App().Migrations); err != nil {
		t.Fatal(err)
	}
	maple, oak := kith.ID{1}, kith.ID{2}
	hub := memory.NewHub()
	host := &fakeHost{network: hub.Network(maple), store: store, listening: make(chan struct{})}
	service, err := App().New(host)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- service.Serve(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Serve: %v", err)
		}
		store.Close()
	})
	<-host.listening
	return service, func() net.Conn {
		conn, err := hub.Network(oak).Dial(t.Context(), kith.Address{Host: maple.String(), Port: 7})
		if err != nil {
			t.Fatal(err)
		}
		return conn
	}
}

func TestEcho(t *testing.T) {
	service, dial := start(t)
	conn := dial()
	defer conn.Close()
	if _, err := io.WriteString(conn, "hello\nétude\n"); err != nil {
		t.Fatal(err)
	}
	if err := kith.CloseWrite(conn); err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(conn); err != nil || string(got) != "HELLO\nÉTUDE\n" {
		t.Errorf("got %q, %v", got, err)
	}
	// The connection's end is stored before it is closed.
	w := httptest.NewRecorder()
	service.Screens[0].Handler.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", nil))
	if w.Code != http.StatusOK || !strings.Contains(w.Body.String(), "2 lines so far") {
		t.Errorf("the screen: %d\n%s", w.Code, w.Body)
	}
}

func TestLongLine(t *testing.T) {
	_, dial := start(t)
	conn := dial()
	defer conn.Close()
	go conn.Write(bytes.Repeat([]byte("x"), 2*maxLine)) // ends with the connection
	if got, err := bufio.NewReader(conn).ReadString('\n'); err == nil {
		t.Errorf("a line of %d bytes is answered with %d", 2*maxLine, len(got))
	}
}

func TestCommand(t *testing.T) {
	service, _ := start(t)
	var out bytes.Buffer
	env := kith.Env{Stdout: &out, API: func(ctx context.Context, method, path string, in, out any) error {
		body, err := json.Marshal(in)
		if err != nil {
			return err
		}
		w := httptest.NewRecorder()
		service.API.ServeHTTP(w, httptest.NewRequestWithContext(ctx, method, path, bytes.NewReader(body)))
		if w.Code != http.StatusOK {
			return kith.ReadError(w.Result())
		}
		return json.Unmarshal(w.Body.Bytes(), out)
	}}
	run := App().Commands[0].Run
	if err := run(t.Context(), env, []string{"hello", "there"}); err != nil || out.String() != "HELLO THERE\n" {
		t.Errorf("it prints %q, %v", out.String(), err)
	}
	for _, args := range [][]string{nil, {strings.Repeat("x", maxLine+1)}} {
		if err := run(t.Context(), env, args); !errors.Is(err, kith.Invalid) {
			t.Errorf("%d arguments: %v", len(args), err)
		}
	}
}
