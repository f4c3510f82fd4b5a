package group

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"kith.alt/kith"
)

// nameRest is how long the name of a revoked host is given to nobody else.
const nameRest = 30 * 24 * time.Hour

const shortLen = 6 // characters of kith.ID.Short

// reservedNames mean something to resolvers, browsers or people already.
var reservedNames = []string{"kith", "localhost", "local", "www", "wpad", "isatap", "invite"}

// CheckName says why no host or group may take name, whatever the group: it is
// not a valid label, reserved, a number (resolvers read "127" as an address)
// or the text of an ID. It returns nil otherwise.
func CheckName(name string) error {
	if err := kith.CheckLabel(name); err != nil {
		return err
	}
	if slices.Contains(reservedNames, name) {
		return fmt.Errorf("name %q is reserved: %w", name, kith.Invalid)
	}
	if strings.Trim(name, "0123456789") == "" || strings.HasPrefix(name, "0x") {
		return fmt.Errorf("name %q would be read as an IP address: %w", name, kith.Invalid)
	}
	if _, err := kith.ParseID(name); err == nil {
		return fmt.Errorf("name %q is a host ID: %w", name, kith.Invalid)
	}
	return nil
}

// CheckHost says why the host id may not be called name in this group: beside
// what [CheckName] says, another member is called so or nearly so, or name has
// the form that is given to a host that lost its name, for another host than
// id. It returns nil otherwise.
func (r *Roster) CheckHost(name string, id kith.ID) error {
	if err := CheckName(name); err != nil {
		return err
	}
	if suffix, ok := keySuffix(name); ok && suffix != id.Short() {
		for _, known := range r.merge.ids {
			if known != id && known.Short() == suffix {
				return fmt.Errorf("name %q ends in another host's key: %w", name, kith.Invalid)
			}
		}
	}
	shape := skeleton(name)
	for _, m := range r.members {
		if m.ID == id {
			continue
		}
		for _, other := range []string{m.Host, m.Wanted} {
			switch {
			case other == name:
				return fmt.Errorf("another host is called %q: %w", name, kith.Exists)
			case skeleton(other) == shape:
				return fmt.Errorf("name %q looks like %q, which another host has: %w", name, other, kith.Exists)
			}
		}
	}
	return nil
}

// keySuffix returns the characters after the last hyphen of name when they
// could be the beginning of an ID.
func keySuffix(name string) (string, bool) {
	at := strings.LastIndexByte(name, '-')
	if at < 1 || len(name)-at-1 != shortLen {
		return "", false
	}
	suffix := name[at+1:]
	return suffix, strings.Trim(suffix, "abcdefghijklmnopqrstuvwxyz234567") == ""
}

// fallbackName is what a host is called whose name another has.
func fallbackName(name string, id kith.ID) string {
	name = name[:min(len(name), kith.MaxLabel-shortLen-1)]
	return strings.TrimRight(name, "-") + "-" + id.Short()
}

// What people cannot tell apart in common typefaces: single characters first,
// then pairs, so that "c1" is "d", too.
var (
	alikeChars = strings.NewReplacer("-", "", "0", "o", "1", "l", "i", "l")
	alikePairs = strings.NewReplacer("rn", "m", "vv", "w", "cl", "d")
)

// skeleton is the shape of a name: names that look alike have the same.
func skeleton(name string) string { return alikePairs.Replace(alikeChars.Replace(name)) }

// Resolve returns the host that text names: a short name, a full name of this
// group or of a name that it had, a member's former name, an ID, or
// <ID>.kith.alt. Case and a trailing dot do not matter. It fails with kind
// NotMember for the name of a host that is out, and NotFound for any other.
func (r *Roster) Resolve(text string) (kith.ID, error) {
	name := strings.TrimSuffix(strings.ToLower(text), ".")
	if id, err := kith.ParseID(strings.TrimSuffix(name, "."+kith.Domain)); err == nil {
		return id, nil
	}
	if strings.Contains(name, ".") {
		full, err := kith.ParseName(name)
		if err != nil {
			return kith.ID{}, err
		}
		if full.Group != r.group && !slices.Contains(r.former, full.Group) {
			return kith.ID{}, fmt.Errorf("host %s is of the group %s, this is %s: %w", full, full.Group, r.group, kith.NotFound)
		}
		name = full.Host
	}
	if id, ok := r.byName[name]; ok {
		return id, nil
	}
	if id, ok := r.aliases[name]; ok {
		return id, nil
	}
	for _, removal := range slices.Backward(r.removed) {
		if removal.Host == name {
			return kith.ID{}, fmt.Errorf("host %s: %s: %w", name, removal.Reason, kith.NotMember)
		}
	}
	return kith.ID{}, fmt.Errorf("no host of the group %s is called %.80q: %w", r.group, text, kith.NotFound)
}
