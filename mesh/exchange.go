package mesh

import (
	"context"
	"errors"
	"net"
	"slices"
	"sync"
	"time"

	"kith.alt/kith"
)

const (
	brief     = 10 * time.Second // an exchange with a member that is no neighbour
	openFirst = 5 * time.Second  // for the one with the smaller ID to open it
)

// exchangeLocked opens the exchanges that are missing, and ends those that are
// not needed. They last with neighbours, with whom they are opened by the one
// with the smaller ID, and by the other only where that sees no need. Others
// bring each other up to date once and then hear everything from their
// neighbours; they stay in exchange while this host has too few of those.
func (m *Mesh) exchangeLocked(ctx context.Context, v view, wishes []wish, work *sync.WaitGroup) {
	few := 0
	for _, w := range wishes {
		if _, up := v.peers[w.id]; up && w.neighbour {
			few++
		}
	}
	for id, peer := range v.peers {
		met := m.meetings[id]
		if met == nil || met.releasing {
			continue
		}
		lasts := !v.large() || few < fewNeighbours || slices.ContainsFunc(wishes, func(w wish) bool { return w.id == id && w.neighbour })
		if met.quiet.IsZero() {
			met.quiet = v.now
		}
		switch {
		case met.end != nil && !lasts && !met.level.Before(met.opened) && v.now.Sub(met.opened) > brief:
			met.end()
		case met.end != nil, met.answering > 0:
		case !lasts && !met.level.Before(peer.Since):
		case string(m.id[:]) < string(id[:]), lasts && v.now.Sub(met.quiet) > openFirst:
			m.openLocked(ctx, v, id, met, work)
		}
	}
}

func (m *Mesh) openLocked(ctx context.Context, v view, id kith.ID, met *meeting, work *sync.WaitGroup) {
	contact, end := context.WithCancel(met.meet(ctx))
	met.opened, met.end = v.now, end
	work.Go(func() {
		defer end()
		m.exchange(ctx, contact, id)
	})
}

// exchange opens the exchange with a member and keeps it until it ends. The next
// is opened after a pause, if the carrier is still there.
func (m *Mesh) exchange(ctx, contact context.Context, id kith.ID) {
	dialling, cancel := context.WithTimeout(contact, dialPatience)
	conn, err := m.cfg.Overlay.Dial(dialling, kith.Address{Host: id.String(), Port: SyncPort})
	cancel()
	if err == nil {
		err = m.sync(contact, conn, id)
	}
	m.log.Debug("exchange with member ended", "peer", id.Short(), "err", err)
	select {
	case <-time.After(firstRetry):
	case <-ctx.Done():
	}
	m.mu.Lock()
	if met := m.meetings[id]; met != nil {
		met.end, met.quiet = nil, time.Time{}
	}
	m.mu.Unlock()
	m.Wake()
}

// answer takes the exchanges that members open.
func (m *Mesh) answer(ctx context.Context, ln net.Listener, work *sync.WaitGroup) {
	for {
		conn, err := ln.Accept()
		if err != nil {
			return
		}
		peer, ok := kith.PeerOf(conn)
		if !ok {
			conn.Close()
			continue
		}
		contact := ctx // of a newcomer that is about to be a member
		m.mu.Lock()
		met := m.meetings[peer.ID]
		if met != nil {
			contact = met.meet(ctx)
			met.answering++
		}
		m.mu.Unlock()
		work.Go(func() {
			err := m.sync(contact, conn, peer.ID)
			m.log.Debug("exchange with member ended", "peer", peer.ID.Short(), "err", err)
			if met != nil {
				m.mu.Lock()
				met.answering--
				met.quiet = time.Time{}
				m.mu.Unlock()
			}
		})
	}
}

// sync keeps this host and a member at the same roster and records until one
// of them ends that. Exchanges survive the loss of a carrier; one that ends
// because the member cannot be reached any more means that it said goodbye.
func (m *Mesh) sync(contact context.Context, conn net.Conn, id kith.ID) error {
	defer conn.Close()
	g, _ := m.cfg.Group()
	err := g.Sync(contact, conn, id, func() {
		m.cfg.Overlay.Level(id)
		m.mu.Lock()
		if met := m.meetings[id]; met != nil {
			met.level = time.Now()
		}
		m.mu.Unlock()
	})
	if !errors.Is(err, kith.Unreachable) || contact.Err() != nil {
		return err
	}
	if v := m.look(); v.peers[id].ID != id {
		m.mu.Lock()
		if met := m.meetings[id]; met != nil {
			met.up, met.gone = false, v.now
		}
		m.mu.Unlock()
		m.Wake()
	}
	return err
}

// meet returns the context of exchanges with the member.
func (met *meeting) meet(ctx context.Context) context.Context {
	if met.contact == nil || met.contact.Err() != nil {
		met.contact, met.leave = context.WithCancel(ctx)
	}
	return met.contact
}

// part ends the exchanges with the member.
func (met *meeting) part() {
	if met.leave != nil {
		met.leave()
	}
}
