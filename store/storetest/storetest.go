package storetest

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"kith.alt/kith"
)

const patience = 30 * time.Second

// Run checks the stores that open makes. Each is empty, and closed by
// t.Cleanup.
func Run(t *testing.T, open func(t *testing.T) kith.Store) {
	for _, c := range []struct {
		name string
		test func(*testing.T, kith.Store)
	}{
		{"Commit", testCommit},
		{"Rollback", testRollback},
		{"Panic", testPanic},
		{"ContextEndedBefore", testContextEndedBefore},
		{"ContextEndsDuring", testContextEndsDuring},
		{"ContextEndsWaiting", testContextEndsWaiting},
		{"Snapshot", testSnapshot},
		{"ViewCannotWrite", testViewCannotWrite},
		{"Concurrent", testConcurrent},
		{"Neighbours", testNeighbours},
		{"NeighbourContexts", testNeighbourContexts},
		{"NeighbourConstraint", testNeighbourConstraint},
		{"ForeignKeys", testForeignKeys},
		{"Values", testValues},
		{"MigrateInOrderAndOnce", testMigrateInOrderAndOnce},
		{"MigrateAllOrNone", testMigrateAllOrNone},
		{"MigrateNewer", testMigrateNewer},
		{"MigrateEdited", testMigrateEdited},
		{"MigrateBadNames", testMigrateBadNames},
		{"MigrateOwners", testMigrateOwners},
	} {
		t.Run(c.name, func(t *testing.T) { c.test(t, open(t)) })
	}
}

// files makes a migrations directory of name and text in turn.
func files(pairs ...string) fstest.MapFS {
	dir := make(fstest.MapFS)
	for i := 0; i < len(pairs); i += 2 {
		dir[pairs[i]] = &fstest.MapFile{Data: []byte(pairs[i+1])}
	}
	return dir
}

// withTable makes the table test_rows.
func withTable(t *testing.T, s kith.Store) {
	t.Helper()
	err := s.Migrate(t.Context(), "test", files("0001_rows.sql",
		`CREATE TABLE test_rows (id BIGINT NOT NULL PRIMARY KEY, text TEXT NOT NULL DEFAULT '')`))
	if err != nil {
		t.Fatal(err)
	}
}

func insert(s kith.Store, ctx context.Context, id int) error {
	return s.Update(ctx, func(tx *sql.Tx) error { return insertRow(ctx, tx, id) })
}

func insertRow(ctx context.Context, tx *sql.Tx, id int) error {
	_, err := tx.ExecContext(ctx, fmt.Sprintf(`INSERT INTO test_rows (id) VALUES (%d)`, id))
	return err
}

func count(ctx context.Context, tx *sql.Tx) (n int, err error) {
	err = tx.QueryRowContext(ctx, `SELECT count(*) FROM test_rows`).Scan(&n)
	return n, err
}

// expectRows checks how many rows a new View sees.
func expectRows(t *testing.T, s kith.Store, want int) {
	t.Helper()
	err := s.View(t.Context(), func(tx *sql.Tx) error {
		got, err := count(t.Context(), tx)
		if err == nil && got != want {
			err = fmt.Errorf("%d rows, want %d", got, want)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

func testCommit(t *testing.T, s kith.Store) {
	withTable(t, s)
	for i := range 3 {
		if err := insert(s, t.Context(), i); err != nil {
			t.Fatal(err)
		}
		expectRows(t, s, i+1)
	}
}

func testRollback(t *testing.T, s kith.Store) {
	withTable(t, s)
	mine := errors.New("mine")
	err := s.Update(t.Context(), func(tx *sql.Tx) error {
		if err := insertRow(t.Context(), tx, 1); err != nil {
			return err
		}
		return fmt.Errorf("changed my mind: %w", mine)
	})
	if !errors.Is(err, mine) {
		t.Errorf("update: %v, want the function's error", err)
	}
	expectRows(t, s, 0)
	if err := s.View(t.Context(), func(*sql.Tx) error { return mine }); !errors.Is(err, mine) {
		t.Errorf("view: %v, want the function's error", err)
	}
	if err := insert(s, t.Context(), 1); err != nil {
		t.Errorf("update after a rollback: %v", err)
	}
}

func testPanic(t *testing.T, s kith.Store) {
	withTable(t, s)
	func() {
		defer func() {
			if recover() == nil {
				t.Error("the panic is lost")
			}
		}()
		s.Update(t.Context(), func(tx *sql.Tx) error {
			insertRow(t.Context(), tx, 1)
			panic("a defect")
		})
	}()
	expectRows(t, s, 0)
	if err := insert(s, t.Context(), 1); err != nil {
		t.Errorf("update after a panic: %v", err)
	}
}

func testContextEndedBefore(t *testing.T, s kith.Store) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	unreachable := func(*sql.Tx) error { t.Error("the function ran"); return nil }
	if err := s.Update(ctx, unreachable); !errors.Is(err, context.Canceled) {
		t.Errorf("update: %v, want context.Canceled", err)
	}
	if err := s.View(ctx, unreachable); !errors.Is(err, context.Canceled) {
		t.Errorf("view: %v, want context.Canceled", err)
	}
}

func testContextEndsDuring(t *testing.T, s kith.Store) {
	withTable(t, s)
	ctx, cancel := context.WithCancel(t.Context())
	err := s.Update(ctx, func(tx *sql.Tx) error {
		if err := insertRow(ctx, tx, 1); err != nil {
			return err
		}
		cancel()
		return nil
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("update: %v, want context.Canceled", err)
	}
	expectRows(t, s, 0)

	// A statement that lasts is interrupted.
	for name, do := range map[string]func(context.Context, func(*sql.Tx) error) error{"update": s.Update, "view": s.View} {
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		result := make(chan error, 1)
		go func() {
			result <- do(ctx, func(tx *sql.Tx) error {
				var n int
				return tx.QueryRowContext(ctx, `WITH RECURSIVE endless (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM endless)
					SELECT count(*) FROM endless`).Scan(&n)
			})
		}()
		select {
		case err := <-result:
			if !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("%s: %v, want context.DeadlineExceeded", name, err)
			}
		case <-time.After(patience):
			t.Fatalf("%s: a statement goes on after its context ended", name)
		}
		cancel()
	}
	if err := insert(s, t.Context(), 2); err != nil {
		t.Errorf("update afterwards: %v", err)
	}
	expectRows(t, s, 1)
}

func testContextEndsWaiting(t *testing.T, s kith.Store) {
	err := s.Update(t.Context(), func(*sql.Tx) error {
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		result := make(chan error, 1)
		go func() { result <- s.Update(ctx, func(*sql.Tx) error { return errors.New("two writers at a time") }) }()
		return <-result
	})
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("update that waits for another: %v, want context.DeadlineExceeded", err)
	}
}

// testSnapshot checks that a View sees one state, and that it and writers do
// not wait for each other.
func testSnapshot(t *testing.T, s kith.Store) {
	withTable(t, s)
	if err := insert(s, t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	err := s.View(ctx, func(tx *sql.Tx) error {
		for range 2 {
			if n, err := count(ctx, tx); err != nil || n != 1 {
				return fmt.Errorf("%d rows, error %v; want 1", n, err)
			}
			written := make(chan error, 1)
			go func() {
				written <- s.Update(ctx, func(tx *sql.Tx) error {
					n, err := count(ctx, tx)
					return errors.Join(err, insertRow(ctx, tx, n+1))
				})
			}()
			if err := <-written; err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	expectRows(t, s, 3)
	err = s.Update(ctx, func(tx *sql.Tx) error {
		if err := insertRow(ctx, tx, 4); err != nil {
			return err
		}
		seen := make(chan error, 1)
		go func() {
			seen <- s.View(ctx, func(tx *sql.Tx) error {
				n, err := count(ctx, tx)
				if err == nil && n != 3 {
					err = fmt.Errorf("a view sees %d rows while a writer has not committed; want 3", n)
				}
				return err
			})
		}()
		return <-seen
	})
	if err != nil {
		t.Fatal(err)
	}
}

func testViewCannotWrite(t *testing.T, s kith.Store) {
	withTable(t, s)
	err := s.View(t.Context(), func(tx *sql.Tx) error { return insertRow(t.Context(), tx, 1) })
	if err == nil {
		t.Error("insert in a view: no error")
	}
	expectRows(t, s, 0)
}

// testConcurrent checks that no update is lost.
func testConcurrent(t *testing.T, s kith.Store) {
	const writers, writes = 8, 10
	withTable(t, s)
	if err := insert(s, t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for range writers {
		wg.Go(func() {
			for range writes {
				err := s.Update(t.Context(), func(tx *sql.Tx) error {
					var id int
					if err := tx.QueryRowContext(t.Context(), `SELECT id FROM test_rows`).Scan(&id); err != nil {
						return err
					}
					_, err := tx.ExecContext(t.Context(), fmt.Sprintf(`UPDATE test_rows SET id = %d`, id+1))
					return err
				})
				if err != nil {
					t.Errorf("update: %v", err)
				}
				expectRows(t, s, 1)
			}
		})
	}
	wg.Wait()
	var id int
	err := s.View(t.Context(), func(tx *sql.Tx) error {
		return tx.QueryRowContext(t.Context(), `SELECT id FROM test_rows`).Scan(&id)
	})
	if err != nil || id != writers*writes {
		t.Errorf("counted %d, error %v; want %d", id, err, writers*writes)
	}
}

func testForeignKeys(t *testing.T, s kith.Store) {
	err := s.Migrate(t.Context(), "test", files("0001_tables.sql", `
		CREATE TABLE test_parents (id BIGINT NOT NULL PRIMARY KEY);
		CREATE TABLE test_children (parent BIGINT NOT NULL REFERENCES test_parents (id) ON DELETE CASCADE);`))
	if err != nil {
		t.Fatal(err)
	}
	exec := func(text string) error {
		return s.Update(t.Context(), func(tx *sql.Tx) error {
			_, err := tx.ExecContext(t.Context(), text)
			return err
		})
	}
	if err := exec(`INSERT INTO test_children (parent) VALUES (1)`); err == nil {
		t.Error("a row that refers to nothing is kept")
	}
	for _, text := range []string{
		`INSERT INTO test_parents (id) VALUES (1)`,
		`INSERT INTO test_children (parent) VALUES (1)`,
		`DELETE FROM test_parents`,
	} {
		if err := exec(text); err != nil {
			t.Fatal(err)
		}
	}
	var n int
	err = s.View(t.Context(), func(tx *sql.Tx) error {
		return tx.QueryRowContext(t.Context(), `SELECT count(*) FROM test_children`).Scan(&n)
	})
	if err != nil || n != 0 {
		t.Errorf("%d children of a deleted row, error %v", n, err)
	}
}

func testValues(t *testing.T, s kith.Store) {
	withTable(t, s)
	for id, want := range map[int64]string{
		-1 << 63:  "",
		1<<63 - 1: "Grüße, 世界, \U0001F331",
		0:         strings.Repeat("long ", 200_000),
		1:         "quote ' and\nnew line",
	} {
		var got string
		err := s.Update(t.Context(), func(tx *sql.Tx) error {
			text := strings.ReplaceAll(want, "'", "''")
			_, err := tx.ExecContext(t.Context(), fmt.Sprintf(`INSERT INTO test_rows (id, text) VALUES (%d, '%s')`, id, text))
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		err = s.View(t.Context(), func(tx *sql.Tx) error {
			return tx.QueryRowContext(t.Context(), fmt.Sprintf(`SELECT text FROM test_rows WHERE id = %d`, id)).Scan(&got)
		})
		if err != nil || got != want {
			t.Errorf("row %d is %.40q, error %v; want %.40q", id, got, err, want)
		}
	}
}
