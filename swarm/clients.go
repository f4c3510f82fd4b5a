package swarm

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"time"

	"kith.alt/kith"
	"kith.alt/kith/content"
	"kith.alt/kith/proto/bittorrent"
	"kith.alt/kith/swarm/scheduler"
	"kith.alt/kith/swarm/torrent"
)

// serveClients serves the torrent clients of this host until ctx ends. Without
// a port for them the rest goes on.
func (s *Swarm) serveClients(ctx context.Context) {
	ln, err := s.cfg.ListenClients(ctx)
	if err != nil && ctx.Err() != nil {
		return
	} else if err != nil {
		s.log.Warn("torrent clients are not served", "err", err)
		return
	}
	defer ln.Close()
	server := torrent.New(torrent.Config{Content: s.contentOfClient, Client: "kith", Log: s.log, Metrics: s.cfg.Metrics})
	s.mu.Lock()
	s.clientAddress, s.clientServer = ln.Addr(), server
	s.mu.Unlock()
	if at, err := netip.ParseAddrPort(ln.Addr().String()); err == nil {
		s.work.Go(func() { s.door.Serve(ctx, at.Port(), server.Serve) })
	}
	if err := server.Serve(ctx, ln); err != nil {
		s.log.Error("torrent clients are not served any more", "err", err)
	}
}

// maxTold is how many addresses outside clients are told of.
const maxTold = 8

// clientAddresses returns where torrent clients hear of peers of a content, and where this host is
// a peer itself: those of this host first, and those outside where they may have it.
func (s *Swarm) clientAddresses(id kith.ContentID) (trackers, peers []string) {
	s.mu.Lock()
	var list []net.Addr
	if s.clientAddress != nil {
		list = append(list, s.clientAddress)
	}
	s.mu.Unlock()
	if s.isPublic(id) {
		outside := s.door.Addresses()
		for _, at := range outside[:min(len(outside), maxTold)] {
			list = append(list, net.TCPAddrFromAddrPort(at))
		}
	}
	for _, at := range list {
		trackers, peers = append(trackers, torrent.AnnounceURL(at)), append(peers, at.String())
	}
	return trackers, peers
}

// contentOfClient finds what a client calls by its name in version 1, or by the
// beginning of that in version 2. What the client may not have is not even looked at.
func (s *Swarm) contentOfClient(remote netip.Addr, name [20]byte) (torrent.Content, error) {
	s.mu.Lock()
	var found kith.ContentID
	for id, h := range s.holdings {
		if slices.Contains(h.names, name) && s.mayTakeLocked(remote, h) {
			found = id
			break
		}
	}
	s.mu.Unlock()
	if found.IsZero() {
		return nil, fmt.Errorf("no content is called %x here: %w", name, kith.NotFound)
	}
	x, err := s.exchangeOf(found)
	if err != nil {
		return nil, err
	}
	return clientContent{x}, nil
}

// maxOutside is how many clients outside take part in a content, of maxLinks.
const maxOutside = 60

// A clientContent is an exchange as torrent clients take part in it.
type clientContent struct{ exchange *exchange }

func (c clientContent) Description() *bittorrent.Description { return c.exchange.description }

func (c clientContent) Bitmap() content.Bitmap {
	c.exchange.mu.Lock()
	defer c.exchange.mu.Unlock()
	return c.exchange.bitmapLocked()
}

func (c clientContent) ReadBlock(block int, p []byte) (int, error) {
	file, at, _ := c.exchange.description.Locate(block)
	n, err := c.exchange.files[file].ReadBlock(at, p)
	if errors.Is(err, kith.NotFound) {
		c.exchange.lost(block)
	}
	return n, err
}

func (c clientContent) HashAnswer(m bittorrent.Message) bittorrent.Message {
	return c.exchange.hashAnswer(m)
}

func (c clientContent) Join(p *torrent.Peer) (torrent.Part, error) {
	part, err := c.join(p)
	if err == nil && p.Outside() && !c.exchange.swarm.isPublic(c.exchange.id) { // not any more
		part.Leave()
		return nil, errEnded
	}
	return part, err
}

func (c clientContent) join(p *torrent.Peer) (torrent.Part, error) {
	x := c.exchange
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.ending {
		return nil, errEnded
	}
	outside := 0
	for _, other := range x.clients {
		if other.peer.Outside() {
			outside++
		}
	}
	if len(x.clients) >= maxLinks || p.Outside() && outside >= maxOutside {
		return nil, errTooMany
	}
	x.work.Add(1)
	x.numbers++
	part := &client{exchange: x, number: x.numbers, peer: p, has: content.NewBitmap(x.description.Blocks()), asked: make(map[int]bool)}
	part.upCap.rate, part.downCap.rate = x.swarm.memberUp, x.swarm.memberDown
	x.clients[part.number] = part
	x.plan.Join(x.now(), part.number, scheduler.Traits{Near: !p.Outside()})
	return part, nil
}

// A client is a torrent client's part in an exchange. What it asks for it is
// given at once, outside of the plan.
type client struct {
	exchange *exchange
	number   scheduler.Peer
	peer     *torrent.Peer
	down, up meter

	upCap, downCap bucket // as of a member
	own, all       ticket // of what went to it last

	// Guarded by the exchange.
	has   content.Bitmap
	had   int
	asked map[int]bool // groups of hashes
	mute  bool         // it gave no hashes when it was asked
}

func (c *client) Has(first, n int) {
	c.act(func(x *exchange) {
		for block := first; block < first+n; block++ {
			if !c.has.Has(block) {
				c.has.Set(block)
				c.had++
				if x.mayAskLocked(c.number, block) {
					x.plan.PeerHas(x.now(), c.number, block)
				}
			}
		}
	})
}

func (c *client) Chokes(choked bool) {
	c.act(func(x *exchange) { x.plan.PeerChokes(x.now(), c.number, choked) })
}

func (c *client) Refused(block int) {
	c.act(func(x *exchange) { x.plan.PeerRefused(x.now(), c.number, block) })
}

func (c *client) Sent(n int) {
	c.up.add(n)
	c.own, c.all = c.upCap.take(n), c.exchange.swarm.uplink.limit.take(n)
}

func (c *client) Rest() time.Duration {
	now := time.Now()
	return max(c.upCap.left(c.own, now), c.exchange.swarm.uplink.limit.left(c.all, now))
}

func (c *client) Received(n int) {
	c.downCap.wait(n, c.exchange.quit)
	c.exchange.swarm.down.wait(n, c.exchange.quit)
}

func (c *client) act(do func(*exchange)) {
	c.exchange.mu.Lock()
	defer c.exchange.mu.Unlock()
	do(c.exchange)
	c.exchange.actLocked()
}

func (c *client) Arrived(block int, data []byte) error {
	err := c.exchange.keep(c.number, block, data)
	if errors.Is(err, content.ErrNoHashes) {
		err = c.exchange.claim(c, block, data)
	}
	switch {
	case err == nil:
		c.down.add(len(data))
	case !errors.Is(err, kith.Invalid):
		c.exchange.fail(err)
	}
	return err
}

func (c *client) HashRequest(block int) (bittorrent.Message, bool) {
	x := c.exchange
	file, at, _ := x.description.Locate(block)
	if x.files[file].HasHashes(at) {
		return bittorrent.Message{}, false
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	group := block - at%group
	if x.groups[group] != nil || c.asked[group] {
		return bittorrent.Message{}, false
	}
	c.asked[group] = true
	return hashRequest(x.files[file], at), true
}

func (c *client) Hashes(m bittorrent.Message) error {
	x := c.exchange
	x.mu.Lock()
	for _, group := range x.groupsOf(m) {
		delete(c.asked, group)
	}
	c.mute = c.mute || m.Type != bittorrent.Hashes
	x.mu.Unlock()
	if m.Type != bittorrent.Hashes {
		return nil
	}
	return x.proved(m)
}

func (c *client) Leave() {
	defer c.exchange.work.Done()
	c.act(func(x *exchange) {
		delete(x.clients, c.number)
		x.received.Add(c.peer.Received())
		x.sent.Add(c.peer.Sent())
		x.plan.Leave(x.now(), c.number)
	})
}

// order tells a client what the plan has for it.
func (c *client) order(o scheduler.Order) {
	switch o.Kind {
	case scheduler.Request:
		c.peer.Request(o.Block)
	case scheduler.Cancel:
		c.peer.Cancel(o.Block)
	case scheduler.Have:
		c.peer.Have(o.Block)
	}
}
