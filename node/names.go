package node

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"sync"
	"time"

	"kith.alt/kith"
	"kith.alt/kith/group"
)

// keepPatience bounds how long it may take to write down what happened: the
// first use of a name, what was relayed, where members were met.
const keepPatience = 5 * time.Second

// names remembers which key each name meant when it was first used here. The
// roster decides what a name means; but where it comes to mean another
// computer, after a partition or years later, people are asked before their
// programs talk to it. It is safe for concurrent use.
type names struct {
	store kith.Store

	mu    sync.Mutex
	known map[nameKey]kith.ID
}

type nameKey struct {
	genesis group.Hash
	name    string
}

func openNames(ctx context.Context, store kith.Store) (*names, error) {
	n := &names{store: store, known: make(map[nameKey]kith.ID)}
	err := store.View(ctx, func(tx *sql.Tx) error {
		rows, err := tx.QueryContext(ctx, `SELECT genesis, name, id FROM node_names`)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var genesis, name, text string
			if err := rows.Scan(&genesis, &name, &text); err != nil {
				return err
			}
			key := nameKey{name: name}
			if err := key.genesis.UnmarshalText([]byte(genesis)); err != nil {
				return err
			}
			if n.known[key], err = kith.ParseID(text); err != nil {
				return err
			}
		}
		return rows.Err()
	})
	if err != nil {
		return nil, fmt.Errorf("read names: %w", err)
	}
	return n, nil
}

// check fails with kind Denied when the name has meant another key here.
func (n *names) check(key nameKey, id kith.ID) error {
	n.mu.Lock()
	before, ok := n.known[key]
	n.mu.Unlock()
	switch {
	case !ok:
		return n.keep(key, id)
	case before != id:
		return fmt.Errorf("%s meant another computer here before (key %s, now %s); if that is right, say 'kith trust %s': %w",
			key.name, before.Short(), id.Short(), key.name, kith.Denied)
	}
	return nil
}

// moved reports whether the name has meant another key here.
func (n *names) moved(key nameKey, id kith.ID) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	before, ok := n.known[key]
	return ok && before != id
}

// keep makes the name mean the key from now on.
func (n *names) keep(key nameKey, id kith.ID) error {
	ctx, cancel := context.WithTimeout(context.Background(), keepPatience)
	defer cancel()
	err := n.store.Update(ctx, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `INSERT INTO node_names (genesis, name, id) VALUES (?, ?, ?)
			ON CONFLICT (genesis, name) DO UPDATE SET id = excluded.id`, key.genesis.String(), key.name, id.String())
		return err
	})
	if err != nil {
		return fmt.Errorf("remember what %s means: %w", key.name, err)
	}
	n.mu.Lock()
	n.known[key] = id
	n.mu.Unlock()
	return nil
}

// resolve finds the host that people mean by a name, and holds the name to it.
func (n *Node) resolve(name string) (kith.ID, error) {
	roster := n.group().Roster()
	id, err := roster.Resolve(name)
	if err != nil {
		return kith.ID{}, err
	}
	if key, ok := nameKeyOf(roster, name); ok {
		err = n.names.check(key, id)
	}
	return id, err
}

// Trust lets the name of a host mean, from now on, the key that the roster
// says, although it meant another before.
func (n *Node) Trust(_ context.Context, host string) error {
	roster := n.group().Roster()
	id, err := roster.Resolve(host)
	if err != nil {
		return err
	}
	key, ok := nameKeyOf(roster, host)
	if !ok {
		return fmt.Errorf("%s is a key, not a name: there is nothing to confirm: %w", host, kith.Invalid)
	}
	if err := n.names.keep(key, id); err != nil {
		return err
	}
	n.event("%s means the computer with the key %s from now on.", key.name, id.Short())
	return nil
}

// nameKeyOf is the host's label in a short or full name, in the group that the
// roster is of; IDs mean themselves.
func nameKeyOf(roster *group.Roster, text string) (nameKey, bool) {
	label, _, _ := strings.Cut(strings.ToLower(text), ".")
	_, err := kith.ParseID(label)
	return nameKey{roster.Genesis(), label}, err != nil
}
