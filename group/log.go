package group

import (
	"errors"
	"fmt"
	"slices"

	"kith.alt/kith"
)

// Limits of a group's log.
const (
	MaxEntries   = 4096 // in all
	maxPerAuthor = 1024
	MaxMembers   = 512
)

var (
	errKnown  = errors.New("entry is known")
	errGap    = errors.New("entry before its parents")
	errForged = errors.New("entry is forged")
)

// log is the set of entries that a host holds, parents before children. It
// takes only entries that fit on top of what it has and whose author could
// have had the right to write them, judged by the entry's own past and
// nothing else: so every host takes the same ones, and nobody outside the
// group, nor a member without the right, can fill it. It is guarded by Group.
type log struct {
	genesis   Hash
	entries   []*Entry
	received  []int64 // Unix seconds
	index     map[Hash]int
	children  []int // per entry, how many
	perAuthor map[kith.ID]int
}

func newLog(genesis Hash) *log {
	return &log{genesis: genesis, index: make(map[Hash]int), perAuthor: make(map[kith.ID]int)}
}

// add takes e, received at that time. trusted skips the signature and the
// right: the entry comes from our own disk or hand.
func (l *log) add(e *Entry, received int64, trusted bool) error {
	if _, ok := l.index[e.hash]; ok {
		return errKnown
	}
	if len(l.entries) == 0 && (e.hash != l.genesis || e.effect() != kindGenesis) {
		return errGap
	}
	if len(l.entries) > 0 && len(e.body.Parents) == 0 {
		return fmt.Errorf("second genesis entry: %w", kith.Invalid)
	}
	for _, parent := range e.body.Parents {
		if _, ok := l.index[parent]; !ok {
			return errGap
		}
	}
	if !trusted {
		if len(l.entries) >= MaxEntries || l.perAuthor[e.body.Author] >= maxPerAuthor {
			return fmt.Errorf("roster is full (%d entries, %d by %s): %w", len(l.entries), l.perAuthor[e.body.Author], e.body.Author.Short(), kith.Quota)
		}
		if err := l.entitled(e); err != nil {
			return err
		}
		if err := e.verify(); err != nil {
			return errors.Join(errForged, err)
		}
	}
	for _, parent := range e.body.Parents {
		l.children[l.index[parent]]++
	}
	l.index[e.hash] = len(l.entries)
	l.entries = append(l.entries, e)
	l.received = append(l.received, received)
	l.children = append(l.children, 0)
	l.perAuthor[e.body.Author]++
	return nil
}

// truncate takes back all but the first n entries.
func (l *log) truncate(n int) {
	for _, e := range slices.Backward(l.entries[n:]) {
		for _, parent := range e.body.Parents {
			l.children[l.index[parent]]--
		}
		delete(l.index, e.hash)
		l.perAuthor[e.body.Author]--
	}
	l.entries, l.received, l.children = l.entries[:n], l.received[:n], l.children[:n]
}

// heads are the entries without children, latest received first.
func (l *log) heads() []Hash {
	var heads []Hash
	for i, n := range slices.Backward(l.children) {
		if n == 0 {
			heads = append(heads, l.entries[i].hash)
		}
	}
	return heads
}

// headAbove is a head that has the entry hash in its past, or is it.
func (l *log) headAbove(hash Hash) Hash {
	above := make([]bool, len(l.entries))
	above[l.index[hash]] = true
	for i, e := range l.entries {
		for _, parent := range e.body.Parents {
			above[i] = above[i] || above[l.index[parent]]
		}
	}
	for i, at := range slices.Backward(above) {
		if at && l.children[i] == 0 {
			return l.entries[i].hash
		}
	}
	return hash
}

// entitled says whether the author of e, whose parents are there, was admitted
// in its past and, where that matters, made an admin there. Revocations are
// for the merge.
func (l *log) entitled(e *Entry) error {
	author := e.body.Author
	if len(l.entries) == 0 {
		return nil
	}
	admitted := false
	admins := make(map[kith.ID]bool) // true: still so as far as the past says
	past := l.past(e)
	for i, at := range past {
		if !at {
			continue
		}
		b := &l.entries[i].body
		switch l.entries[i].effect() {
		case kindGenesis:
			admins[b.Author] = true
			admitted = admitted || b.Author == author
		case kindAdmit:
			admitted = admitted || b.Subject == author
			if b.Admin {
				admins[b.Subject] = true
			}
		case kindRole:
			if b.Admin {
				admins[b.Subject] = true
			}
		}
	}
	if !admitted {
		return fmt.Errorf("roster entry by %s, which was not admitted: %w", author.Short(), kith.NotMember)
	}
	switch e.effect() {
	case kindInvite, kindAdmit, kindRevoke, kindRole:
	case kindRename:
		if e.body.Group == "" {
			return nil
		}
	default:
		return nil
	}
	if _, ok := admins[author]; ok {
		return nil
	}
	// Without an admin the merge names an heir.
	for i, at := range past {
		if !at {
			continue
		}
		b := &l.entries[i].body
		switch l.entries[i].effect() {
		case kindLeave:
			delete(admins, b.Author)
		case kindRevoke:
			delete(admins, b.Subject)
		case kindRole:
			if !b.Admin {
				delete(admins, b.Subject)
			}
		}
	}
	if len(admins) > 0 {
		return fmt.Errorf("roster entry %q by %s, which was no admin: %w", e.body.Kind, author.Short(), kith.Denied)
	}
	return nil
}

// past marks the ancestors of e.
func (l *log) past(e *Entry) []bool {
	marks := make([]bool, len(l.entries))
	for _, parent := range e.body.Parents {
		marks[l.index[parent]] = true
	}
	for i, at := range slices.Backward(marks) {
		if at {
			for _, parent := range l.entries[i].body.Parents {
				marks[l.index[parent]] = true
			}
		}
	}
	return marks
}
