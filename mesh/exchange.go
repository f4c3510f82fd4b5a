package mesh

import (
	"context"
	"errors"
	"net"
	"sync"
	"time"

	"kith.alt/kith"
)

// exchangeLocked opens the exchanges that are missing: one with each member that
// has a carrier, opened by the one with the smaller ID.
func (m *Mesh) exchangeLocked(ctx context.Context, v view, work *sync.WaitGroup) {
	for id := range v.peers {
		met := m.meetings[id]
		if met == nil || met.syncing || met.releasing || string(m.id[:]) > string(id[:]) {
			continue
		}
		met.syncing = true
		contact := met.meet(ctx)
		work.Go(func() { m.exchange(ctx, contact, id) })
	}
}

// exchange opens the exchange with a member and keeps it until it ends. Then,
// after a pause, the next is opened if the carrier is still there.
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
		met.syncing = false
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
		if met := m.meetings[peer.ID]; met != nil {
			contact = met.meet(ctx)
		}
		m.mu.Unlock()
		work.Go(func() {
			err := m.sync(contact, conn, peer.ID)
			m.log.Debug("exchange with member ended", "peer", peer.ID.Short(), "err", err)
		})
	}
}

// sync keeps this host and a member at the same roster and records until one
// of them ends that. Exchanges survive the loss of a carrier; one that ends
// because the member cannot be reached any more means that it said goodbye.
func (m *Mesh) sync(contact context.Context, conn net.Conn, id kith.ID) error {
	defer conn.Close()
	g, _ := m.cfg.Group()
	err := g.Sync(contact, conn, id, func() { m.cfg.Overlay.Level(id) })
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
		met.contact, met.end = context.WithCancel(ctx)
	}
	return met.contact
}

// part ends the exchanges with the member.
func (met *meeting) part() {
	if met.end != nil {
		met.end()
	}
}
