package torrent

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"kith.alt/kith/proto/bittorrent"
)

// query is a request to the tracker.
func query(infoHash [20]byte, port, left int, event string) string {
	return url.Values{"info_hash": {string(infoHash[:])}, "peer_id": {string(callerID[:])}, "port": {fmt.Sprint(port)}, "left": {fmt.Sprint(left)}, "event": {event}}.Encode()
}

// get asks the tracker.
func get(t *testing.T, address net.Addr, path string, change func(*http.Request)) (int, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+address.String()+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	if change != nil {
		change(r)
	}
	response, err := new(http.Transport).RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(body)
}

func TestTracker(t *testing.T) {
	s := seedOf(t, someFiles(), nil)
	_, address := serve(t, s)
	here := addressOf(address)
	answer := func(seeds, takers int) string {
		return string(bittorrent.AppendAnswer(nil, interval, bittorrent.Swarm{Seeds: seeds, Takers: takers}, []netip.AddrPort{here}))
	}
	hashes := s.d.InfoHashes()
	for i, test := range []struct {
		infoHash [20]byte
		port     int
		left     int
		event    string
		want     string
	}{
		{hashes[1], 1001, 7, "started", answer(1, 1)},
		{hashes[0], 1001, 7, "started", answer(1, 1)}, // the same client under the other name
		{hashes[2], 1002, 7, "started", answer(1, 2)},
		{hashes[1], 1001, 0, "completed", answer(2, 1)},
		{hashes[1], 1002, 3, "stopped", answer(2, 0)},
		{[20]byte{1}, 1002, 3, "started", "d14:failure reason69:This host shares no torrent 0100000000000000000000000000000000000000.e"},
	} {
		if status, body := get(t, address, announcePath+"?"+query(test.infoHash, test.port, test.left, test.event), nil); status != http.StatusOK || body != test.want {
			t.Errorf("%d: %d, %q, want %q", i, status, body, test.want)
		}
	}
	scrape := url.Values{"info_hash": {string(hashes[0][:]), string(hashes[1][:]), strings.Repeat("x", 20)}}
	sorted := [][20]byte{hashes[0], hashes[1]}
	slices.SortFunc(sorted, func(a, b [20]byte) int { return bytes.Compare(a[:], b[:]) })
	counted := bittorrent.Swarm{Seeds: 2, Completed: 1}
	want := string(bittorrent.AppendScrape(nil, sorted, []bittorrent.Swarm{counted, counted}))
	if status, body := get(t, address, scrapePath+"?"+scrape.Encode(), nil); status != http.StatusOK || body != want {
		t.Errorf("scrape: %d, %q, want %q", status, body, want)
	}
}

func TestTrackerRefuses(t *testing.T) {
	s := seedOf(t, someFiles(), nil)
	server, address := serve(t, s)
	path := announcePath + "?" + query(s.d.IDv1(), 1001, 0, "started")
	for title, test := range map[string]struct {
		path   string
		change func(*http.Request)
		status int
	}{
		"another page":   {"/", nil, http.StatusNotFound},
		"another method": {path, func(r *http.Request) { r.Method = http.MethodPost }, http.StatusMethodNotAllowed},
		"another name":   {path, func(r *http.Request) { r.Host = "evil.example:6881" }, http.StatusMisdirectedRequest},
		"a page's image": {path, func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "cross-site") }, http.StatusForbidden},
		"a page's fetch": {path, func(r *http.Request) { r.Header.Set("Origin", "http://evil.example") }, http.StatusForbidden},
		"localhost":      {path, func(r *http.Request) { r.Host = "localhost" }, http.StatusOK},
		"no name at all": {announcePath, nil, http.StatusOK}, // with a reason
	} {
		if status, body := get(t, address, test.path, test.change); status != test.status {
			t.Errorf("%s: %d, %q", title, status, body)
		}
	}
	for _, text := range []string{"GET /announce\r\n\r\n", "nonsense\r\n", "GET / HTTP/1.1\r\nHost: localhost\r\nX: " + strings.Repeat("x", 2*maxHeader) + "\r\n\r\n"} {
		conn, err := net.Dial("tcp", address.String())
		if err != nil {
			t.Fatal(err)
		}
		conn.Write([]byte(text))
		if answer, _ := io.ReadAll(conn); len(answer) > 0 {
			t.Errorf("%.20q is answered with %q", text, answer)
		}
		conn.Close()
	}
	await(t, func() bool { return server.metrics.refused.Value() >= 3 })
}

func TestTrackerForgets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr := newTracker()
		id := audience{content: [32]byte{1}}
		a, b := netip.MustParseAddrPort("192.0.2.1:1"), netip.MustParseAddrPort("192.0.2.2:2")
		if others := tr.announce(id, a, bittorrent.Announce{Left: 1}, time.Now()); len(others) > 0 {
			t.Errorf("others: %v", others)
		}
		time.Sleep(interval)
		if others := tr.announce(id, b, bittorrent.Announce{}, time.Now()); !slices.Equal(others, []netip.AddrPort{a}) {
			t.Errorf("others: %v", others)
		}
		time.Sleep(expire - time.Second)
		if others := tr.announce(audience{content: [32]byte{2}}, b, bittorrent.Announce{}, time.Now()); len(others) > 0 {
			t.Errorf("others: %v", others)
		}
		if got, want := tr.swarm(id, true), (bittorrent.Swarm{Seeds: 2}); got != want {
			t.Errorf("%+v, want %+v", got, want)
		}
		for i := range maxClients + 10 {
			tr.announce(id, netip.AddrPortFrom(a.Addr(), uint16(i+1)), bittorrent.Announce{Left: 1}, time.Now())
		}
		if got := tr.swarm(id, false); got.Takers != maxClients {
			t.Errorf("%+v", got)
		}
		time.Sleep(expire + time.Second)
		tr.announce(audience{content: [32]byte{3}}, a, bittorrent.Announce{Event: bittorrent.EventStopped}, time.Now())
		if len(tr.clients) > 0 {
			t.Errorf("kept: %v", tr.clients)
		}
	})
}

// A client that has what is lacking, and does not come, is dialled.
func TestVisit(t *testing.T) {
	t.Parallel()
	files := someFiles()
	d, sums, _ := files.describe(t, "oak", false)
	s, _ := newShare(t, d)
	s.fill(t, sums, files, func(int) bool { return false })
	_, address := serve(t, s)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	mistaken := d.InfoHashes()[2] // clients are asked by the name that they use
	get(t, address, announcePath+"?"+query(mistaken, ln.Addr().(*net.TCPAddr).Port, 0, "started"), nil)
	conn, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	h, err := bittorrent.ReadHandshake(conn)
	if err != nil || h.InfoHash != mistaken {
		t.Fatalf("%+v, %v", h, err)
	}
	c := &caller{t: t, conn: conn, r: bufio.NewReader(conn)}
	conn.Write(bittorrent.AppendHandshake(nil, bittorrent.Handshake{Fast: true, InfoHash: mistaken, PeerID: callerID}))
	c.say(bittorrent.Message{Type: bittorrent.HaveAll}, bittorrent.Message{Type: bittorrent.Unchoke})
	give(c, d, files)
	c.hear(bittorrent.NotInterested)
	s.check(t, files)
}
