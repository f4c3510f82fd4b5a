package content

import (
	"bytes"
	"errors"
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"kith.alt/kith"
)

// FuzzDamagedFiles writes over the files of a store, and looks whether anything
// wrong comes out, and whether the file can be completed again.
func FuzzDamagedFiles(f *testing.F) {
	f.Add(uint8(0), uint32(0), []byte("kithtree"), false)
	f.Add(uint8(0), uint32(9), []byte{9}, false)
	f.Add(uint8(0), uint32(16), []byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f}, false)
	f.Add(uint8(0), uint32(56), []byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, false)
	f.Add(uint8(0), uint32(66), []byte{0, 0, 0, 0, 0, 0}, false)
	f.Add(uint8(0), uint32(100), bytes.Repeat([]byte{7}, 40), false)
	f.Add(uint8(0), uint32(1500), []byte{1}, true)
	f.Add(uint8(0), uint32(0), []byte{}, true)
	f.Add(uint8(1), uint32(3*BlockSize), []byte("x"), false)
	f.Add(uint8(1), uint32(3*BlockSize), []byte("x"), true)
	f.Add(uint8(2), uint32(0), []byte(`[{"path":"/dev/zero"}]`), true)
	f.Add(uint8(2), uint32(0), []byte(`[{"path":"/","inode":1e99}]`), true)
	data := random(40*BlockSize+3, 20)
	leaves := naiveLeaves(data)
	f.Fuzz(func(t *testing.T, which uint8, at uint32, junk []byte, cut bool) {
		b := newBench(t)
		sum := summary(t, data)
		file := b.file(sum)
		some := func(i int) bool { return i%3 != 1 }
		for block := range file.Blocks() {
			if some(block) {
				b.take(file, data, leaves, block)
			}
		}
		if err := errors.Join(b.Retain(t.Context(), id(1), sum.Root), file.Close()); err != nil {
			t.Fatal(err)
		}
		path := file.path([]string{treeSuffix, dataSuffix, referencesSuffix}[which%3])
		damaged, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		_, err = damaged.WriteAt(junk, int64(at%uint32(len(data))))
		if cut {
			err = errors.Join(err, damaged.Truncate(int64(at%uint32(len(data)))+int64(len(junk))))
		}
		if err := errors.Join(err, damaged.Close()); err != nil {
			t.Fatal(err)
		}
		b.reopen()
		file = b.file(sum)
		defer func() { file.Close() }()
		buf := make([]byte, BlockSize)
		for range 2 {
			for block := range file.Blocks() {
				if n, err := file.ReadBlock(block, buf); err == nil && !bytes.Equal(buf[:n], blockOf(data, block)) {
					t.Fatalf("block %d is served wrong", block)
				} else if err != nil && !errors.Is(err, kith.NotFound) {
					t.Fatal(err)
				}
			}
		}
		b.take(file, data, leaves, every(file)...)
		expect(t, file, data, all)
		target := filepath.Join(b.dir, "target")
		if err := b.Export(t.Context(), sum.Root, sum.Size, target); err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(target); err != nil || !bytes.Equal(got, data) {
			t.Fatalf("exported: %d bytes, %v", len(got), err)
		}
	})
}

// FuzzSetHashes offers hashes, and looks that none but the right ones are believed.
func FuzzSetHashes(f *testing.F) {
	data := random(37*BlockSize, 21)
	leaves := naiveLeaves(data)
	for _, span := range [][4]int{{0, 0, 32, 5}, {0, 32, 32, 5}, {0, 32, 2, 5}, {2, 0, 16, 3}, {5, 0, 2, 0}, {5, 1, 1, 0}} {
		hashes := naiveHashes(leaves, span[0], span[1], span[2], span[3])
		if span[2] == 1 {
			hashes = append(hashes, naiveLayers(leaves)[span[0]][span[1]^1])
		}
		f.Add(span[0], span[1], span[2], span[3], bytes.Join(rows(hashes), nil))
	}
	f.Add(math.MaxInt, math.MaxInt, math.MaxInt, math.MaxInt, []byte{})
	b := newBench(f)
	root := rootOf(leaves)
	f.Fuzz(func(t *testing.T, base, index, length, proofs int, raw []byte) {
		file, err := b.File(t.Context(), root, int64(len(data)))
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		var hashes []Root
		for chunk := range slices.Chunk(raw, len(Root{})) {
			if len(chunk) == len(Root{}) {
				hashes = append(hashes, Root(chunk))
			}
		}
		if err := file.SetHashes(base, index, length, proofs, hashes); err != nil && !errors.Is(err, kith.Invalid) {
			t.Fatal(err)
		}
		for block := range leaves {
			file.open()
			file.mu.Lock()
			leaf, known := file.leaf(block)
			file.mu.Unlock()
			file.use.RUnlock()
			if known && leaf != leaves[block] {
				t.Fatalf("the hash of block %d is wrong", block)
			}
		}
	})
}

func rows(hashes []Root) (list [][]byte) {
	for _, hash := range hashes {
		list = append(list, bytes.Clone(hash[:]))
	}
	return list
}

func TestVerify(t *testing.T) {
	b := newBench(t)
	data := random(100*BlockSize+3, 22)
	sum := summary(t, data)
	f := b.file(sum)
	defer f.Close()
	verify := func(want int) {
		t.Helper()
		var last int64
		missing, err := b.Verify(t.Context(), sum.Root, sum.Size, func(done int64) { last = done })
		if err != nil || missing != want || last != sum.Size {
			t.Errorf("verify: %d missing, %v, progress until %d; want %d", missing, err, last, want)
		}
	}
	verify(101)
	b.take(f, data, sum.Leaves, every(f)[10:]...)
	verify(10)
	b.take(f, data, sum.Leaves, every(f)...)
	verify(0)
	if !isClone(t, f) {
		t.Fatal("the store does not have the file")
	}
	overwrite(t, f.path(dataSuffix), 50*BlockSize, []byte("rot"))
	verify(1)
	expect(t, f, data, func(i int) bool { return i != 50 })
	b.take(f, data, sum.Leaves, 50)
	verify(0)
}

// TestVerifyMakesHashesAgain has all of a file here, and its side file spoiled.
func TestVerifyMakesHashesAgain(t *testing.T) {
	for _, how := range []string{"taken", "imported"} {
		for at, size := range map[int64]int{0: 100*BlockSize + 3, 300: 100*BlockSize + 3, 1: 5} {
			b := newBench(t)
			data := random(size, 23)
			sum := summary(t, data)
			f := b.file(sum)
			if how == "imported" {
				if err := b.Import(t.Context(), b.person("file", data), sum); err != nil {
					t.Fatal(err)
				}
			} else {
				b.take(f, data, sum.Leaves, every(f)...)
			}
			if err := errors.Join(b.Retain(t.Context(), id(1), sum.Root), f.Close()); err != nil {
				t.Fatal(err)
			}
			overwrite(t, f.path(treeSuffix), at, bytes.Repeat([]byte("rot"), 50))
			b.reopen()
			if missing, err := b.Verify(t.Context(), sum.Root, sum.Size, nil); missing != 0 || err != nil {
				t.Errorf("%s, spoiled at %d: %d missing, %v", how, at, missing, err)
			}
			f = b.file(sum)
			expect(t, f, data, all)
			f.Close()
		}
	}
}

// TestPowerCut has blocks that were written and not synced go, as after a power cut.
func TestPowerCut(t *testing.T) {
	b := newBench(t)
	data := random(100*BlockSize, 24)
	sum := summary(t, data)
	f := b.file(sum)
	b.take(f, data, sum.Leaves, every(f)[:60]...) // fewer than are waited for
	if err := errors.Join(b.Retain(t.Context(), id(1), sum.Root), f.Close()); err != nil {
		t.Fatal(err)
	}
	overwrite(t, f.path(dataSuffix), 20*BlockSize, make([]byte, 10*BlockSize))
	b.reopen()
	f = b.file(sum)
	defer f.Close()
	if f.Have() != 50 {
		t.Errorf("%d blocks are here, want 50", f.Have())
	}
	expect(t, f, data, func(i int) bool { return i < 20 || i >= 30 && i < 60 })
}
