package group

import (
	"context"
	"crypto/ed25519"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"

	"kith.alt/kith"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Migrations are the migrations of the group's tables, as [kith.Store] wants
// them. [Open] and [Group.Save] apply them.
func Migrations() fs.FS {
	sub, err := fs.Sub(migrations, "migrations")
	if err != nil {
		panic(err) // the directory is in the program
	}
	return sub
}

// Open reads the group that store holds, for the host whose key is key. It
// fails with kind NotFound where there is none. The group stays bound to the
// store: every change is durable there before it is seen.
func Open(ctx context.Context, store kith.Store, key ed25519.PrivateKey) (*Group, error) {
	if err := store.Migrate(ctx, "group", Migrations()); err != nil {
		return nil, fmt.Errorf("open group: %w", err)
	}
	var g *Group
	records := make(map[kith.ID]*record)
	err := store.View(ctx, func(tx *sql.Tx) error {
		var genesis []byte
		err := tx.QueryRowContext(ctx, `SELECT genesis FROM group_state`).Scan(&genesis)
		if errors.Is(err, sql.ErrNoRows) {
			return kith.NotFound
		} else if err != nil {
			return err
		}
		g = newGroup(key, newLog(Hash(genesis)))
		err = eachStored(ctx, tx, `SELECT body, signature, received FROM group_entries ORDER BY position`,
			func(raw, signature []byte, received int64) error {
				e, err := parseEntry(raw, signature)
				if err != nil {
					return err
				}
				return g.log.add(e, received, true)
			})
		if err != nil {
			return err
		}
		return eachStored(ctx, tx, `SELECT body, signature, received FROM group_records`,
			func(raw, signature []byte, received int64) error {
				// A record that this release would not take is no loss.
				if r, err := parseRecord(raw, signature); err == nil && r.body.Group == g.log.genesis {
					r.received = received
					records[r.body.Host] = r
				}
				return nil
			})
	})
	if err != nil {
		return nil, fmt.Errorf("open group: %w", err)
	}
	g.store = store
	if own := records[g.id]; own != nil {
		g.own = Whereabouts{Addresses: own.body.Addresses, Relays: own.body.Relays, NAT: own.body.NAT}
		g.card = own.card()
	}
	g.publish(&state{roster: Merge(g.log.genesis, g.log.entries), records: records})
	return g, nil
}

func eachStored(ctx context.Context, tx *sql.Tx, query string, do func(raw, signature []byte, received int64) error) error {
	rows, err := tx.QueryContext(ctx, query)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var raw, signature []byte
		var received int64
		if err := rows.Scan(&raw, &signature, &received); err != nil {
			return err
		}
		if err := do(raw, signature, received); err != nil {
			return err
		}
	}
	return rows.Err()
}

// Save binds the group to store and writes all of it there, in the place of
// any group that the store held. Where a program may still hold that group,
// [Group.Replace] is the way.
func (g *Group) Save(ctx context.Context, store kith.Store) error {
	if err := store.Migrate(ctx, "group", Migrations()); err != nil {
		return fmt.Errorf("save group: %w", err)
	}
	g.changing.Lock()
	defer g.changing.Unlock()
	err := store.Update(ctx, func(tx *sql.Tx) error {
		for _, table := range []string{"group_state", "group_entries", "group_records"} {
			if _, err := tx.ExecContext(ctx, `DELETE FROM `+table); err != nil {
				return err
			}
		}
		if _, err := tx.ExecContext(ctx, `INSERT INTO group_state (one, genesis) VALUES (1, ?)`, g.log.genesis[:]); err != nil {
			return err
		}
		if err := g.insertEntries(ctx, tx, 0); err != nil {
			return err
		}
		for _, r := range g.state.Load().records {
			if err := insertRecord(ctx, tx, r); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("save group: %w", err)
	}
	g.store, g.retired = store, false
	return nil
}

// Replace saves next in the place of g and retires g, in one step: whoever
// still holds g, such as a Sync under way, changes nothing any more and gets an
// error of kind NotMember. Reading g goes on, and so does telling others what
// it holds. When the save fails, g stays in force. The way back is Replace of
// next by g.
func (g *Group) Replace(ctx context.Context, next *Group, store kith.Store) error {
	g.changing.Lock()
	defer g.changing.Unlock()
	if err := next.Save(ctx, store); err != nil {
		return err
	}
	g.retired = true
	return nil
}

// inForce fails once another group took the place of g. The caller holds
// changing.
func (g *Group) inForce() error {
	if g.retired {
		return fmt.Errorf("this host is in another group now: %w", kith.NotMember)
	}
	return nil
}

// storeEntries makes the log's entries from position on durable.
func (g *Group) storeEntries(ctx context.Context, from int) error {
	if err := g.inForce(); err != nil {
		return err
	}
	if g.store == nil {
		return nil
	}
	err := g.store.Update(ctx, func(tx *sql.Tx) error { return g.insertEntries(ctx, tx, from) })
	if err != nil {
		return fmt.Errorf("store roster: %w", err)
	}
	return nil
}

func (g *Group) insertEntries(ctx context.Context, tx *sql.Tx, from int) error {
	insert, err := tx.PrepareContext(ctx, `INSERT INTO group_entries (position, body, signature, received) VALUES (?, ?, ?, ?)`)
	if err != nil {
		return err
	}
	defer insert.Close()
	for i := from; i < len(g.log.entries); i++ {
		e := g.log.entries[i]
		if _, err := insert.ExecContext(ctx, i, e.raw, e.signature, g.log.received[i]); err != nil {
			return err
		}
	}
	return nil
}

func (g *Group) storeRecords(ctx context.Context, records []*record) error {
	if err := g.inForce(); err != nil {
		return err
	}
	if g.store == nil {
		return nil
	}
	err := g.store.Update(ctx, func(tx *sql.Tx) error {
		for _, r := range records {
			if err := insertRecord(ctx, tx, r); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("store address records: %w", err)
	}
	return nil
}

func insertRecord(ctx context.Context, tx *sql.Tx, r *record) error {
	_, err := tx.ExecContext(ctx, `INSERT INTO group_records (host, body, signature, received) VALUES (?, ?, ?, ?)
		ON CONFLICT (host) DO UPDATE SET body = excluded.body, signature = excluded.signature, received = excluded.received`,
		r.body.Host[:], r.raw, r.signature, r.received)
	return err
}
