package swarm

import (
	"context"
	"fmt"
	"path/filepath"

	"kith.alt/kith"
	"kith.alt/kith/proto/bittorrent"
)

// Verify reads all of a holding again. What this host published and is not as it was
// pauses with a reason, and fails with kind Expired: the person shares it again as it
// is, or takes it again as it was. What is still right is given to others
// meanwhile. Of all else, what is not right is fetched again.
func (s *Swarm) Verify(ctx context.Context, id kith.ContentID, progress func(done, total int64)) error {
	h, err := s.holding(id)
	if err != nil {
		return err
	}
	d, err := s.described(id)
	if err != nil {
		return err
	}
	s.mu.Lock()
	h.checking = true
	own, complete, differs := h.own, h.complete, h.differs()
	s.mu.Unlock()
	s.change()
	defer func() {
		s.mu.Lock()
		h.checking = false
		s.mu.Unlock()
		s.change()
	}()
	if h.Path != "" && s.findAgain(ctx, h, d) {
		s.endExchange(h) // begins anew with what is there
	}
	bad, err := s.countBad(ctx, d, progress)
	if err != nil {
		return fmt.Errorf("verify %s: %w", d.Name, err)
	}
	switch {
	case bad > 0 && own && (complete || differs):
		reason := fmt.Sprintf(changed, h.Path)
		s.mu.Lock()
		h.complete, h.replace = false, false
		if h.State != kith.HoldingPaused { // which the person may want
			h.differLocked()
		}
		s.mu.Unlock()
		s.endExchange(h) // begins anew with what is there
		if !differs {
			s.cfg.Event(reason)
		}
		if err := s.save(ctx, h, nil); err != nil {
			return err
		}
		return fmt.Errorf("%s %w", reason, kith.Expired)
	case bad > 0 && complete:
		s.endExchange(h)
		s.mu.Lock()
		h.replace = true // what the person changed is kept beside it
		if h.complete = false; h.State == kith.HoldingComplete {
			h.State = kith.HoldingTaking
		}
		s.mu.Unlock()
		if !s.bare {
			s.cfg.Event(fmt.Sprintf("%s has changed on disk: %d blocks are not as they were, and are fetched again.", d.Name, bad))
		}
		if err := s.save(ctx, h, nil); err != nil {
			return err
		}
		s.fetch(h)
	case bad == 0 && differs: // it is as it was
		s.endExchange(h)
		s.mu.Lock()
		h.complete, h.Have = true, h.Size
		h.resumeLocked()
		s.mu.Unlock()
		return s.save(ctx, h, nil)
	}
	return nil
}

// differLocked notes that what was published is not any more as it was. Swarm.mu
// is held.
func (h *holding) differLocked() {
	h.State = kith.HoldingPaused
	h.Reason = fmt.Sprintf(changed, h.Path)
}

const changed = "%s has changed since it was shared: share it again to list it as it is now, or get it again to have it as it was."

// countBad reads the files of content, and returns how many blocks are not there or
// not right.
func (s *Swarm) countBad(ctx context.Context, d *bittorrent.Description, progress func(done, total int64)) (bad int, err error) {
	var done int64
	for _, f := range d.Files {
		if f.Size == 0 {
			continue
		}
		n, err := s.store.Verify(ctx, f.Root, f.Size, func(n int64) {
			if progress != nil {
				progress(done+n, d.Size())
			}
		})
		if err != nil {
			return 0, err
		}
		bad += n
		done += f.Size
	}
	return bad, nil
}

// findAll verifies everything after a restore from a backup, which has no content: what lies where
// people put it is found there, copies for others are fetched again.
func (s *Swarm) findAll(ctx context.Context) {
	s.mu.Lock()
	var complete []*holding
	for _, h := range s.holdings {
		if h.complete {
			complete = append(complete, h)
		}
	}
	s.mu.Unlock()
	for _, h := range complete {
		if err := s.Verify(ctx, h.Content, nil); err != nil && ctx.Err() == nil {
			s.log.Warn("not found again", "name", h.Name, "err", err)
		}
	}
}

// findAgain has the store know files that only look as if they had changed since
// they were published, such as those that were copied back, and reports whether there
// were some.
func (s *Swarm) findAgain(ctx context.Context, h *holding, d *bittorrent.Description) (found bool) {
	for i, f := range d.Files {
		path := filepath.Join(h.Path, filepath.FromSlash(contentPath(d, i)))
		if f.Size == 0 || s.store.Unchanged(ctx, f.Root, f.Size, path) {
			continue
		}
		sum, err := sumFile(ctx, path, nil, 0, false, nil)
		if err == nil && sum.Root == f.Root && sum.Size == f.Size {
			err = s.store.Import(ctx, path, sum)
		}
		if err != nil {
			s.log.Debug("a published file is not read", "path", path, "err", err)
		} else if sum.Root == f.Root {
			found = true
		}
	}
	return found
}
