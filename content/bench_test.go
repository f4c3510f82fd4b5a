package content

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"kith.alt/kith/kithtest/require"
)

// BenchmarkSum hashes a file of 4 GiB, with the SHA-1 of its pieces, and
// compares the time with what sha256sum takes.
func BenchmarkSum(b *testing.B) {
	const size = 4 << 30
	path := filepath.Join(b.TempDir(), "file")
	file, err := os.Create(path)
	if err != nil {
		b.Fatal(err)
	}
	defer file.Close()
	if err := file.Truncate(size); err != nil {
		b.Fatal(err)
	}
	program := require.Tool(b, "sha256sum")
	start := time.Now()
	if err := exec.Command(program, path).Run(); err != nil {
		b.Fatal(err)
	}
	theirs := time.Since(start)
	b.SetBytes(size)
	for b.Loop() {
		if _, err := Sum(b.Context(), file, size, 16<<20, true, nil); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(theirs.Seconds()/b.Elapsed().Seconds()*float64(b.N), "x-sha256sum")
}

// BenchmarkImport takes in a file whose sum is known.
func BenchmarkImport(b *testing.B) {
	const size = 1 << 30
	s := newBench(b)
	path := filepath.Join(s.dir, "file")
	file, err := os.Create(path)
	if err != nil {
		b.Fatal(err)
	}
	defer file.Close()
	if err := file.Truncate(size); err != nil {
		b.Fatal(err)
	}
	sum, err := Sum(b.Context(), file, size, 0, false, nil)
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(size)
	for b.Loop() {
		if err := errors.Join(s.Import(b.Context(), path, sum), s.Retain(b.Context(), id(1), sum.Root)); err != nil {
			b.Fatal(err)
		}
	}
}

// taken returns a file of so many blocks that was just taken.
func taken(b *testing.B, s *bench, blocks int) (*File, []byte, Summary) {
	data := random(blocks*BlockSize, 1)
	sum := summary(b, data)
	f := s.file(sum)
	s.take(f, data, sum.Leaves, every(f)...)
	return f, data, sum
}

// BenchmarkWriteBlock checks and keeps blocks, with their hashes.
func BenchmarkWriteBlock(b *testing.B) {
	const blocks = 1024
	s := newBench(b)
	data := random(blocks*BlockSize, 1)
	sum := summary(b, data)
	var proofs [][]Root
	for block := 0; block < blocks; block += 32 {
		proofs = append(proofs, naiveHashes(sum.Leaves, 0, block, 32, 9))
	}
	b.SetBytes(BlockSize)
	f := s.file(sum)
	for i := 0; b.Loop(); i++ {
		block := i % blocks
		if block == 0 {
			b.StopTimer()
			f.Close()
			s.mu.Lock()
			s.erase(f.key)
			s.mu.Unlock()
			f = s.file(sum)
			b.StartTimer()
		}
		if block%32 == 0 {
			if err := f.SetHashes(0, block, 32, 9, proofs[block/32]); err != nil {
				b.Fatal(err)
			}
		}
		if err := f.WriteBlock(block, blockOf(data, block)); err != nil {
			b.Fatal(err)
		}
	}
	f.Close()
}

// BenchmarkReadBlock reads blocks that were checked before.
func BenchmarkReadBlock(b *testing.B) {
	s := newBench(b)
	f, _, _ := taken(b, s, 1024)
	defer f.Close()
	buf := make([]byte, BlockSize)
	b.SetBytes(BlockSize)
	for i := 0; b.Loop(); i++ {
		if _, err := f.ReadBlock(i%1024, buf); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkReadReference reads blocks of a person's file, each of which is
// checked each time.
func BenchmarkReadReference(b *testing.B) {
	s := newBench(b)
	data := random(1024*BlockSize, 1)
	sum := summary(b, data)
	if err := s.Import(b.Context(), s.person("file", data), sum); err != nil {
		b.Fatal(err)
	}
	f := s.file(sum)
	defer f.Close()
	buf := make([]byte, BlockSize)
	b.SetBytes(BlockSize)
	for i := 0; b.Loop(); i++ {
		if _, err := f.ReadBlock(i%1024, buf); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkOpenAfterKill opens a file of which as many blocks as can be have to
// be checked again.
func BenchmarkOpenAfterKill(b *testing.B) {
	s := newBench(b)
	f, _, sum := taken(b, s, syncEvery)
	s.work.Wait()
	b.SetBytes(sum.Size)
	for b.Loop() {
		b.StopTimer()
		f.use.Lock()
		f.load()
		clear(f.durable)
		f.saveBitmaps()
		f.closeAll()
		f.use.Unlock()
		b.StartTimer()
		if err := f.open(); err != nil {
			b.Fatal(err)
		}
		f.use.RUnlock()
	}
	f.Close()
}

// TestIdleMemory measures what a file takes that is in use and idle.
func TestIdleMemory(t *testing.T) {
	b := newBench(t)
	const files = 1000
	data := random(3*BlockSize, 1)
	sum := summary(t, data)
	path := b.person("file", data)
	list := make([]*File, 0, files)
	heap := func() int64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	var sums []Summary
	var roots []Root
	for i := range files {
		data[0], data[1] = byte(i), byte(i>>8)
		overwrite(t, path, 0, data[:2])
		sum = summary(t, data)
		if err := b.Import(t.Context(), path, sum); err != nil {
			t.Fatal(err)
		}
		sums, roots = append(sums, Summary{Root: sum.Root, Size: sum.Size}), append(roots, sum.Root)
	}
	if err := b.Retain(t.Context(), id(1), roots...); err != nil {
		t.Fatal(err)
	}
	before := heap()
	for _, sum := range sums {
		f := b.file(sum)
		f.Have()
		list = append(list, f)
	}
	each := (heap() - before) / files
	t.Logf("%d bytes for each idle file", each)
	if each > 2<<10 {
		t.Errorf("an idle file takes %d bytes of memory", each)
	}
	for _, f := range list {
		f.Close()
	}
}
