package swarm

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"kith.alt/kith"
	"kith.alt/kith/content"
	"kith.alt/kith/proto/bittorrent"
)

// Take begins to fetch content, or goes on with it.
func (s *Swarm) Take(ctx context.Context, t kith.Taking) (kith.Holding, error) {
	if err := s.checkTaking(t); err != nil {
		return kith.Holding{}, err
	}
	text, err := parseTorrent(t)
	if err != nil {
		return kith.Holding{}, err
	}
	s.mu.Lock()
	h := s.holdings[t.Content]
	if h == nil {
		h = &holding{Holding: kith.Holding{Content: t.Content, Name: t.Name, State: kith.HoldingAsking, Added: time.Now()}}
		s.holdings[t.Content] = h
	}
	switch {
	case t.Path != "" && t.Path == h.Path && h.complete && !h.own: // once more, should the person's file have changed
		h.complete = false
	case t.Path == "", t.Path == h.Path:
	case h.Path == "" || !h.complete:
		h.Path, h.complete = t.Path, false // a copy becomes a person's, or the place changes
	default: // it is here already: once more elsewhere
		s.mu.Unlock()
		return s.again(ctx, h, t)
	}
	if h.State == kith.HoldingPaused || h.State == kith.HoldingComplete && !h.complete {
		h.resumeLocked()
	}
	var ended []chan struct{}
	for _, other := range s.holdings { // what was on its way to that place
		if other != h && other.Path == h.Path && h.Path != "" && !other.own && !other.complete {
			other.State, other.Reason = kith.HoldingPaused, "Something else takes its place."
			other.haltLocked()
			if other.fetched != nil {
				ended = append(ended, other.fetched)
			}
		}
	}
	h.leads.add(t)
	h.replace, h.Follow, h.used = t.Replace, t.Follow || h.Follow, time.Now()
	if t.Entry.Version > 0 {
		h.Entry = t.Entry
	}
	for _, host := range append(slices.Clone(t.From), t.Entry.Host) {
		if !host.IsZero() && host != s.cfg.Self && !slices.Contains(h.hosts, host) && len(h.hosts) < maxIntroduced {
			h.hosts = append(h.hosts, host)
		}
	}
	s.mu.Unlock()
	for _, fetched := range ended {
		<-fetched
	}
	if err := s.save(ctx, h, nil); err != nil {
		return kith.Holding{}, err
	}
	if err := s.noteTorrent(ctx, h, text); err != nil {
		return kith.Holding{}, err
	}
	s.fetch(h)
	s.change()
	return s.show(h, false), nil
}

func (s *Swarm) checkTaking(t kith.Taking) error {
	switch {
	case t.Content.IsZero():
		return fmt.Errorf("no content is named: %w", kith.Invalid)
	case t.Path == "":
		return nil
	case !filepath.IsAbs(t.Path):
		return fmt.Errorf("%s is not an absolute path: %w", t.Path, kith.Invalid)
	case s.cfg.Inside(filepath.Dir(t.Path)):
		return fmt.Errorf("%s is where kith keeps its own data; choose another folder: %w", filepath.Dir(t.Path), kith.Invalid)
	}
	info, err := os.Stat(filepath.Dir(t.Path))
	if err != nil || !info.IsDir() {
		return fmt.Errorf("there is no folder %s: %w", filepath.Dir(t.Path), kith.NotFound)
	}
	if _, err := os.Lstat(t.Path); err == nil && !t.Replace && !s.isAt(t.Content, t.Path) {
		return taken(t.Path)
	}
	return nil
}

// isAt reports whether content stands at path already.
func (s *Swarm) isAt(id kith.ContentID, path string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	h := s.holdings[id]
	return h != nil && h.complete && h.Path == path
}

// taken is what there is to say when something else stands at path.
func taken(path string) error {
	return fmt.Errorf("%s exists already; take it elsewhere, or say that it may be replaced: %w", path, kith.Exists)
}

// again puts content that is complete here to another place, too.
func (s *Swarm) again(ctx context.Context, h *holding, t kith.Taking) (kith.Holding, error) {
	d, err := s.described(h.Content)
	if err != nil {
		return kith.Holding{}, err
	}
	if err := s.export(ctx, d, t.Path, t.Replace); err != nil {
		return kith.Holding{}, err
	}
	shown := s.show(h, false)
	shown.Path = t.Path
	return shown, nil
}

// resumeAll goes on with what was not complete.
func (s *Swarm) resumeAll() {
	s.mu.Lock()
	var list []*holding
	for _, h := range s.holdings {
		if !h.complete && h.State != kith.HoldingPaused {
			list = append(list, h)
		}
	}
	s.mu.Unlock()
	for _, h := range list {
		s.fetch(h)
	}
	s.announceSoon()
}

// fetch has a holding fetched until it is complete, unless that is under way.
func (s *Swarm) fetch(h *holding) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ctx == nil || s.ctx.Err() != nil || h.complete || h.State == kith.HoldingPaused || s.holdings[h.Content] != h {
		return
	}
	if h.fetched != nil {
		h.again = true
		return
	}
	fetched := make(chan struct{})
	ctx, stop := context.WithCancel(s.ctx)
	h.fetched, h.stop, h.again = fetched, stop, false
	s.work.Go(func() {
		err := s.complete(ctx, h)
		stopped := ctx.Err() != nil
		stop()
		switch {
		case err == nil:
			s.finished(h)
		case !stopped:
			s.failed(h.Content, err)
		}
		s.mu.Lock()
		h.fetched = nil
		again := h.again && stopped
		s.mu.Unlock()
		close(fetched)
		if again {
			s.fetch(h)
		} else if err == nil {
			s.dropOlder(h)
		}
	})
}

// complete does all that is left to do for a holding.
func (s *Swarm) complete(ctx context.Context, h *holding) error {
	d, err := s.describe(ctx, h)
	if err != nil {
		return err
	}
	if err := s.checkRoom(h, d); err != nil {
		return err
	}
	s.makeRoomFor(ctx, h)
	if err := s.retain(ctx, h.Content, d); err != nil {
		return err
	}
	s.adopt(ctx, h, d)
	s.work.Go(func() { s.visitClients(ctx, h, d) })
	for tries := 1; ; tries++ {
		x, err := s.exchangeOf(h.Content)
		if err != nil {
			return err
		}
		s.announceSoon()
		s.meetAll(x)
		select {
		case <-x.completed():
		case <-x.ended:
			if ctx.Err() == nil {
				continue
			}
		case <-ctx.Done():
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		s.mu.Lock()
		path, replace := h.Path, h.replace
		s.mu.Unlock()
		if path == "" {
			return nil
		}
		err = s.export(ctx, d, path, replace)
		if !errors.Is(err, kith.NotFound) || tries == 3 {
			return err
		}
		s.endExchange(h) // a block was not right on disk: once more
	}
}

func (s *Swarm) retain(ctx context.Context, id kith.ContentID, d *bittorrent.Description) error {
	var roots []content.Root
	for _, f := range d.Files {
		roots = append(roots, f.Root)
	}
	if err := s.store.Retain(ctx, id, roots...); err != nil {
		return fmt.Errorf("keep %s: %w", d.Name, err)
	}
	return nil
}

// meetAll has an exchange ask all members that are awake.
func (s *Swarm) meetAll(x *exchange) {
	var hosts []kith.ID
	for id, m := range s.memberView() {
		if m.Online {
			hosts = append(hosts, id)
		}
	}
	x.meet(hosts...)
}

// finished notes that a holding is complete.
func (s *Swarm) finished(h *holding) {
	s.mu.Lock()
	if s.holdings[h.Content] != h || h.State == kith.HoldingPaused {
		s.mu.Unlock()
		return
	}
	h.complete, h.State, h.Reason, h.Have = true, kith.HoldingComplete, "", h.Size
	name, path := h.Name, h.Path
	s.mu.Unlock()
	if err := s.save(context.WithoutCancel(context.Background()), h, nil); err != nil {
		s.log.Warn("not noted that content is complete", "err", err)
	}
	if path != "" {
		s.cfg.Event(fmt.Sprintf("%s is complete, in %s.", name, filepath.Dir(path)))
	}
	s.announceSoon()
	s.change()
}

// dropOlder drops the holding in whose place, at the same path or as a copy of the same
// entry, this one has come.
func (s *Swarm) dropOlder(h *holding) {
	s.mu.Lock()
	var older []*holding
	for _, other := range s.holdings {
		sameEntry := other.Entry.Host == h.Entry.Host && other.Entry.Title == h.Entry.Title
		if other != h && other.Path == h.Path && !other.own && (h.Path != "" && !sameEntry || sameEntry && other.Entry.Version < h.Entry.Version) {
			older = append(older, other)
		}
	}
	s.mu.Unlock()
	for _, other := range older {
		if err := s.replaced(context.Background(), other, h); err != nil {
			s.log.Warn("older version not dropped", "name", other.Name, "err", err)
		}
	}
}

// failed pauses a holding that cannot go on.
func (s *Swarm) failed(id kith.ContentID, err error) {
	s.mu.Lock()
	h := s.holdings[id]
	if h == nil || h.State == kith.HoldingPaused {
		s.mu.Unlock()
		return
	}
	h.State, h.Reason = kith.HoldingPaused, kith.Sentence(err)
	if h.full = errors.Is(err, kith.Quota) && !errors.Is(err, errTooLarge); h.full {
		h.Reason = "The disk is full; it goes on by itself when there is room for the rest."
	}
	name, reason := h.Name, h.Reason
	h.haltLocked()
	s.mu.Unlock()
	s.log.Warn("content paused", "name", name, "err", err)
	s.cfg.Event(fmt.Sprintf("%s is paused: %s", name, reason))
	if err := s.save(context.Background(), h, nil); err != nil {
		s.log.Warn("pause not stored", "err", err)
	}
	s.change()
}

// resumeLocked has a holding that is paused go on. Swarm.mu is held.
func (h *holding) resumeLocked() {
	h.Reason, h.full = "", false
	switch {
	case h.complete:
		h.State = kith.HoldingComplete
	case h.Files > 0:
		h.State = kith.HoldingTaking
	default:
		h.State = kith.HoldingAsking
	}
}

// Pause stops a holding for now, or has it go on.
func (s *Swarm) Pause(ctx context.Context, id kith.ContentID, paused bool) error {
	h, err := s.holding(id)
	if err != nil {
		return err
	}
	s.mu.Lock()
	switch {
	case paused:
		h.State, h.Reason, h.full = kith.HoldingPaused, "", false
		h.haltLocked()
	case h.own && !h.complete && !h.replace: // it may be as it was again
		h.differLocked()
		if s.ctx != nil {
			ctx := s.ctx
			s.work.Go(func() {
				if err := s.Verify(ctx, id, nil); err != nil {
					s.log.Info("what is shared is not as it was", "err", err)
				}
			})
		}
	default:
		h.resumeLocked()
	}
	s.mu.Unlock()
	if !paused {
		s.fetch(h)
		s.look() // for what came meanwhile of what it follows
	}
	s.announceSoon()
	s.change()
	return s.save(ctx, h, nil)
}

// Pin keeps a holding although the quota is used up.
func (s *Swarm) Pin(ctx context.Context, id kith.ContentID, pinned bool) error {
	h, err := s.holding(id)
	if err != nil {
		return err
	}
	s.mu.Lock()
	h.Pinned = pinned
	s.mu.Unlock()
	s.change()
	return s.save(ctx, h, nil)
}

// Drop stops a holding and deletes what only the node keeps of it.
func (s *Swarm) Drop(ctx context.Context, id kith.ContentID) error {
	h, err := s.holding(id)
	if err != nil {
		return err
	}
	s.mu.Lock()
	delete(s.holdings, id)
	s.mu.Unlock()
	return s.discard(ctx, h)
}

// discard deletes what the node keeps of a holding that is not in the table any more.
func (s *Swarm) discard(ctx context.Context, h *holding) error {
	s.halt(h)
	id := h.Content
	err := s.cfg.Store.Update(ctx, func(tx *sql.Tx) error {
		_, err := tx.Exec("DELETE FROM swarm_holdings WHERE content = ?", id[:])
		return err
	})
	if err != nil {
		return fmt.Errorf("drop content: %w", err)
	}
	if h.Path != "" && !h.complete {
		os.RemoveAll(h.Path + partSuffix)
	}
	s.announceSoon()
	s.change()
	return s.store.Release(ctx, id)
}
