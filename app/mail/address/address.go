package address

import (
	"fmt"
	"strings"

	"kith.alt/kith"
)

// Everybody is the name that means every account of every member.
const Everybody = "all"

// Postmaster is the name that every host has.
const Postmaster = "postmaster"

// localhost is this host, for programs on it.
const localhost = "localhost"

// maxAddress is how many characters an address has at most (RFC 5321 4.5.3.1.3).
const maxAddress = 254

// An Address is what mail is sent to or from, in lower case.
type Address struct {
	Account string // or alias, or list
	Detail  string // after the plus sign
	Domain  string // "" for this host
}

// String returns the address as it is written.
func (a Address) String() string {
	text := a.Account
	if a.Detail != "" {
		text += "+" + a.Detail
	}
	if a.Domain != "" {
		text += "@" + a.Domain
	}
	return text
}

// Parse reads an address. It fails with a [Refusal].
func Parse(text string) (Address, error) {
	local, domain, _ := strings.Cut(strings.ToLower(text), "@")
	account, detail, plus := strings.Cut(local, "+")
	a := Address{Account: account, Detail: detail, Domain: strings.TrimSuffix(domain, ".")}
	switch {
	case len(text) > maxAddress:
		return Address{}, Refuse("5.1.3", kith.Invalid, "an address has at most %d characters", maxAddress)
	case strings.HasSuffix(text, "@"), plus && detail == "", !atom(detail), !atom(strings.ReplaceAll(a.Domain, ".", "")):
		return Address{}, Refuse("5.1.3", kith.Invalid, "%+.80q is no address", text)
	}
	if a.Domain != "" && a.Domain != localhost && strings.Contains(a.Domain, ".") && !strings.HasSuffix(a.Domain, "."+kith.Domain) {
		return Address{}, Refuse("5.1.2", kith.NotFound, "kith mail goes to members of the group only, and %+.80q is none", a.Domain)
	}
	if kith.CheckLabel(account) != nil {
		return Address{}, Refuse("5.1.3", kith.Invalid, "%+.80q is no name of an account", account)
	}
	return a, nil
}

// atom reports whether text may stand in an address without quotes.
func atom(text string) bool {
	for i := range len(text) {
		c := text[i]
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && strings.IndexByte("-_.=+", c) < 0 {
			return false
		}
	}
	return true
}

// A Refusal is why mail is not taken.
type Refusal struct {
	Status string // RFC 3463 2: "5.1.1"
	Text   string
	Kind   kith.Kind
}

// Refuse returns a [Refusal].
func Refuse(status string, kind kith.Kind, format string, args ...any) error {
	return &Refusal{Status: status, Text: fmt.Sprintf(format, args...), Kind: kind}
}

// Error returns the text alone.
func (r *Refusal) Error() string { return r.Text }

// Unwrap returns the kind.
func (r *Refusal) Unwrap() error { return r.Kind }
