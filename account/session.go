package account

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"kith.alt/kith"
)

const (
	sessionLife  = 30 * 24 * time.Hour // from the last visit
	sessionStep  = time.Hour           // how exact the last visit is
	sessionBytes = 32                  // 256 bits
	maxSessions  = 100                 // of an account; the one unused longest goes first
)

// SessionID returns the ID of the session that token opens. It is a hash of
// the token and opens nothing.
func SessionID(token string) string {
	sum := sha256.Sum256([]byte(token))
	return tokenEncoding.EncodeToString(sum[:])
}

// NewSession remembers a browser that proved to be the account's. It ends
// thirty days after its last use. Kind: NotFound.
func (a *Accounts) NewSession(ctx context.Context, account string) (token string, err error) {
	token = newToken(sessionBytes)
	now := time.Now()
	err = a.store.Update(ctx, func(tx *sql.Tx) error {
		if err := requireAccount(ctx, tx, account); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, `DELETE FROM account_sessions WHERE used <= ?`, now.Add(-sessionLife).Unix()); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, `DELETE FROM account_sessions WHERE account = ? AND id NOT IN
			(SELECT id FROM account_sessions WHERE account = ? ORDER BY used DESC, id LIMIT ?)`, account, account, maxSessions-1); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, `INSERT INTO account_sessions (id, account, created, used) VALUES (?, ?, ?, ?)`,
			SessionID(token), account, now.Unix(), now.Unix())
		return err
	})
	if err != nil {
		return "", fmt.Errorf("begin a session: %w", err)
	}
	return token, nil
}

// Session returns whose session a token opens, and prolongs it. Kinds:
// NotFound when there is none, or it was ended; Expired.
func (a *Accounts) Session(ctx context.Context, token string) (account string, err error) {
	var used time.Time
	id := SessionID(token)
	err = a.store.View(ctx, func(tx *sql.Tx) error {
		err := tx.QueryRowContext(ctx, `SELECT account, used FROM account_sessions WHERE id = ?`, id).Scan(&account, (*unixTime)(&used))
		if errors.Is(err, sql.ErrNoRows) {
			return kith.NotFound
		}
		return err
	})
	if err != nil {
		return "", fmt.Errorf("session: %w", err)
	}
	now := time.Now()
	switch unused := now.Sub(used); {
	case unused >= sessionLife:
		return "", fmt.Errorf("session: %w", kith.Expired)
	case unused < sessionStep:
		return account, nil
	}
	// On a full disk the session still opens the dashboard; the next visit
	// tries again.
	a.store.Update(ctx, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `UPDATE account_sessions SET used = ? WHERE id = ?`, now.Unix(), id)
		return err
	})
	return account, nil
}

// EndSession ends one session of the account, by its ID. It is no error when
// there is none.
func (a *Accounts) EndSession(ctx context.Context, account, id string) error {
	return a.endSessions(ctx, `DELETE FROM account_sessions WHERE account = ? AND id = ?`, account, id)
}

// EndSessions ends all sessions of the account but the one with the ID except,
// which may be "".
func (a *Accounts) EndSessions(ctx context.Context, account, except string) error {
	return a.endSessions(ctx, `DELETE FROM account_sessions WHERE account = ? AND id <> ?`, account, except)
}

func (a *Accounts) endSessions(ctx context.Context, query string, args ...any) error {
	err := a.store.Update(ctx, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, query, args...)
		return err
	})
	if err != nil {
		return fmt.Errorf("end sessions: %w", err)
	}
	return nil
}
