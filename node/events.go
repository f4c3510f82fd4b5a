package node

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"kith.alt/kith/control"
)

const maxEvents = 200

// Events returns what happened, newest first, in plain words.
func (n *Node) Events(ctx context.Context) ([]control.Event, error) {
	var events []control.Event
	err := n.store.View(ctx, func(tx *sql.Tx) error {
		rows, err := tx.QueryContext(ctx, `SELECT at, text FROM node_events ORDER BY id DESC LIMIT ?`, maxEvents)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var at int64
			var e control.Event
			if err := rows.Scan(&at, &e.Text); err != nil {
				return err
			}
			e.Time = time.UnixMicro(at)
			events = append(events, e)
		}
		return rows.Err()
	})
	if err != nil {
		return nil, fmt.Errorf("read events: %w", err)
	}
	return events, nil
}

// event notes that something happened. It does not wait for the disk: many
// events at once become one transaction, and an event lost by a crash is no harm.
func (n *Node) event(format string, args ...any) {
	e := control.Event{Time: time.Now(), Text: fmt.Sprintf(format, args...)}
	n.log.Info(e.Text)
	select {
	case n.events <- e:
	default: // a flood: the log has it
	}
}

// keepEvents writes events to the store until ctx ends.
func (n *Node) keepEvents(ctx context.Context) error {
	for {
		var batch []control.Event
		select {
		case <-ctx.Done():
			if len(n.events) == 0 {
				return nil
			}
		case e := <-n.events:
			batch = append(batch, e)
		}
		for len(n.events) > 0 {
			batch = append(batch, <-n.events)
		}
		err := n.store.Update(context.WithoutCancel(ctx), func(tx *sql.Tx) error {
			for _, e := range batch {
				if _, err := tx.Exec(`INSERT INTO node_events (at, text) VALUES (?, ?)`, e.Time.UnixMicro(), e.Text); err != nil {
					return err
				}
			}
			_, err := tx.Exec(`DELETE FROM node_events WHERE id <= (SELECT max(id) FROM node_events) - ?`, maxEvents)
			return err
		})
		if err != nil {
			return fmt.Errorf("keep events: %w", err)
		}
	}
}
