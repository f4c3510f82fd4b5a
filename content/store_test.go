package content

import (
	"bytes"
	"errors"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
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
		if f.Has(block) != have(block) || bitmap(f.Bitmap()).has(block) != have(block) {
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
