package content

import (
	"os"
	"path/filepath"
	"testing"
)

// TestTemporaryReplaced has somebody who may write to the folder put a link in the
// place of a file that is being made: what it leads to stays as it is.
func TestTemporaryReplaced(t *testing.T) {
	dir := t.TempDir()
	victim, path := filepath.Join(dir, "victim"), filepath.Join(dir, "song")
	if err := os.WriteFile(victim, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	temporary := temporaryName(path)
	if err := os.Symlink(victim, temporary); err != nil {
		t.Skip("no links: ", err)
	}
	file, err := createTemporary(temporary, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if err := os.Remove(temporary); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(victim, temporary); err != nil {
		t.Fatal(err)
	}
	data := random(3*BlockSize, 40)
	b := newBench(t)
	sum := summary(t, data)
	f := b.file(sum)
	defer f.Close()
	b.take(f, data, sum.Leaves, every(f)...)
	if err := f.copyBlocks(t.Context(), file); err != nil {
		t.Fatal(err)
	}
	if err := f.copyData(t.Context(), file); err != nil {
		t.Fatal(err)
	}
	if err := publish(file, path, 0o644); err != nil {
		t.Fatal(err)
	}
	info, err := os.Lstat(victim)
	if err != nil || info.Mode().Perm() != 0o600 || info.Size() != 4 {
		t.Errorf("what the link leads to became %v, %v", info, err)
	}
}
