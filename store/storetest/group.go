package storetest

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"testing"
	"time"

	"kith.alt/kith"
)

// together has functions wait for one Update, so that a store may put theirs into one
// transaction, and returns their errors.
func together(t *testing.T, s kith.Store, fns ...func(ctx context.Context, tx *sql.Tx) error) []error {
	t.Helper()
	errs := make([]error, len(fns))
	var wg sync.WaitGroup
	err := s.Update(t.Context(), func(*sql.Tx) error {
		for i, fn := range fns {
			wg.Go(func() {
				defer func() {
					if p := recover(); p != nil {
						errs[i] = fmt.Errorf("panic: %v", p)
					}
				}()
				errs[i] = errors.New("the goroutine ended")
				errs[i] = s.Update(t.Context(), func(tx *sql.Tx) error { return fn(t.Context(), tx) })
			})
		}
		letCome()
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	wg.Wait()
	return errs
}

// letCome lets the goroutines that were started come to where they wait. Where some do
// not, the test is easier than it might be.
func letCome() {
	for range 1000 {
		runtime.Gosched()
	}
}

// testNeighbours has Updates that wait together end in every way.
func testNeighbours(t *testing.T, s kith.Store) {
	withTable(t, s)
	mine := errors.New("mine")
	var fns []func(context.Context, *sql.Tx) error
	for i := range 40 {
		fns = append(fns, func(ctx context.Context, tx *sql.Tx) error {
			if err := insertRow(ctx, tx, i); err != nil {
				return err
			}
			switch i % 8 {
			case 1:
				return mine
			case 2:
				panic("a defect")
			case 3:
				runtime.Goexit()
			case 4:
				return insertRow(ctx, tx, i) // twice the same key
			case 5:
				rows, err := tx.QueryContext(ctx, `SELECT id FROM test_rows`) // and not closed
				if err == nil && !rows.Next() {
					err = errors.New("no row")
				}
				return err
			case 6:
				return tx.Rollback() // which nobody should do
			}
			return nil
		})
	}
	want := 0
	for i, err := range together(t, s, fns...) {
		good := i%8 == 0 || i%8 == 5 || i%8 == 7
		if good {
			want++
		}
		if good != (err == nil) {
			t.Errorf("update %d: %v", i, err)
		}
		if i%8 == 1 && !errors.Is(err, mine) {
			t.Errorf("update %d: %v, want the function's error", i, err)
		}
	}
	expectRows(t, s, want)
	err := s.View(t.Context(), func(tx *sql.Tx) error {
		var n int
		err := tx.QueryRowContext(t.Context(), `SELECT count(*) FROM test_rows WHERE id % 8 IN (0, 5, 7)`).Scan(&n)
		if err == nil && n != want {
			err = fmt.Errorf("%d rows of those that succeeded, want %d", n, want)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

// testNeighbourContexts has the contexts of some of the Updates that wait together end:
// before their turn, in a statement that writes, and after it.
func testNeighbourContexts(t *testing.T, s kith.Store) {
	withTable(t, s)
	var fns []func(context.Context, *sql.Tx) error
	contexts := make([]context.Context, 12)
	for i := range contexts {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		contexts[i] = ctx
		fns = append(fns, func(_ context.Context, tx *sql.Tx) error {
			if err := insertRow(ctx, tx, i); err != nil {
				return err
			}
			switch i % 4 {
			case 1:
				cancel()
			case 2:
				timer := time.AfterFunc(time.Millisecond, cancel)
				defer timer.Stop()
				_, err := tx.ExecContext(ctx, fmt.Sprintf(`WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < 20000)
					INSERT INTO test_rows (id) SELECT %d + n FROM numbers`, (i+1)*1_000_000))
				if err == nil {
					<-ctx.Done()
				}
				return err
			}
			return ctx.Err()
		})
	}
	errs := make([]error, len(fns))
	var wg sync.WaitGroup
	err := s.Update(t.Context(), func(*sql.Tx) error {
		for i, fn := range fns {
			wg.Go(func() { errs[i] = s.Update(contexts[i], func(tx *sql.Tx) error { return fn(contexts[i], tx) }) })
		}
		letCome()
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	wg.Wait()
	for i, err := range errs {
		if ended := i%4 == 1 || i%4 == 2; ended && !errors.Is(err, context.Canceled) || !ended && err != nil {
			t.Errorf("update %d: %v", i, err)
		}
	}
	expectRows(t, s, len(fns)/2)
}

// testNeighbourConstraint has an Update break what is checked at the commit.
func testNeighbourConstraint(t *testing.T, s kith.Store) {
	err := s.Migrate(t.Context(), "test", files("0001_tables.sql", `
		CREATE TABLE test_rows (id BIGINT NOT NULL PRIMARY KEY);
		CREATE TABLE test_links (id BIGINT NOT NULL REFERENCES test_rows (id) DEFERRABLE INITIALLY DEFERRED);`))
	if err != nil {
		t.Fatal(err)
	}
	link := func(row bool) func(context.Context, *sql.Tx) error {
		return func(ctx context.Context, tx *sql.Tx) error {
			id := 1
			if !row {
				id = 2
			}
			if _, err := tx.ExecContext(ctx, fmt.Sprintf(`INSERT INTO test_links (id) VALUES (%d)`, id)); err != nil || !row {
				return err
			}
			return insertRow(ctx, tx, id)
		}
	}
	errs := together(t, s, link(true), link(false), func(ctx context.Context, tx *sql.Tx) error { return insertRow(ctx, tx, 3) })
	if errs[0] != nil || errs[1] == nil || errs[2] != nil {
		t.Errorf("good, bad and good are %v", errs)
	}
	expectRows(t, s, 2)
}
