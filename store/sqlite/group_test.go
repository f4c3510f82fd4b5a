package sqlite

import (
	"database/sql"
	"errors"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
	"time"

	"kith.alt/kith"
)

// queue has functions wait for their turn, in order, while an Update is under way,
// and returns the errors of their Updates.
func queue(t *testing.T, s *Store, fns ...func(tx *sql.Tx) error) []error {
	t.Helper()
	errs := make([]error, len(fns))
	var wg sync.WaitGroup
	err := s.Update(t.Context(), func(*sql.Tx) error {
		for i, fn := range fns {
			wg.Go(func() { errs[i] = s.Update(t.Context(), fn) })
			for deadline := time.Now().Add(30 * time.Second); ; runtime.Gosched() {
				s.turns.mu.Lock()
				n := len(s.turns.waiting)
				s.turns.mu.Unlock()
				if n == i+1 {
					break
				}
				if time.Now().After(deadline) {
					return errors.New("they do not wait")
				}
			}
		}
		return nil
	})
	if err != nil && !errors.Is(err, kith.Quota) { // that of a neighbour
		t.Fatal(err)
	}
	wg.Wait()
	return errs
}

func insertBytes(n int) func(*sql.Tx) error {
	return func(tx *sql.Tx) error {
		_, err := tx.Exec(`INSERT INTO test_1 (data) VALUES (zeroblob(?))`, n)
		return err
	}
}

// TestSharedCommit checks that Updates that wait together are committed together.
func TestSharedCommit(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "kith.db"))
	if err := s.Migrate(t.Context(), "test", grow("test", 1)); err != nil {
		t.Fatal(err)
	}
	commits := 0
	conn, err := s.writer.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	err = conn.Raw(func(driverConn any) error {
		driverConn.(*guard).RegisterCommitHook(func() int32 { commits++; return 0 })
		return nil
	})
	if err := errors.Join(err, conn.Close()); err != nil {
		t.Fatal(err)
	}
	var fns []func(*sql.Tx) error
	for range 50 {
		fns = append(fns, insertBytes(100))
	}
	if err := errors.Join(queue(t, s, fns...)...); err != nil {
		t.Error(err)
	}
	expectStored(t, s, len(fns))
	if commits == 0 || commits > 4 { // one or two on an idle machine
		t.Errorf("%d commits of %d updates", commits, len(fns))
	}
}

// TestLost fills the disk in the middle of a transaction of several Updates, which
// SQLite then rolls back as a whole, and checks that none of them is told that it
// succeeded, and that nothing is done outside of it.
func TestLost(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "kith.db"))
	if err := s.Migrate(t.Context(), "test", grow("test", 1)); err != nil {
		t.Fatal(err)
	}
	if _, err := s.writer.Exec(`PRAGMA max_page_count = 64`); err != nil {
		t.Fatal(err)
	}
	small := insertBytes(10)
	for _, swallow := range []bool{false, true} {
		lost := false
		errs := queue(t, s, small, small, func(tx *sql.Tx) error {
			err := insertBytes(1 << 20)(tx)
			if err == nil {
				t.Error("there is room for a MiB")
			}
			lost = tx.QueryRow(`SELECT 1`).Err() != nil
			if swallow {
				small(tx)
				return nil
			}
			return err
		}, small)
		stored := 0
		for i, err := range errs {
			switch {
			case err == nil:
				stored++
			case !errors.Is(err, kith.Quota):
				t.Errorf("update %d: %v, want kind %q", i, err, kith.Quota)
			}
		}
		if errs[2] == nil {
			t.Error("the update that found no room is told that it succeeded")
		}
		if errs[3] != nil {
			t.Errorf("the update after it: %v", errs[3])
		}
		t.Logf("errors %v, transaction lost: %v", errs, lost)
		expectStored(t, s, stored)
		if err := s.Update(t.Context(), func(tx *sql.Tx) error {
			_, err := tx.Exec(`DELETE FROM test_1`)
			return err
		}); err != nil {
			t.Fatal(err)
		}
	}
}
