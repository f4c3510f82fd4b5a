package swarm

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"

	"kith.alt/kith"
	"kith.alt/kith/swarm/watch"
)

// What is published to be followed is published again when it changes on disk. What
// was taken to be followed is taken again when a newer version of its entry comes.

// Follow has a holding follow its entry, or what is on disk, or ends that.
func (s *Swarm) Follow(ctx context.Context, id kith.ContentID, on bool) error {
	h, err := s.holding(id)
	if err != nil {
		return err
	}
	s.mu.Lock()
	own, entry := h.own, h.Entry
	s.mu.Unlock()
	if entry.Version == 0 {
		entry = s.listed(id)
	}
	switch {
	case own && entry.Kind == kith.EntrySite:
		return fmt.Errorf("%s is a site of this host, of which the newest version is always shared: %w", h.Name, kith.Invalid)
	case own:
		return s.followDisk(ctx, h, on)
	case on && entry.Version == 0:
		return fmt.Errorf("a link names one version for ever, and no title of the library leads to this one; follow a title: %w", kith.Invalid)
	}
	s.mu.Lock()
	h.Entry = entry
	changed := []*holding{h}
	for _, other := range s.holdings { // also a version that is on its way
		if other != h && !other.own && other.Path == h.Path && sameEntry(other.Entry, entry) {
			changed = append(changed, other)
		}
	}
	for _, h := range changed {
		h.Follow = on
	}
	s.mu.Unlock()
	for _, h := range changed {
		if err := s.save(ctx, h, nil); err != nil {
			return err
		}
	}
	s.look()
	s.change()
	return nil
}

// listed returns an entry of the library with a content, zero if there is none.
func (s *Swarm) listed(id kith.ContentID) kith.Entry {
	for _, e := range s.library.Entries() {
		if e.Content == id {
			return e
		}
	}
	return kith.Entry{}
}

// sameEntry reports whether two are versions of one entry.
func sameEntry(a, b kith.Entry) bool {
	return a.Version > 0 && b.Version > 0 && a.Host == b.Host && a.Title == b.Title
}

// followDisk has what this host publishes published again when it changes, or ends that.
func (s *Swarm) followDisk(ctx context.Context, h *holding, on bool) error {
	s.listing.Lock()
	defer s.listing.Unlock()
	var changed []kith.Publication
	var marks []watch.Mark
	err := s.cfg.Store.Update(ctx, func(tx *sql.Tx) error {
		rows, err := tx.Query("UPDATE swarm_publications SET follow = ? WHERE content = ? RETURNING title, kind, path, mark", on, h.Content[:])
		if err != nil {
			return err
		}
		changed, marks, err = scanPublications(rows)
		return err
	})
	if err != nil {
		return fmt.Errorf("follow what is published: %w", err)
	}
	s.mu.Lock()
	h.Follow = on
	s.mu.Unlock()
	if err := s.save(ctx, h, nil); err != nil {
		return err
	}
	for i, p := range changed {
		if on {
			s.watcher.Watch(target(p, marks[i]))
		} else {
			s.unfollow(ctx, p.Path)
		}
	}
	s.change()
	return nil
}

// scanPublications reads rows of title, kind, path and mark, and closes them.
func scanPublications(rows *sql.Rows) (list []kith.Publication, marks []watch.Mark, err error) {
	defer rows.Close()
	for rows.Next() {
		p := kith.Publication{Follow: true}
		var stored []byte
		if err := rows.Scan(&p.Title, &p.Kind, &p.Path, &stored); err != nil {
			return nil, nil, err
		}
		var mark watch.Mark
		copy(mark[:], stored)
		list, marks = append(list, p), append(marks, mark)
	}
	return list, marks, rows.Err()
}

// followEntries takes newer versions of what is followed and not paused.
func (s *Swarm) followEntries(ctx context.Context) {
	s.mu.Lock()
	var followed []*holding
	for _, h := range s.holdings {
		if h.Follow && !h.own && h.Entry.Version > 0 && (h.State != kith.HoldingPaused || h.Reason != "") {
			followed = append(followed, h)
		}
	}
	s.mu.Unlock()
	for _, h := range followed {
		newest, ok := s.library.Entry(h.Entry.Host, h.Entry.Title)
		switch {
		case !ok || newest.Version <= h.Entry.Version || newest.Withdrawn:
			continue
		case newest.Content == h.Content:
			s.mu.Lock()
			h.Entry = newest
			s.mu.Unlock()
			continue
		}
		s.mu.Lock()
		newer := s.holdings[newest.Content]
		s.mu.Unlock()
		if newer != nil {
			continue // on its way
		}
		_, err := s.Take(ctx, kith.Taking{Content: newest.Content, Name: newest.Name, From: []kith.ID{newest.Host}, Path: h.Path, Replace: true, Entry: newest, Follow: true})
		if err != nil {
			s.log.Warn("newer version not taken", "title", newest.Title, "err", err)
			continue
		}
		s.mu.Lock()
		ended := !h.Follow
		s.mu.Unlock()
		if ended { // this moment
			if err := s.Follow(ctx, newest.Content, false); err != nil {
				s.log.Warn("still followed", "title", newest.Title, "err", err)
			}
		}
	}
}

// target is what to watch for a publication.
func target(p kith.Publication, mark watch.Mark) watch.Target {
	return watch.Target{Path: p.Path, Mark: mark, Skip: func(entry fs.DirEntry) bool {
		return skips(p.Kind, entry.Name()) || p.Kind != kith.EntrySite && entry.Type() == fs.ModeSymlink
	}}
}

// followAll watches what is published to be followed. What changed while this host
// was off is seen as well.
func (s *Swarm) followAll(ctx context.Context) error {
	list, marks, err := s.followed(ctx)
	if err != nil {
		return fmt.Errorf("load publications: %w", err)
	}
	for i, p := range list {
		s.watcher.Watch(target(p, marks[i]))
	}
	return nil
}

// followed returns what is published to be followed, and how it looked then; in
// this group, not in one before.
func (s *Swarm) followed(ctx context.Context) (list []kith.Publication, marks []watch.Mark, err error) {
	err = s.cfg.Store.View(ctx, func(tx *sql.Tx) error {
		rows, err := tx.Query("SELECT title, kind, path, mark FROM swarm_publications WHERE follow")
		if err != nil {
			return err
		}
		all, looked, err := scanPublications(rows)
		for i, p := range all {
			if e, ok := s.library.Entry(s.cfg.Self, p.Title); ok && !e.Withdrawn {
				list, marks = append(list, p), append(marks, looked[i])
			}
		}
		return err
	})
	return list, marks, err
}

// changedOnDisk publishes again what is at path. Where that is not there at present,
// as on a disk that was pulled, what is known of it stays.
func (s *Swarm) changedOnDisk(ctx context.Context, path string, _ watch.Mark) error {
	list, _, err := s.followed(ctx)
	if err != nil {
		return err
	}
	for _, p := range list {
		if p.Path != path {
			continue
		}
		_, err := s.Publish(ctx, p)
		switch {
		case err == nil, ctx.Err() != nil:
		case errors.Is(err, kith.NotFound):
			s.log.Info("what is published is not there at present", "path", path)
			return nil
		default:
			s.cfg.Event(fmt.Sprintf("The newest version of %s is not shared: %s", p.Title, kith.Sentence(err)))
			return err
		}
	}
	return nil
}

// unfollow no longer watches path, unless it is published under another title.
func (s *Swarm) unfollow(ctx context.Context, path string) {
	list, _, err := s.followed(ctx)
	if err != nil {
		s.log.Warn("what to follow is not known", "err", err)
		return
	}
	for _, p := range list {
		if p.Path == path {
			return
		}
	}
	s.watcher.Unwatch(path)
}
