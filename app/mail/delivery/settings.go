package delivery

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"unicode/utf8"

	"kith.alt/kith"
	"kith.alt/kith/app/mail/address"
)

// maxAway is how many bytes an answer has.
const maxAway = 16 << 10

// Settings are what an account wants done with its mail.
type Settings struct {
	Forward string `json:"forward"` // to this address; "" for nowhere
	Keep    bool   `json:"keep"`    // a copy of what is forwarded
	Away    string `json:"away"`    // answered to people, each once in a week; "" for nothing
}

// Settings returns those of an account.
func (d *Delivery) Settings(ctx context.Context, account string) (s Settings, err error) {
	err = d.store.View(ctx, func(tx *sql.Tx) error {
		s, err = settings(ctx, tx, account)
		return err
	})
	return s, err
}

func settings(ctx context.Context, tx *sql.Tx, account string) (s Settings, err error) {
	err = tx.QueryRowContext(ctx, `SELECT forward, keep, away FROM mail_settings WHERE account = ?`, account).Scan(&s.Forward, &s.Keep, &s.Away)
	if errors.Is(err, sql.ErrNoRows) {
		err = nil
	}
	return s, err
}

// ChangeSettings changes those of an account. It fails with kind Invalid, NotFound where mail for the address goes nowhere, or
// Quota.
func (d *Delivery) ChangeSettings(ctx context.Context, account string, change func(*Settings)) (s Settings, err error) {
	err = d.store.Update(ctx, func(tx *sql.Tx) error {
		if s, err = settings(ctx, tx, account); err != nil {
			return err
		}
		before := s
		change(&s)
		switch {
		case len(s.Away) > maxAway:
			return fmt.Errorf("an answer has at most %d bytes: %w", maxAway, kith.Quota)
		case !utf8.ValidString(s.Away):
			return fmt.Errorf("an answer is text: %w", kith.Invalid)
		}
		if s.Forward != "" && s.Forward != before.Forward {
			a, err := address.Parse(s.Forward)
			if err != nil {
				return err
			}
			if _, err := d.book.Resolve(ctx, tx, a); err != nil {
				return err
			}
			if s.Forward = d.book.Complete(a); s.Forward == d.book.Full(account) {
				return fmt.Errorf("%s cannot be forwarded to itself: %w", account, kith.Invalid)
			}
		}
		if s.Away != before.Away { // everybody hears the new one
			if _, err := tx.ExecContext(ctx, `DELETE FROM mail_answered WHERE account = ?`, account); err != nil {
				return err
			}
		}
		_, err = tx.ExecContext(ctx, `INSERT INTO mail_settings (account, forward, keep, away) VALUES (?, ?, ?, ?)
			ON CONFLICT (account) DO UPDATE SET forward = excluded.forward, keep = excluded.keep, away = excluded.away`, account, s.Forward, s.Keep, s.Away)
		return err
	})
	return s, err
}
