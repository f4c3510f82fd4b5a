package post

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"

	"kith.alt/kith"
)

// What is kept on a host at most, whatever its owner says.
const (
	maxMine       = 100_000 // letters of this host under way
	maxHeld       = 50_000  // letters of others
	maxHeldSender = 10_000  // of each sender
	maxCopies     = 8
)

// Limits are what letters of others may take of this host, and how this host's are looked after.
// Zero means the default.
type Limits struct {
	Total  int64 `json:"total"`  // bytes of letters held for others
	Sender int64 `json:"sender"` // of these, bytes of each sender
	Copies int   `json:"copies"` // how many members hold a letter of this host
	Margin bool  `json:"margin"` // custodians keep what was delivered to this host for a week, so that a restored host gets it again
}

// Defaults of [Limits].
const (
	DefaultTotal  = 2 << 30
	DefaultSender = 512 << 20
	DefaultCopies = 3
)

func (l Limits) total() int64  { return cmp.Or(l.Total, DefaultTotal) }
func (l Limits) sender() int64 { return cmp.Or(l.Sender, DefaultSender) }
func (l Limits) copies() int   { return cmp.Or(l.Copies, DefaultCopies) }

// Limits returns what holds now.
func (p *Post) Limits() Limits {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.limits
}

// SetLimits changes the limits, for good. What is held already stays. It fails with kind Invalid.
func (p *Post) SetLimits(ctx context.Context, l Limits) error {
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
