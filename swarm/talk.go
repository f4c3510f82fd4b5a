package swarm

import (
	"context"
	"fmt"
	"net"
	"time"

	"kith.alt/kith"
)

const (
	converseIn = 3 * time.Second // for the one with the smaller ID to begin
	manyTalks  = 32              // conversations of the library; in a larger group, others pass entries on
)

// talk begins conversations about the library with members that are awake, and
// returns those that have come. Awake is what the calls before knew; a member with
// whom no conversation lasts is called less and less often, until it comes back.
func (s *Swarm) talk(ctx context.Context, awake map[kith.ID]*candidate, now time.Time) (came []kith.ID) {
	members := s.memberView()
	for id := range awake {
		if !members[id].Online {
			delete(awake, id)
		}
	}
	for id, m := range members {
		if !m.Online || id == s.cfg.Self {
			continue
		}
		c := awake[id]
		if c == nil {
			c = &candidate{next: now.Add(s.patienceWith(id))}
			awake[id] = c
			came = append(came, id)
		}
		s.mu.Lock()
		talking := s.talking[id] != nil
		if talking && !c.dialing {
			c.failed, c.next = 0, now.Add(s.patienceWith(id)) // it called
		}
		begin := !talking && !c.dialing && len(s.talking) < manyTalks && !c.next.After(now)
		c.dialing = c.dialing || begin
		s.mu.Unlock()
		if begin {
			s.work.Go(func() { s.call(ctx, id, c) })
		}
	}
	return came
}

// patienceWith is how long a member may take to call this host, before this host
// calls it: no time where this host has the smaller ID.
func (s *Swarm) patienceWith(id kith.ID) time.Duration {
	if string(s.cfg.Self[:]) < string(id[:]) {
		return 0
	}
	return converseIn
}

// call has a conversation about the library with a member. One that ends soon has
// failed.
func (s *Swarm) call(ctx context.Context, id kith.ID, c *candidate) {
	begun := time.Now()
	if err := s.beginTalk(ctx, id); err != nil {
		s.log.Debug("no talk about the library", "peer", id.Short(), "err", err)
		begun = time.Now()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	c.dialing = false
	if lasted := time.Since(begun); lasted >= shortLink {
		c.failed, c.next = 0, time.Now().Add(s.patienceWith(id))
	} else {
		c.fail()
	}
}

func (s *Swarm) beginTalk(ctx context.Context, id kith.ID) error {
	conn, err := s.dial(ctx, id)
	if err != nil {
		return err
	}
	if _, err := conn.Write(greeting{ask: askLibrary}.bytes()); err != nil {
		conn.Close()
		return fmt.Errorf("greet: %w", err)
	}
	s.converse(ctx, conn, id)
	return nil
}

// converse talks with a member about the library, once at a time.
func (s *Swarm) converse(ctx context.Context, conn net.Conn, peer kith.ID) {
	defer conn.Close()
	s.mu.Lock()
	if s.talking[peer] != nil {
		s.mu.Unlock()
		return
	}
	s.talking[peer] = conn
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		delete(s.talking, peer)
		s.mu.Unlock()
	}()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	if err := s.library.Sync(ctx, conn, peer); err != nil {
		s.log.Debug("talk about the library ended", "peer", peer.Short(), "err", err)
	}
}

// expel ends what goes on with hosts that are no members any more. Before is who
// were members at the last call; it returns who are now.
func (s *Swarm) expel(ctx context.Context, before map[kith.ID]kith.Member) map[kith.ID]kith.Member {
	if err := s.library.Regroup(ctx); err != nil {
		s.log.Warn("the library is not that of the group", "err", err)
	}
	members := s.membersSince(0)
	gone := func(host kith.ID) bool { _, ok := members[host]; return !ok }
	var sockets []net.Conn
	s.mu.Lock()
	active := s.active
	for host, conn := range s.talking {
		if gone(host) {
			sockets = append(sockets, conn)
		}
	}
	s.mu.Unlock()
	for _, x := range active {
		x.mu.Lock()
		for _, l := range x.links {
			if gone(l.host) {
				x.log.Info("exchange ends with a host that is no member any more", "peer", l.host.Short())
				sockets = append(sockets, l.conn)
			}
		}
		x.mu.Unlock()
	}
	for _, conn := range sockets {
		conn.Close()
	}
	for host := range before {
		if gone(host) {
			s.libraryChanged()
			break
		}
	}
	return members
}
