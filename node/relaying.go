package node

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"kith.alt/kith/control"
	"kith.alt/kith/network/overlay"
)

// keepRelayedEvery is how often what was relayed is written down: so much is
// forgotten by a node that is killed.
const keepRelayedEvery = time.Minute

// startRelaying sets the limits of what this host relays, counts on from what
// it relayed today before this start, and keeps the account.
func (n *Node) startRelaying(ctx context.Context, run *supervisor) error {
	n.overlay.SetRelayLimits(relayLimits(n.dir.Node()))
	use := n.overlay.Relayed()
	var bytes int64
	err := n.store.View(ctx, func(tx *sql.Tx) error {
		return tx.QueryRowContext(ctx, `SELECT bytes FROM node_relayed WHERE day = ?`, use.Day).Scan(&bytes)
	})
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return fmt.Errorf("read what was relayed today: %w", err)
	}
	n.overlay.RelayedToday(use.Day, bytes)
	run.start("relay", n.keepRelayed)
	return nil
}

// keepRelayed writes down how much was relayed today, and once more at the end.
func (n *Node) keepRelayed(ctx context.Context) error {
	tick := time.NewTicker(keepRelayedEvery)
	defer tick.Stop()
	kept := n.overlay.Relayed()
	for stopping := false; !stopping; {
		select {
		case <-ctx.Done():
			stopping = true
		case <-tick.C:
		}
		use := n.overlay.Relayed()
		if use.Day == kept.Day && use.Today == kept.Today {
			continue
		}
		if err := n.storeRelayed(use); err != nil {
			n.log.Warn("keep how much was relayed", "err", err)
			continue
		}
		kept = use
	}
	return nil
}

func (n *Node) storeRelayed(use overlay.RelayUse) error {
	ctx, cancel := context.WithTimeout(context.Background(), keepPatience)
	defer cancel()
	return n.store.Update(ctx, func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, `DELETE FROM node_relayed WHERE day < ?`, use.Day); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, `INSERT INTO node_relayed (day, bytes) VALUES (?, ?)
			ON CONFLICT (day) DO UPDATE SET bytes = excluded.bytes`, use.Day, use.Today)
		return err
	})
}

// relaying is what this host relays for others.
func (n *Node) relaying() control.Relaying {
	use := n.overlay.Relayed()
	return control.Relaying{Limits: control.RelayLimits(use.Limits), Streams: use.Streams, Today: use.Today}
}
