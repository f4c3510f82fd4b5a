package torrent

import (
	"bufio"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"

	"kith.alt/kith"
	"kith.alt/kith/proto/bittorrent"
)

const (
	maxConnections = 200
	maxUnchoked    = 32
	greetPatience  = 10 * time.Second
	banFor         = 10 * time.Minute
	maxBanned      = 1000
)

// A Server serves clients of BitTorrent. It is safe for concurrent use.
type Server struct {
	cfg     Config
	id      [20]byte // a new one at each start (BEP 20)
	tracker *tracker
	metrics metrics

	mu          sync.Mutex
	connections quota
	origins     map[netip.Prefix]int // connections from outside
	peers       map[*Peer]struct{}
	unchoked    quota
	banned      map[culprit]time.Time
}

// A culprit is who sent a wrong block: a client under its name for one content, as
// all of this computer's have one address, or an origin outside.
type culprit struct {
	origin  netip.Prefix
	peer    [20]byte
	content [32]byte
}

type metrics struct {
	sent, received, wrong, refused, announces *kith.Counter
}

// New makes a server. It opens nothing.
func New(cfg Config) *Server {
	s := &Server{
		cfg: cfg, tracker: newTracker(), peers: make(map[*Peer]struct{}), banned: make(map[culprit]time.Time), origins: make(map[netip.Prefix]int),
		connections: quota{most: maxConnections, mostOutside: maxOutside}, unchoked: quota{most: maxUnchoked, mostOutside: maxUnchokedOutside},
	}
	copy(s.id[:], "-KI0001-"+rand.Text())
	s.metrics = metrics{
		sent:      cfg.Metrics.Counter("kith_torrent_sent_bytes_total", "Bytes of content that torrent clients took."),
		received:  cfg.Metrics.Counter("kith_torrent_received_bytes_total", "Bytes of content that torrent clients gave."),
		wrong:     cfg.Metrics.Counter("kith_torrent_wrong_blocks_total", "Blocks of torrent clients that were wrong."),
		refused:   cfg.Metrics.Counter("kith_torrent_refused_total", "Torrent clients that were turned away or broke the rules."),
		announces: cfg.Metrics.Counter("kith_torrent_tracker_requests_total", "Requests to the tracker."),
	}
	cfg.Metrics.Gauge("kith_torrent_peers", "Torrent clients that are connected.", func() float64 {
		s.mu.Lock()
		defer s.mu.Unlock()
		return float64(len(s.peers))
	})
	return s
}

// AnnounceURL returns the tracker's URL where the server listens on an address.
func AnnounceURL(address net.Addr) string { return "http://" + address.String() + announcePath }

// Serve serves the clients that a listener accepts until ctx ends, and closes
// it. It returns nil after ctx has ended, and all its connections with it. It may be called
// for several listeners.
func (s *Server) Serve(ctx context.Context, ln net.Listener) error {
	ctx, cancel := context.WithCancel(ctx)
	var work sync.WaitGroup
	defer work.Wait()
	defer cancel()
	defer ln.Close()
	defer context.AfterFunc(ctx, func() { ln.Close() })()
	for {
		conn, err := ln.Accept()
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return fmt.Errorf("accept torrent clients: %w", err)
		}
		remote := remoteOf(conn)
		if !s.admit(remote) {
			s.metrics.refused.Add(1)
			conn.Close()
			continue
		}
		work.Go(func() {
			defer s.dismiss(remote)
			defer conn.Close()
			defer context.AfterFunc(ctx, func() { conn.Close() })()
			if err := s.answer(ctx, &work, conn); err != nil {
				s.metrics.refused.Add(1)
				s.cfg.Log.Debug("torrent client turned away", "remote", conn.RemoteAddr(), "err", err)
			}
		})
	}
}

// admit reports whether there is room for one more connection, which dismiss gives
// back.
func (s *Server) admit(remote netip.Addr) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	outside, origin := IsOutside(remote), originOf(remote)
	if outside && s.origins[origin] >= maxOfOrigin || !s.connections.take(outside) {
		return false
	}
	if outside {
		s.origins[origin]++
	}
	return true
}

func (s *Server) dismiss(remote netip.Addr) {
	s.mu.Lock()
	defer s.mu.Unlock()
	outside, origin := IsOutside(remote), originOf(remote)
	s.connections.release(outside)
	if !outside {
		return
	}
	if s.origins[origin]--; s.origins[origin] == 0 {
		delete(s.origins, origin)
	}
}

// answer serves a connection that a client opened.
func (s *Server) answer(ctx context.Context, work *sync.WaitGroup, conn net.Conn) error {
	conn.SetDeadline(time.Now().Add(greetPatience))
	r := bufio.NewReaderSize(conn, readBuffer)
	first, err := r.Peek(1)
	if err != nil {
		return nil
	}
	if first[0] != bittorrent.Protocol[0] {
		return s.answerHTTP(ctx, work, conn, r)
	}
	theirs, err := bittorrent.ReadHandshake(r)
	if err != nil {
		return err
	}
	c, err := s.cfg.Content(remoteOf(conn), theirs.InfoHash)
	if err != nil {
		return fmt.Errorf("content %x: %w", theirs.InfoHash[:4], err)
	}
	ours := s.handshake(theirs.InfoHash)
	// BEP 52: who asks for a hybrid under its first name may be answered with the second.
	if d := c.Description(); theirs.V2 && theirs.InfoHash == d.IDv1() {
		ours.InfoHash = shortID(d)
	}
	if err := s.check(conn, c, theirs); err != nil {
		return err
	}
	if _, err := conn.Write(bittorrent.AppendHandshake(nil, ours)); err != nil {
		return nil
	}
	return s.converse(conn, r, c, theirs, ours.InfoHash == shortID(c.Description()))
}

// dial opens a connection to a client, and has the conversation about what the
// client calls infoHash.
func (s *Server) dial(ctx context.Context, address netip.AddrPort, infoHash [20]byte, c Content) error {
	dialer := net.Dialer{Timeout: greetPatience}
	conn, err := dialer.DialContext(ctx, "tcp", address.String())
	if err != nil {
		return err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	conn.SetDeadline(time.Now().Add(greetPatience))
	d := c.Description()
	ours := s.handshake(infoHash)
	if _, err := conn.Write(bittorrent.AppendHandshake(nil, ours)); err != nil {
		return err
	}
	r := bufio.NewReaderSize(conn, readBuffer)
	theirs, err := bittorrent.ReadHandshake(r)
	if err != nil {
		return err
	}
	if theirs.InfoHash != ours.InfoHash && theirs.InfoHash != shortID(d) {
		return fmt.Errorf("asked for %x, answered with %x: %w", ours.InfoHash[:4], theirs.InfoHash[:4], kith.Invalid)
	}
	if err := s.check(conn, c, theirs); err != nil {
		return err
	}
	return s.converse(conn, r, c, theirs, theirs.InfoHash == shortID(d))
}

func (s *Server) handshake(infoHash [20]byte) bittorrent.Handshake {
	return bittorrent.Handshake{Extended: true, Fast: true, V2: true, InfoHash: infoHash, PeerID: s.id}
}

// shortID is what clients of version 2 call content.
func shortID(d *bittorrent.Description) [20]byte {
	id := d.ID()
	return [20]byte(id[:])
}

// check turns away this host itself, and clients that sent wrong blocks.
func (s *Server) check(conn net.Conn, c Content, theirs bittorrent.Handshake) error {
	if theirs.PeerID == s.id {
		return fmt.Errorf("it is this host itself: %w", kith.Exists)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.banned[culpritOf(conn, c.Description(), theirs.PeerID)].After(time.Now()) {
		return fmt.Errorf("it sent what is wrong: %w", kith.Denied)
	}
	return nil
}

func culpritOf(conn net.Conn, d *bittorrent.Description, peer [20]byte) culprit {
	remote := remoteOf(conn)
	if IsOutside(remote) {
		return culprit{origin: originOf(remote)}
	}
	return culprit{peer: peer, content: d.ID()}
}

// addressOf returns an address as it is; zero where it is none of IP.
func addressOf(address net.Addr) netip.AddrPort {
	a, _ := netip.ParseAddrPort(address.String())
	return netip.AddrPortFrom(a.Addr().Unmap().WithZone(""), a.Port())
}

// ban has nothing to do with a client for a while.
func (s *Server) ban(c culprit) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	for other, until := range s.banned {
		if until.Before(now) || len(s.banned) >= maxBanned {
			delete(s.banned, other)
		}
	}
	s.banned[c] = now.Add(banFor)
}

// converse has the conversation after the handshakes.
func (s *Server) converse(conn net.Conn, r *bufio.Reader, c Content, theirs bittorrent.Handshake, v2 bool) error {
	conn.SetDeadline(time.Time{})
	p := newPeer(s, conn, c, theirs, v2)
	part, err := c.Join(p)
	if err != nil {
		return err
	}
	p.part = part
	defer part.Leave()
	s.mu.Lock()
	s.peers[p] = struct{}{}
	s.mu.Unlock()
	defer s.forget(p)
	err = p.run(r)
	switch {
	case errors.Is(err, errWrong):
		s.ban(culpritOf(conn, p.d, theirs.PeerID))
		p.log.Warn("torrent client sent what is wrong, and is not served for a while", "client", p.Client(), "err", err, "for", banFor)
		s.metrics.wrong.Add(1)
		return nil
	case errors.Is(err, bittorrent.ErrInvalid):
		return fmt.Errorf("%s: %w", p.Client(), err)
	}
	p.log.Debug("torrent client left", "client", p.Client(), "err", err)
	return nil
}

// forget takes a peer out, and lets one take that had to wait.
func (s *Server) forget(p *Peer) {
	s.mu.Lock()
	delete(s.peers, p)
	s.mu.Unlock()
	s.choke(p)
}

// connected reports whether a client takes part in a content.
func (s *Server) connected(peer [20]byte, d *bittorrent.Description) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for p := range s.peers {
		if p.handshake.PeerID == peer && p.d.ID() == d.ID() {
			return true
		}
	}
	return false
}

// unchoke has an interested client served, if there are not too many.
func (s *Server) unchoke(p *Peer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.unchokeLocked(p)
}

func (s *Server) unchokeLocked(p *Peer) bool {
	outside := p.Outside()
	if !s.unchoked.take(outside) {
		return false
	}
	if !p.unchoke() {
		s.unchoked.release(outside)
		return false
	}
	return true
}

// choke ends that, and has another served in its place.
func (s *Server) choke(p *Peer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !p.choke() {
		return
	}
	s.unchoked.release(p.Outside())
	for other := range s.peers {
		if other != p && s.unchokeLocked(other) {
			return
		}
	}
}
