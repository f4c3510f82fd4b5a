package admin

import (
	"bufio"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// streamOf opens the stream of a page, as the browser of somebody who is
// signed in does.
func streamOf(t *testing.T, server *httptest.Server, c *client, path string) *http.Response {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), "GET", server.URL+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.AddCookie(&http.Cookie{Name: sessionCookie(r.URL.Host), Value: c.session})
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { res.Body.Close() })
	return res
}

func TestStreams(t *testing.T) {
	c := newClient(t, newFake(7))
	server := httptest.NewServer(c.admin)
	defer server.Close()
	defer server.CloseClientConnections()

	for path, want := range map[string][]string{
		"/events/home":          {"live-awake", "live-lead", "live-group", "live-sites", "live-happened"},
		"/events/members":       {"live-awake", "live-lead", "live-group", "live-revoked"},
		"/events/computer":      {"live-awake", "live-sockets", "live-listeners", "live-reach", "live-relaying"},
		"/events/member/linden": {"live-awake", "live-member"},
	} {
		res := streamOf(t, server, c, path)
		if got := res.Header.Get("Content-Type"); got != "text/event-stream" {
			t.Errorf("%s: %s", path, got)
		}
		lines := bufio.NewScanner(res.Body)
		lines.Buffer(nil, 1<<20)
		for _, id := range want {
			for lines.Scan() && !strings.HasPrefix(lines.Text(), "data: ") {
			}
			if !strings.Contains(lines.Text(), `"id":"`+id+`"`) {
				t.Errorf("%s: %.60q instead of %s", path, lines.Text(), id)
			}
		}
		res.Body.Close()
	}
	for _, path := range []string{"/events/nothing", "/events/member/nobody"} {
		if res := streamOf(t, server, c, path); res.StatusCode != http.StatusNotFound {
			t.Errorf("%s: %d", path, res.StatusCode)
		}
	}
}

func TestStreamsAreBounded(t *testing.T) {
	c := newClient(t, newFake(7))
	server := httptest.NewServer(c.admin)
	defer server.Close()
	defer server.CloseClientConnections()
	for range 16 {
		if res := streamOf(t, server, c, "/events/home"); res.StatusCode != http.StatusOK {
			t.Fatal(res.Status)
		}
	}
	if res := streamOf(t, server, c, "/events/home"); res.StatusCode != http.StatusServiceUnavailable || res.Header.Get("Retry-After") == "" {
		t.Error(res.Status)
	}
}
