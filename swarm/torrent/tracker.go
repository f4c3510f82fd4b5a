package torrent

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"kith.alt/kith"
	"kith.alt/kith/proto/bittorrent"
)

const (
	announcePath = "/announce"
	scrapePath   = "/scrape"

	maxHeader   = 16 << 10
	interval    = time.Minute // between announces of a client
	expire      = 5 * interval / 2
	maxClients  = 200 // of a content
	maxAnswered = 50
	visitAfter  = time.Second // that a client may come by itself
	maxVisits   = 16
)

// A tracker knows which clients asked for content lately.
type tracker struct {
	mu        sync.Mutex
	clients   map[audience]map[netip.AddrPort]client
	completed map[audience]int
	strangers map[stranger]time.Time
	visits    int
}

// An audience is clients that hear of each other: those that want one content, which goes by
// its ID, as clients may use two names; of this computer, or outside of it.
type audience struct {
	content [32]byte
	outside bool
}

type client struct {
	seen time.Time
	left int64
}

func newTracker() *tracker {
	return &tracker{clients: make(map[audience]map[netip.AddrPort]client), completed: make(map[audience]int), strangers: make(map[stranger]time.Time)}
}

// announce notes a client, and returns the others.
func (t *tracker) announce(who audience, address netip.AddrPort, a bittorrent.Announce, now time.Time) (others []netip.AddrPort) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.expire(now)
	clients := t.clients[who]
	for other := range clients {
		if other != address {
			others = append(others, other)
		}
	}
	slices.SortFunc(others, func(a, b netip.AddrPort) int { return clients[b].seen.Compare(clients[a].seen) })
	if a.Event == bittorrent.EventStopped {
		delete(clients, address)
		return nil
	}
	if a.Event == bittorrent.EventCompleted {
		t.completed[who]++
	}
	if clients == nil {
		clients = make(map[netip.AddrPort]client)
		t.clients[who] = clients
	}
	if _, known := clients[address]; known || len(clients) < maxClients && !(who.outside && crowded(clients, address.Addr())) {
		clients[address] = client{seen: now, left: a.Left}
	}
	return others
}

// crowded reports whether no more clients of an address are noted, or it is none.
func crowded(clients map[netip.AddrPort]client, address netip.Addr) bool {
	origin, same := originOf(address), 0
	for other := range clients {
		if originOf(other.Addr()) == origin {
			same++
		}
	}
	return same >= maxAnnounced || !address.IsValid()
}

// expire forgets clients that did not ask again.
func (t *tracker) expire(now time.Time) {
	for who, clients := range t.clients {
		for address, c := range clients {
			if now.Sub(c.seen) > expire {
				delete(clients, address)
			}
		}
		if len(clients) == 0 {
			delete(t.clients, who)
		}
	}
}

// swarm counts an audience, and this host as one of it.
func (t *tracker) swarm(who audience, complete bool) bittorrent.Swarm {
	t.mu.Lock()
	defer t.mu.Unlock()
	swarm := bittorrent.Swarm{Completed: t.completed[who]}
	count := func(complete bool) {
		if complete {
			swarm.Seeds++
		} else {
			swarm.Takers++
		}
	}
	count(complete)
	for _, c := range t.clients[who] {
		count(c.left == 0)
	}
	return swarm
}

// answerHTTP answers a request to the tracker.
func (s *Server) answerHTTP(ctx context.Context, work *sync.WaitGroup, conn net.Conn, r *bufio.Reader) error {
	request, err := http.ReadRequest(bufio.NewReader(io.LimitReader(r, maxHeader)))
	if err != nil {
		return fmt.Errorf("neither BitTorrent nor HTTP: %w", err)
	}
	s.metrics.announces.Add(1)
	status, body := s.respond(ctx, work, conn, request)
	_, err = fmt.Fprintf(conn, "HTTP/1.1 %d %s\r\nContent-Type: text/plain\r\nX-Content-Type-Options: nosniff\r\nCache-Control: no-store\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s",
		status, http.StatusText(status), len(body), body)
	return err
}

func (s *Server) respond(ctx context.Context, work *sync.WaitGroup, conn net.Conn, r *http.Request) (status int, body []byte) {
	plain := func(status int) (int, []byte) { return status, []byte(http.StatusText(status) + "\n") }
	switch {
	case r.Method != http.MethodGet:
		return plain(http.StatusMethodNotAllowed)
	case !byAddress(r.Host):
		return plain(http.StatusMisdirectedRequest)
	case r.Header.Get("Origin") != "" || !slices.Contains([]string{"", "none"}, r.Header.Get("Sec-Fetch-Site")):
		return plain(http.StatusForbidden) // a page that a browser shows
	}
	var err error
	switch r.URL.Path {
	case announcePath:
		body, err = s.announce(ctx, work, conn, r)
	case scrapePath:
		body, err = s.scrape(remoteOf(conn), r.URL.RawQuery)
	default:
		return plain(http.StatusNotFound)
	}
	if err != nil {
		s.cfg.Log.Debug("tracker refused", "remote", conn.RemoteAddr(), "err", err)
		body = bittorrent.AppendFailure(nil, kith.Sentence(err))
	}
	return http.StatusOK, body
}

// byAddress reports whether a Host is an address: a name may have been made to
// lead here by a page.
func byAddress(host string) bool {
	name, _, _ := strings.Cut(host, ":")
	return name == "localhost" || hostAddress(host).Addr().IsValid()
}

// hostAddress reads a Host that is an address, with a port or without one, which is 0. Some clients
// have no brackets around IPv6, such as libtorrent.
func hostAddress(host string) netip.AddrPort {
	if at, err := netip.ParseAddrPort(host); err == nil {
		return at
	}
	if a, err := netip.ParseAddr(strings.Trim(host, "[]")); err == nil {
		return netip.AddrPortFrom(a, 0)
	}
	colon := strings.LastIndexByte(host, ':')
	if colon < 0 {
		return netip.AddrPort{}
	}
	a, _ := netip.ParseAddr(host[:colon])
	port, _ := strconv.ParseUint(host[colon+1:], 10, 16)
	return netip.AddrPortFrom(a, uint16(port))
}

func (s *Server) announce(ctx context.Context, work *sync.WaitGroup, conn net.Conn, r *http.Request) ([]byte, error) {
	a, err := bittorrent.ParseAnnounce(r.URL.RawQuery)
	if err != nil {
		return nil, err
	}
	remote := remoteOf(conn)
	c, err := s.known(remote, a.InfoHash)
	if err != nil {
		if !IsOutside(remote) {
			s.tracker.note(stranger{a.InfoHash, netip.AddrPortFrom(remote, a.Port)}, a.Event == bittorrent.EventStopped, time.Now())
		}
		return nil, err
	}
	d, complete := c.Description(), complete(c)
	who := audience{d.ID(), IsOutside(remote)}
	address := netip.AddrPortFrom(remote, a.Port)
	others := s.tracker.announce(who, address, a, time.Now())
	here := reachedAt(conn, r)
	// Clients take those at one address for one, so here this host stands for all.
	others = slices.DeleteFunc(others, func(other netip.AddrPort) bool {
		return other.Addr() == here.Addr() || !reachable(remote, other.Addr())
	})
	want := maxAnswered
	if a.Want >= 0 {
		want = min(a.Want, want)
	}
	peers := append([]netip.AddrPort{here}, others[:min(len(others), want)]...)
	if !complete && a.Left < d.Size() && a.Event != bittorrent.EventStopped && !who.outside {
		s.visit(ctx, work, address, a, c)
	}
	return bittorrent.AppendAnswer(nil, interval, s.tracker.swarm(who, complete), peers), nil
}

// known finds content, and says so to people where there is none.
func (s *Server) known(remote netip.Addr, infoHash [20]byte) (Content, error) {
	c, err := s.cfg.Content(remote, infoHash)
	if errors.Is(err, kith.NotFound) {
		return nil, fmt.Errorf("this host shares no torrent %x: %w", infoHash, kith.NotFound)
	}
	return c, err
}

// complete reports whether all of a content is here.
func complete(c Content) bool {
	bitmap := c.Bitmap()
	for block := range c.Description().Blocks() {
		if !bitmap.Has(block) {
			return false
		}
	}
	return true
}

// visit dials a client of this computer that has what is lacking here, unless it
// comes by itself.
func (s *Server) visit(ctx context.Context, work *sync.WaitGroup, address netip.AddrPort, a bittorrent.Announce, c Content) {
	s.tracker.mu.Lock()
	defer s.tracker.mu.Unlock()
	if s.tracker.visits >= maxVisits {
		return
	}
	s.tracker.visits++
	work.Go(func() {
		waited := wait(ctx, visitAfter)
		s.tracker.mu.Lock()
		s.tracker.visits--
		s.tracker.mu.Unlock()
		if !waited || s.connected(a.PeerID, c.Description()) || !s.admit(address.Addr()) {
			return
		}
		defer s.dismiss(address.Addr())
		if err := s.dial(ctx, address, a.InfoHash, c); err != nil {
			s.cfg.Log.Debug("torrent client not visited", "remote", address, "err", err)
		}
	})
}

// wait reports whether a time passed before ctx ended.
func wait(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

func (s *Server) scrape(remote netip.Addr, query string) ([]byte, error) {
	hashes, err := bittorrent.ParseScrape(query)
	if err != nil {
		return nil, err
	}
	slices.SortFunc(hashes, func(a, b [20]byte) int { return cmp.Compare(string(a[:]), string(b[:])) })
	hashes = slices.Compact(hashes)
	known := hashes[:0]
	var swarms []bittorrent.Swarm
	for _, hash := range hashes {
		if c, err := s.cfg.Content(remote, hash); err == nil {
			known = append(known, hash)
			swarms = append(swarms, s.tracker.swarm(audience{c.Description().ID(), IsOutside(remote)}, complete(c)))
		}
	}
	return bittorrent.AppendScrape(nil, known, swarms), nil
}
