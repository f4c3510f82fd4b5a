package mailbox

import (
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
