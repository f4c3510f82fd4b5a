package mailbox

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/emersion/go-imap/v2"

	"kith.alt/kith"
)

// keptFolders is how many folders that nobody looks at any more are remembered: mail programs come back.
const keptFolders = 16

// A live is a folder that somebody looks at, or did just now.
type live struct {
	folder int64
	users  int       // guarded by Store.mu
	left   time.Time // by the last user, likewise

	mu      sync.Mutex
	now     state         // as it was last seen
	table   *table        // of it; nil: nobody has asked
	changed chan struct{} // closed at the next change
}

// A state is which messages a folder has at a MODSEQ. The list is shared: nobody changes
// what is in it.
type state struct {
	modseq uint64
	uids   []imap.UID // ascending
}

// A View is a folder as one client sees it: its messages have numbers, from 1 in the order of their UIDs, which
// change only in Sync. It is not safe for concurrent use, but for Changed.
type View struct {
	Folder Folder // as it was opened

	store *Store
	live  *live
	state state
	own   map[imap.UID]uint64 // changes of flags that the client knows of, by MODSEQ
	last  uint64              // MODSEQ of the last of them
}

// View opens a folder for a client, which closes it. It fails with kind NotFound.
func (s *Store) View(ctx context.Context, account, name string) (*View, error) {
	f, err := s.Folder(ctx, account, name)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	l := s.live[f.ID]
	if l == nil {
		l = &live{folder: f.ID, changed: make(chan struct{})}
		s.live[f.ID] = l
	}
	l.users++
	s.mu.Unlock()
	v := &View{store: s, live: l}
	if v.state, v.Folder, err = l.current(ctx, s.store); err != nil {
		v.Close()
		return nil, err
	}
	return v, nil
}

// Close ends the view.
func (v *View) Close() {
	v.store.mu.Lock()
	defer v.store.mu.Unlock()
	if v.live.users--; v.live.users > 0 {
		return
	}
	v.live.left = time.Now()
	oldest, left := v.live, 0
	for _, l := range v.store.live {
		if l.users == 0 {
			if left++; l.left.Before(oldest.left) {
				oldest = l
			}
		}
	}
	if left > keptFolders {
		delete(v.store.live, oldest.folder)
	}
}

// changed tells those who look at folders that something was committed.
func (s *Store) changed(folders ...int64) {
	for _, id := range folders {
		s.mu.Lock()
		l := s.live[id]
		s.mu.Unlock()
		if l != nil {
			l.mu.Lock()
			close(l.changed)
			l.changed = make(chan struct{})
			l.mu.Unlock()
		}
	}
}

// current returns the folder as it is.
func (l *live) current(ctx context.Context, store kith.Store) (state, Folder, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	f, err := l.refresh(ctx, store)
	return l.now, f, err
}

// refresh does so under the lock.
func (l *live) refresh(ctx context.Context, store kith.Store) (f Folder, err error) {
	err = store.View(ctx, func(tx *sql.Tx) (err error) {
		f, err = scanFolder(tx.QueryRowContext(ctx, `SELECT `+folderColumns+` FROM mail_folders WHERE id = ?`, l.folder))
		if errors.Is(err, sql.ErrNoRows) {
			return fmt.Errorf("the folder was deleted: %w", kith.NotFound)
		}
		if err != nil || f.ModSeq == l.now.modseq {
			return err
		}
		uids := l.now.uids
		if len(uids) > 0 {
			gone, err := column[imap.UID](ctx, tx, `SELECT uid FROM mail_expunged WHERE folder = ? AND modseq > ?`, l.folder, l.now.modseq)
			if err != nil {
				return err
			}
			if len(gone) > 0 {
				slices.Sort(gone)
				kept := make([]imap.UID, 0, len(uids))
				for _, uid := range uids {
					if _, found := slices.BinarySearch(gone, uid); !found {
						kept = append(kept, uid)
					}
				}
				uids = kept
			}
		}
		last := imap.UID(0)
		if len(l.now.uids) > 0 {
			last = l.now.uids[len(l.now.uids)-1]
		}
		added, err := numbers[imap.UID](ctx, tx, `SELECT uid FROM mail_messages WHERE folder = ? AND uid > ?`, l.folder, last)
		if err != nil {
			return err
		}
		slices.Sort(added)
		// Appending does not touch what others see of the list, and l.now is the only one appended to.
		next := state{f.ModSeq, append(uids, added...)}
		if l.table != nil {
			if len(uids) < len(l.now.uids) {
				l.table.keep(l.now.uids, uids)
			}
			if err := l.table.follow(ctx, tx, l.folder, l.now.modseq, next); err != nil {
				l.table = nil // by half
				return err
			}
		}
		l.now = next
		return nil
	})
	return f, err
}

// Count returns how many messages there are.
func (v *View) Count() int { return len(v.state.uids) }

// UID returns the UID of the message with a number from 1 to Count.
func (v *View) UID(number int) imap.UID { return v.state.uids[number-1] }

// Number returns the number of the message with a UID, 0 where there is none.
func (v *View) Number(uid imap.UID) int {
	i, found := slices.BinarySearch(v.state.uids, uid)
	if !found {
		return 0
	}
	return i + 1
}

// Known returns those UIDs of an ascending list that the view has, and their numbers.
func (v *View) Known(uids []imap.UID) (known, numbers []imap.UID) {
	at := 0 // no UID from here on is smaller than what comes
	for _, uid := range uids {
		if at < v.Count() && v.state.uids[at] < uid {
			next, _ := slices.BinarySearch(v.state.uids[at:], uid)
			at += next
		}
		if at < v.Count() && v.state.uids[at] == uid {
			at++
			known, numbers = append(known, uid), append(numbers, imap.UID(at))
		}
	}
	return known, numbers
}

// Position returns how many messages have a UID below uid.
func (v *View) Position(uid imap.UID) int {
	i, _ := slices.BinarySearch(v.state.uids, uid)
	return i
}

// Changed returns a channel that is closed when something may have changed after the call. A Sync that
// follows the call misses nothing.
func (v *View) Changed() <-chan struct{} {
	v.live.mu.Lock()
	defer v.live.mu.Unlock()
	return v.live.changed
}

// Knows notes that the client knows of a change that it made itself.
func (v *View) Knows(changes []FlagChange) {
	if v.own == nil {
		v.own = make(map[imap.UID]uint64)
	}
	for _, c := range changes {
		v.own[c.UID] = c.ModSeq
		v.last = c.ModSeq
	}
}

// Changes are what is new in a folder, to be told in this order.
type Changes struct {
	Flags    []NumberedFlags // with numbers before anything was expunged
	Expunged []int           // numbers, the highest first
	Count    int             // messages now, -1 if none has come
}

// NumberedFlags are the flags of a message that are new.
type NumberedFlags struct {
	Number int
	UID    imap.UID
	Flags  []imap.Flag
}

// Sync brings the view up to date and tells what has changed. Without expunge, when the client's numbers must stay, nothing
// new is told as long as there are messages to be expunged. It fails with kind NotFound when the folder
// is gone.
func (v *View) Sync(ctx context.Context, expunge bool) (changes Changes, err error) {
	changes.Count = -1
	next, _, err := v.live.current(ctx, v.store.store)
	if err != nil || next.modseq == v.state.modseq {
		return changes, err
	}
	for i, uid := range slices.Backward(v.state.uids) {
		if j, found := slices.BinarySearch(next.uids[:min(i+1, len(next.uids))], uid); !found {
			changes.Expunged = append(changes.Expunged, i+1)
		} else if i == j {
			break // the same ones from here to the first
		}
	}
	if len(changes.Expunged) > 0 && !expunge {
		changes.Expunged = nil
		return changes, nil
	}
	if next.modseq == v.state.modseq+1 && next.modseq == v.last { // nothing else has happened
		v.state, v.own = next, nil
		return changes, nil
	}
	last := imap.UID(0)
	if v.Count() > 0 {
		last = v.UID(v.Count())
	}
	err = v.store.store.View(ctx, func(tx *sql.Tx) error {
		// By UID, as SQLite would have it, all messages of the folder would be looked at.
		rows, err := tx.QueryContext(ctx, `SELECT uid, flags, keywords, modseq FROM mail_messages INDEXED BY mail_messages_modseq WHERE folder = ? AND modseq > ? AND modseq <= ? AND uid <= ? ORDER BY uid`,
			v.live.folder, v.state.modseq, next.modseq, last)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var uid imap.UID
			var set flagSet
			var modseq uint64
			if err := rows.Scan(&uid, &set.system, &set.keywords, &modseq); err != nil {
				return err
			}
			if number := v.Number(uid); number > 0 && v.own[uid] != modseq {
				changes.Flags = append(changes.Flags, NumberedFlags{number, uid, set.list()})
			}
		}
		return rows.Err()
	})
	if err != nil {
		return Changes{Count: -1}, err
	}
	if len(next.uids) > len(v.state.uids)-len(changes.Expunged) {
		changes.Count = len(next.uids)
	}
	v.state, v.own = next, nil
	return changes, nil
}

// Numbers returns what a client's set of numbers (RFC 9051 9: seq-set) means: those
// beyond the last one mean nothing, and 0 is the last one.
func (v *View) Numbers(set imap.SeqSet) (ranges []Range) {
	if v == nil || v.Count() == 0 {
		return nil
	}
	last := uint32(v.Count())
	for _, r := range set {
		from, to := ordered(r.Start, r.Stop, last)
		if from > last {
			continue
		}
		ranges = append(ranges, Range{v.UID(int(from)), v.UID(int(min(to, last)))})
	}
	return normal(ranges)
}

// UIDs returns what a client's set of UIDs means, of messages that are in the view.
func (v *View) UIDs(set imap.UIDSet) (ranges []Range) {
	if v == nil || v.Count() == 0 {
		return nil
	}
	last := uint32(v.UID(v.Count()))
	for _, r := range set {
		from, to := ordered(uint32(r.Start), uint32(r.Stop), last)
		if from > last {
			continue
		}
		ranges = append(ranges, Range{imap.UID(from), imap.UID(min(to, last))})
	}
	return normal(ranges)
}

// ordered returns the ends of a range, where 0 stands for the last.
func ordered(from, to, last uint32) (uint32, uint32) {
	if from == 0 {
		from = last
	}
	if to == 0 {
		to = last
	}
	return min(from, to), max(from, to)
}

// normal sorts ranges and joins those that overlap.
func normal(ranges []Range) (list []Range) {
	slices.SortFunc(ranges, func(a, b Range) int { return cmp.Compare(a.From, b.From) })
	for _, r := range ranges {
		if n := len(list); n > 0 && r.From <= list[n-1].To {
			list[n-1].To = max(list[n-1].To, r.To)
			continue
		}
		list = append(list, r)
	}
	return list
}
