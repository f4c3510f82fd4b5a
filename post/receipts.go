package post

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"kith.alt/kith"
)

const (
	receiptSlack  = 7 * 24 * time.Hour // that receipts are kept after the letter's expiry
	maxReceipts   = 20000              // of a receiver; the oldest are forgotten
	receiptsBatch = 100                // rows looked at, at a time
	maxAhead      = 24 * time.Hour     // of a receipt's number before the clock
)

// loadReceipts returns receipts that came after the one with the given arrival.
func (p *Post) loadReceipts(ctx context.Context, after int64) (list []*receipt, last int64, err error) {
	last = after
	err = p.cfg.Store.View(ctx, func(tx *sql.Tx) error {
		rows, err := tx.QueryContext(ctx, `SELECT arrival, body, signature FROM post_receipts WHERE arrival > ? ORDER BY arrival LIMIT ?`, after, receiptsBatch)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var s signed
			if err := rows.Scan(&last, &s.raw, &s.signature); err != nil {
				return err
			}
			r, err := parseReceipt(s)
			if err != nil {
				return err
			}
			list = append(list, r)
		}
		return rows.Err()
	})
	return list, last, err
}

// vector is the number of the last receipt of each receiver that is here.
func (p *Post) vector(ctx context.Context) (map[kith.ID]int64, error) {
	v := make(map[kith.ID]int64)
	err := p.cfg.Store.View(ctx, func(tx *sql.Tx) error {
		own, err := newestNumber(ctx, tx, p.cfg.Self)
		if err != nil {
			return err
		}
		v[p.cfg.Self] = own
		rows, err := tx.QueryContext(ctx, `SELECT receiver, max(number) FROM post_receipts WHERE receiver != ? GROUP BY receiver`, p.cfg.Self[:])
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var id []byte
			var number int64
			if err := rows.Scan(&id, &number); err != nil {
				return err
			}
			v[kith.ID(id)] = number
		}
		return rows.Err()
	})
	return v, err
}

// issueReceipt signs what became of a letter to this host, in the transaction in which it became so.
func (p *Post) issueReceipt(ctx context.Context, tx *sql.Tx, h *header, outcome, reason string) (*receipt, error) {
	now := time.Now()
	number := now.UnixMicro() // so that a restored host uses none twice
	newest, err := newestNumber(ctx, tx, p.cfg.Self)
	if err != nil {
		return nil, err
	}
	b := receiptBody{
		Group: h.Group, To: p.cfg.Self, Number: max(number, newest+1), From: h.From, Letter: h.Letter, Seal: h.Seal,
		Outcome: outcome, Reason: reason, Time: now.UnixMilli(), Expires: h.Expires,
	}
	if margin := p.Limits().Margin; margin && outcome == outcomeDelivered {
		b.Keep = now.Add(safety).Unix()
	}
	r, err := signReceipt(p.cfg.Key, b)
	if err != nil {
		return nil, err
	}
	return r, storeReceipt(ctx, tx, r)
}

// newestNumber is that of the last receipt of a receiver, also of one that this host had
// signed itself and has forgotten.
func newestNumber(ctx context.Context, tx *sql.Tx, receiver kith.ID) (int64, error) {
	var number int64
	err := tx.QueryRowContext(ctx, `SELECT max(coalesce((SELECT max(number) FROM post_receipts WHERE receiver = ?1), 0),
		coalesce((SELECT max(number) FROM post_lost WHERE ?1 = ?2), 0))`, receiver[:], receiver[:]).Scan(&number)
	return number, err
}

func storeReceipt(ctx context.Context, tx *sql.Tx, r *receipt) error {
	_, err := tx.ExecContext(ctx, `INSERT INTO post_receipts (receiver, number, sender, letter, outcome, expires, body, signature) VALUES (?, ?, ?, ?, ?, ?, ?, ?)`,
		r.To[:], r.Number, r.From[:], r.Letter[:], r.Outcome, r.Expires, r.raw, r.signature)
	return err
}

// isOver reports whether there is a receipt that says what became of a letter: received, or refused.
func isOver(ctx context.Context, tx *sql.Tx, k key, receiver kith.ID) (over bool, err error) {
	err = tx.QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM post_receipts WHERE sender = ? AND letter = ? AND receiver = ? AND outcome != ?)`,
		k.from[:], k.letter[:], receiver[:], outcomeUnreadable).Scan(&over)
	return over, err
}

// takeReceipts stores receipts that a member passed on, and does what they say.
func (p *Post) takeReceipts(ctx context.Context, list []*receipt) error {
	var fresh []*receipt
	members, group := p.members(), string(p.group())
	for _, r := range list {
		if _, ok := members[r.To]; !ok || string(r.Group) != group || r.Number > time.Now().Add(maxAhead).UnixMicro() ||
			time.Since(time.Unix(r.Expires, 0)) > receiptSlack || time.Until(time.Unix(r.Expires, 0)) > 2*kith.LetterExpiry {
			continue
		}
		if err := r.verify(receiptDomain, r.To); err != nil {
			return fmt.Errorf("receipt: %w", err)
		}
		fresh = append(fresh, r)
	}
	if len(fresh) == 0 {
		return nil
	}
	var taken []*receipt
	err := p.cfg.Store.Update(ctx, func(tx *sql.Tx) error {
		taken = taken[:0]
		newest := make(map[kith.ID]int64)
		for _, r := range fresh {
			if _, ok := newest[r.To]; !ok {
				n, err := newestNumber(ctx, tx, r.To)
				if err != nil {
					return err
				}
				newest[r.To] = n
			}
			if r.Number <= newest[r.To] && !(r.To == p.cfg.Self && inGaps(p.gaps, r.Number)) {
				continue
			}
			newest[r.To] = max(newest[r.To], r.Number)
			if r.To == p.cfg.Self {
				if err := p.noteLost(ctx, tx, r); err != nil {
					return err
				}
				continue
			}
			if err := storeReceipt(ctx, tx, r); err != nil {
				return err
			}
			if err := p.applyReceipt(ctx, tx, r); err != nil {
				return err
			}
			taken = append(taken, r)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("receipts: %w", err)
	}
	for _, r := range taken {
		p.noteReceipt(r)
	}
	return p.loadLost(ctx)
}

// applyReceipt does in the store what a receipt of another host says.
func (p *Post) applyReceipt(ctx context.Context, tx *sql.Tx, r *receipt) error {
	k := r.key()
	if r.From == p.cfg.Self {
		if err := p.applyToOwn(ctx, tx, r); err != nil {
			return err
		}
	}
	h, err := p.heldHeader(ctx, tx, k)
	if err != nil || h == nil || h.To != r.To || r.Outcome == outcomeUnreadable && h.Seal > r.Seal {
		return err
	}
	if r.Outcome == outcomeDelivered && r.Keep > time.Now().Unix() {
		until := min(r.Keep, time.Now().Add(safety).Unix())
		_, err := tx.ExecContext(ctx, `UPDATE post_held SET done = 1, until = ? WHERE sender = ? AND letter = ?`, until, k.from[:], k.letter[:])
		return err
	}
	return p.discard(ctx, tx, h)
}

// applyToOwn does so for a letter of this host.
func (p *Post) applyToOwn(ctx context.Context, tx *sql.Tx, r *receipt) error {
	var receiver []byte
	err := tx.QueryRowContext(ctx, `SELECT receiver FROM post_letters WHERE id = ?`, r.Letter[:]).Scan(&receiver)
	if errors.Is(err, sql.ErrNoRows) {
		// This host was restored: its ordered letters begin a new count, as it used numbers that it forgot.
		_, err := tx.ExecContext(ctx, `DELETE FROM post_sequences WHERE receiver = ?`, r.To[:])
		return err
	} else if err != nil || kith.ID(receiver) != r.To {
		return err
	}
	switch r.Outcome {
	case outcomeDelivered:
		return p.end(ctx, tx, r.key(), kith.LetterDelivered, "", time.UnixMilli(r.Time))
	case outcomeUnreadable:
		return nil
	}
	return p.end(ctx, tx, r.key(), kith.LetterRefused, r.Reason, time.UnixMilli(r.Time))
}

// noteReceipt does the same in memory, after the transaction.
func (p *Post) noteReceipt(r *receipt) {
	k := r.key()
	defer nudge(p.house)
	p.mu.Lock()
	c := p.parcels[k]
	if c == nil || c.to != r.To {
		p.mu.Unlock()
		return
	}
	switch {
	case c.own() && r.Outcome == outcomeUnreadable:
		c.stale = c.stale || c.header != nil && r.Seal >= c.header.Seal
		p.mu.Unlock()
		return
	case c.own():
		p.mu.Unlock()
		p.ended(k)
		return
	case r.Outcome == outcomeUnreadable && c.header.Seal > r.Seal:
	case r.Outcome == outcomeDelivered && r.Keep > time.Now().Unix():
		c.done, c.again, c.until = true, false, time.Unix(min(r.Keep, time.Now().Add(safety).Unix()), 0)
	default:
		p.forgetLocked(c)
	}
	p.mu.Unlock()
}

// prune forgets letters that have ended, and receipts, once nobody can have the letter any more.
func (p *Post) prune(ctx context.Context) error {
	return p.cfg.Store.Update(ctx, func(tx *sql.Tx) error {
		over := time.Now().Add(-receiptSlack).Unix()
		for _, table := range []string{`post_receipts WHERE expires < ?`, `post_lost WHERE expires < ?`, `post_letters WHERE expires < ? AND told = 1`} {
			if _, err := tx.ExecContext(ctx, `DELETE FROM `+table, over); err != nil {
				return err
			}
		}
		_, err := tx.ExecContext(ctx, `DELETE FROM post_receipts WHERE receiver != ?1 AND number <= (
			SELECT number FROM post_receipts AS newer WHERE newer.receiver = post_receipts.receiver ORDER BY number DESC LIMIT 1 OFFSET ?2)
			AND receiver IN (SELECT receiver FROM post_receipts GROUP BY receiver HAVING count(*) > ?2)`, p.cfg.Self[:], maxReceipts)
		return err
	})
}
