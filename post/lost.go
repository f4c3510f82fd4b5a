package post

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"time"

	"kith.alt/kith"
	"kith.alt/kith/gossip"
)

const (
	maxAgain   = 1000 // letters that a frame asks for again
	maxGaps    = 100
	lostListed = 500
)

// A host that was restored from a backup meets receipts that it signed after the backup was made: of
// letters whose effect is gone. It asks for those letters again; members that were asked to keep them for a
// while (kith.PostLimits, Margin) still have them.

// A gap is a time before a start in which this host signed no receipt, as far as it knows, by numbers of
// receipts. If it was restored since, it signed some: then they are below those that it signs now, and a member that has the latter would
// not pass on the former.
type gap struct{ after, before int64 }

func inGaps(gaps []gap, number int64) bool {
	return slices.ContainsFunc(gaps, func(g gap) bool { return g.after < number && number < g.before })
}

// loadGaps notes that this host starts.
func (p *Post) loadGaps(ctx context.Context) error {
	return p.cfg.Store.Update(ctx, func(tx *sql.Tx) error {
		newest, err := newestNumber(ctx, tx, p.cfg.Self)
		if err != nil {
			return err
		}
		now := time.Now()
		if _, err := tx.ExecContext(ctx, `INSERT INTO post_gaps (after, before) VALUES (?, ?) ON CONFLICT (after) DO UPDATE SET before = excluded.before`, newest, now.UnixMicro()); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, `DELETE FROM post_gaps WHERE before < ?`, now.Add(-kith.LetterExpiry-receiptSlack).UnixMicro()); err != nil {
			return err
		}
		rows, err := tx.QueryContext(ctx, `SELECT after, before FROM post_gaps ORDER BY after DESC LIMIT ?`, maxGaps)
		if err != nil {
			return err
		}
		defer rows.Close()
		p.gaps = nil
		for rows.Next() {
			var g gap
			if err := rows.Scan(&g.after, &g.before); err != nil {
				return err
			}
			p.gaps = append(p.gaps, g)
		}
		return rows.Err()
	})
}

// noteLost notes a receipt of this host that it does not know.
func (p *Post) noteLost(ctx context.Context, tx *sql.Tx, r *receipt) error {
	known, err := isOver(ctx, tx, r.key(), r.To)
	if err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, `INSERT OR IGNORE INTO post_lost (number, sender, letter, outcome, time, expires, here) VALUES (?, ?, ?, ?, ?, ?, ?)`,
		r.Number, r.From[:], r.Letter[:], r.Outcome, r.Time, r.Expires, known)
	return err
}

// loadLost reads which letters are to be asked for again, where there are new ones.
func (p *Post) loadLost(ctx context.Context) error {
	lost := make(map[key]bool)
	err := p.cfg.Store.View(ctx, func(tx *sql.Tx) error {
		rows, err := tx.QueryContext(ctx, `SELECT sender, letter FROM post_lost WHERE here = 0 AND outcome = ? AND expires > ? ORDER BY number DESC LIMIT ?`,
			outcomeDelivered, time.Now().Unix(), maxAgain)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var from, letter []byte
			if err := rows.Scan(&from, &letter); err != nil {
				return err
			}
			lost[key{kith.ID(from), kith.LetterID(letter)}] = true
		}
		return rows.Err()
	})
	if err != nil {
		return fmt.Errorf("letters that were lost: %w", err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	grown := len(lost) > len(p.lost)
	p.lost = lost
	if grown {
		p.log.Warn("letters that this host had received are asked for again: it was restored", "letters", len(lost))
		for _, talks := range p.talks {
			for _, t := range talks {
				t.say(p.againFrameLocked())
			}
		}
	}
	return nil
}

// againFrameLocked asks for the letters that were lost.
func (p *Post) againFrameLocked() []byte {
	frame := gossip.BeginFrame(frameAgain)
	for k := range p.lost {
		frame = k.append(frame)
	}
	return frame
}

// askAgain asks the peer for the letters that were lost, where there are some.
func (t *talk) askAgain() {
	t.post.mu.Lock()
	defer t.post.mu.Unlock()
	if len(t.post.lost) > 0 {
		t.say(t.post.againFrameLocked())
	}
}

// takeAgain has letters that the peer has lost be offered to it once more.
func (t *talk) takeAgain(payload []byte) error {
	if len(payload) > maxAgain*keySize {
		return fmt.Errorf("%d bytes of letters to come again: %w", len(payload), kith.Invalid)
	}
	p := t.post
	p.mu.Lock()
	defer p.mu.Unlock()
	for len(payload) > 0 {
		k, rest, err := cutKey(payload)
		if err != nil {
			return err
		}
		payload = rest
		if c := p.parcels[k]; c != nil && c.to == t.peer {
			c.again = true
			c.there = nil
			if c.told[t.peer].at == nil {
				delete(c.told, t.peer)
			}
		}
	}
	nudge(p.house)
	return nil
}

// Lost lists letters that this host had received before it was restored, and that have not come again, the
// newest first: their senders, and when they had been received.
func (p *Post) Lost(ctx context.Context) (list []kith.LostLetter, err error) {
	err = p.cfg.Store.View(ctx, func(tx *sql.Tx) error {
		rows, err := tx.QueryContext(ctx, `SELECT sender, letter, time, expires FROM post_lost WHERE here = 0 AND outcome = ? ORDER BY number DESC LIMIT ?`, outcomeDelivered, lostListed)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var from, letter []byte
			var at, expires int64
			if err := rows.Scan(&from, &letter, &at, &expires); err != nil {
				return err
			}
			list = append(list, kith.LostLetter{From: kith.ID(from), ID: kith.LetterID(letter), Received: time.UnixMilli(at), Expires: time.Unix(expires, 0)})
		}
		return rows.Err()
	})
	if err != nil {
		return nil, fmt.Errorf("letters that were lost: %w", err)
	}
	return list, nil
}

// foundAgain notes, in the transaction in which a letter takes effect, that it is not lost any more.
func foundAgain(ctx context.Context, tx *sql.Tx, k key) error {
	_, err := tx.ExecContext(ctx, `UPDATE post_lost SET here = 1 WHERE sender = ? AND letter = ?`, k.from[:], k.letter[:])
	return err
}
