package gateway

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"kith.alt/kith"
	"kith.alt/kith/proto/socks"
)

// proxyClient sends absolute-form requests to the proxy.
func (r *running) proxyClient() *http.Client {
	client := r.client()
	client.Transport = &http.Transport{Proxy: http.ProxyURL(&url.URL{Scheme: "http", Host: r.proxy})}
	return client
}

// socks opens a connection through SOCKS, with kith.alt name or IP as host.
func (r *running) socks(t testing.TB, host string, port uint16) (*net.TCPConn, error) {
	t.Helper()
	conn, err := net.Dial("tcp", r.proxy)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(30 * time.Second))
	request := socks.Request{Command: socks.CommandConnect, Name: host, Port: port}
	if ip, err := netip.ParseAddr(host); err == nil {
		request.Name, request.IP = "", ip
	}
	return conn.(*net.TCPConn), socks.Connect(conn, request)
}

// connect opens a connection through CONNECT; early is sent with the request.
func (r *running) connect(t testing.TB, hostPort, early string) (*net.TCPConn, *bufio.Reader, *http.Response) {
	t.Helper()
	conn, err := net.Dial("tcp", r.proxy)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(30 * time.Second))
	fmt.Fprintf(conn, "CONNECT %s HTTP/1.1\r\nHost: %s\r\n\r\n%s", hostPort, hostPort, early)
	reader := bufio.NewReader(conn)
	response, err := http.ReadResponse(reader, &http.Request{Method: "CONNECT"})
	if err != nil {
		t.Fatal(err)
	}
	return conn.(*net.TCPConn), reader, response
}

// sum reads to the end, then answers how much it was: it needs half-close.
func sum(conn net.Conn) {
	defer conn.Close()
	n, err := io.Copy(io.Discard, conn)
	if err == nil {
		fmt.Fprintf(conn, "%d bytes", n)
	}
}

func TestSOCKSVerdicts(t *testing.T) {
	g := newGroup()
	g.raw(t, "maple", 7, sum)
	g.broken("asleep", kith.Unreachable)
	g.broken("former", kith.NotMember)
	g.broken("strict", kith.Denied)
	g.broken("slow", context.DeadlineExceeded)
	g.broken("strange", errors.New("odd"))
	r := start(t, g, nil)
	for _, test := range []struct {
		host   string
		port   uint16
		reply  socks.Reply
		status int // of CONNECT
	}{
		{"maple.home.kith.alt", 7, socks.Succeeded, 200},
		{"maple", 7, socks.Succeeded, 200},
		{idOf("maple.home.kith.alt").String() + ".kith.alt", 7, socks.Succeeded, 200},
		{"maple", 8, socks.ConnectionRefused, 502},
		{"maple", 80, socks.ConnectionRefused, 502},
		{"maple", 0, socks.NotAllowed, 404},
		{"nobody", 7, socks.HostUnreachable, 404},
		{"asleep", 7, socks.HostUnreachable, 503},
		{"asleep", 80, socks.HostUnreachable, 503},
		{"former", 7, socks.NotAllowed, 403},
		{"strict", 7, socks.NotAllowed, 403},
		{"slow", 7, socks.TTLExpired, 504},
		{"strange", 7, socks.GeneralFailure, 502},
		{"localhost", 7, socks.NotAllowed, 403},
		{"example.org", 80, socks.NotAllowed, 403},
		{"127.0.0.1", 80, socks.NotAllowed, 403},
		{"::1", 80, socks.NotAllowed, 403},
		{"0x7f000001", 80, socks.NotAllowed, 403},
		{"2130706433", 80, socks.NotAllowed, 403},
	} {
		_, err := r.socks(t, test.host, test.port)
		reply := socks.Succeeded
		if errors.As(err, &reply); reply != test.reply || (err == nil) != (test.reply == socks.Succeeded) {
			t.Errorf("SOCKS to %s port %d: %v, want %v", test.host, test.port, err, test.reply)
		}
		if _, _, response := r.connect(t, net.JoinHostPort(test.host, fmt.Sprint(test.port)), ""); response.StatusCode != test.status {
			t.Errorf("CONNECT to %s port %d: %d, want %d", test.host, test.port, response.StatusCode, test.status)
		}
	}
}

// TestFirstBytes has odd clients turned away.
func TestFirstBytes(t *testing.T) {
	r := start(t, newGroup(), nil)
	for in, want := range map[string]string{
		"\x04\x01\x00\x50\x7f\x00\x00\x01\x00":                         "",                                                 // SOCKS 4
		"\x16\x03\x01":                                                 "",                                                 // TLS
		"get / HTTP/1.1\r\n\r\n":                                       "",                                                 // not a method
		"\x05\x01\x02":                                                 "\x05\xff",                                         // a password or nothing
		"\x05\x01\x00\x05\x02\x00\x03\x05maple\x00\x07":                "\x05\x00\x05\x07\x00\x01\x00\x00\x00\x00\x00\x00", // BIND
		"\x05\x01\x00\x05\x03\x00\x01\x00\x00\x00\x00\x00\x00":         "\x05\x00\x05\x00\x00\x01\x7f\x00\x00\x01",         // UDP
		"\x05\x01\x00\x05\x01\x00\x09":                                 "\x05\x00\x05\x08\x00\x01\x00\x00\x00\x00\x00\x00", // an address of no type
		"CONNECT maple HTTP/1.1\r\nHost: x\r\n\r\n":                    "HTTP/1.1 400 ",
		"GET https://maple.home.kith.alt/ HTTP/1.1\r\nHost: x\r\n\r\n": "HTTP/1.1 400 ",
		"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n":                    "HTTP/1.1 421 ",
		"GET http://127.0.0.1/ HTTP/1.1\r\nHost: x\r\n\r\n":            "HTTP/1.1 403 ",
		"GET http://localhost/ HTTP/1.1\r\nHost: x\r\n\r\n":            "HTTP/1.1 403 ",
	} {
		conn, err := net.Dial("tcp", r.proxy)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		conn.SetDeadline(time.Now().Add(30 * time.Second))
		io.WriteString(conn, in)
		conn.(*net.TCPConn).CloseWrite()
		if got, _ := io.ReadAll(conn); !strings.HasPrefix(string(got), want) || want == "" && len(got) > 0 {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

func TestTunnelHalfClose(t *testing.T) {
	g := newGroup()
	g.raw(t, "maple", 7, sum)
	r := start(t, g, nil)
	data := make([]byte, 3<<20)
	finish := func(name string, conn *net.TCPConn, from io.Reader, want int) {
		t.Helper()
		if _, err := conn.Write(data); err != nil {
			t.Fatal(err)
		}
		conn.CloseWrite()
		if got, err := io.ReadAll(from); err != nil || string(got) != fmt.Sprint(want, " bytes") {
			t.Errorf("%s: %q, %v; want %d bytes", name, got, err, want)
		}
	}
	conn, err := r.socks(t, "maple", 7)
	if err != nil {
		t.Fatal(err)
	}
	finish("SOCKS", conn, conn, len(data))
	conn, reader, _ := r.connect(t, "maple:7", "early")
	finish("CONNECT", conn, reader, len(data)+5)
}

// TestTunnelBytes: the far side speaks first and much, byte for byte; and what
// breaks off does not look complete.
func TestTunnelBytes(t *testing.T) {
	large := make([]byte, 9<<20+7)
	rand.NewChaCha8([32]byte{}).Read(large)
	g := newGroup()
	g.raw(t, "maple", 22, func(c net.Conn) { c.Write(large); c.Close() })
	g.raw(t, "maple", 23, func(c net.Conn) {
		c.Write(large[:1000])
		c.(*net.TCPConn).SetLinger(0)
		c.Read(make([]byte, 1)) // until the client has read
		c.Close()
	})
	r := start(t, g, nil)
	conn, err := r.socks(t, "maple", 22)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(conn); err != nil || !bytes.Equal(got, large) {
		t.Errorf("%d bytes, %v; want the %d that were sent", len(got), err, len(large))
	}
	conn, err = r.socks(t, "maple", 23)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(conn, make([]byte, 1000)); err != nil {
		t.Fatal(err)
	}
	conn.Write([]byte("x"))
	if _, err := io.ReadAll(conn); err == nil {
		t.Error("a stream that was reset ends as if it were complete")
	}
}

// TestTunnelWeb: port 80 through a tunnel is HTTP under the proxy's rules.
func TestTunnelWeb(t *testing.T) {
	g := newGroup()
	g.site(t, "maple", 80, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Upgrade") != "" {
			echoSocket(w, r)
			return
		}
		fmt.Fprint(w, r.Host)
	}))
	r := start(t, g, nil)
	var hop string // what the tunnels are made with
	client := &http.Client{Transport: &http.Transport{DialContext: func(_ context.Context, _, addr string) (net.Conn, error) {
		if hop == "connect" {
			conn, _, response := r.connect(t, "maple:80", "")
			if response.StatusCode != 200 {
				return nil, errors.New(response.Status)
			}
			return conn, nil
		}
		return r.socks(t, "maple", 80)
	}}}
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	for _, hop = range []string{"socks", "connect"} {
		for _, test := range []struct {
			host   string
			fields []string
			status int
		}{
			{"maple.home.kith.alt", nil, 200},
			{"maple", nil, 200},
			{"maple", []string{"Origin", "https://evil.example"}, 403},
			{"maple", []string{"Sec-Fetch-Site", "cross-site"}, 403},
			{"oak.home.kith.alt", nil, 421},
			{"maple:81", nil, 421},
			{"example.org", nil, 421},
			{"maple.home.kith.alt", []string{"User-Agent", "Mozilla/5.0"}, 307},
		} {
			response := get(t, client, "http://"+test.host+"/", test.fields...)
			if got := body(t, response); response.StatusCode != test.status || test.status == 200 && got != "maple.home.kith.alt" {
				t.Errorf("%s: Host %s %v: %d %q, want %d", hop, test.host, test.fields, response.StatusCode, got, test.status)
			}
		}
		client.CloseIdleConnections()
		for origin, ok := range map[string]bool{"": true, "http://maple.home.kith.alt": true, r.origin("maple"): true, "https://evil.example": false} {
			h := make(http.Header)
			if origin != "" {
				h.Set("Origin", origin)
			}
			conn, _, err := websocket.Dial(t.Context(), "ws://maple.home.kith.alt/", &websocket.DialOptions{HTTPClient: client, HTTPHeader: h})
			if (err == nil) != ok {
				t.Errorf("%s: WebSocket of a page at %q: %v", hop, origin, err)
			}
			if err == nil {
				if err := echoOnce(t.Context(), conn); err != nil {
					t.Error(err)
				}
				conn.CloseNow()
			}
		}
	}
}

func TestAbsoluteForm(t *testing.T) {
	g := newGroup()
	site := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.SetCookie(w, &http.Cookie{Name: "a", Value: "1", Domain: "home.kith.alt", Secure: true})
		w.Header().Set("Location", "http://maple.home.kith.alt/x")
		fmt.Fprint(w, r.Host, r.RequestURI, r.Header["Cookie"], r.Header["Proxy-Connection"])
	})
	g.site(t, "maple", 80, site)
	g.site(t, "maple", 3000, site)
	r := start(t, g, nil)
	client := r.proxyClient()
	for _, test := range []struct {
		url    string
		fields []string
		status int
		want   string // body, or Location
	}{
		{"http://maple.home.kith.alt/a?b", []string{"Cookie", "kith_s=1; c=2", "Proxy-Connection", "keep-alive"}, 200, "maple.home.kith.alt/a?b[c=2] []"},
		{"http://maple/a", nil, 200, "maple.home.kith.alt/a[] []"},
		{"http://maple:3000/a", []string{"User-Agent", "Mozilla/5.0"}, 200, "maple.home.kith.alt:3000/a[] []"},
		{"http://nobody/a", nil, 404, ""},
		{"http://maple:4000/", nil, 502, "Nothing answers on port 4000 of maple: maple is awake; its owner can start the program.\n"},
		{"http://example.org/", nil, 403, "Not in this group: This proxy leads to the members of your group only, and example.org is not one. " +
			"Turn it off for other addresses, or use the PAC file.\n"},
		{"http://maple.home.kith.alt/a?b", []string{"Sec-Fetch-Mode", "navigate", "Sec-Fetch-Site", "none"}, 307, r.origin("maple") + "/a?b"},
		{"http://maple/%2F?", []string{"User-Agent", "Mozilla/5.0 (X11)"}, 307, r.origin("maple") + "/%2F?"},
		{"http://maple/a", []string{"User-Agent", "Mozilla/5.0", "Sec-Fetch-Mode", "cors", "Sec-Fetch-Site", "same-origin"}, 200, "maple.home.kith.alt/a[] []"},
	} {
		response := get(t, client, test.url, test.fields...)
		got := body(t, response)
		if test.status == 307 {
			got = response.Header.Get("Location")
		}
		if response.StatusCode != test.status || test.want != "" && got != test.want {
			t.Errorf("%s %v: %d %q, want %d %q", test.url, test.fields, response.StatusCode, got, test.status, test.want)
		}
		if test.status == 200 {
			if c, l := response.Header.Get("Set-Cookie"), response.Header.Get("Location"); c != "a=1; Secure" || l != "http://maple.home.kith.alt/x" {
				t.Errorf("%s: Set-Cookie %q, Location %q", test.url, c, l)
			}
		}
	}
	post, err := client.Post("http://maple/form", "text/plain", strings.NewReader("x"))
	if err != nil || post.StatusCode != 200 {
		t.Errorf("POST through the proxy: %v, %v", post, err)
	}
}

func TestPAC(t *testing.T) {
	r := start(t, newGroup(), nil)
	for _, from := range []string{
		fmt.Sprintf("http://localhost:%d/proxy.pac", r.proxyPort),
		fmt.Sprintf("http://127.0.0.1:%d/proxy.pac", r.proxyPort),
		fmt.Sprintf("http://localhost:%d/proxy.pac", r.webPort),
	} {
		response := get(t, http.DefaultClient, from)
		got := body(t, response)
		if response.Header.Get("Content-Type") != "application/x-ns-proxy-autoconfig" ||
			!strings.Contains(got, fmt.Sprintf(`"PROXY 127.0.0.1:%d; SOCKS5 127.0.0.1:%[1]d"`, r.proxyPort)) ||
			!strings.Contains(got, fmt.Sprintf(`"PROXY 127.0.0.1:%d"`, r.webPort)) {
			t.Errorf("%s: %v\n%s", from, response.Header, got)
		}
	}
	for from, status := range map[string]int{
		fmt.Sprintf("http://127.0.0.1:%d/", r.proxyPort):        421,
		fmt.Sprintf("http://127.0.0.1:%d/proxy.pac", r.webPort): 421,
	} {
		if response := get(t, http.DefaultClient, from); response.StatusCode != status {
			t.Errorf("%s: %d, want %d", from, response.StatusCode, status)
		}
	}
}

// TestProxyStop: tunnels and half-finished handshakes end with Serve.
func TestProxyStop(t *testing.T) {
	g := newGroup()
	g.raw(t, "maple", 22, func(c net.Conn) { io.Copy(c, c) })
	g.site(t, "maple", 80, http.NotFoundHandler())
	r := start(t, g, nil)
	tunnel, err := r.socks(t, "maple", 22)
	if err != nil {
		t.Fatal(err)
	}
	web, err := r.socks(t, "maple", 80)
	if err != nil {
		t.Fatal(err)
	}
	half, err := net.Dial("tcp", r.proxy)
	if err != nil {
		t.Fatal(err)
	}
	defer half.Close()
	half.Write([]byte{5, 1})
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	for name, conn := range map[string]net.Conn{"tunnel": tunnel, "tunnel to a site": web, "handshake": half} {
		conn.SetDeadline(time.Now().Add(10 * time.Second))
		var timeout net.Error
		if _, err := conn.Read(make([]byte, 1)); err == nil || errors.As(err, &timeout) && timeout.Timeout() {
			t.Errorf("%s outlives Serve: %v", name, err)
		}
	}
}

// TestAutoconfig has a mail program look for the settings of addresses of oak, which
// is this host, and of maple.
func TestAutoconfig(t *testing.T) {
	for _, mail := range []string{"<clientConfig/>", ""} {
		g := newGroup()
		if mail != "" {
			g.mail = []byte(mail)
		}
		for _, host := range []string{"oak", "maple"} {
			site := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "the site of "+host) })
			g.site(t, host, 80, site)
			g.site(t, host, 3000, site)
		}
		r := start(t, g, nil)
		oak := cmp.Or(mail, "the site of oak")
		for url, want := range map[string]string{
			"http://oak.home.kith.alt/.well-known/autoconfig/mail/config-v1.1.xml?emailaddress=ann%40oak.home.kith.alt": oak,
			"http://oak.home.kith.alt/mail/config-v1.1.xml":                                                             oak,
			"http://oak.home.kith.alt/mail/":                                                                            "the site of oak",
			"http://oak.home.kith.alt:3000/mail/config-v1.1.xml":                                                        "the site of oak",
			"http://maple.home.kith.alt/.well-known/autoconfig/mail/config-v1.1.xml":                                    "the site of maple",
		} {
			answer, err := r.proxyClient().Get(url)
			if err != nil {
				t.Fatal(err)
			}
			body, err := io.ReadAll(answer.Body)
			answer.Body.Close()
			if err != nil || string(body) != want || answer.StatusCode != http.StatusOK {
				t.Errorf("%s: %d %q, %v; want %q", url, answer.StatusCode, body, err, want)
			}
		}
		answer, err := r.client().Get(r.origin("oak") + "/mail/config-v1.1.xml") // where Thunderbird is redirected to
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(answer.Body)
		answer.Body.Close()
		if err != nil || string(body) != oak {
			t.Errorf("web gateway: %q, %v", body, err)
		}
	}
}
