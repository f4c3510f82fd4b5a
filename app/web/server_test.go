package web

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"kith.alt/kith"
)

func TestConnLimit(t *testing.T) {
	l := newConnLimit(3, 2, new(kith.Counter))
	a, b := kith.ID{1}, kith.ID{2}
	for i, step := range []struct {
		peer kith.ID
		want bool
	}{{a, true}, {a, true}, {a, false}, {b, true}, {b, false}} {
		if got := l.take(step.peer); got != step.want {
			t.Errorf("step %d: %v", i, got)
		}
	}
	l.give(a)
	if !l.take(b) || l.count() != 3 || l.refused.Value() != 2 {
		t.Errorf("after one left: %d open, %d refused", l.count(), l.refused.Value())
	}
}

// TestTooMany has a member open more connections than its share: what it has
// stays, the rest is closed, and others get in.
func TestTooMany(t *testing.T) {
	f := start(t)
	var conns []net.Conn
	defer func() {
		for _, conn := range conns {
			conn.Close()
		}
	}()
	for range maxPeerConns + 1 {
		conn, err := f.dial(t.Context(), 80)
		if err != nil {
			t.Fatal(err)
		}
		conns = append(conns, conn)
	}
	if _, err := io.ReadAll(conns[maxPeerConns]); err != nil && !errors.Is(err, io.EOF) {
		t.Logf("the one too many: %v", err)
	}
	if status := rawGet(t, conns[0]); status != "HTTP/1.1 200 OK\r\n" {
		t.Errorf("the first: %q", status)
	}
	other, err := f.Host.Dial(t.Context(), f.Address(80))
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	if status := rawGet(t, other); status != "HTTP/1.1 200 OK\r\n" {
		t.Errorf("another member: %q", status)
	}
}

func rawGet(t *testing.T, conn net.Conn) string {
	t.Helper()
	if _, err := io.WriteString(conn, "GET / HTTP/1.1\r\nHost: maple\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(conn).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	return line
}

// TestBadRequests has what no client of good will sends.
func TestBadRequests(t *testing.T) {
	f := start(t)
	for request, want := range map[string]string{
		"nonsense\r\n\r\n": "HTTP/1.1 400 Bad Request\r\n",
		"GET / HTTP/1.1\r\nHost: maple\r\nX: " + strings.Repeat("x", 2*maxHeader) + "\r\n\r\n": "HTTP/1.1 431 Request Header Fields Too Large\r\n",
		"POST / HTTP/1.1\r\nHost: maple\r\nContent-Length: 5\r\n\r\nhello":                     "HTTP/1.1 405 Method Not Allowed\r\n",
		"GET / HTTP/1.1\r\n\r\n": "HTTP/1.1 400 Bad Request: missing required Host header\r\n",
	} {
		conn, err := f.dial(t.Context(), 80)
		if err != nil {
			t.Fatal(err)
		}
		go io.WriteString(conn, request) // the server may answer before it has read all
		if line, err := bufio.NewReader(conn).ReadString('\n'); err != nil || line != want {
			t.Errorf("%.20q: %q, %v; want %q", request, line, err, want)
		}
		conn.Close()
	}
}

// TestStop has a request under way at the end: it gets its time, and no more.
func TestStop(t *testing.T) {
	f := start(t)
	arrived, release := make(chan struct{}, 2), make(chan struct{})
	local := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		arrived <- struct{}{}
		select {
		case <-release:
			fmt.Fprint(w, "finished")
		case <-r.Context().Done():
		}
	}))
	defer local.Close()
	u, err := url.Parse(local.URL)
	if err != nil {
		t.Fatal(err)
	}
	f.must(t, "", "expose", u.Port(), "--to", "4000", "--as", "slow")
	got := make(chan string, 1)
	go func() {
		response, err := f.client.Get("http://maple.home.kith.alt/slow/")
		if err != nil {
			got <- err.Error()
			return
		}
		defer response.Body.Close()
		body, _ := io.ReadAll(response.Body)
		got <- string(body)
	}()
	<-arrived
	stopped := make(chan struct{})
	go func() {
		f.stop()
		close(stopped)
	}()
	close(release)
	if text := <-got; text != "finished" {
		t.Errorf("the request under way: %q", text)
	}
	<-stopped
}

// TestTakenPort has an exposed port that another program holds when the node
// starts: it is opened once it is free.
func TestTakenPort(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var taken atomic.Bool
		taken.Store(true)
		free := &silentListener{closed: make(chan struct{})}
		p := newPorts(func(context.Context, uint16) (net.Listener, error) {
			if taken.Load() {
				return nil, fmt.Errorf("port: %w", kith.InUse)
			}
			return free, nil
		}, func(uint16) bool { return false }, newMetrics(new(kith.Metrics)), slog.New(slog.DiscardHandler))
		ctx, cancel := context.WithCancel(t.Context())
		begun, ended := make(chan struct{}), make(chan struct{})
		go func() {
			p.serve(ctx, []Exposed{{Port: 4000, Target: 1}}, begun)
			close(ended)
		}()
		<-begun
		synctest.Wait()
		if problem := p.problem(4000); !strings.Contains(problem, "another program") {
			t.Errorf("while it is taken: %q", problem)
		}
		taken.Store(false)
		time.Sleep(listenPause)
		synctest.Wait()
		if problem := p.problem(4000); strings.Contains(problem, "another program") {
			t.Errorf("once it is free: %q", problem)
		}
		cancel()
		<-ended
	})
}

// silentListener is a listener that nobody dials.
type silentListener struct {
	once   sync.Once
	closed chan struct{}
}

func (l *silentListener) Accept() (net.Conn, error) {
	<-l.closed
	return nil, net.ErrClosed
}
func (l *silentListener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}
func (l *silentListener) Addr() net.Addr { return kith.Address{} }

func TestAPI(t *testing.T) {
	f := start(t)
	for body, want := range map[string]int{
		`{"path":"/","dir":`:            http.StatusBadRequest,
		`{"path":5}`:                    http.StatusBadRequest,
		`{"path":"/","dir":"relative"}`: http.StatusBadRequest,
	} {
		w := httptest.NewRecorder()
		f.Service.API.ServeHTTP(w, httptest.NewRequest(http.MethodPut, "/sites", strings.NewReader(body)))
		if w.Code != want || !strings.Contains(w.Body.String(), `"kind":"invalid"`) {
			t.Errorf("%.40s: %d %s", body, w.Code, w.Body)
		}
	}
	web := newWeb(f.Host) // never served
	w := httptest.NewRecorder()
	web.api().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/sites", nil))
	if w.Code != http.StatusServiceUnavailable {
		t.Errorf("before it has started: %d", w.Code)
	}
}

func TestMetrics(t *testing.T) {
	f := start(t)
	f.get(t, "/")
	f.get(t, "/nowhere")
	var out strings.Builder
	if err := f.Metrics().Write(&out); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`kith_web_requests_total{status="2xx"} 1`, `kith_web_requests_total{status="4xx"} 1`, "kith_web_connections 1"} {
		if !strings.Contains(out.String(), want+"\n") {
			t.Errorf("no %s in\n%s", want, out.String())
		}
	}
}
