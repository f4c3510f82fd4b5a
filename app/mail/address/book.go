package address

import (
	"context"
	"database/sql"
	"errors"
	"slices"

	"kith.alt/kith"
)

// A Book knows what addresses mean on this host.
type Book struct{ host kith.Host }

// New returns the book of a host whose store has the tables.
func New(host kith.Host) *Book { return &Book{host} }

// A Target is where mail for an address goes: to an account, or through a list of this host.
type Target struct {
	Host   kith.ID
	Name   string // the account; on another host, what that host takes for one
	Detail string
	List   *List // of this host, if it is one
}

// A List passes mail on to its members.
type List struct {
	Name    string   `json:"name"`
	Owner   string   `json:"owner"`   // an account of this host
	Members []string `json:"members"` // addresses
}

// Resolve returns where mail for an address goes, each place once. It fails with a [Refusal] where that is
// nowhere.
func (b *Book) Resolve(ctx context.Context, tx *sql.Tx, a Address) ([]Target, error) {
	if a.Account == Everybody && (a.Domain == "" || a.Domain == b.group()) {
		return b.everybody(ctx)
	}
	host, err := b.Host(a)
	if err != nil {
		return nil, err
	}
	if host != b.host.ID() {
		if err := b.checkMember(host, a); err != nil {
			return nil, err
		}
		return []Target{{Host: host, Name: a.Account, Detail: a.Detail}}, nil
	}
	return b.local(ctx, tx, a)
}

// Local returns where mail for a name of this host goes. It fails with a [Refusal].
func (b *Book) local(ctx context.Context, tx *sql.Tx, a Address) ([]Target, error) {
	self := b.host.ID()
	account, err := b.Account(ctx, tx, a.Account)
	if err == nil {
		return []Target{{Host: self, Name: account, Detail: a.Detail}}, nil
	} else if !errors.Is(err, kith.NotFound) {
		return nil, err
	}
	list, listErr := b.List(ctx, tx, a.Account)
	if errors.Is(listErr, kith.NotFound) {
		return nil, err
	} else if listErr != nil {
		return nil, listErr
	}
	return []Target{{Host: self, Name: a.Account, List: list}}, nil
}

// Account returns the account of this host that a name means: itself or an alias. It fails with a
// [Refusal].
func (b *Book) Account(ctx context.Context, tx *sql.Tx, name string) (string, error) {
	names, err := b.host.Accounts().Names(ctx)
	if err != nil {
		return "", err
	}
	if slices.Contains(names, name) {
		return name, nil
	}
	var account string
	err = tx.QueryRowContext(ctx, `SELECT account FROM mail_aliases WHERE name = ?`, name).Scan(&account)
	switch {
	case err == nil && slices.Contains(names, account):
		return account, nil
	case err != nil && !errors.Is(err, sql.ErrNoRows):
		return "", err
	case name == Postmaster && len(names) > 0:
		return names[0], nil
	}
	return "", Refuse("5.1.1", kith.NotFound, "there is no account %s at %s", name, b.host.Name())
}

// Host returns the host of an address. It fails with a [Refusal].
func (b *Book) Host(a Address) (kith.ID, error) {
	if a.Domain == "" || a.Domain == localhost {
		return b.host.ID(), nil
	}
	id, err := b.host.Resolve(a.Domain)
	if err != nil {
		return id, Refuse("5.1.2", kith.NotFound, "no member of the group %s is called %+.80q", b.host.Name().Group, a.Domain)
	}
	return id, nil
}

// checkMember checks that another host is a member, and has such a name as far as its record tells.
func (b *Book) checkMember(host kith.ID, a Address) error {
	for _, m := range b.host.Members() {
		if m.ID != host {
			continue
		}
		known := len(m.Accounts) > 0 && !m.More
		if known && a.Account != Postmaster && !slices.Contains(m.Accounts, a.Account) && !slices.Contains(m.Names, a.Account) {
			return Refuse("5.1.1", kith.NotFound, "there is no account %s at %s", a.Account, m.Host)
		}
		return nil
	}
	return Refuse("5.1.2", kith.NotFound, "%+.80q is no member of the group %s", a.Domain, b.host.Name().Group)
}

// everybody returns the accounts of all members.
func (b *Book) everybody(ctx context.Context) (targets []Target, err error) {
	for _, m := range b.host.Members() {
		names := m.Accounts
		if m.ID == b.host.ID() {
			if names, err = b.host.Accounts().Names(ctx); err != nil {
				return nil, err
			}
		}
		for _, name := range names {
			targets = append(targets, Target{Host: m.ID, Name: name})
		}
	}
	return targets, nil
}

func (b *Book) group() string { return b.host.Name().Group + "." + kith.Domain }

// Owns reports whether an address is one of an account of this host, also by an alias.
func (b *Book) Owns(ctx context.Context, tx *sql.Tx, account, text string) (bool, error) {
	a, err := Parse(text)
	if err != nil {
		return false, nil
	}
	if host, err := b.Host(a); err != nil || host != b.host.ID() {
		return false, nil
	}
	owner, err := b.Account(ctx, tx, a.Account)
	if errors.Is(err, kith.NotFound) {
		return false, nil
	}
	return err == nil && owner == account, err
}

// Full returns the address of a name of this host.
func (b *Book) Full(name string) string { return name + "@" + b.host.Name().String() }

// Complete returns an address as it is known in the whole group: with the present full name of its host.
func (b *Book) Complete(a Address) string {
	if a.Account == Everybody && (a.Domain == "" || a.Domain == b.group()) {
		a.Domain = b.group()
		return a.String()
	}
	if host, err := b.Host(a); err == nil {
		for _, m := range b.host.Members() {
			if m.ID == host {
				a.Domain = kith.Name{Host: m.Host, Group: b.host.Name().Group}.String()
			}
		}
	}
	return a.String()
}
