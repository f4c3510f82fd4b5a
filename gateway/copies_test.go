package gateway

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"kith.alt/kith"
)

// copyShelf is kith.Copies with copies of whole sites.
type copyShelf struct {
	mu      sync.Mutex
	copies  map[kith.ID]bool
	awake   map[kith.ID]bool
	visited []kith.ID
}

func newShelf(hosts ...string) *copyShelf {
	s := &copyShelf{copies: make(map[kith.ID]bool), awake: make(map[kith.ID]bool)}
	for _, host := range hosts {
		s.copies[idOf(host+".home.kith.alt")] = true
	}
	return s
}

func (s *copyShelf) Visited(host kith.ID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.visited = append(s.visited, host)
}

func (s *copyShelf) Copy(host kith.ID, path string) (http.Handler, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.copies[host] || !strings.HasPrefix(path, "/") {
		return nil, s.awake[host]
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Kith-Copy", "yes")
		fmt.Fprint(w, "copy of ", r.URL.Path, " with ", r.Header["Cookie"], " ", r.Context().Err())
	}), s.awake[host]
}

func (s *copyShelf) wake(host string, awake bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.awake[idOf(host+".home.kith.alt")] = awake
}

func TestCopies(t *testing.T) {
	g := newGroup()
	g.site(t, "maple", 80, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Kith-Copy", "pretended")
		io.WriteString(w, "the site itself")
	}))
	g.broken("asleep", kith.Unreachable)
	g.broken("dozing", context.DeadlineExceeded)
	g.broken("strict", kith.Denied)
	g.broken("bare", kith.Unreachable)
	g.name("quiet") // refuses
	shelf := newShelf("maple", "asleep", "dozing", "strict", "quiet")
	shelf.wake("maple", true)
	shelf.wake("asleep", true) // as far as is known
	r := startWith(t, g, nil, shelf)
	for _, test := range []struct {
		method, host string
		status       int
		says         string
	}{
		{"GET", "maple", 200, "the site itself"},
		{"GET", "asleep", 200, "copy of /a with [] <nil>"},
		{"HEAD", "asleep", 200, ""},
		{"GET", "dozing", 200, "copy of /a"},
		{"POST", "asleep", 503, "from a copy"},
		{"DELETE", "asleep", 503, "from a copy"},
		{"GET", "strict", 403, "does not let"},
		{"GET", "quiet", 502, "has no site"},
		{"GET", "bare", 503, "Try again when it is awake.\n"},
		{"POST", "bare", 503, "Try again when it is awake.\n"},
	} {
		for _, base := range []string{r.origin(test.host), "proxy"} {
			client := r.client()
			if base == "proxy" {
				client, base = r.proxyClient(), "http://"+test.host+".home.kith.alt"
			}
			request, _ := http.NewRequest(test.method, base+"/a", nil)
			request.Header.Set("Cookie", "kith_session=secret; theirs=1")
			response, err := client.Do(request)
			if err != nil {
				t.Fatal(err)
			}
			got := body(t, response)
			response.Body.Close()
			if response.StatusCode != test.status || !strings.Contains(got, test.says) {
				t.Errorf("%s %s: %d %q, want %d %q", test.method, base, response.StatusCode, got, test.status, test.says)
			}
			if copied := response.Header.Get("Kith-Copy") != ""; copied != (strings.HasPrefix(test.says, "copy") || test.method == "HEAD") {
				t.Errorf("%s %s: marked as a copy: %v", test.method, base, copied)
			}
		}
	}

	// Foreign pages get no further at a copy than at the site.
	if response := get(t, r.client(), r.origin("asleep")+"/a", "Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "no-cors", "Sec-Fetch-Dest", "image"); response.StatusCode != http.StatusForbidden {
		t.Errorf("a picture in a foreign page: %s", response.Status)
	}
	// A WebSocket has no copy.
	if response := get(t, r.client(), r.origin("asleep")+"/a", "Connection", "Upgrade", "Upgrade", "websocket"); response.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("a WebSocket: %s", response.Status)
	}
	// Nor has a tunnel: it does not come about.
	conn, err := net.Dial("tcp", r.proxy)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	io.WriteString(conn, "CONNECT asleep.home.kith.alt:80 HTTP/1.1\r\nHost: asleep.home.kith.alt:80\r\n\r\n")
	answer := make([]byte, 12)
	if _, err := io.ReadFull(conn, answer); err != nil || string(answer) != "HTTP/1.1 503" {
		t.Errorf("CONNECT: %q, %v", answer, err)
	}
}

// TestVisits has only pages that a person opens count as visits.
func TestVisits(t *testing.T) {
	g := newGroup()
	g.site(t, "maple", 80, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/missing" {
			http.NotFound(w, r)
		}
	}))
	g.broken("asleep", kith.Unreachable)
	shelf := newShelf("asleep")
	r := startWith(t, g, nil, shelf)
	navigation := []string{"Sec-Fetch-Site", "none", "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "document"}
	for _, test := range []struct {
		host, path string
		fields     []string
		want       bool
	}{
		{"maple", "/", navigation, true},
		{"maple", "/", []string{"Accept", "text/html,*/*"}, true}, // an old browser
		{"maple", "/", nil, false},                                // a program
		{"maple", "/a.css", []string{"Sec-Fetch-Site", "same-origin", "Sec-Fetch-Mode", "no-cors", "Sec-Fetch-Dest", "style"}, false},
		{"maple", "/missing", navigation, false},
		{"asleep", "/", navigation, false},
	} {
		shelf.visited = nil
		body(t, get(t, r.client(), r.origin(test.host)+test.path, test.fields...))
		if got := len(shelf.visited) == 1 && shelf.visited[0] == idOf("maple.home.kith.alt"); got != test.want {
			t.Errorf("%s%s %q: visits %v", test.host, test.path, test.fields, shelf.visited)
		}
	}
}

// TestSleepers has the parts of a page not wait, each for itself, for a host
// that did not answer, and the host asked again once it seems to be awake.
func TestSleepers(t *testing.T) {
	g := newGroup()
	g.broken("maple", kith.Unreachable)
	shelf := newShelf("maple")
	r := startWith(t, g, nil, shelf)
	for range 5 {
		body(t, get(t, r.client(), r.origin("maple")+"/"))
	}
	if g.dials != 1 {
		t.Errorf("a host that sleeps was dialled %d times", g.dials)
	}
	g.broken("maple", nil)
	g.site(t, "maple", 80, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "live") }))
	shelf.wake("maple", true)
	if got := body(t, get(t, r.client(), r.origin("maple")+"/")); got != "live" {
		t.Errorf("once it is awake: %q", got)
	}
}

// TestPatience has a copy answer soon for a host that seems to sleep and does
// not answer, and wait for one that is awake and slow.
func TestPatience(t *testing.T) {
	for _, awake := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			shelf := newShelf("maple")
			shelf.wake("maple", awake)
			id := idOf("maple.home.kith.alt")
			x := &exchange{Gateway: &Gateway{config: Config{Copies: shelf}}, site: site{id: id}, port: webPort}
			request, _ := http.NewRequest("GET", "http://maple/", nil)
			attempted, done := x.begin(request)
			defer done()
			time.Sleep(time.Minute)
			if ended := attempted.Context().Err() != nil; ended == awake {
				t.Errorf("awake %v: given up %v", awake, ended)
			}
			shelf.wake("maple", false) // it falls asleep while we wait
			time.Sleep(sleepPatience + time.Second)
			if cause := context.Cause(attempted.Context()); cause != errAsleep || !x.attempt.failed(cause) {
				t.Errorf("awake %v: later %v", awake, cause)
			}
			if x.attempt.succeed() == nil {
				t.Error("an answer that comes too late counts")
			}

			attempted, done = x.begin(request)
			if err := x.attempt.succeed(); err != nil {
				t.Error(err)
			}
			time.Sleep(time.Hour) // a long body
			if attempted.Context().Err() != nil {
				t.Error("a response is cut off")
			}
			done()

			shelf.wake("maple", false)
			x.asleep.add(id)
			if !x.asleep.recently(id) {
				t.Error("forgotten at once")
			}
			time.Sleep(sleepFor + time.Second)
			if x.asleep.recently(id) {
				t.Error("never asked again")
			}
		})
	}
}
