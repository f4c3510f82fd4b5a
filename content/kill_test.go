package content

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"

	"kith.alt/kith/kithtest/require"
)

// What the child is told: the directory, and the file to begin with.
const (
	childVariable = "KITH_CONTENT_TEST_CHILD"
	firstVariable = "KITH_CONTENT_TEST_FIRST"
)

// killSize is of the files that TestKill takes: some blocks over what is synced
// at once.
const killSize = 150*BlockSize + 77

// TestKill has a child process take, export and import files, and print what is
// done, kills it at a random moment, and looks whether all of it is still so.
func TestKill(t *testing.T) {
	rounds := 8
	if require.Everything() {
		rounds = 100
	}
	b := &bench{t: t, dir: t.TempDir(), log: os.Stderr}
	written := make(map[int]map[int]bool) // blocks by file
	exported := make(map[int]bool)
	blocks := 0
	first, last := 0, 0 // files that a round is about
	for round := range rounds {
		child := exec.Command(os.Args[0], "-test.run=^TestKillChild$")
		child.Env = append(os.Environ(), childVariable+"="+b.dir, fmt.Sprintf("%s=%d", firstVariable, first))
		child.Stderr = os.Stderr
		out, err := child.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := child.Start(); err != nil {
			t.Fatal(err)
		}
		until := rand.IntN(800)
		lines := bufio.NewScanner(out)
		for n := 0; lines.Scan(); n++ {
			var file, block int
			if n, _ := fmt.Sscanf(lines.Text(), "block %d %d", &file, &block); n == 2 {
				if written[file] == nil {
					written[file] = make(map[int]bool)
				}
				written[file][block] = true
				blocks++
			} else if _, err := fmt.Sscanf(lines.Text(), "exported %d", &file); err == nil {
				exported[file] = true
			} else if _, err := fmt.Sscanf(lines.Text(), "imported %d", &file); err == nil {
				exported[file] = true // a person has it, too
			} else {
				t.Fatalf("round %d: the child says %q", round, lines.Text())
			}
			last = max(last, file)
			if n == until {
				child.Process.Kill() // what it wrote meanwhile is still read
			}
		}
		child.Wait()
		b.open()
		if round == rounds-1 {
			first = 0
		}
		for file := first; file <= last; file++ {
			expectAfterKill(b, file, written[file], exported[file])
		}
		first = last
		b.close()
		if t.Failed() {
			t.Fatalf("in round %d", round)
		}
	}
	t.Logf("%d rounds, %d blocks of %d files acknowledged, %d exported", rounds, blocks, len(written), len(exported))
}

func expectAfterKill(b *bench, file int, written map[int]bool, exported bool) {
	b.t.Helper()
	data := random(killSize, uint64(file))
	f := b.file(summary(b.t, data))
	defer f.Close()
	buf := make([]byte, BlockSize)
	for block := range f.Blocks() {
		n, err := f.ReadBlock(block, buf)
		if err == nil && !bytes.Equal(buf[:n], blockOf(data, block)) {
			b.t.Errorf("block %d of file %d is served wrong", block, file)
		}
		if err != nil && (written[block] || exported) {
			b.t.Errorf("block %d of file %d was acknowledged and is lost: %v", block, file, err)
		}
	}
	if exported {
		if got, err := os.ReadFile(exportPath(b.dir, file)); err != nil || !bytes.Equal(got, data) {
			b.t.Errorf("file %d was exported and is not there: %d bytes, %v", file, len(got), err)
		}
	}
}

func exportPath(dir string, file int) string {
	return filepath.Join(dir, fmt.Sprint("exported-", file))
}

// TestKillChild is the child's side of TestKill.
func TestKillChild(t *testing.T) {
	dir := os.Getenv(childVariable)
	if dir == "" {
		return // run by itself there is nothing to do
	}
	b := &bench{t: t, dir: dir, log: os.Stderr}
	b.open()
	b.syncEvery = 40
	first, err := strconv.Atoi(os.Getenv(firstVariable))
	if err != nil {
		t.Fatal(err)
	}
	for file := first; ; file++ {
		data := random(killSize, uint64(file))
		sum := summary(t, data)
		if file%4 == 3 {
			path := exportPath(dir, file)
			if err := os.WriteFile(path+"~", data, 0o600); err != nil {
				t.Fatal(err)
			}
			if err := errors.Join(os.Rename(path+"~", path), b.Import(t.Context(), path, sum), b.Retain(t.Context(), id(1), sum.Root)); err != nil {
				t.Fatal(err)
			}
			fmt.Println("imported", file)
			continue
		}
		if err := b.Retain(t.Context(), id(1), sum.Root); err != nil {
			t.Fatal(err)
		}
		f := b.file(sum)
		order := rand.Perm(f.Blocks())
		for i, block := range order {
			if f.Has(block) {
				continue
			}
			b.take(f, data, sum.Leaves, block)
			fmt.Println("block", file, block)
			if i%50 == 49 { // as when other files are in use
				f.Close()
				f = b.file(sum)
			}
		}
		if file%2 == 0 {
			if err := b.Export(t.Context(), sum.Root, sum.Size, exportPath(dir, file)); err != nil {
				t.Fatal(err)
			}
			fmt.Println("exported", file)
		}
		f.Close()
	}
}
