package library

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"time"

	"kith.alt/kith"
	"kith.alt/kith/gossip"
)

// What a host publishes is taken at this pace once a burst is used up.
const (
	hostBurst = 2 * MaxEntries
	hostEvery = 100 * time.Millisecond
)

// take takes what is new in records that the member from brought. What is not
// new, of another group, not of a member, or comes too fast is passed over. A wrong signature is
// an error.
func (l *Library) take(ctx context.Context, records []*record, from kith.ID) error {
	l.changing.Lock()
	defer l.changing.Unlock()
	if err := l.regroup(ctx); err != nil {
		return err
	}
	now, group := time.Now(), *l.group.Load()
	var fresh []*record
	for _, r := range records {
		if r.group != group || !l.member(r.host()) || !r.counts(now) {
			continue
		}
		old := l.newest(r, fresh)
		if r.expired(now) && old == nil || !r.newer(old) && !l.returns(r, old, now) || l.paceOf(r.host()).Rest() > 0 {
			continue
		}
		if err := r.verify(); err != nil {
			return err
		}
		r.from = from
		if r.host() == l.id {
			var err error
			if r, err = l.goOn(r, old, now); err != nil {
				return err
			}
		}
		l.paceOf(r.host()).Spend()
		fresh = append(fresh, r)
	}
	fresh, crowded := l.fit(fresh, now)
	return l.keep(ctx, fresh, crowded)
}

// newest returns the record whose place r may take: one of fresh, else one that
// is in the library, or nil.
func (l *Library) newest(r *record, fresh []*record) *record {
	for _, other := range slices.Backward(fresh) {
		if other.kind == r.kind && other.host() == r.host() && other.entry.Title == r.entry.Title {
			return other
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.shelves[r.host()].find(r)
}

// returns reports whether r is an entry of this host that was withdrawn so long
// ago that the others have forgotten it.
func (l *Library) returns(r, old *record, now time.Time) bool {
	return r.host() == l.id && old != nil && old.expired(now) && !r.entry.Withdrawn
}

// goOn answers a record of this host that it did not know: it was restored from
// a copy, or an old entry turned up. It returns what is in force from now on: r, or
// our own record signed anew, above r.
func (l *Library) goOn(r, old *record, now time.Time) (*record, error) {
	switch {
	case old == nil:
		return r, nil
	case l.returns(r, old, now):
		e := tombstone(old)
		e.Version, e.Published = above(max(r.entry.Version, old.entry.Version)), stamp(now, old)
		return signEntry(l.cfg.Key, r.group, e)
	case !old.entry.Published.After(r.entry.Published):
		return r, nil
	case r.kind == kindEntry:
		e := old.entry
		e.Version = above(r.entry.Version)
		return signEntry(l.cfg.Key, r.group, e)
	default:
		return signHoldings(l.cfg.Key, r.group, l.id, old.contents, above(r.entry.Version), old.entry.Published)
	}
}

// paceOf returns the pace of a host's records. The caller holds changing.
func (l *Library) paceOf(host kith.ID) *gossip.Pace {
	p := l.paces[host]
	if p == nil {
		p = &gossip.Pace{Burst: hostBurst, Every: hostEvery}
		l.paces[host] = p
	}
	return p
}

// fit leaves out of fresh what is beyond the limit of titles, and returns what
// has to go for the rest: of too many titles of a host those with the greatest
// marks go, so that every library keeps the same ones.
func (l *Library) fit(fresh []*record, now time.Time) (fitting, crowded []*record) {
	l.mu.Lock()
	defer l.mu.Unlock()
	titles := make(map[kith.ID]map[string]*record) // of hosts that have too many
	for _, r := range fresh {
		s := l.shelves[r.host()]
		if r.kind != kindEntry || titles[r.host()] != nil || s == nil && len(fresh) <= MaxEntries || s != nil && len(s.entries)+len(fresh) <= MaxEntries {
			continue
		}
		all := make(map[string]*record)
		if s != nil {
			for title, old := range s.entries {
				if !old.expired(now) {
					all[title] = old
				}
			}
		}
		for _, other := range fresh {
			if other.kind == kindEntry && other.host() == r.host() {
				all[other.entry.Title] = other
			}
		}
		titles[r.host()] = all
	}
	out := make(map[*record]bool)
	for _, all := range titles {
		if len(all) <= MaxEntries {
			continue
		}
		list := make([]*record, 0, len(all))
		marks := make(map[*record]mark, len(all))
		for title, r := range all {
			list, marks[r] = append(list, r), markOf([]byte(title))
		}
		slices.SortFunc(list, func(a, b *record) int {
			ma, mb := marks[a], marks[b]
			return bytes.Compare(ma[:], mb[:])
		})
		for _, r := range list[MaxEntries:] {
			out[r] = true
			if l.shelves[r.host()].find(r) == r {
				crowded = append(crowded, r)
			}
		}
	}
	return slices.DeleteFunc(fresh, func(r *record) bool { return out[r] }), crowded
}

// keep makes records durable and then visible, and drops those that are gone.
// The caller holds changing.
func (l *Library) keep(ctx context.Context, records, gone []*record) error {
	if len(records)+len(gone) == 0 {
		return nil
	}
	now := time.Now()
	for _, r := range records {
		r.received = now.Unix()
	}
	if err := l.save(ctx, records, gone); err != nil {
		return fmt.Errorf("store library: %w", err)
	}
	l.mu.Lock()
	for _, r := range gone {
		l.remove(r)
	}
	for _, r := range records {
		l.place(r)
	}
	close(l.grown)
	l.grown = make(chan struct{})
	l.mu.Unlock()
	if l.cfg.Changed != nil {
		l.cfg.Changed()
	}
	return nil
}

// remove takes an entry off its shelf. The caller holds mu.
func (l *Library) remove(r *record) {
	s := l.shelves[r.host()]
	delete(s.entries, r.entry.Title)
	s.digest = nil
	l.unlog(r)
	if len(s.entries) == 0 && s.holdings == nil {
		delete(l.shelves, r.host())
	}
}

const (
	pruneEvery = time.Hour
	ownMemory  = 8 * TombstoneLife // of this host's own tombstones
)

// prune forgets tombstones whose time has come, and what came from hosts that
// are out of the group as long ago. The caller holds changing.
func (l *Library) prune(ctx context.Context) error {
	now := time.Now()
	if now.Sub(l.pruned) < pruneEvery {
		return nil
	}
	members := make(map[kith.ID]bool)
	for _, id := range l.hosts() {
		members[id] = l.member(id)
	}
	var gone []*record
	l.mu.Lock()
	for id, s := range l.shelves {
		if !members[id] {
			s.holdings = nil
		}
		for _, r := range s.entries {
			switch {
			case r.expired(now) && (id != l.id || now.Sub(r.entry.Published) > ownMemory),
				!members[id] && now.Sub(time.Unix(r.received, 0)) > TombstoneLife:
				gone = append(gone, r)
			case r.expired(now):
				s.digest = nil
			}
		}
	}
	l.mu.Unlock()
	for id, p := range l.paces {
		if p.Rest() <= -hostBurst*hostEvery {
			delete(l.paces, id)
		}
	}
	if err := l.keep(ctx, nil, gone); err != nil {
		return err
	}
	l.pruned = now
	return nil
}
