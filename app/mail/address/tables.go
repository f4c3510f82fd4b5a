package address

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"

	"kith.alt/kith"
)

// Limits of what a host keeps.
const (
	maxAliases = 1000
	maxLists   = 100
	maxMembers = 1000 // of a list
)

// An Alias is another name of an account of this host.
type Alias struct {
	Name    string `json:"name"`
	Account string `json:"account"`
}

// AddAlias gives an account another name. It fails with kind Invalid, NotFound, Exists or Quota.
func (b *Book) AddAlias(ctx context.Context, alias Alias) error {
	return b.add(ctx, alias.Name, "mail_aliases", maxAliases, func(tx *sql.Tx) error {
		account, err := b.Account(ctx, tx, alias.Account)
		if err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, `INSERT INTO mail_aliases (name, account) VALUES (?, ?)`, alias.Name, account)
		return err
	})
}

// RemoveAlias takes a name back. It fails with kind NotFound.
func (b *Book) RemoveAlias(ctx context.Context, name string) error {
	return b.change(ctx, func(tx *sql.Tx) error {
		return remove(ctx, tx, name, `DELETE FROM mail_aliases WHERE name = ?`, name)
	})
}

// Publish tells members the names of aliases and lists, that they may write to them. It is called once
// after a start; a Book does so itself after a change.
func (b *Book) Publish(ctx context.Context) error {
	var names []string
	err := b.host.Store().View(ctx, func(tx *sql.Tx) (err error) {
		names, err = texts(ctx, tx, `SELECT name FROM mail_lists UNION SELECT name FROM mail_aliases ORDER BY name`)
		return err
	})
	if err != nil {
		return err
	}
	return b.host.SetNames(ctx, names)
}

// change changes tables and tells members the names.
func (b *Book) change(ctx context.Context, change func(*sql.Tx) error) error {
	if err := b.host.Store().Update(ctx, change); err != nil {
		return err
	}
	return b.Publish(ctx)
}

// Aliases returns all aliases, sorted by name.
func (b *Book) Aliases(ctx context.Context) (list []Alias, err error) {
	err = b.host.Store().View(ctx, func(tx *sql.Tx) error {
		rows, err := tx.QueryContext(ctx, `SELECT name, account FROM mail_aliases ORDER BY name`)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var a Alias
			if err := rows.Scan(&a.Name, &a.Account); err != nil {
				return err
			}
			list = append(list, a)
		}
		return rows.Err()
	})
	return list, err
}

// AddList makes a list without members. It fails with kind Invalid, NotFound, Exists or Quota.
func (b *Book) AddList(ctx context.Context, name, owner string) error {
	return b.add(ctx, name, "mail_lists", maxLists, func(tx *sql.Tx) error {
		account, err := b.Account(ctx, tx, owner)
		if err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, `INSERT INTO mail_lists (name, owner) VALUES (?, ?)`, name, account)
		return err
	})
}

// RemoveList removes a list. It fails with kind NotFound.
func (b *Book) RemoveList(ctx context.Context, name string) error {
	return b.change(ctx, func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, `DELETE FROM mail_list_members WHERE list = ?`, name); err != nil {
			return err
		}
		return remove(ctx, tx, name, `DELETE FROM mail_lists WHERE name = ?`, name)
	})
}

// Join puts an address on a list. One that is there already stays. It fails with kind Invalid, NotFound or
// Quota.
func (b *Book) Join(ctx context.Context, name, text string) error {
	a, err := Parse(text)
	if err != nil {
		return err
	}
	return b.host.Store().Update(ctx, func(tx *sql.Tx) error {
		if _, err := b.Resolve(ctx, tx, a); err != nil {
			return err
		}
		list, err := b.List(ctx, tx, name)
		if err != nil {
			return err
		}
		if len(list.Members) >= maxMembers {
			return fmt.Errorf("a list has at most %d members: %w", maxMembers, kith.Quota)
		}
		_, err = tx.ExecContext(ctx, `INSERT INTO mail_list_members (list, address) VALUES (?, ?) ON CONFLICT DO NOTHING`, name, a.String())
		return err
	})
}

// Leave takes an address off a list. It fails with kind Invalid or NotFound.
func (b *Book) Leave(ctx context.Context, name, text string) error {
	a, err := Parse(text)
	if err != nil {
		return err
	}
	return b.host.Store().Update(ctx, func(tx *sql.Tx) error {
		return remove(ctx, tx, a.String(), `DELETE FROM mail_list_members WHERE list = ? AND address = ?`, name, a.String())
	})
}

// List returns a list of this host. It fails with kind NotFound.
func (b *Book) List(ctx context.Context, tx *sql.Tx, name string) (*List, error) {
	list := &List{Name: name}
	err := tx.QueryRowContext(ctx, `SELECT owner FROM mail_lists WHERE name = ?`, name).Scan(&list.Owner)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, Refuse("5.1.1", kith.NotFound, "%s has no list %s", b.host.Name(), name)
	} else if err != nil {
		return nil, err
	}
	list.Members, err = texts(ctx, tx, `SELECT address FROM mail_list_members WHERE list = ? ORDER BY address`, name)
	return list, err
}

// Lists returns all lists, sorted by name.
func (b *Book) Lists(ctx context.Context) (lists []*List, err error) {
	err = b.host.Store().View(ctx, func(tx *sql.Tx) error {
		names, err := texts(ctx, tx, `SELECT name FROM mail_lists ORDER BY name`)
		if err != nil {
			return err
		}
		for _, name := range names {
			list, err := b.List(ctx, tx, name)
			if err != nil {
				return err
			}
			lists = append(lists, list)
		}
		return nil
	})
	return lists, err
}

// add inserts a new name into a table.
func (b *Book) add(ctx context.Context, name, table string, most int, insert func(*sql.Tx) error) error {
	if err := kith.CheckLabel(name); err != nil {
		return err
	}
	if name == Everybody {
		return fmt.Errorf("%s means every account of every member: %w", Everybody, kith.Exists)
	}
	names, err := b.host.Accounts().Names(ctx)
	if err != nil {
		return err
	}
	if slices.Contains(names, name) {
		return fmt.Errorf("there is an account %s already: %w", name, kith.Exists)
	}
	return b.change(ctx, func(tx *sql.Tx) error {
		var taken bool
		var count int
		err := tx.QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM mail_aliases WHERE name = ?1) OR EXISTS (SELECT 1 FROM mail_lists WHERE name = ?1),
			(SELECT count(*) FROM `+table+`)`, name).Scan(&taken, &count)
		switch {
		case err != nil:
			return err
		case taken:
			return fmt.Errorf("there is an alias or a list %s already: %w", name, kith.Exists)
		case count >= most:
			return fmt.Errorf("there are %d already, at most %d: %w", count, most, kith.Quota)
		}
		return insert(tx)
	})
}

func remove(ctx context.Context, tx *sql.Tx, what, statement string, args ...any) error {
	result, err := tx.ExecContext(ctx, statement, args...)
	if err != nil {
		return err
	}
	if n, err := result.RowsAffected(); err != nil || n > 0 {
		return err
	}
	return fmt.Errorf("there is no %s: %w", what, kith.NotFound)
}

func texts(ctx context.Context, tx *sql.Tx, query string, args ...any) (list []string, err error) {
	rows, err := tx.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var text string
		if err := rows.Scan(&text); err != nil {
			return nil, err
		}
		list = append(list, text)
	}
	return list, rows.Err()
}
