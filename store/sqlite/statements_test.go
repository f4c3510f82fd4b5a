package sqlite

import (
	"context"
	"database/sql"
	"fmt"
	"path/filepath"
	"testing"
)

// TestStatements has statements run that a connection has compiled before: within their own rows, after the tables
// have changed, after an error, and when there were too many others.
func TestStatements(t *testing.T) {
	s, err := Open(t.Context(), filepath.Join(t.TempDir(), "kith.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	s.Single()
	update := func(statement string, args ...any) error {
		return s.Update(t.Context(), func(tx *sql.Tx) error {
			_, err := tx.ExecContext(t.Context(), statement, args...)
			return err
		})
	}
	count := func(ctx context.Context, from int) (n int, err error) {
		err = s.View(ctx, func(tx *sql.Tx) error {
			return tx.QueryRowContext(ctx, `SELECT count(*) FROM numbers WHERE n >= ?`, from).Scan(&n)
		})
		return n, err
	}
	if err := update(`CREATE TABLE numbers (n INTEGER PRIMARY KEY) STRICT`); err != nil {
		t.Fatal(err)
	}
	for n := range 10 {
		if err := update(`INSERT INTO numbers (n) VALUES (?)`, n); err != nil {
			t.Fatal(err)
		}
	}
	if err := update(`INSERT INTO numbers (n) VALUES (?)`, 5); err == nil {
		t.Error("a number is there twice")
	}
	if err := update(`INSERT INTO numbers (n) VALUES (?)`, 10); err != nil {
		t.Errorf("after an error: %v", err)
	}

	var list func(tx *sql.Tx, from int) (string, error)
	list = func(tx *sql.Tx, from int) (text string, err error) {
		rows, err := tx.QueryContext(t.Context(), `SELECT n FROM numbers WHERE n >= ? ORDER BY n`, from)
		if err != nil {
			return "", err
		}
		defer rows.Close()
		for rows.Next() {
			var n int
			if err := rows.Scan(&n); err != nil {
				return "", err
			}
			text += fmt.Sprint(n)
			if from == 8 && n == 8 {
				inner, err := list(tx, 9)
				if err != nil {
					return "", err
				}
				text += "(" + inner + ")"
			}
		}
		return text, rows.Err()
	}
	for range 2 {
		err := s.View(t.Context(), func(tx *sql.Tx) error {
			text, err := list(tx, 8)
			if err == nil && text != "8(910)910" {
				t.Errorf("within its own rows: %s", text)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}

	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := count(gone, 0); err == nil {
		t.Error("a query runs for nobody")
	}
	for n := range 2 * maxStatements {
		err := s.View(t.Context(), func(tx *sql.Tx) error {
			var got int
			err := tx.QueryRowContext(t.Context(), fmt.Sprintf(`SELECT n + %d FROM numbers WHERE n = ?`, n), 1).Scan(&got)
			if err == nil && got != n+1 {
				t.Errorf("%d in place of %d", got, n+1)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if n, err := count(t.Context(), 0); n != 11 || err != nil {
		t.Errorf("after many others: %d, %v", n, err)
	}
	if err := update(`ALTER TABLE numbers ADD COLUMN name TEXT`); err != nil {
		t.Fatal(err)
	}
	if n, err := count(t.Context(), 3); n != 8 || err != nil {
		t.Errorf("after the table has changed: %d, %v", n, err)
	}
	if err := update(`DROP TABLE numbers`); err != nil {
		t.Fatal(err)
	}
	if _, err := count(t.Context(), 3); err == nil {
		t.Error("a table that is gone has rows")
	}
}
