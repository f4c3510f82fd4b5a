package swarm

import (
	"context"
	"errors"
	"fmt"

	"kith.alt/kith"
)

// followAll publishes again what changes on disk, where its owner wants that.
func (s *Swarm) followAll(ctx context.Context) {
	for ctx.Err() == nil {
		list, err := s.publications(ctx)
		if err != nil {
			s.log.Warn("what to follow is not known", "err", err)
		}
		watching, stop := context.WithCancel(ctx)
		s.mu.Lock()
		s.unfollow = stop
		s.mu.Unlock()
		_ = list
		<-watching.Done()
	}
}

// refollow has followAll see what is published now.
func (s *Swarm) refollow() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.unfollow != nil {
		s.unfollow()
	}
}

func (s *Swarm) changedOnDisk(ctx context.Context, p kith.Publication) {
	_, err := s.Publish(ctx, p)
	switch {
	case err == nil, ctx.Err() != nil:
	case errors.Is(err, kith.NotFound):
		s.log.Info("published folder is gone", "path", p.Path)
	default:
		s.cfg.Event(fmt.Sprintf("The newest version of %s is not shared: %s", p.Title, kith.Sentence(err)))
	}
}
