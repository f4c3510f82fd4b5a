package content

import (
	"bytes"
	"errors"
	"os"
	"testing"

	"kith.alt/kith"
)

// layerOf returns a layer of the tree above leaves, without padding.
func layerOf(leaves []Root, layer int) (nodes []Root) {
	eachLayer(leaves, func(l int, all []Root) error {
		if l == layer {
			nodes = append(nodes, all...)
		}
		return nil
	})
	return nodes
}

// claimAll claims the blocks for which want reports it.
func claimAll(t *testing.T, f *File, data []byte, want func(int) bool) {
	t.Helper()
	for block := range f.Blocks() {
		if !want(block) {
			continue
		}
		if err := f.Claim(block, blockOf(data, block)); err != nil {
			t.Fatal(err)
		}
	}
}

func retain(t *testing.T, b *bench, sum Summary) {
	t.Helper()
	if err := b.Retain(t.Context(), id(1), sum.Root); err != nil {
		t.Fatal(err)
	}
}

// TestClaims has blocks come without any hash: they are here once all of them came, and
// not before.
func TestClaims(t *testing.T) {
	for _, blocks := range []int{2, 3, 32, 33, 1024, 1025, 2500} {
		data := random(blocks*BlockSize-77, 1)
		sum := summary(t, data)
		b := newBench(t)
		f := b.file(sum)
		last := func(block int) bool { return block == blocks-1 }
		claimAll(t, f, data, func(block int) bool { return !last(block) })
		expect(t, f, data, none)
		if err := f.Prove(0, blocks); !errors.Is(err, ErrNoHashes) {
			t.Fatalf("%d blocks, one is missing: %v", blocks, err)
		}
		if claimed, missing := f.Claimed(); claimed.Count() != blocks-1 || missing != 1 {
			t.Fatalf("%d blocks: %d claimed, %d missing", blocks, claimed.Count(), missing)
		}
		if f.HasHashes(0) {
			t.Errorf("%d blocks: a hash is known", blocks)
		}
		if _, err := f.Hashes(0, 0, 1, f.height); err == nil {
			t.Errorf("%d blocks: a claim is given as a hash", blocks)
		}
		claimAll(t, f, data, last)
		if err := f.Prove(0, blocks); err != nil {
			t.Fatal(err)
		}
		expect(t, f, data, all)
		if _, err := os.Stat(f.path(claimsSuffix)); !os.IsNotExist(err) {
			t.Errorf("%d blocks: claims stay: %v", blocks, err)
		}
		f.Close()
		retain(t, b, sum)
		b.reopen()
		f = b.file(sum)
		expect(t, f, data, all)
		f.Close()
	}
}

// TestClaimsOfPieces has a layer of the tree known: each piece is proved by itself.
func TestClaimsOfPieces(t *testing.T) {
	const blocks, piece, layer = 77, 8, 3
	data := random(blocks*BlockSize-5, 1)
	sum := summary(t, data)
	b := newBench(t)
	f := b.file(sum)
	defer f.Close()
	nodes := layerOf(sum.Leaves, layer)
	wrong := append([]Root(nil), nodes...)
	wrong[3][0]++
	if err := f.SetLayer(layer, wrong); !errors.Is(err, kith.Invalid) {
		t.Errorf("a wrong layer: %v", err)
	}
	if err := f.SetLayer(layer, nodes[1:]); !errors.Is(err, kith.Invalid) {
		t.Errorf("some of a layer: %v", err)
	}
	if err := f.SetLayer(layer, nodes); err != nil {
		t.Fatal(err)
	}
	here := make(map[int]bool)
	for first := 0; first < blocks; first += piece {
		in := func(block int) bool { return block >= first && block < first+piece }
		if first == 16 { // a piece with a wrong block
			claimAll(t, f, data, func(block int) bool { return in(block) && block != 19 })
			if err := f.Claim(19, make([]byte, BlockSize)); err != nil {
				t.Fatal(err)
			}
			if err := f.Prove(first, piece); !errors.Is(err, kith.Invalid) {
				t.Errorf("a wrong piece: %v", err)
			}
			if err := f.Unclaim(first, piece); err != nil {
				t.Fatal(err)
			}
			continue
		}
		claimAll(t, f, data, in)
		if err := f.Prove(first+1, piece); err != nil {
			t.Fatal(err)
		}
		for block := first; block < first+piece; block++ {
			here[block] = true
		}
	}
	expect(t, f, data, func(block int) bool { return here[block] })
}

// TestClaimsMeetHashes has hashes come after the blocks: what was right is here.
func TestClaimsMeetHashes(t *testing.T) {
	const blocks = 70
	data := random(blocks*BlockSize, 1)
	sum := summary(t, data)
	b := newBench(t)
	f := b.file(sum)
	claimAll(t, f, data, func(block int) bool { return block != 40 && block < 68 })
	if err := f.Claim(40, make([]byte, BlockSize)); err != nil {
		t.Fatal(err)
	}
	usage := b.Usage()
	giveHashes(t, f, sum.Leaves, 40) // of 32 to 63
	expect(t, f, data, func(block int) bool { return block >= 32 && block < 64 && block != 40 })
	if f.IsClaimed(40) || !f.IsClaimed(3) {
		t.Error("the wrong claim stays, or others do not")
	}
	if got := b.Usage(); got != usage-BlockSize {
		t.Errorf("%d bytes used, %d before", got, usage)
	}
	f.Close()
	retain(t, b, sum)
	b.reopen()
	f = b.file(sum)
	defer f.Close()
	expect(t, f, data, func(block int) bool { return block >= 32 && block < 64 && block != 40 })
	claimAll(t, f, data, func(block int) bool { return block == 40 || block >= 68 })
	if err := f.Prove(0, blocks); err != nil {
		t.Fatal(err)
	}
	expect(t, f, data, all)
}

// TestDamagedClaims has the disk lose what was claimed.
func TestDamagedClaims(t *testing.T) {
	const blocks = 40
	data := random(blocks*BlockSize, 1)
	sum := summary(t, data)
	b := newBench(t)
	f := b.file(sum)
	claimAll(t, f, data, all)
	f.Close()
	retain(t, b, sum)
	overwrite(t, f.path(dataSuffix), 7*BlockSize, []byte("rot"))
	b.reopen()
	f = b.file(sum)
	buf := make([]byte, BlockSize)
	if _, err := f.ReadClaim(7, buf); !errors.Is(err, kith.NotFound) || f.IsClaimed(7) {
		t.Errorf("a damaged claim: %v", err)
	}
	if n, err := f.ReadClaim(8, buf); err != nil || !bytes.Equal(buf[:n], blockOf(data, 8)) {
		t.Errorf("a claim: %v", err)
	}
	claimAll(t, f, data, all)
	overwrite(t, f.path(dataSuffix), 9*BlockSize, []byte("rot")) // after it was looked at
	if err := f.Prove(0, blocks); err != nil {
		t.Fatal(err)
	}
	expect(t, f, data, func(block int) bool { return block != 9 })
	f.Close()
}

// TestImportEndsClaims has the whole file come another way.
func TestImportEndsClaims(t *testing.T) {
	const blocks = 40
	data := random(blocks*BlockSize, 1)
	sum := summary(t, data)
	b := newBench(t)
	f := b.file(sum)
	defer f.Close()
	claimAll(t, f, data, func(block int) bool { return block%3 == 0 })
	if err := b.Import(t.Context(), b.person("song", data), sum); err != nil {
		t.Fatal(err)
	}
	expect(t, f, data, all)
	if claimed, missing := f.Claimed(); claimed != nil || missing != 0 {
		t.Errorf("%v claimed, %d missing", claimed, missing)
	}
}
