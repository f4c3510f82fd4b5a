package backup

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"kith.alt/kith/kithtest/require"
)

const childVariable = "KITH_BACKUP_TEST_CHILD" // the directory, in the child

// TestKill has a child process save and restore a host, kills it at a random moment, and
// looks whether what is there is whole, and what it said that is done is there.
func TestKill(t *testing.T) {
	rounds := 8
	if require.Everything() {
		rounds = 60
	}
	top := t.TempDir()
	h := newHost(t, filepath.Join(top, "kith"))
	for i := range byte(20) {
		h.keep(data(200_000, i))
	}
	h.note("here")
	h.close()
	saved, restored := 0, 0
	for round := range rounds {
		child := exec.Command(os.Args[0], "-test.run=^TestKillChild$")
		child.Env = append(os.Environ(), childVariable+"="+top)
		child.Stderr = os.Stderr
		out, err := child.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := child.Start(); err != nil {
			t.Fatal(err)
		}
		until := 1 + rand.IntN(40)
		lines := bufio.NewScanner(out)
		for n := 0; lines.Scan(); n++ {
			switch lines.Text() {
			case "saved":
				saved++
			case "restored":
				restored++
			case "step":
			default:
				t.Fatalf("round %d: the child says %q", round, lines.Text())
			}
			if n == until {
				child.Process.Kill()
			}
		}
		child.Wait()
		path, dir := filepath.Join(top, "out", "file"), filepath.Join(top, "new", "kith")
		if _, err := Verify(t.Context(), path, nil); err != nil && (saved > 0 || !errors.Is(err, fs.ErrNotExist)) {
			t.Errorf("round %d: %v", round, err)
		}
		if _, err := os.Stat(dir); err == nil {
			again := openHost(t, dir)
			if texts := again.texts(); len(texts) != 1 {
				t.Errorf("round %d: texts %q", round, texts)
			}
			again.expect(again.keep(data(200_000, 3)), data(200_000, 3))
			stream, err := Begin(t.Context(), again.Source)
			if err != nil || stream.Manifest.Blobs != 20 {
				t.Errorf("round %d: %v of what was restored", round, err)
			}
			stream.Close()
			again.close()
		}
		if t.Failed() {
			t.FailNow()
		}
	}
	t.Logf("%d rounds, saved %d times, restored %d times", rounds, saved, restored)
}

// TestKillChild is the child's side of TestKill.
func TestKillChild(t *testing.T) {
	top := os.Getenv(childVariable)
	if top == "" {
		return // run by itself there is nothing to do
	}
	path, dir := filepath.Join(top, "out", "file"), filepath.Join(top, "new", "kith")
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := Sweep(filepath.Join(top, "kith")); err != nil {
		t.Fatal(err)
	}
	h := openHost(t, filepath.Join(top, "kith"))
	steps := int64(0)
	step := func(done, _ int64) {
		if done > steps { // some moments in the middle
			fmt.Println("step")
			steps = done + 800_000
		}
	}
	for {
		stream, err := Begin(t.Context(), h.Source)
		if err != nil {
			t.Fatal(err)
		}
		steps = 0
		if _, err := Save(t.Context(), path, true, stream, stream.Size, step); err != nil {
			t.Fatal(err)
		}
		fmt.Println("saved")
		stream.Close()
		os.RemoveAll(dir + "-old")
		if err := os.Rename(dir, dir+"-old"); err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
		steps = 0
		if _, err := Restore(t.Context(), path, dir, step); err != nil {
			t.Fatal(err)
		}
		fmt.Println("restored")
	}
}
