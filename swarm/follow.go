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

// What is published to be followed is published again when it changes on disk.

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
		defer rows.Close()
		for rows.Next() {
			p := kith.Publication{Follow: true}
			var stored []byte
			if err := rows.Scan(&p.Title, &p.Kind, &p.Path, &stored); err != nil {
				return err
			}
			if e, ok := s.library.Entry(s.cfg.Self, p.Title); !ok || e.Withdrawn {
				continue
			}
			var mark watch.Mark
			copy(mark[:], stored)
			list, marks = append(list, p), append(marks, mark)
		}
		return rows.Err()
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
