package post

import (
	"bytes"
	"context"
	"crypto/hpke"
	"database/sql"
	"fmt"
	"slices"
	"time"

	"kith.alt/kith"
)

// Life of a key that letters are sealed to. One that was replaced opens what was sealed
// before, by hosts that did not know better, until the last letter of that time has expired.
const (
	keyLife = 7 * 24 * time.Hour
	keyRest = kith.LetterExpiry + 7*24*time.Hour
)

type sealKey struct {
	public  []byte
	private hpke.PrivateKey
	made    time.Time
	retired time.Time // zero: in use
}

func (p *Post) loadKeys(ctx context.Context) error {
	var keys []sealKey
	err := p.cfg.Store.View(ctx, func(tx *sql.Tx) error {
		rows, err := tx.QueryContext(ctx, `SELECT public, private, made, retired FROM post_keys ORDER BY retired != 0, made DESC`)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var k sealKey
			var private []byte
			var made, retired int64
			if err := rows.Scan(&k.public, &private, &made, &retired); err != nil {
				return err
			}
			if k.private, err = suiteKEM.NewPrivateKey(private); err != nil {
				return err
			}
			k.made = time.Unix(made, 0)
			if retired != 0 {
				k.retired = time.Unix(retired, 0)
			}
			keys = append(keys, k)
		}
		return rows.Err()
	})
	if err != nil {
		return fmt.Errorf("keys: %w", err)
	}
	p.mu.Lock()
	p.keys = keys
	p.mu.Unlock()
	return nil
}

// turnKeys makes a new key each week, and erases old ones.
func (p *Post) turnKeys(ctx context.Context) error {
	now := time.Now()
	p.mu.Lock()
	keys := p.keys
	p.mu.Unlock()
	old := func(k sealKey) bool { return !k.retired.IsZero() && now.Sub(k.retired) > keyRest }
	if due := len(keys) == 0 || now.Sub(keys[0].made) > keyLife || keys[0].made.After(now.Add(clockSlack)); due || slices.ContainsFunc(keys, old) {
		err := p.cfg.Store.Update(ctx, func(tx *sql.Tx) error {
			if _, err := tx.ExecContext(ctx, `DELETE FROM post_keys WHERE retired > 0 AND retired < ?`, now.Add(-keyRest).Unix()); err != nil || !due {
				return err
			}
			private, public, err := newSealKey()
			if err != nil {
				return err
			}
			// A clock that was ahead retired some too late.
			if _, err := tx.ExecContext(ctx, `UPDATE post_keys SET retired = ?1 WHERE retired = 0 OR retired > ?1`, now.Unix()); err != nil {
				return err
			}
			_, err = tx.ExecContext(ctx, `INSERT INTO post_keys (public, private, made) VALUES (?, ?, ?)`, public, private, now.Unix())
			return err
		})
		if err != nil {
			return fmt.Errorf("keys: %w", err)
		}
		return p.loadKeys(ctx)
	}
	return nil
}

// OwnSealKey returns what letters to this host are to be sealed to.
func (p *Post) OwnSealKey() []byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.keys[0].public
}

// showKey has the newest key in this host's record, also in a group that it has just joined.
func (p *Post) showKey(ctx context.Context) error {
	newest := p.OwnSealKey()
	if bytes.Equal(p.cfg.SealKey(p.cfg.Self), newest) {
		return nil
	}
	return p.cfg.ShowKey(ctx)
}

// keyOf returns the private half of a key, or nil.
func (p *Post) keyOf(public []byte) hpke.PrivateKey {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, k := range p.keys {
		if bytes.Equal(k.public, public) {
			return k.private
		}
	}
	return nil
}
