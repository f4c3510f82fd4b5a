package gateway

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"kith.alt/kith"
)

func body(t testing.TB, r *http.Response) string {
	t.Helper()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// TestHosts has every form of Host go where it belongs.
func TestHosts(t *testing.T) {
	g := newGroup()
	echoHost := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, r.Host, r.RequestURI) })
	g.site(t, "maple", 80, echoHost)
	r := start(t, g, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "dashboard") }))
	id := idOf("maple.home.kith.alt").String()
	tests := []struct {
		host   string // PORT stands for the gateway's
		status int
		body   string
	}{
		{"localhost:PORT", 200, "dashboard"},
		{"LOCALHOST:PORT", 200, "dashboard"},
		{"maple--home.localhost:PORT", 200, "maple.home.kith.alt/a%2Fb?x=1;y"},
		{"Maple--Home.localhost:PORT", 200, "maple.home.kith.alt/a%2Fb?x=1;y"},
		{id + ".localhost:PORT", 200, id + ".kith.alt/a%2Fb?x=1;y"},
		{"elm--home.localhost:PORT", 404, "no host called elm"},
		{idOf("stranger").String() + ".localhost:PORT", 403, "same group"},

		{"localhost", 421, "Open http://localhost:PORT/ instead"},
		{"localhost:1", 421, "Open http://localhost:PORT/ instead"},
		{"localhost.:PORT", 421, ""},
		{"127.0.0.1:PORT", 421, "Open http://localhost:PORT/ instead"},
		{"[::1]:PORT", 421, ""},
		{"evil.example:PORT", 421, ""},
		{"maple.home.localhost:PORT", 421, ""},
		{"maple.localhost:PORT", 421, ""},
		{"--home.localhost:PORT", 421, ""},
		{"maple--.localhost:PORT", 421, ""},
		{"a--b--c.localhost:PORT", 421, ""},
		{"maple--home.localhost.:PORT", 421, ""},
		{"maple--home.localhost.evil.example:PORT", 421, ""},
		{"maple.home.kith.alt", 421, "Open http://maple--home.localhost:PORT/ instead"},
		{"maple.home.kith.alt:PORT", 421, "Open http://maple--home.localhost:PORT/ instead"},
		{"elm.home.kith.alt", 421, "Open http://localhost:PORT/ instead"},
	}
	for _, test := range tests {
		with := strings.NewReplacer("PORT", fmt.Sprint(r.webPort))
		response := get(t, r.client(), "http://x/a%2Fb?x=1;y", "Host", with.Replace(test.host))
		if got := body(t, response); response.StatusCode != test.status || !strings.Contains(got, with.Replace(test.body)) {
			t.Errorf("Host %s: %d %q, want %d %q", test.host, response.StatusCode, got, test.status, test.body)
		}
	}
}

func TestHostMissing(t *testing.T) {
	r := start(t, newGroup(), nil)
	for request, want := range map[string]string{
		"GET / HTTP/1.0\r\n\r\n":                                                                  "HTTP/1.0 421 ",
		"GET / HTTP/1.1\r\n\r\n":                                                                  "HTTP/1.1 400 ", // RFC 9112 3.2
		"OPTIONS * HTTP/1.1\r\nHost: evil.example\r\n\r\n":                                        "HTTP/1.1 421 ",
		"CONNECT evil.example:80 HTTP/1.1\r\nHost: localhost\r\n\r\n":                             "HTTP/1.1 421 ",
		fmt.Sprintf("GET http://evil.example/ HTTP/1.1\r\nHost: localhost:%d\r\n\r\n", r.webPort): "HTTP/1.1 421 ",
		fmt.Sprintf("CONNECT localhost:%d HTTP/1.1\r\nHost: x\r\n\r\n", r.webPort):                "HTTP/1.1 405 ",
	} {
		conn, err := net.Dial("tcp", r.web)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		io.WriteString(conn, request)
		line, err := bufio.NewReader(conn).ReadString('\n')
		if err != nil || !strings.HasPrefix(line, want) {
			t.Errorf("%q: %q, %v; want %q", request, line, err, want)
		}
	}
}

func TestErrorPages(t *testing.T) {
	g := newGroup()
	g.name("quiet")
	g.broken("asleep", kith.Unreachable)
	g.broken("slow", context.DeadlineExceeded)
	g.broken("strange", errors.New("<b>odd</b>"))
	g.broken("former", kith.NotMember)
	g.broken("strict", kith.Denied)
	g.raw(t, "rude", 80, func(c net.Conn) { c.Close() })
	r := start(t, g, nil)
	tests := []struct {
		host        string
		status      int
		text, proxy string
	}{
		{"nobody", 404, "no host called nobody", "destination_not_found"},
		{"quiet", 502, "quiet has no site", "connection_refused"},
		{"asleep", 503, "asleep is asleep or not connected", "destination_unavailable"},
		{"slow", 504, "slow did not answer in time", "connection_timeout"},
		{"strange", 502, "The connection to strange broke", "connection_terminated"},
		{"former", 403, "not, or no longer, in the same group", "http_request_denied"},
		{"strict", 403, "strict does not let this computer in", "http_request_denied"},
		{"rude", 502, "The connection to rude broke", "connection_terminated"},
	}
	home := fmt.Sprintf(`<a class="button" href="http://localhost:%d/">Open the dashboard</a>`, r.webPort)
	for _, test := range tests {
		for _, accept := range []string{"*/*", "text/html,*/*;q=0.8"} {
			response := get(t, r.client(), r.origin(test.host)+"/", "Accept", accept)
			got := body(t, response)
			html := strings.HasPrefix(response.Header.Get("Content-Type"), "text/html")
			if response.StatusCode != test.status || !strings.Contains(got, test.text) || html != strings.HasPrefix(accept, "text/html") ||
				response.Header.Get("Proxy-Status") != "kith; error="+test.proxy {
				t.Errorf("%s: %d %v\n%s", test.host, response.StatusCode, response.Header, got)
			}
			if strings.Contains(got, home) != html {
				t.Errorf("%s: no way home:\n%s", test.host, got)
			}
			if strings.Contains(got, "odd") || strings.Contains(got, "%s") {
				t.Errorf("%s: the page shows the inside:\n%s", test.host, got)
			}
		}
	}
}

// TestRequest is what a site sees of a browser's request.
func TestRequest(t *testing.T) {
	g := newGroup()
	seen := make(chan *http.Request, 1)
	g.site(t, "maple", 80, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { seen <- r }))
	r := start(t, g, nil)
	own := r.origin("maple")
	get(t, r.client(), own+"/p?q=%zz&a;b",
		"Cookie", "a=1; kith_session=secret; b=2", "Cookie", "kith_x=1",
		"Origin", own, "Referer", own+"/from?x", "Destination", own+"/to",
		"Connection", "X-Hop", "X-Hop", "1", "Proxy-Authorization", "Basic x", "Accept-Encoding", "br",
		"Forwarded", "for=1.2.3.4", "X-Forwarded-For", "1.2.3.4", "User-Agent", "test")
	got := <-seen
	want := header("Cookie", "a=1; b=2", "Origin", "http://maple.home.kith.alt", "Referer", "http://maple.home.kith.alt/from?x",
		"Destination", "http://maple.home.kith.alt/to", "Accept-Encoding", "br", "User-Agent", "test")
	if fmt.Sprint(got.Header) != fmt.Sprint(want) {
		t.Errorf("header is\n%v, want\n%v", got.Header, want)
	}
	if got.Host != "maple.home.kith.alt" || got.RequestURI != "/p?q=%zz&a;b" {
		t.Errorf("Host %q, URI %q", got.Host, got.RequestURI)
	}
	get(t, r.client(), own+"/", "Referer", own+".evil.example/")
	if got := (<-seen).Header.Get("Referer"); got != own+".evil.example/" {
		t.Errorf("foreign Referer became %q", got)
	}
}

func TestLocalLink(t *testing.T) {
	g := newGroup()
	g.name("oak")
	r := start(t, g, nil)
	long := strings.Repeat("a", 63)
	g.name(long)
	x := &exchange{Gateway: r.Gateway, site: site{"maple.home.kith.alt", idOf("maple.home.kith.alt")}}
	id := idOf("x").String()
	tests := [][2]string{ // PORT stands for the gateway's; "" stays as it is
		{"http://maple.home.kith.alt/a?b#c", "http://maple--home.localhost:PORT/a?b#c"},
		{"HTTP://Maple.Home.Kith.Alt", "http://maple--home.localhost:PORT"},
		{"//maple.home.kith.alt:80/%2e//x", "http://maple--home.localhost:PORT/%2e//x"},
		{"http://oak.home.kith.alt?x", "http://oak--home.localhost:PORT?x"},
		{"http://unknown.home.kith.alt/", "http://unknown--home.localhost:PORT/"},
		{"http://" + id + ".kith.alt/", "http://" + id + ".localhost:PORT/"},
		{"http://" + long + ".home.kith.alt/", "http://" + idOf(long+".home.kith.alt").String() + ".localhost:PORT/"},
		{"/relative", ""}, {"", ""}, {"x//y", ""}, {"http:/x", ""},
		{"https://maple.home.kith.alt/", ""},
		{"http://maple.home.kith.alt:3000/", ""},
		{"http://user@maple.home.kith.alt/", ""},
		{"http://kith.alt/", ""},
		{"http://maple.home.kith.alt.evil.example/", ""},
		{"http://example.org/?http://maple.home.kith.alt/", ""},
	}
	for _, test := range tests {
		want := strings.ReplaceAll(test[1], "PORT", fmt.Sprint(r.webPort))
		if want == "" {
			want = test[0]
		}
		if got := x.localLink(test[0]); got != want {
			t.Errorf("%s became %s, want %s", test[0], got, want)
		}
	}
	h := header("Refresh", "5; URL=http://maple.home.kith.alt/x", "Location", "//maple.home.kith.alt/y", "Alt-Svc", "h3=:1")
	x.local = true
	x.rewriteResponse(&http.Response{Header: h})
	want := header("Refresh", "5; URL="+r.origin("maple")+"/x", "Location", r.origin("maple")+"/y")
	if fmt.Sprint(h) != fmt.Sprint(want) {
		t.Errorf("response header is %v, want %v", h, want)
	}
}

func TestSiteURL(t *testing.T) {
	id := idOf("x")
	for want, name := range map[string]kith.Name{
		"http://maple--home.localhost:8080/":         {Host: "maple", Group: "home"},
		"http://" + id.String() + ".localhost:8080/": {Host: strings.Repeat("a", 40), Group: strings.Repeat("b", 40)},
	} {
		if got := SiteURL(name, id, 8080); got != want {
			t.Errorf("SiteURL(%v) = %s, want %s", name, got, want)
		}
	}
	if got := SiteURL(kith.Name{Host: "maple", Group: "home"}, id, 80); got != "http://maple--home.localhost/" {
		t.Errorf("on port 80: %s", got)
	}
}

// TestStreams: interim responses, trailers, events as they happen, ranges, and
// large bodies both ways, byte for byte.
func TestStreams(t *testing.T) {
	large := make([]byte, 9<<20+123)
	rand.NewChaCha8([32]byte{}).Read(large)
	proceed := make(chan bool)
	g := newGroup()
	mux := http.NewServeMux()
	mux.HandleFunc("/large", func(w http.ResponseWriter, r *http.Request) {
		http.ServeContent(w, r, "x.bin", time.Unix(1e9, 0), bytes.NewReader(large))
	})
	mux.HandleFunc("/echo", func(w http.ResponseWriter, r *http.Request) { io.Copy(w, r.Body) })
	mux.HandleFunc("/trailer", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Trailer", "X-Sum")
		io.WriteString(w, "body")
		w.Header().Set("X-Sum", "42")
	})
	mux.HandleFunc("/hint", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Link", "</x.css>; rel=preload")
		w.Header().Set("Set-Cookie", "a=1; Domain=localhost")
		w.WriteHeader(http.StatusEarlyHints)
	})
	mux.HandleFunc("/events", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		for range 3 {
			io.WriteString(w, "data: x\n\n")
			http.NewResponseController(w).Flush()
			<-proceed
		}
	})
	g.site(t, "maple", 80, mux)
	r := start(t, g, nil)
	client, own := r.client(), r.origin("maple")

	if got := body(t, get(t, client, own+"/large")); got != string(large) {
		t.Error("large download differs")
	}
	part := get(t, client, own+"/large", "Range", "bytes=1000-1999")
	if got := body(t, part); part.StatusCode != http.StatusPartialContent || got != string(large[1000:2000]) {
		t.Error("range differs")
	}
	post, err := client.Post(own+"/echo", "", bytes.NewReader(large))
	if err != nil {
		t.Fatal(err)
	}
	defer post.Body.Close()
	if got := body(t, post); got != string(large) {
		t.Error("large upload differs")
	}
	trailer := get(t, client, own+"/trailer")
	if body(t, trailer); trailer.Trailer.Get("X-Sum") != "42" {
		t.Errorf("trailer is %v", trailer.Trailer)
	}

	var hint textproto.MIMEHeader
	ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{
		Got1xxResponse: func(_ int, h textproto.MIMEHeader) error { hint = h; return nil }})
	request, _ := http.NewRequestWithContext(ctx, "GET", own+"/hint", nil)
	response, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	if hint.Get("Link") == "" || hint.Get("Set-Cookie") != "a=1" {
		t.Errorf("interim response has %v", hint)
	}

	events := get(t, client, own+"/events")
	lines := bufio.NewReader(events.Body)
	for range 3 {
		if line, err := lines.ReadString('\n'); err != nil || line != "data: x\n" {
			t.Fatalf("event %q, %v", line, err)
		}
		lines.ReadString('\n')
		proceed <- true
	}
}

func echoSocket(w http.ResponseWriter, r *http.Request) {
	conn, err := websocket.Accept(w, r, nil) // compares Origin with Host
	if err != nil {
		return
	}
	defer conn.CloseNow()
	for {
		kind, message, err := conn.Read(r.Context())
		if err != nil {
			return
		}
		conn.Write(r.Context(), kind, message)
	}
}

func echoOnce(ctx context.Context, conn *websocket.Conn) error {
	if err := conn.Write(ctx, websocket.MessageText, []byte("hello")); err != nil {
		return err
	}
	_, message, err := conn.Read(ctx)
	if err == nil && string(message) != "hello" {
		err = fmt.Errorf("echo is %q", message)
	}
	return err
}

func TestWebSocket(t *testing.T) {
	g := newGroup()
	g.site(t, "maple", 80, http.HandlerFunc(echoSocket))
	r := start(t, g, nil)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	for origin, ok := range map[string]bool{"": true, r.origin("maple"): true, r.origin("oak"): false, "https://evil.example": false, "null": false,
		fmt.Sprintf("http://localhost:%d", r.webPort): false} {
		h := make(http.Header)
		if origin != "" {
			h.Set("Origin", origin)
		}
		conn, _, err := websocket.Dial(ctx, r.origin("maple")+"/", &websocket.DialOptions{HTTPClient: r.client(), HTTPHeader: h})
		if (err == nil) != ok {
			t.Errorf("WebSocket of a page at %q: %v", origin, err)
		}
		if err == nil {
			if err := echoOnce(ctx, conn); err != nil {
				t.Error(err)
			}
			conn.CloseNow()
		}
	}
}

// TestPool has many requests share few connections.
func TestPool(t *testing.T) {
	g := newGroup()
	g.site(t, "maple", 80, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "x") }))
	r := start(t, g, nil)
	for range 20 {
		body(t, get(t, r.client(), r.origin("maple")+"/"))
	}
	if g.dials != 1 {
		t.Errorf("%d dials for requests one after another, want 1", g.dials)
	}
}

// TestStop: a request under way may finish, endless ones are ended, and Serve
// returns in time.
func TestStop(t *testing.T) {
	g := newGroup()
	entered, finish := make(chan bool), make(chan bool)
	g.site(t, "maple", 80, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/socket":
			echoSocket(w, r)
		case "/brief":
			entered <- true
			<-finish
			io.WriteString(w, "finished")
		case "/endless":
			http.NewResponseController(w).Flush()
			<-r.Context().Done()
		}
	}))
	r := start(t, g, nil)
	conn, _, err := websocket.Dial(t.Context(), r.origin("maple")+"/socket", &websocket.DialOptions{HTTPClient: r.client()})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.CloseNow()
	endless := get(t, r.client(), r.origin("maple")+"/endless")
	brief := make(chan string, 1)
	go func() {
		response, err := r.client().Get(r.origin("maple") + "/brief")
		if err != nil {
			brief <- err.Error()
			return
		}
		defer response.Body.Close()
		b, _ := io.ReadAll(response.Body)
		brief <- string(b)
	}()
	<-entered
	stopped := make(chan error, 1)
	began := time.Now()
	go func() { stopped <- r.stop() }()
	for refused := false; !refused; { // stopping has begun
		c, err := net.Dial("tcp", r.web)
		if refused = err != nil; !refused {
			c.Close()
		}
	}
	finish <- true
	if got := <-brief; got != "finished" {
		t.Errorf("request under way got %q", got)
	}
	if err := <-stopped; err != nil {
		t.Error(err)
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("Serve took %v to return", took)
	}
	if _, err := io.ReadAll(endless.Body); err == nil {
		t.Error("a response that was cut off looks complete")
	}
	if _, _, err := conn.Read(t.Context()); err == nil {
		t.Error("a WebSocket outlives Serve")
	}
}
