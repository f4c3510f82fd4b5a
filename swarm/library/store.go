package library

import (
	"context"
	"database/sql"
	"embed"
	"fmt"
	"io/fs"
	"slices"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Open reads what is stored. Nothing else may be called before.
func (l *Library) Open(ctx context.Context) error {
	group := l.inGroup()
	l.group.Store(&group)
	if l.cfg.Store == nil {
		return nil
	}
	own, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return err
	}
	if err := l.cfg.Store.Migrate(ctx, "library", own); err != nil {
		return fmt.Errorf("open library: %w", err)
	}
	if err := l.load(ctx); err != nil {
		return fmt.Errorf("open library: %w", err)
	}
	return nil
}

// load reads what is stored of the group.
func (l *Library) load(ctx context.Context) error {
	if l.cfg.Store == nil {
		return nil
	}
	return l.cfg.Store.View(ctx, func(tx *sql.Tx) error {
		rows, err := tx.QueryContext(ctx, `SELECT body, signature, received FROM library_entries`)
		if err != nil {
			return err
		}
		defer rows.Close()
		strange := 0
		for rows.Next() {
			var raw, signature []byte
			var received int64
			if err := rows.Scan(&raw, &signature, &received); err != nil {
				return err
			}
			r, err := parseRecord(kindEntry, raw, signature)
			switch {
			case err != nil:
				strange++
			case r.group == *l.group.Load():
				r.received = received
				l.shelve(r)
			}
		}
		if strange > 0 {
			l.cfg.Log.Warn("entries that another release stored are left out; what this host listed is to be shared again", "entries", strange)
		}
		return rows.Err()
	})
}

// shelve puts a record that was stored where it is seen.
func (l *Library) shelve(r *record) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.shelves[r.host()] == nil {
		l.shelves[r.host()] = newShelf()
	}
	l.shelves[r.host()].put(r)
}

// save stores entries, and deletes those that are gone. Holdings are not stored.
func (l *Library) save(ctx context.Context, records, gone []*record) error {
	entries := slices.DeleteFunc(slices.Clone(records), func(r *record) bool { return r.kind != kindEntry })
	if l.cfg.Store == nil || len(entries)+len(gone) == 0 {
		return nil
	}
	return l.cfg.Store.Update(ctx, func(tx *sql.Tx) error {
		for _, r := range gone {
			host := r.host()
			if _, err := tx.ExecContext(ctx, `DELETE FROM library_entries WHERE host = ? AND title = ?`, host[:], r.entry.Title); err != nil {
				return err
			}
		}
		for _, r := range entries {
			host := r.host()
			_, err := tx.ExecContext(ctx, `INSERT INTO library_entries (host, title, body, signature, received) VALUES (?, ?, ?, ?, ?)
				ON CONFLICT (host, title) DO UPDATE SET body = excluded.body, signature = excluded.signature, received = excluded.received`,
				host[:], r.entry.Title, r.raw, r.signature, r.received)
			if err != nil {
				return err
			}
		}
		return nil
	})
}
