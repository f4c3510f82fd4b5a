package swarm

import (
	"bytes"
	"cmp"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"kith.alt/kith"
	"kith.alt/kith/content"
	"kith.alt/kith/proto/bittorrent"
)

// A holding is a content that this host has or takes. It is guarded by Swarm.mu.
type holding struct {
	kith.Holding
	replace  bool
	own      bool // published here
	complete bool // and under its name at Path
	used     time.Time
	hosts    []kith.ID
	leads    leads
	names    [][20]byte // what torrent clients call it

	exchange *exchange // while it is exchanged
	opening  chan struct{}
	end      context.CancelFunc // of the exchange
	ending   bool               // end was called

	full     bool               // paused until the disk has room
	fetched  chan struct{}      // closed when fetching has ended; nil while nothing is fetched
	stop     context.CancelFunc // of fetching
	again    bool               // fetch again when it has stopped
	checking bool
}

// differs reports that the person's file or folder is not any more as it was
// published. What is still right is given to others all the same.
func (h *holding) differs() bool {
	return h.own && !h.complete && h.State == kith.HoldingPaused && h.Reason != ""
}

// shared reports that others can have what is here.
func (h *holding) shared() bool {
	return h.Files > 0 && (h.State != kith.HoldingPaused || h.differs())
}

// haltLocked has fetching and the exchange end, without waiting. Swarm.mu is held.
func (h *holding) haltLocked() {
	h.again = false
	if h.fetched != nil {
		h.stop()
	}
	if h.exchange != nil {
		h.ending = true
		h.end()
	}
}

// halt has fetching and the exchange of a holding end, and waits until nothing
// uses its files.
func (s *Swarm) halt(h *holding) {
	s.mu.Lock()
	h.haltLocked()
	fetched := h.fetched
	s.mu.Unlock()
	if fetched != nil {
		<-fetched
	}
	s.endExchange(h)
}

func (s *Swarm) loadHoldings(tx *sql.Tx) error {
	rows, err := tx.Query(`SELECT content, description, name, path, replaces, complete, paused, pinned, public, follow, own, entry, hosts, leads, added, used, have, received, sent, reason
		FROM swarm_holdings`)
	if err != nil {
		return fmt.Errorf("load holdings: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		h := new(holding)
		var id, description, entry, hosts, leads []byte
		var paused bool
		var added, used int64
		err := rows.Scan(&id, &description, &h.Name, &h.Path, &h.replace, &h.complete, &paused, &h.Pinned, &h.Public, &h.Follow, &h.own, &entry, &hosts, &leads,
			&added, &used, &h.Have, &h.Received, &h.Sent, &h.Reason)
		if err != nil {
			return fmt.Errorf("load holdings: %w", err)
		}
		copy(h.Content[:], id)
		h.Added, h.used = time.Unix(added, 0), time.Unix(used, 0)
		if len(entry) > 0 {
			if err := json.Unmarshal(entry, &h.Entry); err != nil {
				return fmt.Errorf("entry of a holding: %w", err)
			}
		}
		if len(leads) > 0 {
			if err := json.Unmarshal(leads, &h.leads); err != nil {
				return fmt.Errorf("clients that have a holding: %w", err)
			}
		}
		for ; len(hosts) >= len(kith.ID{}); hosts = hosts[len(kith.ID{}):] {
			h.hosts = append(h.hosts, kith.ID(hosts[:len(kith.ID{})]))
		}
		h.State = kith.HoldingAsking
		if description != nil {
			d, err := bittorrent.ParseDescription(description)
			if err != nil {
				return fmt.Errorf("description of %s: %w", h.Name, err)
			}
			h.describe(d)
		}
		switch {
		case paused:
			h.State = kith.HoldingPaused
		case h.complete:
			h.State = kith.HoldingComplete
		}
		if h.complete {
			h.Have = h.Size
		}
		s.holdings[h.Content] = h
	}
	return rows.Err()
}

func (h *holding) describe(d *bittorrent.Description) {
	h.Name, h.Size, h.Files, h.names = d.Name, d.Size(), len(d.Files), d.InfoHashes()
	if h.State == kith.HoldingAsking {
		h.State = kith.HoldingTaking
	}
}

// save stores a holding, and its description where that is not nil.
func (s *Swarm) save(ctx context.Context, h *holding, description []byte) error {
	s.mu.Lock()
	row := *h
	gone := s.holdings[h.Content] != h
	s.mu.Unlock()
	if gone {
		return nil
	}
	hosts := []byte{}
	for _, id := range row.hosts {
		hosts = append(hosts, id[:]...)
	}
	var entry []byte
	if row.Entry.Version > 0 {
		var err error
		if entry, err = json.Marshal(row.Entry); err != nil {
			return fmt.Errorf("entry: %w", err)
		}
	}
	paused, reason := row.State == kith.HoldingPaused && !row.full, row.Reason
	if !paused {
		reason = ""
	}
	err := s.cfg.Store.Update(ctx, func(tx *sql.Tx) error {
		_, err := tx.Exec(`INSERT INTO swarm_holdings (content, description, name, path, replaces, complete, paused, pinned, public, follow, own, entry, hosts, leads, added, used, received, sent, reason)
			VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
			ON CONFLICT (content) DO UPDATE SET description = coalesce(excluded.description, description), name = excluded.name, path = excluded.path,
				replaces = excluded.replaces, complete = excluded.complete, paused = excluded.paused, pinned = excluded.pinned, public = excluded.public, follow = excluded.follow,
				own = excluded.own, entry = excluded.entry, hosts = excluded.hosts, leads = excluded.leads, used = excluded.used, reason = excluded.reason`,
			row.Content[:], description, row.Name, row.Path, row.replace, row.complete, paused, row.Pinned, row.Public, row.Follow, row.own,
			entry, hosts, row.leads.json(), row.Added.Unix(), row.used.Unix(), row.Received, row.Sent, reason)
		return err
	})
	if err != nil {
		return fmt.Errorf("store holding: %w", err)
	}
	return nil
}

// description returns the description of a content, nil if it is not here.
func (s *Swarm) description(id kith.ContentID) []byte {
	var text []byte
	err := s.cfg.Store.View(context.Background(), func(tx *sql.Tx) error {
		return tx.QueryRow("SELECT description FROM swarm_holdings WHERE content = ?", id[:]).Scan(&text)
	})
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		s.log.Warn("description not read", "err", err)
	}
	return text
}

func (s *Swarm) described(id kith.ContentID) (*bittorrent.Description, error) {
	text := s.description(id)
	if text == nil {
		return nil, fmt.Errorf("nothing is known of content %s: %w", id, kith.NotFound)
	}
	return bittorrent.ParseDescription(text)
}

func (s *Swarm) holding(id kith.ContentID) (*holding, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	h := s.holdings[id]
	if h == nil {
		return nil, fmt.Errorf("this host has nothing of content %s: %w", id, kith.NotFound)
	}
	return h, nil
}

// exchangeOf returns the exchange of a content whose description is here, and
// begins it if there is none.
func (s *Swarm) exchangeOf(id kith.ContentID) (*exchange, error) {
	for {
		s.mu.Lock()
		h, ctx := s.holdings[id], s.ctx
		switch {
		case h == nil || !h.shared():
			s.mu.Unlock()
			return nil, fmt.Errorf("content %s is not exchanged here: %w", id, kith.NotFound)
		case ctx == nil:
			s.mu.Unlock()
			return nil, fmt.Errorf("nothing is exchanged at present: %w", kith.Temporary)
		case h.exchange != nil && h.ending:
			x := h.exchange
			s.mu.Unlock()
			<-x.ended
			continue
		case h.exchange != nil:
			x := h.exchange
			s.mu.Unlock()
			return x, nil
		case h.opening != nil:
			opened := h.opening
			s.mu.Unlock()
			<-opened
			continue
		}
		opened := make(chan struct{})
		h.opening = opened
		s.mu.Unlock()
		x, err := s.openExchange(ctx, id)
		s.mu.Lock()
		h.opening = nil
		close(opened)
		if err != nil {
			s.mu.Unlock()
			return nil, err
		}
		ctx, end := context.WithCancel(ctx)
		h.exchange, h.end, h.ending = x, end, false
		if !h.shared() || s.holdings[id] != h {
			h.haltLocked()
		}
		s.active = append(slices.Clone(s.active), x)
		hosts := slices.Clone(h.hosts)
		s.mu.Unlock()
		x.meet(hosts...)
		x.meet(s.library.Holders(id)...)
		s.work.Go(func() {
			defer s.closeExchange(h, x)
			x.serve(ctx)
		})
		return x, nil
	}
}

func (s *Swarm) openExchange(ctx context.Context, id kith.ContentID) (*exchange, error) {
	d, err := s.described(id)
	if err != nil {
		return nil, err
	}
	files := make([]*content.File, len(d.Files))
	for i, f := range d.Files {
		if files[i], err = s.store.File(ctx, f.Root, f.Size); err != nil {
			for _, opened := range files[:i] {
				opened.Close()
			}
			return nil, fmt.Errorf("open %s: %w", d.Name, err)
		}
	}
	return newExchange(s, id, d, files), nil
}

func (s *Swarm) closeExchange(h *holding, x *exchange) {
	defer close(x.ended)
	for _, f := range x.files {
		if err := f.Close(); err != nil {
			x.log.Warn("content not closed", "err", err)
		}
	}
	x.mu.Lock()
	have := x.haveLocked()
	x.mu.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	h.exchange, h.ending, h.Have = nil, false, have
	h.Received += x.received.Load()
	h.Sent += x.sent.Load()
	s.active = slices.DeleteFunc(slices.Clone(s.active), func(other *exchange) bool { return other == x })
}

// endExchange ends the exchange of a holding, if there is one, and waits for
// its end.
func (s *Swarm) endExchange(h *holding) {
	s.mu.Lock()
	x := h.exchange
	if x != nil {
		h.ending = true
		h.end()
	}
	s.mu.Unlock()
	if x != nil {
		<-x.ended
	}
}

// Holdings returns what this host has and takes, newest first.
func (s *Swarm) Holdings() []kith.Holding {
	s.mu.Lock()
	list := make([]*holding, 0, len(s.holdings))
	for _, h := range s.holdings {
		list = append(list, h)
	}
	s.mu.Unlock()
	shown := make([]kith.Holding, 0, len(list))
	for _, h := range list {
		shown = append(shown, s.show(h, false))
	}
	slices.SortFunc(shown, func(a, b kith.Holding) int {
		return cmp.Or(b.Added.Compare(a.Added), bytes.Compare(a.Content[:], b.Content[:]))
	})
	return shown
}

// Holding returns a holding in detail.
func (s *Swarm) Holding(id kith.ContentID) (kith.Holding, error) {
	h, err := s.holding(id)
	if err != nil {
		return kith.Holding{}, err
	}
	return s.show(h, true), nil
}

// show puts a holding into the words of others.
func (s *Swarm) show(h *holding, detail bool) kith.Holding {
	s.mu.Lock()
	shown, x := h.Holding, h.exchange
	if h.checking {
		shown.State = kith.HoldingChecking
	}
	s.mu.Unlock()
	if x == nil {
		return shown
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	blocks := x.description.Blocks()
	shown.Have = x.haveLocked()
	shown.Received += x.received.Load()
	shown.Sent += x.sent.Load()
	if detail {
		shown.Parts = parts(x.bitmapLocked(), blocks)
	}
	for _, l := range x.links {
		t := kith.Taker{
			Host: l.host, Near: l.near, Down: l.down.rate(), Up: l.up.rate(),
			Received: l.received.Load(), Sent: l.sent.Load(),
		}
		shown.Down += t.Down
		shown.Up += t.Up
		if detail {
			if blocks > 0 {
				t.Have = float64(l.had) / float64(blocks)
			}
			t.Parts = parts(l.has, blocks)
			shown.Peers = append(shown.Peers, t)
		}
	}
	for _, c := range x.clients {
		t := kith.Taker{Client: c.peer.Client(), Near: !c.peer.Outside(), Down: c.down.rate(), Up: c.up.rate(), Received: c.peer.Received(), Sent: c.peer.Sent()}
		shown.Down += t.Down
		shown.Up += t.Up
		shown.Received += t.Received
		shown.Sent += t.Sent
		if detail {
			if blocks > 0 {
				t.Have = float64(c.had) / float64(blocks)
			}
			t.Parts = parts(c.has, blocks)
			shown.Peers = append(shown.Peers, t)
		}
	}
	slices.SortFunc(shown.Peers, func(a, b kith.Taker) int { return bytes.Compare(a.Host[:], b.Host[:]) })
	if left := shown.Size - shown.Have; left > 0 && shown.Down > 1 {
		shown.Left = time.Duration(float64(left) / shown.Down * float64(time.Second))
	}
	return shown
}

// haveLocked is how many bytes are here, about.
func (x *exchange) haveLocked() int64 {
	missing := x.plan.Lacking() - x.heldLocked()
	if missing == 0 {
		return x.description.Size()
	}
	return min(x.description.Size(), int64(x.description.Blocks()-missing)*content.BlockSize)
}

// parts draws a bitmap of blocks.
func parts(bitmap content.Bitmap, blocks int) []byte {
	n := min(blocks, kith.MaxParts)
	drawn := make([]byte, n)
	for i := range drawn {
		from, to := i*blocks/n, (i+1)*blocks/n
		have := 0
		for b := from; b < to; b++ {
			if bitmap.Has(b) {
				have++
			}
		}
		drawn[i] = byte(have * 255 / (to - from))
	}
	return drawn
}

// saveCounts stores what was given and taken.
func (s *Swarm) saveCounts(ctx context.Context) {
	type count struct {
		id                   kith.ContentID
		have, received, sent int64
	}
	var holdings []count
	for _, h := range s.Holdings() {
		if h.Received+h.Sent > 0 {
			holdings = append(holdings, count{h.Content, h.Have, h.Received, h.Sent})
		}
	}
	contributions := s.Contributions()
	if len(holdings)+len(contributions) == 0 {
		return
	}
	err := s.cfg.Store.Update(ctx, func(tx *sql.Tx) error {
		for _, c := range holdings {
			if _, err := tx.Exec("UPDATE swarm_holdings SET have = ?, received = ?, sent = ? WHERE content = ?", c.have, c.received, c.sent, c.id[:]); err != nil {
				return err
			}
		}
		for _, c := range contributions {
			_, err := tx.Exec(`INSERT INTO swarm_contributions (host, received, sent) VALUES (?, ?, ?)
				ON CONFLICT (host) DO UPDATE SET received = excluded.received, sent = excluded.sent`, c.Host[:], c.Received, c.Sent)
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		s.log.Warn("what was exchanged is not counted", "err", err)
	}
}

func (s *Swarm) loadAccounts(tx *sql.Tx) error {
	rows, err := tx.Query("SELECT host, received, sent FROM swarm_contributions")
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var host []byte
		var received, sent int64
		if err := rows.Scan(&host, &received, &sent); err != nil {
			return err
		}
		if len(host) == len(kith.ID{}) {
			a := s.accountOf(kith.ID(host))
			a.received.Store(received)
			a.sent.Store(sent)
		}
	}
	return rows.Err()
}
