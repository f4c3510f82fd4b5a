package library

import (
	"context"
	"fmt"
	"time"

	"kith.alt/kith"
)

// inGroup names the group that this host is in.
func (l *Library) inGroup() [32]byte {
	if l.cfg.Group == nil {
		return [32]byte{}
	}
	return l.cfg.Group()
}

var errOtherGroup = fmt.Errorf("this host is in another group now: %w", kith.NotMember)

// Regroup makes this the library of another group where this host has changed
// groups: what it had of the one before is not shown, given or taken from then on, and
// comes back with that group. Nothing of a group that was left is seen or given even
// before the call. The same group costs nothing.
func (l *Library) Regroup(ctx context.Context) error {
	l.changing.Lock()
	defer l.changing.Unlock()
	return l.regroup(ctx)
}

// regroup is Regroup where the caller holds changing.
func (l *Library) regroup(ctx context.Context) error {
	group := l.inGroup()
	if group == *l.group.Load() {
		return nil
	}
	var held []uint64 // which is so in any group
	if r := l.holds(); r != nil {
		held = r.contents
	}
	l.mu.Lock()
	l.group.Store(&group)
	l.shelves, l.log = make(map[kith.ID]*shelf), nil
	for _, streams := range l.syncs {
		for _, s := range streams {
			s.end(errOtherGroup)
		}
	}
	close(l.grown)
	l.grown = make(chan struct{})
	l.mu.Unlock()
	clear(l.paces)
	l.pruned = time.Time{}
	if err := l.load(ctx); err != nil {
		return fmt.Errorf("library of another group: %w", err)
	}
	if err := l.hold(ctx, held); err != nil {
		return err
	}
	if l.cfg.Changed != nil {
		l.cfg.Changed()
	}
	return nil
}
