package web

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"kith.alt/kith"
)

// listenEcho runs a service that sends back what it got once its peer has
// finished, and returns its port.
func listenEcho(t testing.TB) int {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				all, err := io.ReadAll(conn)
				if err == nil {
					_, _ = conn.Write(append([]byte("got "), all...))
				}
			}()
		}
	}()
	return listener.Addr().(*net.TCPAddr).Port
}

// checkEcho speaks to listenEcho through an exposed port. It waits for the
// port to be open.
func checkEcho(t testing.TB, f *fixture, port uint16) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	conn, err := f.dial(ctx, port)
	for err != nil && ctx.Err() == nil {
		conn, err = f.dial(ctx, port)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, "all of it"); err != nil {
		t.Fatal(err)
	}
	if err := kith.CloseWrite(conn); err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(conn); err != nil || string(got) != "got all of it" {
		t.Errorf("through port %d: %q, %v", port, got, err)
	}
}

func TestExpose(t *testing.T) {
	f := start(t)
	port := listenEcho(t)
	if out := f.must(t, "", "expose", strconv.Itoa(port), "--to", "4000"); out != "maple.home.kith.alt:4000\n" {
		t.Errorf("expose prints %q", out)
	}
	checkEcho(t, f, 4000)

	// The same port for another service.
	other := listenEcho(t)
	f.must(t, "", "expose", strconv.Itoa(other), "--to", "4000")
	if out := f.must(t, "", "sites"); !strings.Contains(out, fmt.Sprintf("port %d of", other)) || strings.Contains(out, fmt.Sprintf("port %d of", port)) {
		t.Errorf("sites:\n%s", out)
	}
	checkEcho(t, f, 4000)

	conn, err := f.dial(t.Context(), 4000)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if out := f.must(t, "", "unexpose", "4000", "--json"); !strings.Contains(out, `"state": "closed"`) {
		t.Errorf("unexpose --json: %s", out)
	}
	_, _ = io.ReadAll(conn) // ends, one way or another
	if conn, err := f.dial(t.Context(), 4000); err == nil {
		conn.Close()
		t.Error("the port is still open")
	}
}

// TestServiceDown has a port that nothing answers on.
func TestServiceDown(t *testing.T) {
	f := start(t)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := listener.Addr().(*net.TCPAddr).Port
	listener.Close()
	_, notice, err := f.Run(t.Context(), "", "expose", strconv.Itoa(port), "--as", "wiki")
	if err != nil || !strings.Contains(notice, "nothing answers") {
		t.Errorf("expose: %q, %v", notice, err)
	}
	response, body := f.get(t, "/wiki/")
	if response.StatusCode != http.StatusBadGateway || !strings.Contains(body, strconv.Itoa(port)) {
		t.Errorf("its path: %s\n%s", response.Status, body)
	}
	conn, err := f.dial(t.Context(), uint16(port))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if got, err := io.ReadAll(conn); len(got) > 0 {
		t.Errorf("its port: %q, %v", got, err)
	}
}

func TestProxy(t *testing.T) {
	f := start(t)
	var seen *http.Request
	local := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen = r
		w.Header().Set("Location", "/login?next=%2F")
		w.Header().Add("Set-Cookie", "a=1; Path=/; HttpOnly")
		w.WriteHeader(http.StatusFound)
	}))
	defer local.Close()
	u, err := url.Parse(local.URL)
	if err != nil {
		t.Fatal(err)
	}
	if out := f.must(t, "", "expose", u.Port(), "--to", "4000", "--as", "wiki"); out != "maple.home.kith.alt:4000\nhttp://maple--home.localhost:8080/wiki/\n" {
		t.Errorf("expose prints %q", out)
	}
	response, _ := f.get(t, "/wiki/a%2Fb//c?q=1;2", "Kith-Peer", "forged", "Kith_Peer", "forged", "X-Forwarded-Prefix", "/forged", "X-Forwarded-For", "10.0.0.1")
	for what, pair := range map[string][2]string{
		"URI":                {seen.RequestURI, "/a%2Fb//c?q=1;2"},
		"Host":               {seen.Host, "maple.home.kith.alt"},
		"Kith-Peer":          {strings.Join(seen.Header["Kith-Peer"], ","), "oak"},
		"Kith_Peer":          {strings.Join(seen.Header[http.CanonicalHeaderKey("Kith_Peer")], ","), ""},
		"X-Forwarded-Host":   {seen.Header.Get("X-Forwarded-Host"), "maple.home.kith.alt"},
		"X-Forwarded-Proto":  {seen.Header.Get("X-Forwarded-Proto"), "http"},
		"X-Forwarded-Prefix": {seen.Header.Get("X-Forwarded-Prefix"), "/wiki"},
		"X-Forwarded-For":    {seen.Header.Get("X-Forwarded-For"), ""},
		"Location":           {response.Header.Get("Location"), "/wiki/login?next=%2F"},
		"Set-Cookie":         {response.Header.Get("Set-Cookie"), "a=1; Path=/wiki/; HttpOnly"},
	} {
		if pair[0] != pair[1] {
			t.Errorf("%s is %q, want %q", what, pair[0], pair[1])
		}
	}
	if response, _ := f.get(t, "/wiki?x"); response.Header.Get("Location") != "/wiki/?x" {
		t.Errorf("without the slash: %s %s", response.Status, response.Header.Get("Location"))
	}
}

func TestWebSocket(t *testing.T) {
	f := start(t)
	local := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ws, err := websocket.Accept(w, r, nil) // compares Origin and Host
		if err != nil {
			return
		}
		defer ws.CloseNow()
		for {
			kind, message, err := ws.Read(r.Context())
			if err != nil {
				return
			}
			if err := ws.Write(r.Context(), kind, message); err != nil {
				return
			}
		}
	}))
	defer local.Close()
	u, err := url.Parse(local.URL)
	if err != nil {
		t.Fatal(err)
	}
	f.must(t, "", "expose", u.Port(), "--to", "4000", "--as", "live")
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	ws, _, err := websocket.Dial(ctx, "ws://maple.home.kith.alt/live/socket", &websocket.DialOptions{
		HTTPClient: f.client, HTTPHeader: http.Header{"Origin": {"http://maple.home.kith.alt"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer ws.CloseNow()
	for i := range 3 {
		want := strings.Repeat(fmt.Sprint(i), 5000)
		if err := ws.Write(ctx, websocket.MessageText, []byte(want)); err != nil {
			t.Fatal(err)
		}
		if _, got, err := ws.Read(ctx); err != nil || string(got) != want {
			t.Fatalf("echo %d: %d bytes, %v", i, len(got), err)
		}
	}
	f.stop() // ends it, in bounded time
	if _, _, err := ws.Read(ctx); err == nil || ctx.Err() != nil {
		t.Errorf("after the end: %v, %v", err, ctx.Err())
	}
}

func TestUnderPrefix(t *testing.T) {
	for reference, want := range map[string]string{
		"/":                                "/wiki/",
		"/a/b?c#d":                         "/wiki/a/b?c#d",
		"/wiki":                            "/wiki",
		"/wiki/a":                          "/wiki/a",
		"/wikipedia":                       "/wiki/wikipedia",
		"/a%2Fb":                           "/wiki/a%2Fb",
		"a/b":                              "a/b",
		"../b":                             "../b",
		"?q":                               "?q",
		"":                                 "",
		"http://127.0.0.1:3000/a":          "/wiki/a",
		"http://localhost:3000":            "/wiki/",
		"http://[::1]:3000/a?b":            "/wiki/a?b",
		"http://maple.home.kith.alt/a":     "/wiki/a",
		"//maple.home.kith.alt/a":          "/wiki/a",
		"http://oak.home.kith.alt/a":       "http://oak.home.kith.alt/a",
		"https://maple.home.kith.alt/a":    "https://maple.home.kith.alt/a",
		"http://localhost:3001/a":          "http://localhost:3001/a",
		"mailto:ada@maple.home.kith.alt":   "mailto:ada@maple.home.kith.alt",
		"http://maple.home.kith.alt/wiki/": "/wiki/",
		"http://ada@maple.home.kith.alt/a": "/wiki/a",
		"//@/":                             "//@/",
		"http:///a":                        "http:///a",
		"%2fa":                             "%2fa",
		"http:/a":                          "http:/a",
		"///a":                             "/wiki///a",
		":broken":                          ":broken",
	} {
		if got := underPrefix(reference, "/wiki", "maple.home.kith.alt", "127.0.0.1:3000"); got != want {
			t.Errorf("%q becomes %q, want %q", reference, got, want)
		}
	}
	for line, want := range map[string]string{
		"a=b":                                "a=b",
		"a=b; path=/":                        "a=b; Path=/wiki/",
		"a=b;Path=/x;Secure":                 "a=b; Path=/wiki/x;Secure",
		"a=b; Path=/wiki":                    "a=b; Path=/wiki",
		"a=b; Path=/wikis":                   "a=b; Path=/wiki/wikis",
		"a=b; Path":                          "a=b; Path",
		`a="/; Path=/"; Max-Age=1; Path = /`: `a="/; Path=/wiki/"; Max-Age=1; Path=/wiki/`,
		"__Host-a=b; Path=/; Secure":         "__Host-a=b; Path=/; Secure",
	} {
		if got := cookieUnderPrefix(line, "/wiki"); got != want {
			t.Errorf("%q becomes %q, want %q", line, got, want)
		}
	}
}

// FuzzUnderPrefix has a service that redirects anywhere: what is put below the
// prefix is below it, and the rest stays as it was.
func FuzzUnderPrefix(f *testing.F) {
	for _, seed := range []string{"/", "/a?b#c", "//maple.home.kith.alt/x", "http://127.0.0.1:3000", "//evil.example/", "/wiki/..", "a:b", "%", "/%2f/x", "//@/", "http:/a", "%2f"} {
		f.Add(seed, seed)
	}
	f.Fuzz(func(t *testing.T, reference, cookie string) {
		got := underPrefix(reference, "/wiki", "maple.home.kith.alt", "127.0.0.1:3000")
		if got != reference && got != "/wiki" && !strings.HasPrefix(got, "/wiki/") && !strings.HasPrefix(got, "/wiki?") && !strings.HasPrefix(got, "/wiki#") {
			t.Errorf("%q becomes %q", reference, got)
		}
		line := cookieUnderPrefix(cookie, "/wiki")
		if name, _, _ := strings.Cut(cookie, ";"); !strings.HasPrefix(line, name) || strings.Count(line, ";") != strings.Count(cookie, ";") {
			t.Errorf("%q becomes %q", cookie, line)
		}
	})
}

// TestSitesProbe has kith sites tell whether the service answers now, not
// when it was last used.
func TestSitesProbe(t *testing.T) {
	f := start(t)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	f.must(t, "", "expose", strconv.Itoa(listener.Addr().(*net.TCPAddr).Port), "--to", "4000")
	const silent = "open, but nothing answers"
	if out := f.must(t, "", "sites"); strings.Contains(out, silent) {
		t.Errorf("with the service:\n%s", out)
	}
	listener.Close()
	if out := f.must(t, "", "sites"); !strings.Contains(out, silent) {
		t.Errorf("without the service:\n%s", out)
	}
}
