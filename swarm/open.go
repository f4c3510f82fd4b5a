package swarm

import (
	"context"
	"database/sql"
	"errors"
	"log/slog"
	"maps"
	"net/netip"
	"slices"

	"kith.alt/kith"
	"kith.alt/kith/network/door"
	"kith.alt/kith/swarm/torrent"
)

// Torrent clients of other computers are outside of the group. They are let in where
// the owner of this host opened a door, and get what he marked as public.

// newDoor makes the door for torrent clients of other computers.
func newDoor(network door.Network, open door.Opening, log *slog.Logger) *door.Door {
	return door.New(door.Config{Network: network, Clients: "torrent clients", Log: log}, open)
}

// TorrentDoor tells whom of the torrent clients outside this host lets in.
func (s *Swarm) TorrentDoor() kith.TorrentDoor {
	return kith.TorrentDoor{Open: s.door.Opening().String(), Addresses: s.door.Addresses(), Problems: s.door.Problems()}
}

// SetTorrentDoor lets torrent clients outside in, or closes the door.
func (s *Swarm) SetTorrentDoor(ctx context.Context, to string) error {
	open, err := door.Parse(to)
	if err != nil {
		return err
	}
	err = s.door.Set(open, func() error {
		return s.cfg.Store.Update(ctx, func(tx *sql.Tx) error {
			_, err := tx.Exec("INSERT INTO swarm_door (id, open) VALUES (1, ?) ON CONFLICT (id) DO UPDATE SET open = excluded.open", open.String())
			return err
		})
	})
	s.change()
	return err
}

func (s *Swarm) loadDoor(tx *sql.Tx) error {
	var text string
	err := tx.QueryRow("SELECT open FROM swarm_door WHERE id = 1").Scan(&text)
	if errors.Is(err, sql.ErrNoRows) {
		return nil
	} else if err != nil {
		return err
	}
	open, err := door.Parse(text)
	if err == nil {
		s.door = newDoor(s.cfg.Outside, open, s.log)
	}
	return err
}

// MakePublic marks content for clients outside, or ends that and their conversations.
func (s *Swarm) MakePublic(ctx context.Context, id kith.ContentID, public bool) error {
	h, err := s.holding(id)
	if err != nil {
		return err
	}
	mark := func(public bool) {
		s.mu.Lock()
		h.Public = public
		x := h.exchange
		s.mu.Unlock()
		if !public && x != nil {
			x.endOutside()
		}
	}
	mark(public)
	if err := s.save(ctx, h, nil); err != nil {
		mark(false)
		return err
	}
	s.change()
	return nil
}

// mayTakeLocked reports whether a client at an address may have a content. Nothing else
// decides that. Swarm.mu is held.
func (s *Swarm) mayTakeLocked(remote netip.Addr, h *holding) bool {
	return !torrent.IsOutside(remote) || h.Public && s.door.Opening().Admits(remote)
}

// isPublic reports whether content is marked for clients outside.
func (s *Swarm) isPublic(id kith.ContentID) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	h := s.holdings[id]
	return h != nil && h.Public
}

// endOutside ends the conversations with clients outside.
func (x *exchange) endOutside() {
	x.mu.Lock()
	clients := slices.Collect(maps.Values(x.clients))
	x.mu.Unlock()
	for _, c := range clients {
		if c.peer.Outside() {
			c.peer.Close()
		}
	}
}
