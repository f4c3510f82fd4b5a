package sqlite

import (
	"bufio"
	"database/sql"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/fstest"

	"kith.alt/kith/kithtest/require"
)

const childVariable = "KITH_SQLITE_TEST_CHILD" // the database's path, in the child

// TestKill has a child process write rows and print each once Update has
// returned, kills it at a random moment, and looks for every row it printed.
func TestKill(t *testing.T) {
	rounds := 5
	if require.Everything() {
		rounds = 100
	}
	path := filepath.Join(t.TempDir(), "kith.db")
	acknowledged := make(map[string]bool)
	for round := range rounds {
		child := exec.Command(os.Args[0], "-test.run=^TestKillChild$")
		child.Env = append(os.Environ(), childVariable+"="+path)
		child.Stderr = os.Stderr
		out, err := child.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := child.Start(); err != nil {
			t.Fatal(err)
		}
		until := rand.IntN(200)
		lines := bufio.NewScanner(out)
		for n := 0; lines.Scan(); n++ {
			id, ok := strings.CutPrefix(lines.Text(), "row ")
			if !ok {
				t.Fatalf("round %d: the child says %q", round, lines.Text())
			}
			acknowledged[id] = true
			if n == until {
				child.Process.Kill() // what it wrote meanwhile is still read
			}
		}
		child.Wait()
		verify(t, path, acknowledged)
		if t.Failed() {
			t.Fatalf("in round %d", round)
		}
	}
	t.Logf("%d rounds, %d rows acknowledged", rounds, len(acknowledged))
}

func verify(t *testing.T, path string, acknowledged map[string]bool) {
	t.Helper()
	s := open(t, path)
	defer s.Close()
	found := make(map[string]bool)
	err := s.View(t.Context(), func(tx *sql.Tx) error {
		var check string
		if err := tx.QueryRow(`PRAGMA integrity_check`).Scan(&check); err != nil || check != "ok" {
			return fmt.Errorf("integrity: %s, %w", check, err)
		}
		rows, err := tx.Query(`SELECT id, data FROM kill_rows`)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var id, data string
			if err := rows.Scan(&id, &data); err != nil {
				return err
			}
			if data != payload(id) {
				return fmt.Errorf("row %s has changed", id)
			}
			found[id] = true
		}
		return rows.Err()
	})
	if err != nil {
		t.Fatal(err)
	}
	for id := range acknowledged {
		if !found[id] {
			t.Errorf("row %s was acknowledged and is lost", id)
		}
	}
}

// TestKillChild is the child's side of TestKill.
func TestKillChild(t *testing.T) {
	path := os.Getenv(childVariable)
	if path == "" {
		return // run by itself there is nothing to do
	}
	s := open(t, path)
	migrations := fstest.MapFS{"0001_rows.sql": {Data: []byte(`CREATE TABLE kill_rows (id TEXT PRIMARY KEY, data TEXT NOT NULL)`)}}
	if err := s.Migrate(t.Context(), "kill", migrations); err != nil {
		t.Fatal(err)
	}
	var printing sync.Mutex
	var writers sync.WaitGroup
	for writer := range 3 {
		writers.Go(func() {
			for i := 0; ; i++ {
				id := fmt.Sprintf("%d-%d-%d", os.Getpid(), writer, i)
				err := s.Update(t.Context(), func(tx *sql.Tx) error {
					_, err := tx.Exec(`INSERT INTO kill_rows (id, data) VALUES (?, ?)`, id, payload(id))
					return err
				})
				if err != nil {
					t.Error(err)
					return
				}
				printing.Lock()
				fmt.Println("row", id)
				printing.Unlock()
			}
		})
	}
	writers.Wait()
}

// payload is the data of a row, some of them longer than a page.
func payload(id string) string { return strings.Repeat(id+" ", 1+len(id)*len(id)) }
