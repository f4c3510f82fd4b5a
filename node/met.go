package node

import (
	"context"
	"database/sql"
	"fmt"
	"net/netip"
	"slices"
	"time"
)

// keepMetEvery is between looks at where members have answered.
const keepMetEvery = time.Minute

// met returns where members answered in the runs before: what the overlay may
// try again soon when it does not answer at once.
func (n *Node) met(ctx context.Context) (list []netip.AddrPort, err error) {
	err = n.store.View(ctx, func(tx *sql.Tx) error {
		rows, err := tx.QueryContext(ctx, `SELECT address FROM node_met`)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var text string
			if err := rows.Scan(&text); err != nil {
				return err
			}
			if a, err := netip.ParseAddrPort(text); err == nil {
				list = append(list, a)
			}
		}
		return rows.Err()
	})
	if err != nil {
		return nil, fmt.Errorf("read where members were met: %w", err)
	}
	return list, nil
}

// keepMet stores it every minute, and once more at the end.
func (n *Node) keepMet(ctx context.Context) error {
	var kept []netip.AddrPort
	tick := time.NewTicker(keepMetEvery)
	defer tick.Stop()
	for stopping := false; !stopping; {
		select {
		case <-ctx.Done():
			stopping = true
		case <-tick.C:
		}
		met := n.overlay.Met()
		slices.SortFunc(met, netip.AddrPort.Compare)
		if slices.Equal(met, kept) {
			continue
		}
		if err := n.storeMet(met); err != nil {
			n.log.Warn("keep where members were met", "err", err)
			continue
		}
		kept = met
	}
	return nil
}

func (n *Node) storeMet(met []netip.AddrPort) error {
	ctx, cancel := context.WithTimeout(context.Background(), keepPatience)
	defer cancel()
	return n.store.Update(ctx, func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, `DELETE FROM node_met`); err != nil {
			return err
		}
		for _, a := range met {
			if _, err := tx.ExecContext(ctx, `INSERT INTO node_met (address) VALUES (?)`, a.String()); err != nil {
				return err
			}
		}
		return nil
	})
}
