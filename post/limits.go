package post

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"

	"kith.alt/kith"
)

// What is kept on a host at most, whatever its owner says.
const (
	maxMine       = 100_000 // letters of this host under way
	maxHeld       = 50_000  // letters of others
	maxHeldSender = 10_000  // of each sender
	maxCopies     = 8
)

func totalOf(l kith.PostLimits) int64  { return cmp.Or(l.Total, kith.DefaultCustody) }
func senderOf(l kith.PostLimits) int64 { return cmp.Or(l.Sender, kith.DefaultSenderCustody) }
func copiesOf(l kith.PostLimits) int   { return cmp.Or(l.Copies, kith.DefaultLetterCopies) }

// Limits implements [kith.Post].
func (p *Post) Limits() kith.PostLimits {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.limits
}

// SetLimits implements [kith.Post].
func (p *Post) SetLimits(ctx context.Context, l kith.PostLimits) error {
	if l.Total < 0 || l.Sender < 0 || l.Copies < 0 || l.Copies > maxCopies {
		return fmt.Errorf("limits of letters: sizes are not negative, and copies are at most %d: %w", maxCopies, kith.Invalid)
	}
	text, err := json.Marshal(l)
	if err != nil {
		return err
	}
	err = p.cfg.Store.Update(ctx, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `INSERT INTO post_limits (one, limits) VALUES (1, ?) ON CONFLICT (one) DO UPDATE SET limits = excluded.limits`, string(text))
		return err
	})
	if err != nil {
		return fmt.Errorf("limits of letters: %w", err)
	}
	p.mu.Lock()
	p.limits = l
	p.mu.Unlock()
	nudge(p.house)
	return nil
}

func (p *Post) loadLimits(ctx context.Context) error {
	return p.cfg.Store.View(ctx, func(tx *sql.Tx) error {
		var text string
		err := tx.QueryRowContext(ctx, `SELECT limits FROM post_limits`).Scan(&text)
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		} else if err != nil {
			return err
		}
		return json.Unmarshal([]byte(text), &p.limits)
	})
}

// Custody implements [kith.Post].
func (p *Post) Custody() []kith.Custody {
	p.mu.Lock()
	defer p.mu.Unlock()
	held := make(map[kith.ID]kith.Custody)
	for _, c := range p.parcels { // not what is on its way here
		if !c.own() && c.to != p.cfg.Self {
			id := payer(c.header, c.returned)
			u := held[id]
			held[id] = kith.Custody{From: id, Letters: u.Letters + 1, Bytes: u.Bytes + c.header.Size}
		}
	}
	list := slices.Collect(maps.Values(held))
	slices.SortFunc(list, func(a, b kith.Custody) int {
		return cmp.Or(cmp.Compare(b.Bytes, a.Bytes), slices.Compare(a.From[:], b.From[:]))
	})
	return list
}
