package swarm

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"kith.alt/kith"
	"kith.alt/kith/folders"
	"kith.alt/kith/proto/bittorrent"
)

const (
	lookEvery = 10 * time.Second
	saveEvery = time.Minute
	quietFor  = 30 * time.Second // an exchange without links ends after that
)

// keepHouse does now and then what no event asks for: it talks with members about
// the library, ends exchanges that nobody needs, follows entries, counts.
func (s *Swarm) keepHouse(ctx context.Context) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	awake := make(map[kith.ID]*candidate)
	var members map[kith.ID]kith.Member
	var looked, saved time.Time
	for {
		select {
		case <-tick.C:
		case <-s.looks:
			looked = time.Time{}
		case <-ctx.Done():
			return
		}
		now := time.Now()
		members = s.expel(ctx, members)
		if s.unsaid.Swap(false) {
			s.announce()
		}
		came := s.talk(ctx, awake, now)
		if now.Sub(looked) > lookEvery || len(came) > 0 {
			looked = now
			s.meetMembers(came)
			s.followEntries(ctx)
			s.endQuiet(now)
			s.makeRoom(ctx)
			s.goOn(ctx)
		}
		if now.Sub(saved) > saveEvery {
			saved = now
			s.saveCounts(ctx)
		}
	}
}

// announceSoon has members told what is here: all that changes within a second at once, as each
// time a list of everything is signed and goes round.
func (s *Swarm) announceSoon() { s.unsaid.Store(true) }

func (s *Swarm) announce() {
	s.mu.Lock()
	var held []kith.ContentID
	for id, h := range s.holdings {
		if h.shared() {
			held = append(held, id)
		}
	}
	s.mu.Unlock()
	s.library.SetHoldings(held)
}

// meetMembers has what is taken ask the members that are awake, and those that came at
// once, however long they were called in vain.
func (s *Swarm) meetMembers(came []kith.ID) {
	s.mu.Lock()
	active := s.active
	s.mu.Unlock()
	for _, x := range active {
		if !x.isComplete() {
			x.forgive(came)
			x.meet(s.library.Holders(x.id)...)
			s.meetAll(x)
		}
	}
}

// endQuiet ends exchanges and links that nobody needs.
func (s *Swarm) endQuiet(now time.Time) {
	s.mu.Lock()
	list := make([]*holding, 0, len(s.active))
	for _, h := range s.holdings {
		if h.exchange != nil {
			list = append(list, h)
		}
	}
	s.mu.Unlock()
	for _, h := range list {
		s.mu.Lock()
		x, end := h.exchange, h.end
		s.mu.Unlock()
		if x != nil && x.endFinished(now) {
			end()
		}
	}
}

// endFinished ends links between two that have everything, and reports whether
// nobody needs the exchange any more.
func (x *exchange) endFinished(now time.Time) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, l := range x.links {
		if l.finished() && now.Sub(l.since) > quietFor {
			l.conn.Close()
		}
	}
	return x.plan.Complete() && len(x.links) == 0 && now.Sub(x.quiet) > quietFor
}

// replaced deletes an older version, whose files are those of the newer one now.
func (s *Swarm) replaced(ctx context.Context, old, newer *holding) error {
	if old.Path != "" {
		if err := s.removeGone(ctx, old, newer); err != nil {
			return err
		}
	}
	return s.Drop(ctx, old.Content)
}

// errTooLarge is of a copy that is larger than the room for copies.
var errTooLarge = fmt.Errorf("get it to a folder of yours, or raise the limit: %w", kith.Quota)

// checkRoom says whether a copy fits into what its owner gives.
func (s *Swarm) checkRoom(h *holding, d *bittorrent.Description) error {
	if h.Path != "" || h.Pinned {
		return nil
	}
	limits := s.Limits()
	if most := limits.MemberDisk; d.Size() > orDefault(most, kith.DefaultMemberDisk) {
		return fmt.Errorf("%s has %d bytes, more than the copies of a member may have here: %w", d.Name, d.Size(), errTooLarge)
	}
	if d.Size() > orDefault(limits.Copies, kith.DefaultCopies) {
		return fmt.Errorf("%s has %d bytes, more than all copies may have here: %w", d.Name, d.Size(), errTooLarge)
	}
	return nil
}

func orDefault(n, otherwise int64) int64 {
	if n == 0 {
		return otherwise
	}
	return n
}

// makeRoom drops copies that were not used for longest where they take more
// than they may: of one member, and all together.
func (s *Swarm) makeRoom(ctx context.Context) { s.makeRoomFor(ctx, nil) }

// makeRoomFor is makeRoom where newest, if not nil, is used now.
func (s *Swarm) makeRoomFor(ctx context.Context, newest *holding) {
	limits := s.Limits()
	s.mu.Lock()
	if newest != nil && s.holdings[newest.Content] != newest {
		s.mu.Unlock()
		return // it had to make room itself
	}
	var copies []*holding
	for _, h := range s.holdings {
		if h.Path == "" && !h.Pinned && !h.own {
			copies = append(copies, h)
		}
	}
	slices.SortFunc(copies, func(a, b *holding) int {
		if a == newest {
			return -1
		} else if b == newest {
			return 1
		}
		return b.used.Compare(a.used)
	})
	total, members := int64(0), make(map[kith.ID]int64)
	var dropped []*holding
	for _, h := range copies {
		total += h.Size
		members[h.Entry.Host] += h.Size
		if total > orDefault(limits.Copies, kith.DefaultCopies) || members[h.Entry.Host] > orDefault(limits.MemberDisk, kith.DefaultMemberDisk) {
			total -= h.Size
			members[h.Entry.Host] -= h.Size
			dropped = append(dropped, h)
			delete(s.holdings, h.Content) // so that it does not drop others in its turn
		}
	}
	s.mu.Unlock()
	for _, h := range dropped {
		if err := s.discard(context.WithoutCancel(ctx), h); err != nil {
			s.log.Warn("copy not dropped", "name", h.Name, "err", err)
		}
	}
}

// spare is what is left free for other things when a holding goes on.
const spare = 16 << 20

// goOn has what was paused because the disk was full go on when there is room for
// the rest.
func (s *Swarm) goOn(ctx context.Context) {
	s.mu.Lock()
	var waiting []kith.Holding
	for _, h := range s.holdings {
		if h.full && h.exchange == nil && h.fetched == nil {
			waiting = append(waiting, h.Holding)
		}
	}
	s.mu.Unlock()
	for _, h := range waiting {
		free, need := s.store.FreeSpace, h.Size-h.Have
		if need == 0 && h.Path != "" { // all of it is here, but not at its place
			free, need = func() (int64, error) { return folders.Free(filepath.Dir(h.Path)) }, h.Size
		}
		if room, err := free(); err != nil || room < need+spare {
			continue
		}
		if err := s.Pause(ctx, h.Content, false); err != nil {
			s.log.Warn("content does not go on", "name", h.Name, "err", err)
		}
	}
}
