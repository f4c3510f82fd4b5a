package blob

import (
	"bufio"
	"bytes"
	"context"
	"database/sql"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"kith.alt/kith"
	"kith.alt/kith/kithtest/require"
	"kith.alt/kith/store/sqlite"
)

const childVariable = "KITH_BLOB_TEST_CHILD" // the directory, in the child

// TestKill has a child process write, keep and release blobs, and print what is
// done, kills it at a random moment, and compares what is there with what it said.
func TestKill(t *testing.T) {
	rounds := 5
	if require.Everything() {
		rounds = 50
	}
	dir := t.TempDir()
	kept := make(map[uint64]bool) // by seed
	for round := range rounds {
		child := exec.Command(os.Args[0], "-test.run=^TestKillChild$")
		child.Env = append(os.Environ(), childVariable+"="+dir)
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
			var seed uint64
			if _, err := fmt.Sscanf(lines.Text(), "kept %d", &seed); err == nil {
				kept[seed] = true
			} else if _, err := fmt.Sscanf(lines.Text(), "releasing %d", &seed); err == nil {
				delete(kept, seed) // it may be there or not
			} else {
				t.Fatalf("round %d: the child says %q", round, lines.Text())
			}
			if n == until {
				child.Process.Kill() // what it did meanwhile is still read
			}
		}
		child.Wait()
		expectAfterKill(t, dir, kept)
		if t.Failed() {
			t.Fatalf("in round %d", round)
		}
	}
	t.Logf("%d rounds, %d blobs kept", rounds, len(kept))
}

func expectAfterKill(t *testing.T, dir string, kept map[uint64]bool) {
	t.Helper()
	s, end := openDir(t, dir)
	defer end()
	for seed := range kept {
		data := random(killSize(seed), seed)
		r, err := s.Open(t.Context(), idOf(data))
		if err != nil {
			t.Errorf("blob %d was kept and is lost: %v", seed, err)
			continue
		}
		if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, data) {
			t.Errorf("blob %d has changed: %d bytes, %v", seed, len(got), err)
		}
		r.Close()
	}
	rows := 0
	err := s.tables.View(t.Context(), func(tx *sql.Tx) error {
		return EachFile(t.Context(), tx, func(kith.Blob) error { rows++; return nil })
	})
	files, _ := filepath.Glob(filepath.Join(dir, "blobs", "*", "*"))
	if err != nil || len(files) != rows {
		t.Errorf("%d files, %d rows, %v", len(files), rows, err)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "blobs", newPrefix+"*")); left != nil {
		t.Errorf("left behind: %s", left)
	}
}

// TestKillChild is the child's side of TestKill.
func TestKillChild(t *testing.T) {
	dir := os.Getenv(childVariable)
	if dir == "" {
		return // run by itself there is nothing to do
	}
	s, end := openDir(t, dir)
	defer end()
	var printing sync.Mutex
	say := func(what string, seed uint64) {
		printing.Lock()
		defer printing.Unlock()
		fmt.Println(what, seed)
	}
	var writers sync.WaitGroup
	for writer := range uint64(3) {
		writers.Go(func() {
			for i := uint64(0); ; i++ {
				seed := uint64(os.Getpid())<<20 + i*3 + writer
				if err := liveOnce(t.Context(), s, seed, i%4 != 3, i%4 == 2, say); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	writers.Wait()
}

func liveOnce(ctx context.Context, s *Store, seed uint64, keep, release bool, say func(string, uint64)) error {
	ctx, done := context.WithCancel(ctx)
	defer done()
	blob, err := s.Write(ctx, bytes.NewReader(random(killSize(seed), seed)), 1<<20)
	if err != nil || !keep {
		return err
	}
	if err := s.tables.Update(ctx, func(tx *sql.Tx) error { return s.Keep(ctx, tx, blob.ID) }); err != nil {
		return err
	}
	say("kept", seed)
	if !release {
		return nil
	}
	say("releasing", seed)
	return s.tables.Update(ctx, func(tx *sql.Tx) error { return s.Release(ctx, tx, blob.ID) })
}

// killSize makes every second blob a row.
func killSize(seed uint64) int { return 10_000 + int(seed%2)*20_000 }

func openDir(t *testing.T, dir string) (s *Store, end func()) {
	t.Helper()
	tables, err := sqlite.Open(t.Context(), filepath.Join(dir, "kith.db"))
	if err != nil {
		t.Fatal(err)
	}
	s = New(Config{Dir: filepath.Join(dir, "blobs"), Store: tables})
	if err := s.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	return s, func() {
		s.Close()
		tables.Close()
	}
}
