package mailbox

import (
	"context"
	"database/sql"
	"slices"
	"strings"

	"github.com/emersion/go-imap/v2"
)

// A table is what is kept in memory of a folder's messages: their flags, so that a client that asks for all of them,
// as each does at its start, is answered from it, and what they hold, so that a search for words is. It has 9 bytes
// for a message, and the keywords of those that have some.
type table struct {
	system   []uint8 // of the messages, in their order
	contents []int64 // likewise
	keywords map[imap.UID]string
}

// keep leaves out what is not among the messages that are left.
func (t *table) keep(all, left []imap.UID) {
	n := 0
	for i, uid := range all {
		if n < len(left) && left[n] == uid {
			t.system[n], t.contents[n] = t.system[i], t.contents[i]
			n++
		} else {
			delete(t.keywords, uid)
		}
	}
	t.system, t.contents = t.system[:n], t.contents[:n]
}

// follow takes up what was added and changed since a MODSEQ, 0 for all.
func (t *table) follow(ctx context.Context, tx *sql.Tx, folder int64, since uint64, to state) error {
	rest := len(to.uids) - len(t.system)
	t.system, t.contents = append(t.system, make([]uint8, rest)...), append(t.contents, make([]int64, rest)...)
	changed := ` FROM mail_messages WHERE folder = ? AND modseq > ?`
	if since == 0 {
		changed = ` FROM mail_messages WHERE folder = ? AND +modseq > ?` // not by the index of it: all are
	}
	all, err := numbers[int64](ctx, tx, `SELECT uid || ',' || flags || ',' || content`+changed, folder, since)
	if err != nil {
		return err
	}
	for each := range slices.Chunk(all, 3) {
		uid := imap.UID(each[0])
		if i, found := slices.BinarySearch(to.uids, uid); found {
			t.system[i], t.contents[i] = uint8(each[1]), each[2]
			delete(t.keywords, uid)
		}
	}
	sets, uids, err := queryFlags(ctx, tx, `SELECT uid, flags, keywords`+changed+` AND keywords <> ''`, folder, since)
	for n, uid := range uids {
		t.keywords[uid] = sets[n].keywords
	}
	return err
}

func (t *table) at(i int, uid imap.UID) flagSet {
	set := flagSet{system: int64(t.system[i])}
	if len(t.keywords) > 0 {
		set.keywords = t.keywords[uid]
	}
	return set
}

// withTable calls use with the folder's messages and what is known of them, as they are now. The caller must not keep
// the table.
func (l *live) withTable(ctx context.Context, s *Store, use func(state, *table)) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.table == nil {
		l.table, l.now = &table{keywords: make(map[imap.UID]string)}, state{} // all is new
	}
	if _, err := l.refresh(ctx, s.store); err != nil {
		return err
	}
	use(l.now, l.table)
	return nil
}

// Flags returns the UIDs and flags of at most limit messages whose UID is in a range, in ascending order, as they
// are now. Nothing else of the messages is set.
func (v *View) Flags(ctx context.Context, r Range, limit int) (list []Message, err error) {
	lists := make(map[flagSet][]imap.Flag) // few are different
	err = v.live.withTable(ctx, v.store, func(now state, known *table) {
		from, _ := slices.BinarySearch(now.uids, r.From)
		for i := from; i < len(now.uids) && now.uids[i] <= r.To && len(list) < limit; i++ {
			set := known.at(i, now.uids[i])
			if lists[set] == nil {
				lists[set] = slices.Clip(set.list())
			}
			list = append(list, Message{UID: now.uids[i], Flags: lists[set]})
		}
	})
	return list, err
}

// matching returns the UIDs of messages that have some flags and have not others, and that match an expression of
// FTS5 unless it is "".
func (v *View) matching(ctx context.Context, with, without []imap.Flag, expression string) (uids []imap.UID, err error) {
	want, err := parseFlags(with)
	if err != nil {
		return nil, err
	}
	reject, err := parseFlags(without)
	if err != nil {
		return nil, err
	}
	words := func(set flagSet) []string { return strings.Fields(strings.ToLower(set.keywords)) }
	wanted, rejected := words(want), words(reject)
	var having contentSet
	if expression != "" {
		if having, err = v.store.having(ctx, expression); err != nil {
			return nil, err
		}
	}
	err = v.live.withTable(ctx, v.store, func(now state, known *table) {
		for i, uid := range now.uids {
			set := known.at(i, uid)
			meets := set.system&want.system == want.system && set.system&reject.system == 0 && (expression == "" || having.has(known.contents[i]))
			if meets && len(wanted)+len(rejected) > 0 {
				has := func(word string) bool { return slices.Contains(words(set), word) }
				meets = !slices.ContainsFunc(rejected, has) && !slices.ContainsFunc(wanted, func(word string) bool { return !has(word) })
			}
			if meets {
				uids = append(uids, uid)
			}
		}
	})
	return uids, err
}

// A contentSet has a bit for each content.
type contentSet []uint64

func (c contentSet) has(id int64) bool {
	return id>>6 < int64(len(c)) && c[id>>6]&(1<<(id&63)) != 0
}

// having returns the contents, of all accounts, that match an expression of FTS5.
func (s *Store) having(ctx context.Context, expression string) (set contentSet, err error) {
	err = s.store.View(ctx, func(tx *sql.Tx) error {
		ids, err := numbers[int64](ctx, tx, `SELECT rowid FROM mail_words WHERE mail_words MATCH ?`, expression)
		if err != nil || len(ids) == 0 {
			return err
		}
		set = make(contentSet, slices.Max(ids)>>6+1)
		for _, id := range ids {
			set[id>>6] |= 1 << (id & 63)
		}
		return nil
	})
	return set, err
}
