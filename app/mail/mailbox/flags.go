package mailbox

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/emersion/go-imap/v2"

	"kith.alt/kith"
)

// systemFlags are those that every folder has (RFC 9051 2.3.2), in the order of their bits in the database.
var systemFlags = []imap.Flag{imap.FlagSeen, imap.FlagAnswered, imap.FlagFlagged, imap.FlagDeleted, imap.FlagDraft}

// SystemFlags returns the flags that every folder has (RFC 9051 2.3.2).
func SystemFlags() []imap.Flag { return slices.Clone(systemFlags) }

// A flagSet is a message's flags as the database has them: bits, and sorted keywords with
// a space before and after each.
type flagSet struct {
	system   int64
	keywords string
}

// parseFlags reads flags. \Recent, which is the server's, is left out.
func parseFlags(flags []imap.Flag) (set flagSet, err error) {
	var keywords []string
	for _, flag := range flags {
		name := string(flag)
		if i := slices.IndexFunc(systemFlags, func(f imap.Flag) bool { return strings.EqualFold(string(f), name) }); i >= 0 {
			set.system |= 1 << i
			continue
		}
		if strings.EqualFold(name, `\Recent`) {
			continue
		}
		if !keyword(name) {
			return set, fmt.Errorf("%.40q is no flag: %w", name, kith.Invalid)
		}
		keywords = append(keywords, name)
	}
	if set.keywords = join(keywords); strings.Count(set.keywords, " ") > maxKeywords+1 {
		return set, fmt.Errorf("there are more than %d keywords: %w", maxKeywords, kith.Quota)
	}
	return set, nil
}

// keyword reports whether a name is an atom of IMAP.
func keyword(name string) bool {
	for i := range len(name) {
		if c := name[i]; c <= ' ' || c >= 0x7f || strings.IndexByte(`(){%*"\]`, c) >= 0 {
			return false
		}
	}
	return name != "" && len(name) <= maxKeyword
}

// join sorts keywords and leaves out those that differ by case alone.
func join(keywords []string) string {
	if len(keywords) == 0 {
		return ""
	}
	slices.SortStableFunc(keywords, func(a, b string) int { return strings.Compare(strings.ToLower(a), strings.ToLower(b)) })
	keywords = slices.CompactFunc(keywords, strings.EqualFold)
	return " " + strings.Join(keywords, " ") + " "
}

func (s flagSet) list() []imap.Flag {
	flags := []imap.Flag{}
	for i, flag := range systemFlags {
		if s.system&(1<<i) != 0 {
			flags = append(flags, flag)
		}
	}
	for word := range strings.FieldsSeq(s.keywords) {
		flags = append(flags, imap.Flag(word))
	}
	return flags
}

// apply returns what a set becomes by a change.
func (s flagSet) apply(op imap.StoreFlagsOp, change flagSet) flagSet {
	switch op {
	case imap.StoreFlagsAdd:
		s.system |= change.system
		if change.keywords != "" {
			s.keywords = join(append(strings.Fields(s.keywords), strings.Fields(change.keywords)...))
		}
	case imap.StoreFlagsDel:
		s.system &^= change.system
		if change.keywords != "" {
			gone := strings.Fields(change.keywords)
			s.keywords = join(slices.DeleteFunc(strings.Fields(s.keywords), func(word string) bool {
				return slices.ContainsFunc(gone, func(g string) bool { return strings.EqualFold(g, word) })
			}))
		}
	default:
		s = change
	}
	return s
}

// A FlagChange is what became of a message's flags.
type FlagChange struct {
	UID    imap.UID
	Flags  []imap.Flag
	ModSeq uint64
}

// SetFlags changes the flags of the messages in ranges, and returns those that are different
// now. It fails with kind Invalid for flags that are none, and with Quota for too many.
func (s *Store) SetFlags(ctx context.Context, folder int64, ranges []Range, op imap.StoreFlagsOp, flags []imap.Flag) (changes []FlagChange, err error) {
	change, err := parseFlags(flags)
	if err != nil {
		return nil, err
	}
	err = s.store.Update(ctx, func(tx *sql.Tx) (err error) {
		if change.keywords == "" && op != imap.StoreFlagsSet {
			changes, err = setBits(ctx, tx, folder, ranges, op, change.system)
		} else {
			changes, err = setEach(ctx, tx, folder, ranges, op, change)
		}
		return err
	})
	if err == nil && len(changes) > 0 {
		s.changed(folder)
	}
	return changes, err
}

// setBits adds or removes flags that every folder has, by a statement for each range.
func setBits(ctx context.Context, tx *sql.Tx, folder int64, ranges []Range, op imap.StoreFlagsOp, bits int64) (changes []FlagChange, err error) {
	var modseq uint64
	err = tx.QueryRowContext(ctx, `SELECT modseq + 1 FROM mail_folders WHERE id = ?`, folder).Scan(&modseq)
	if errors.Is(err, sql.ErrNoRows) { // the folder was deleted
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	set, differs := `flags | ?1`, `flags & ?1 <> ?1`
	if op == imap.StoreFlagsDel {
		set, differs = `flags & ~?1`, `flags & ?1 <> 0`
	}
	for _, r := range ranges {
		sets, uids, err := queryFlags(ctx, tx, `UPDATE mail_messages SET flags = `+set+`, modseq = ?2 WHERE folder = ?3 AND uid BETWEEN ?4 AND ?5 AND `+differs+` RETURNING uid, flags, keywords`,
			bits, modseq, folder, r.From, r.To)
		if err != nil {
			return nil, err
		}
		for i, set := range sets {
			changes = append(changes, FlagChange{uids[i], set.list(), modseq})
		}
	}
	if len(changes) > 0 {
		_, _, err = advance(ctx, tx, folder, 0)
	}
	return changes, err
}

// setEach changes flags, a message at a time.
func setEach(ctx context.Context, tx *sql.Tx, folder int64, ranges []Range, op imap.StoreFlagsOp, change flagSet) (changes []FlagChange, err error) {
	modseq := uint64(0)
	for _, r := range ranges {
		sets, uids, err := queryFlags(ctx, tx, `SELECT uid, flags, keywords FROM mail_messages WHERE folder = ? AND uid BETWEEN ? AND ?`, folder, r.From, r.To)
		if err != nil {
			return nil, err
		}
		for i, old := range sets {
			set := old.apply(op, change)
			if set == old {
				continue
			}
			if strings.Count(set.keywords, " ") > maxKeywords+1 {
				return nil, fmt.Errorf("message %d would have more than %d keywords: %w", uids[i], maxKeywords, kith.Quota)
			}
			if modseq == 0 {
				if _, modseq, err = advance(ctx, tx, folder, 0); err != nil {
					return nil, err
				}
			}
			_, err := tx.ExecContext(ctx, `UPDATE mail_messages SET flags = ?, keywords = ?, modseq = ? WHERE folder = ? AND uid = ?`, set.system, set.keywords, modseq, folder, uids[i])
			if err != nil {
				return nil, err
			}
			changes = append(changes, FlagChange{uids[i], set.list(), modseq})
		}
	}
	return changes, nil
}

// queryFlags returns the rows of a statement that has UIDs, flags and keywords.
func queryFlags(ctx context.Context, tx *sql.Tx, statement string, args ...any) (sets []flagSet, uids []imap.UID, err error) {
	rows, err := tx.QueryContext(ctx, statement, args...)
	if err != nil {
		return nil, nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var uid imap.UID
		var set flagSet
		if err := rows.Scan(&uid, &set.system, &set.keywords); err != nil {
			return nil, nil, err
		}
		sets, uids = append(sets, set), append(uids, uid)
	}
	return sets, uids, rows.Err()
}

// Keywords returns the keywords that messages of a folder have, at most 100.
func (s *Store) Keywords(ctx context.Context, folder int64) (flags []imap.Flag, err error) {
	err = s.store.View(ctx, func(tx *sql.Tx) error {
		lists, err := column[string](ctx, tx, `SELECT DISTINCT keywords FROM mail_messages WHERE folder = ? AND keywords <> '' LIMIT 100`, folder)
		for _, list := range lists {
			for word := range strings.FieldsSeq(list) {
				if flag := imap.Flag(word); !slices.Contains(flags, flag) && len(flags) < 100 {
					flags = append(flags, flag)
				}
			}
		}
		return err
	})
	return flags, err
}
