package gateway

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"kith.alt/kith"
	"kith.alt/kith/network/memory"
)

// A group is a small world of members, each a listener on loopback or an error.
type group struct {
	mu    sync.Mutex
	addrs map[string]string // "maple.home.kith.alt:80" to 127.0.0.1:PORT
	errs  map[string]error  // "elm.home.kith.alt" to what dialling it gives
	names map[kith.ID]string
	dials int
	hub   *memory.Hub // of datagrams
	mail  []byte      // what Autoconfig returns
}

func newGroup() *group {
	return &group{addrs: make(map[string]string), errs: make(map[string]error), names: make(map[kith.ID]string), hub: memory.NewHub()}
}

// idOf makes an ID for a test host.
func idOf(name string) kith.ID { return kith.ID(sha256.Sum256([]byte(name))) }

// name makes a host known, and returns its full name.
func (g *group) name(host string) string {
	name := kith.Name{Host: host, Group: "home"}.String()
	g.mu.Lock()
	defer g.mu.Unlock()
	g.names[idOf(name)] = name
	return name
}

// site has handler serve a port of host.
func (g *group) site(t testing.TB, host string, port int, handler http.Handler) *httptest.Server {
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	g.place(host, port, server.Listener.Addr())
	return server
}

// raw has serve speak on connections to a port of host.
func (g *group) raw(t testing.TB, host string, port int, serve func(net.Conn)) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	g.place(host, port, l.Addr())
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go serve(conn)
		}
	}()
}

// place says where a port of host is.
func (g *group) place(host string, port int, addr net.Addr) {
	name := g.name(host)
	g.mu.Lock()
	defer g.mu.Unlock()
	g.addrs[fmt.Sprintf("%s:%d", name, port)] = addr.String()
}

// broken has dials to host fail.
func (g *group) broken(host string, err error) {
	name := g.name(host)
	g.mu.Lock()
	defer g.mu.Unlock()
	g.errs[name] = err
}

func (g *group) autoconfig(context.Context) []byte { return g.mail }

func (g *group) resolve(name string) (kith.ID, error) {
	id := idOf(name)
	g.mu.Lock()
	defer g.mu.Unlock()
	if _, ok := g.names[id]; !ok {
		return kith.ID{}, fmt.Errorf("look up %s: %w", name, kith.NotFound)
	}
	return id, nil
}

func (g *group) dial(ctx context.Context, address kith.Address) (net.Conn, error) {
	addr, err := g.find(address)
	if err != nil {
		return nil, err
	}
	return new(net.Dialer).DialContext(ctx, "tcp", addr)
}

// find returns where an address is.
func (g *group) find(address kith.Address) (string, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.dials++
	id, err := kith.ParseID(strings.TrimSuffix(address.Host, ".kith.alt"))
	if err != nil {
		return "", fmt.Errorf("test group wants IDs: %w", err)
	}
	name, ok := g.names[id]
	if !ok {
		return "", fmt.Errorf("dial %s: %w", id.Short(), kith.NotMember)
	}
	if err := g.errs[name]; err != nil {
		return "", fmt.Errorf("dial %s: %w", name, err)
	}
	addr, ok := g.addrs[fmt.Sprintf("%s:%d", name, address.Port)]
	if !ok {
		return "", fmt.Errorf("dial %s: %w", name, kith.Refused)
	}
	return addr, nil
}

// A running gateway.
type running struct {
	*Gateway
	web, proxy         string // addresses
	webPort, proxyPort int
	stop               func() error // waits for Serve
}

func start(t testing.TB, g *group, dashboard http.Handler) *running {
	t.Helper()
	return startWith(t, g, dashboard, nil)
}

func startWith(t testing.TB, g *group, dashboard http.Handler, copies kith.Copies) *running {
	t.Helper()
	var listeners [2]net.Listener
	for i := range listeners {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		listeners[i] = l
	}
	r := &running{
		web: listeners[0].Addr().String(), webPort: listeners[0].Addr().(*net.TCPAddr).Port,
		proxy: listeners[1].Addr().String(), proxyPort: listeners[1].Addr().(*net.TCPAddr).Port,
	}
	r.Gateway = New(Config{
		Dial:         g.dial,
		ListenPacket: g.hub.Network(idOf("oak.home.kith.alt")).ListenPacket,
		Resolve:      g.resolve,
		Self:         func() kith.Name { return kith.Name{Host: "oak", Group: "home"} },
		Dashboard:    dashboard,
		Copies:       copies,
		Autoconfig:   g.autoconfig,
		HTTPPort:     func() int { return r.webPort },
		ProxyPort:    func() int { return r.proxyPort },
		Log:          slog.New(slog.DiscardHandler),
		Metrics:      new(kith.Metrics),
	})
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- r.Serve(ctx, listeners[0], listeners[1]) }()
	r.stop = sync.OnceValue(func() error {
		cancel()
		select {
		case err := <-served:
			return err
		case <-time.After(10 * time.Second):
			return errors.New("Serve does not return")
		}
	})
	t.Cleanup(func() {
		if err := r.stop(); err != nil {
			t.Error(err)
		}
	})
	return r
}

// origin is a site's origin at this gateway.
func (r *running) origin(host string) string {
	return fmt.Sprintf("http://%s--home.localhost:%d", host, r.webPort)
}

// client reaches the web gateway whatever the URL's host is, as browsers do
// for *.localhost. It follows no redirects.
func (r *running) client() *http.Client {
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "tcp", r.web)
	}}
	return &http.Client{Transport: transport, Timeout: 30 * time.Second,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

// header makes a header from names and values in turn.
func header(fields ...string) http.Header {
	h := make(http.Header)
	for i := 0; i+1 < len(fields); i += 2 {
		h.Add(fields[i], fields[i+1])
	}
	return h
}

func get(t testing.TB, client *http.Client, url string, fields ...string) *http.Response {
	t.Helper()
	request, err := http.NewRequest("GET", url, nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header = header(fields...)
	if host := request.Header.Get("Host"); host != "" {
		request.Host = host
	}
	response, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { response.Body.Close() })
	return response
}
