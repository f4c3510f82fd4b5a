package kith

import (
	"fmt"
	"slices"
	"strings"
)

// Domain is the name below which every group's names live. It can never be
// anybody's domain on the Internet (RFC 9476).
const Domain = "kith.alt"

// MaxLabel is the longest host, group or account name in bytes (RFC 1123 2.1,
// RFC 1035 2.3.4).
const MaxLabel = 63

// A Name is what people call a host: the host's own name and its group's.
type Name struct {
	Host  string // "maple"
	Group string // "home"
}

// String returns the full name, such as "maple.home.kith.alt".
func (n Name) String() string { return n.Host + "." + n.Group + "." + Domain }

// ParseName reads a full name. A trailing dot and upper-case letters are
// accepted, as resolvers produce them. It fails with an [Invalid] error.
func ParseName(text string) (Name, error) {
	rest, ok := strings.CutSuffix(strings.TrimSuffix(strings.ToLower(text), "."), "."+Domain)
	if !ok {
		return Name{}, fmt.Errorf("name %q does not end in .%s: %w", text, Domain, Invalid)
	}
	host, group, ok := strings.Cut(rest, ".")
	if !ok {
		return Name{}, fmt.Errorf("name %q has no group (want HOST.GROUP.%s): %w", text, Domain, Invalid)
	}
	for _, label := range []string{host, group} {
		if err := CheckLabel(label); err != nil {
			return Name{}, fmt.Errorf("name %q: %w", text, err)
		}
	}
	return Name{Host: host, Group: group}, nil
}

// CheckLabel says why label cannot name a host, a group or an account, or
// returns nil. Labels are as RFC 1123 2.1 has them, in lower case and without
// "--", which separates host from group in browser origins and marks
// internationalised labels (RFC 5891 4.2.3.1).
func CheckLabel(label string) error {
	switch {
	case label == "":
		return fmt.Errorf("name is empty: %w", Invalid)
	case len(label) > MaxLabel:
		return fmt.Errorf("name %.20q... has %d characters, at most %d: %w", label, len(label), MaxLabel, Invalid)
	case strings.HasPrefix(label, "-") || strings.HasSuffix(label, "-"):
		return fmt.Errorf("name %q begins or ends with a hyphen: %w", label, Invalid)
	case strings.Contains(label, "--"):
		return fmt.Errorf("name %q has two hyphens in a row: %w", label, Invalid)
	}
	for _, c := range label {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' {
			return fmt.Errorf("name %q has the character %q; use a to z, 0 to 9 and single hyphens, such as %s: %w",
				label, c, MakeLabel(label, "maple"), Invalid)
		}
	}
	return nil
}

// reserved are names that by custom reach who runs the host: RFC 2142 and RFC 5321 4.5.1 for mail, RFC 1635 for files.
var reserved = []string{"abuse", "anonymous", "hostmaster", "mailer-daemon", "postmaster", "root", "webmaster"}

// CheckPersonal is CheckLabel for what a person of the host takes as a name: an account, or another name of one.
// Names that reach who runs the host are none.
func CheckPersonal(label string) error {
	if slices.Contains(reserved, label) {
		return fmt.Errorf("the name %s is for who runs this computer; choose another: %w", label, Invalid)
	}
	return CheckLabel(label)
}

// MakeLabel turns what people and operating systems call a computer or an
// account ("Ada's MacBook.local") into a valid label ("ada-s-macbook"), or
// returns fallback when nothing usable is left.
func MakeLabel(text, fallback string) string {
	text, _, _ = strings.Cut(strings.ToLower(text), ".")
	var b strings.Builder
	for _, c := range text {
		switch {
		case c >= 'a' && c <= 'z', c >= '0' && c <= '9':
			b.WriteRune(c)
		case b.Len() > 0 && !strings.HasSuffix(b.String(), "-"):
			b.WriteByte('-')
		}
	}
	label := b.String()
	label = strings.TrimRight(label[:min(len(label), MaxLabel)], "-")
	if label == "" {
		return fallback
	}
	return label
}
