package content

import (
	"bytes"
	"errors"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"testing"

	"kith.alt/kith"
	"kith.alt/kith/store/sqlite"
)

// A bench is a store in a directory of its own, and how to open it again.
type bench struct {
	t   testing.TB
	dir string
	log io.Writer
	*Store
	tables *sqlite.Store
}

func newBench(t testing.TB) *bench {
	t.Helper()
	b := &bench{t: t, dir: t.TempDir(), log: io.Discard}
	b.open()
	t.Cleanup(b.close)
	return b
}

func (b *bench) open() {
	b.t.Helper()
	var err error
	if b.tables, err = sqlite.Open(b.t.Context(), filepath.Join(b.dir, "kith.db")); err != nil {
		b.t.Fatal(err)
	}
	b.Store = NewStore(Config{Dir: filepath.Join(b.dir, "content"), Store: b.tables, Log: slog.New(slog.NewTextHandler(b.log, nil))})
	if err := b.Store.Open(b.t.Context()); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bench) close() {
	if b.Store == nil {
		return
	}
	if err := errors.Join(b.Store.Close(), b.tables.Close()); err != nil {
		b.t.Error(err)
	}
	b.Store = nil
}

// reopen has the store begin anew, as after a restart.
func (b *bench) reopen() {
	b.t.Helper()
	b.close()
	b.open()
}

func (b *bench) file(sum Summary) *File {
	b.t.Helper()
	f, err := b.File(b.t.Context(), sum.Root, sum.Size)
	if err != nil {
		b.t.Fatal(err)
	}
	return f
}

// person writes a file of a person.
func (b *bench) person(name string, data []byte) string {
	b.t.Helper()
	path := filepath.Join(b.dir, name)
	if err := os.WriteFile(path, data, 0o600); err != nil {
		b.t.Fatal(err)
	}
	return path
}

// take hands blocks to a file as a peer would, with their hashes.
func (b *bench) take(f *File, data []byte, leaves []Root, blocks ...int) {
	b.t.Helper()
	for _, block := range blocks {
		giveHashes(b.t, f, leaves, block)
		if err := f.WriteBlock(block, blockOf(data, block)); err != nil {
			b.t.Fatal(err)
		}
	}
}

func giveHashes(t testing.TB, f *File, leaves []Root, block int) {
	t.Helper()
	if f.HasHashes(block) {
		return
	}
	base, index, length, proofs := f.HashGroup(block, 32)
	if err := f.SetHashes(base, index, length, proofs, naiveHashes(leaves, base, index, length, proofs)); err != nil {
		t.Fatal(err)
	}
}

// expect checks which blocks of a file are here, and that they are right.
func expect(t testing.TB, f *File, data []byte, have func(int) bool) {
	t.Helper()
	buf := make([]byte, BlockSize)
	count := 0
	for block := range f.Blocks() {
		n, err := f.ReadBlock(block, buf)
		switch {
		case err == nil && !bytes.Equal(buf[:n], blockOf(data, block)):
			t.Fatalf("block %d is served wrong", block)
		case err == nil && !have(block):
			t.Fatalf("block %d is here", block)
		case err != nil && (have(block) || !errors.Is(err, kith.NotFound)):
			t.Fatalf("block %d: %v", block, err)
		}
		if err == nil {
			count++
		}
		if f.Has(block) != have(block) || f.Bitmap().Has(block) != have(block) {
			t.Fatalf("block %d: Has is %v, want %v", block, f.Has(block), have(block))
		}
	}
	if f.Have() != count {
		t.Fatalf("Have is %d, want %d", f.Have(), count)
	}
}

func all(int) bool  { return true }
func none(int) bool { return false }

func every(f *File) (list []int) {
	for block := range f.Blocks() {
		list = append(list, block)
	}
	return list
}

func random(size int, seed uint64) []byte {
	data := make([]byte, size)
	source := rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8)})
	source.Read(data)
	return data
}

func summary(t testing.TB, data []byte) Summary {
	t.Helper()
	sum, err := Sum(t.Context(), bytes.NewReader(data), int64(len(data)), 0, false, nil)
	if err != nil {
		t.Fatal(err)
	}
	return sum
}

func blockOf(data []byte, block int) []byte {
	return data[block*BlockSize : min((block+1)*BlockSize, len(data))]
}

func id(n byte) kith.ContentID { return kith.ContentID{n} }

func TestWholeFile(t *testing.T) {
	for _, size := range []int{0, 1, BlockSize, BlockSize + 1, 33*BlockSize - 5, 1 << 20} {
		b := newBench(t)
		data := random(size, 1)
		path := b.person("file", data)
		sum := summary(t, data)
		if err := b.Import(t.Context(), path, sum); err != nil {
			t.Fatal(err)
		}
		if err := b.Retain(t.Context(), id(1), sum.Root); err != nil {
			t.Fatal(err)
		}
		f := b.file(sum)
		expect(t, f, data, all)
		f.Close()
		b.reopen()
		f = b.file(sum)
		expect(t, f, data, all)
		f.Close()
	}
}

func TestPartialFile(t *testing.T) {
	b := newBench(t)
	data := random(100*BlockSize-7, 2)
	sum := summary(t, data)
	if err := b.Retain(t.Context(), id(1), sum.Root); err != nil {
		t.Fatal(err)
	}
	f := b.file(sum)
	expect(t, f, data, none)
	if err := f.WriteBlock(3, blockOf(data, 3)); !errors.Is(err, ErrNoHashes) || !errors.Is(err, kith.Temporary) {
		t.Errorf("write without hashes: %v", err)
	}
	b.take(f, data, sum.Leaves, 3, 99, 40)
	if err := f.WriteBlock(4, blockOf(data, 3)); !errors.Is(err, kith.Invalid) {
		t.Errorf("write of a wrong block: %v", err)
	}
	some := func(i int) bool { return i == 3 || i == 99 || i == 40 }
	expect(t, f, data, some)
	f.Close()
	b.reopen()
	f = b.file(sum)
	expect(t, f, data, some)
	b.take(f, data, sum.Leaves, every(f)...)
	expect(t, f, data, all)
	target := filepath.Join(b.dir, "target")
	if err := b.Export(t.Context(), sum.Root, sum.Size, target); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(target); err != nil || !bytes.Equal(got, data) {
		t.Fatalf("exported: %v", err)
	}
	expect(t, f, data, all)
	f.Close()
	b.reopen()
	f = b.file(sum)
	expect(t, f, data, all)
	f.Close()
}

// isClone reports whether the store has its own copy of a file.
func isClone(t *testing.T, f *File) bool {
	t.Helper()
	_, err := os.Stat(f.path(dataSuffix))
	return err == nil
}

func overwrite(t *testing.T, path string, at int64, data []byte) {
	t.Helper()
	file, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err == nil {
		_, err = file.WriteAt(data, at)
	}
	if err := errors.Join(err, file.Close()); err != nil {
		t.Fatal(err)
	}
}

// TestPersonChangesFile has a person do what persons do to a file that is shared.
func TestPersonChangesFile(t *testing.T) {
	data := random(10*BlockSize+9, 3)
	junk := []byte("something else")
	for _, c := range []struct {
		name   string
		change func(t *testing.T, path string)
		before func(int) bool // what is here for who has the file in use
		after  func(int) bool // and who opens it later
	}{
		{"write", func(t *testing.T, path string) { overwrite(t, path, 5*BlockSize, junk) }, none, none},
		{"write and hide it", func(t *testing.T, path string) {
			info, err := os.Stat(path)
			if err != nil {
				t.Fatal(err)
			}
			overwrite(t, path, 5*BlockSize, junk)
			if err := os.Chtimes(path, info.ModTime(), info.ModTime()); err != nil {
				t.Fatal(err)
			}
		}, func(i int) bool { return i != 5 }, func(i int) bool { return i != 5 }},
		{"cut", func(t *testing.T, path string) { os.Truncate(path, 3) }, none, none},
		{"put another in its place", func(t *testing.T, path string) {
			os.WriteFile(path+"~", junk, 0o600)
			os.Rename(path+"~", path)
		}, all, none},
		{"delete", func(t *testing.T, path string) { os.Remove(path) }, all, none},
		{"make it a folder", func(t *testing.T, path string) { os.Remove(path); os.Mkdir(path, 0o700) }, all, none},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBench(t)
			path := b.person("file", data)
			sum := summary(t, data)
			if err := b.Import(t.Context(), path, sum); err != nil {
				t.Fatal(err)
			}
			if err := b.Retain(t.Context(), id(1), sum.Root); err != nil {
				t.Fatal(err)
			}
			f := b.file(sum)
			expect(t, f, data, all)
			c.change(t, path)
			if isClone(t, f) {
				c.before, c.after = all, all
			}
			// What has changed is found when it is read; after that all is known.
			for block := range f.Blocks() {
				f.ReadBlock(block, make([]byte, BlockSize))
			}
			expect(t, f, data, c.before)
			f.Close()
			b.reopen()
			f = b.file(sum)
			for block := range f.Blocks() {
				f.ReadBlock(block, make([]byte, BlockSize))
			}
			expect(t, f, data, c.after)
			changed, _ := os.ReadFile(path)
			b.take(f, data, sum.Leaves, every(f)...)
			expect(t, f, data, all)
			if now, _ := os.ReadFile(path); !bytes.Equal(now, changed) {
				t.Error("the person's file was written to")
			}
			f.Close()
		})
	}
}

// TestTwoPaths shares the same file from two places.
func TestTwoPaths(t *testing.T) {
	b := newBench(t)
	data := random(5*BlockSize, 4)
	sum := summary(t, data)
	one, two := b.person("one", data), b.person("two", data)
	for _, path := range []string{one, two} {
		if err := b.Import(t.Context(), path, sum); err != nil {
			t.Fatal(err)
		}
	}
	f := b.file(sum)
	defer f.Close()
	expect(t, f, data, all)
	overwrite(t, two, 0, []byte("changed"))
	expect(t, f, data, all)
	if usage := b.Usage(); !isClone(t, f) && usage != 0 {
		t.Errorf("usage is %d for references", usage)
	}
}

func TestImportRefused(t *testing.T) {
	b := newBench(t)
	data := random(5*BlockSize, 4)
	sum := summary(t, data)
	path := b.person("file", data)
	wrong := sum
	wrong.Root[0] ^= 1
	short := sum
	short.Leaves = sum.Leaves[1:]
	for _, c := range []struct {
		name string
		path string
		sum  Summary
		kind error
	}{
		{"another root", path, wrong, kith.Invalid},
		{"a leaf too few", path, short, kith.Invalid},
		{"a file that grew", b.person("grown", append(data, 1)), sum, kith.Temporary},
		{"no file", path + "?", sum, os.ErrNotExist},
	} {
		if err := b.Import(t.Context(), c.path, c.sum); !errors.Is(err, c.kind) {
			t.Errorf("%s: %v, want %v", c.name, err, c.kind)
		}
	}
	if err := b.Import(t.Context(), b.dir, summary(t, nil)); err != nil {
		t.Error(err) // nothing of an empty file is looked at
	}
}

func TestExport(t *testing.T) {
	for _, how := range []string{"taken", "imported", "empty"} {
		t.Run(how, func(t *testing.T) {
			b := newBench(t)
			data := random(50*BlockSize+1, 5)
			if how == "empty" {
				data = nil
			}
			sum := summary(t, data)
			f := b.file(sum)
			defer f.Close()
			switch how {
			case "taken":
				b.take(f, data, sum.Leaves, every(f)[1:]...)
				if err := b.Export(t.Context(), sum.Root, sum.Size, filepath.Join(b.dir, "early")); !errors.Is(err, kith.NotFound) {
					t.Errorf("export of a part: %v", err)
				}
				b.take(f, data, sum.Leaves, 0)
			case "imported":
				if err := b.Import(t.Context(), b.person("file", data), sum); err != nil {
					t.Fatal(err)
				}
			}
			target := b.person("target", []byte("what stood there"))
			for _, path := range []string{target, target, filepath.Join(b.dir, "other")} {
				if err := b.Export(t.Context(), sum.Root, sum.Size, path); err != nil {
					t.Fatal(err)
				}
				if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, data) {
					t.Fatalf("exported to %s: %d bytes, %v", path, len(got), err)
				}
				expect(t, f, data, all)
			}
			if err := b.Export(t.Context(), sum.Root, sum.Size, t.TempDir()); err == nil {
				t.Error("a folder was replaced")
			}
			expect(t, f, data, all)
			if how == "taken" && !isClone(t, f) && b.Usage() != 0 {
				t.Errorf("usage is %d after the file was moved", b.Usage())
			}
			if err := b.Export(t.Context(), sum.Root, sum.Size, filepath.Join(b.dir, "none", "there")); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("export to no folder: %v", err)
			}
			if left, _ := filepath.Glob(filepath.Join(b.dir, ".kith*")); left != nil {
				t.Errorf("left behind: %s", left)
			}
		})
	}
}

func TestRetainAndRelease(t *testing.T) {
	b := newBench(t)
	stay, go_, shared := random(3*BlockSize, 6), random(70*BlockSize, 7), random(9, 8)
	var sums []Summary
	for _, data := range [][]byte{stay, go_, shared} {
		sum := summary(t, data)
		f := b.file(sum)
		b.take(f, data, sum.Leaves, every(f)...)
		f.Close()
		sums = append(sums, sum)
	}
	retain := func(content byte, of ...Summary) {
		t.Helper()
		for _, sum := range of {
			if err := b.Retain(t.Context(), id(content), sum.Root); err != nil {
				t.Fatal(err)
			}
		}
	}
	expectKept := func(sum Summary, data []byte, kept bool) {
		t.Helper()
		f := b.file(sum)
		defer f.Close()
		if kept {
			expect(t, f, data, all)
		} else {
			expect(t, f, data, none)
		}
	}
	retain(1, sums[0], sums[2], summary(t, nil))
	retain(2, sums[1], sums[2])
	if err := b.Release(t.Context(), id(9)); err != nil {
		t.Fatal(err)
	}
	inUse := b.file(sums[1])
	if err := b.Release(t.Context(), id(2)); err != nil {
		t.Fatal(err)
	}
	expect(t, inUse, go_, all)
	retain(3, sums[1]) // in time
	inUse.Close()
	expectKept(sums[1], go_, true)
	inUse = b.file(sums[1])
	if err := b.Release(t.Context(), id(3)); err != nil {
		t.Fatal(err)
	}
	inUse.Close()
	expectKept(sums[0], stay, true)
	expectKept(sums[1], go_, false)
	expectKept(sums[2], shared, true)
	if b.Usage() < int64(len(stay)) || b.Usage() > int64(len(stay))+64<<10 {
		t.Errorf("usage is %d with %d bytes kept", b.Usage(), len(stay)+len(shared))
	}

	stray := random(100, 9)
	sum := summary(t, stray)
	f := b.file(sum)
	b.take(f, stray, sum.Leaves, 0)
	f.Close()
	b.reopen()
	expectKept(sum, stray, false)
	expectKept(sums[0], stay, true)
	expectKept(sums[2], shared, true)
	if b.Usage() < int64(len(stay)) || b.Usage() > int64(len(stay))+64<<10 {
		t.Errorf("usage is %d with %d bytes kept", b.Usage(), len(stay)+len(shared))
	}
	if free, err := b.FreeSpace(); err != nil || free <= 0 {
		t.Errorf("free space is %d, %v", free, err)
	}
}

// TestImportedIsNotReleased imports a file, whose older content is released
// before the new one is retained.
func TestImportedIsNotReleased(t *testing.T) {
	b := newBench(t)
	data := random(BlockSize+1, 10)
	sum := summary(t, data)
	path := b.person("file", data)
	if err := b.Import(t.Context(), path, sum); err != nil {
		t.Fatal(err)
	}
	if err := b.Retain(t.Context(), id(1), sum.Root); err != nil {
		t.Fatal(err)
	}
	if err := b.Import(t.Context(), path, sum); err != nil {
		t.Fatal(err)
	}
	if err := b.Release(t.Context(), id(1)); err != nil {
		t.Fatal(err)
	}
	if err := b.Retain(t.Context(), id(2), sum.Root); err != nil {
		t.Fatal(err)
	}
	b.reopen()
	f := b.file(sum)
	defer f.Close()
	expect(t, f, data, all)
}

func TestAdopt(t *testing.T) {
	b := newBench(t)
	before := random(2000*BlockSize+5, 11)
	after := bytes.Clone(before)
	copy(after[100*BlockSize:], "changed")
	copy(after[700*BlockSize:701*BlockSize], before[3*BlockSize:]) // moved
	after = append(after, "longer"...)
	from, to := b.file(summary(t, before)), b.file(summary(t, after))
	defer from.Close()
	defer to.Close()
	old, sum := naiveLeaves(before), naiveLeaves(after)
	b.take(from, before, old, every(from)...)
	if n, err := to.Adopt(t.Context(), from); n != 0 || err != nil {
		t.Fatalf("adopted %d blocks without their hashes, %v", n, err)
	}
	for block := range to.Blocks() {
		giveHashes(t, to, sum, block)
	}
	if n, err := to.Adopt(t.Context(), from); n != 1999 || err != nil {
		t.Fatalf("adopted %d blocks, %v", n, err)
	}
	expect(t, to, after, func(i int) bool { return i != 100 && i != 2000 })
	if n, err := to.Adopt(t.Context(), from); n != 0 || err != nil {
		t.Fatalf("adopted %d blocks again, %v", n, err)
	}
}

// TestManyFiles has more files in use than may be in memory.
func TestManyFiles(t *testing.T) {
	b := newBench(t)
	const files = 3 * maxLoaded
	var list []*File
	for i := range files {
		data := random(2*BlockSize, uint64(1000+i))
		f := b.file(summary(t, data))
		b.take(f, data, naiveLeaves(data), 0, 1)
		list = append(list, f)
	}
	for i, f := range list {
		expect(t, f, random(2*BlockSize, uint64(1000+i)), all)
	}
	b.mu.Lock()
	loaded := len(b.loaded)
	b.mu.Unlock()
	if loaded > maxLoaded {
		t.Errorf("%d files are in memory, want at most %d", loaded, maxLoaded)
	}
	for _, f := range list {
		f.Close()
	}
	if len(b.files) != 0 || len(b.loaded) != 0 {
		t.Errorf("%d files, %d in memory after all were closed", len(b.files), len(b.loaded))
	}
}

// TestMoved renames a file that is shared.
func TestMoved(t *testing.T) {
	b := newBench(t)
	data := random(3*BlockSize, 12)
	sum := summary(t, data)
	from, to := b.person("from", data), filepath.Join(b.dir, "to")
	if err := errors.Join(b.Import(t.Context(), from, sum), b.Retain(t.Context(), id(1), sum.Root), os.Rename(from, to)); err != nil {
		t.Fatal(err)
	}
	f := b.file(sum)
	if err := errors.Join(f.Moved(from, to), f.Moved("no", "where"), f.Close()); err != nil {
		t.Fatal(err)
	}
	b.reopen()
	f = b.file(sum)
	defer f.Close()
	expect(t, f, data, all)
}

// TestManyUsers has files written, read and put aside at the same time.
func TestManyUsers(t *testing.T) {
	b := newBench(t)
	b.syncEvery = 10
	data := random(90*BlockSize, 13)
	sum := summary(t, data)
	var users sync.WaitGroup
	for user := range 4 {
		users.Go(func() {
			buf := make([]byte, BlockSize)
			for i := range 3 * 90 {
				f := b.file(sum)
				block := (i*7 + user*20) % 90
				giveHashes(t, f, sum.Leaves, block)
				if err := f.WriteBlock(block, blockOf(data, block)); err != nil {
					t.Error(err)
				}
				n, err := f.ReadBlock(block, buf)
				if err != nil || !bytes.Equal(buf[:n], blockOf(data, block)) {
					t.Errorf("block %d: %v", block, err)
				}
				if i%40 == user {
					f.use.Lock()
					f.drop()
					f.use.Unlock()
				}
				f.Close()
			}
		})
	}
	users.Go(func() {
		for i := range 10 {
			b.Export(t.Context(), sum.Root, sum.Size, filepath.Join(b.dir, "to-"+strconv.Itoa(i%2))) // fails until all is here
			b.Verify(t.Context(), sum.Root, sum.Size, nil)
		}
	})
	users.Wait()
	f := b.file(sum)
	defer f.Close()
	expect(t, f, data, all)
}

// TestExportRepairs exports a file to where a person has spoiled it and hidden it.
func TestExportRepairs(t *testing.T) {
	b := newBench(t)
	data := random(20*BlockSize, 14)
	sum := summary(t, data)
	f := b.file(sum)
	defer f.Close()
	b.take(f, data, sum.Leaves, every(f)...)
	path := filepath.Join(b.dir, "target")
	if err := b.Export(t.Context(), sum.Root, sum.Size, path); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	overwrite(t, path, 0, []byte("spoiled"))
	if err := os.Chtimes(path, info.ModTime(), info.ModTime()); err != nil {
		t.Fatal(err)
	}
	missing, err := b.Verify(t.Context(), sum.Root, sum.Size, nil)
	if want := 1; err != nil || missing != want && !isClone(t, f) {
		t.Fatalf("verify: %d missing, %v", missing, err)
	}
	b.take(f, data, sum.Leaves, 0)
	if err := b.Export(t.Context(), sum.Root, sum.Size, path); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, data) {
		t.Fatalf("exported: %d bytes, %v", len(got), err)
	}
	expect(t, f, data, all)
}
