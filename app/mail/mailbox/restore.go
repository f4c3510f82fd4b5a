package mailbox

import (
	"context"
	"database/sql"
	"fmt"
	"time"
)

// Restored gives every folder a new UIDVALIDITY where the host has come back from a backup since the last
// call: UIDs that were given out after that was made would mean other messages (RFC 3501 2.3.1.1). Count is how
// often it came back. It is called before anybody is served.
func (s *Store) Restored(ctx context.Context, count int) error {
	err := s.store.Update(ctx, func(tx *sql.Tx) error {
		result, err := tx.ExecContext(ctx, `UPDATE mail_restores SET count = ? WHERE count != ?`, count, count)
		if err != nil {
			return err
		}
		if n, err := result.RowsAffected(); err != nil || n == 0 {
			return err
		}
		rows, err := tx.QueryContext(ctx, `SELECT id, account FROM mail_folders ORDER BY id`)
		if err != nil {
			return err
		}
		accounts := make(map[int64]string)
		for rows.Next() {
			var id int64
			var account string
			if err := rows.Scan(&id, &account); err != nil {
				rows.Close()
				return err
			}
			accounts[id] = account
		}
		if err := rows.Close(); err != nil {
			return err
		}
		for id, account := range accounts {
			validity, err := nextValidity(ctx, tx, account)
			if err != nil {
				return err
			}
			if _, err := tx.ExecContext(ctx, `UPDATE mail_folders SET uid_validity = ? WHERE id = ?`, validity, id); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("number messages anew after a restore: %w", err)
	}
	return nil
}

// nextValidity returns a UIDVALIDITY that the account has not seen: the time, or one above the last.
func nextValidity(ctx context.Context, tx *sql.Tx, account string) (validity uint32, err error) {
	err = tx.QueryRowContext(ctx, `INSERT INTO mail_accounts (account, uid_validity) VALUES (?, ?)
		ON CONFLICT (account) DO UPDATE SET uid_validity = max(uid_validity + 1, excluded.uid_validity) RETURNING uid_validity`,
		account, uint32(time.Now().Unix())).Scan(&validity)
	return validity, err
}
