package content

import (
	"bytes"
	"context"
	"crypto/sha1"
	"crypto/sha256"
	"errors"
	"fmt"
	"math"
	"slices"
	"testing"

	"kith.alt/kith"
)

// naiveLayers returns all layers of the tree above leaves, padded, as BEP 52
// puts it: the twin of what the package does in place and without padding.
func naiveLayers(leaves []Root) [][]Root {
	layer := slices.Clone(leaves)
	for len(layer)&(len(layer)-1) != 0 {
		layer = append(layer, Root{})
	}
	layers := [][]Root{layer}
	for len(layer) > 1 {
		var above []Root
		for i := 0; i < len(layer); i += 2 {
			above = append(above, sha256.Sum256(append(layer[i][:], layer[i+1][:]...)))
		}
		layers = append(layers, above)
		layer = above
	}
	return layers
}

func naiveLeaves(data []byte) (leaves []Root) {
	for len(data) > 0 {
		n := min(16384, len(data))
		leaves = append(leaves, sha256.Sum256(data[:n]))
		data = data[n:]
	}
	return leaves
}

// naiveHashes answers a hash request as BEP 52 says.
func naiveHashes(leaves []Root, base, index, length, proofs int) []Root {
	layers := naiveLayers(leaves)
	list := slices.Clone(layers[base][index : index+length])
	for layer := base + 1; layer <= base+proofs && layer < len(layers)-1; layer++ {
		index /= 2
		if length /= 2; length < 2 { // else the hashes include the entire child layer
			list = append(list, layers[layer][index^1])
		}
	}
	return list
}

func TestSum(t *testing.T) {
	for _, size := range []int{0, 1, 100, BlockSize - 1, BlockSize, BlockSize + 1, 2 * BlockSize, 3 * BlockSize, 31*BlockSize + 5, 64*BlockSize + 1, 3<<20 + 77} {
		for _, pieceLength := range []int{0, 64 << 10, 1 << 20} {
			for _, pad := range []bool{false, true} {
				t.Run(fmt.Sprint(size, pieceLength, pad), func(t *testing.T) {
					data := random(size, uint64(size))
					var last int64
					sum, err := Sum(t.Context(), bytes.NewReader(data), int64(size), pieceLength, pad, func(done int64) {
						if done <= last {
							t.Errorf("progress of %d after %d", done, last)
						}
						last = done
					})
					if err != nil {
						t.Fatal(err)
					}
					if last != int64(size) || sum.Size != int64(size) {
						t.Errorf("size %d, progress ended at %d, want %d", sum.Size, last, size)
					}
					leaves := naiveLeaves(data)
					if !slices.Equal(sum.Leaves, leaves) {
						t.Error("leaves differ")
					}
					var root Root
					if size > 0 {
						layers := naiveLayers(leaves)
						root = layers[len(layers)-1][0]
					}
					if sum.Root != root {
						t.Errorf("root %s, want %s", sum.Root, root)
					}
					var pieces [][20]byte
					for rest := data; pieceLength > 0 && len(rest) > 0; {
						n := min(pieceLength, len(rest))
						piece := slices.Clone(rest[:n])
						if pad {
							piece = append(piece, make([]byte, pieceLength-n)...)
						}
						pieces = append(pieces, sha1.Sum(piece))
						rest = rest[n:]
					}
					if !slices.Equal(sum.Pieces, pieces) {
						t.Error("pieces differ")
					}
				})
			}
		}
	}
}

func TestSumOfShortFile(t *testing.T) {
	_, err := Sum(t.Context(), bytes.NewReader(make([]byte, 1<<20)), 1<<20+1, 0, false, nil)
	if !errors.Is(err, kith.Temporary) {
		t.Errorf("sum of a file that ends early: %v", err)
	}
}

// treeSizes are numbers of blocks at which trees differ in shape.
var treeSizes = []int{1, 2, 3, 4, 5, 31, 32, 33, 64, 65, 100, 129}

// TestHashes asks for every span of every tree, and hands the answers to a file that
// knows nothing.
func TestHashes(t *testing.T) {
	b := newBench(t)
	for _, blocks := range treeSizes {
		data := random(blocks*BlockSize-100, uint64(blocks))
		sum := summary(t, data)
		whole := b.file(sum)
		b.take(whole, data, sum.Leaves, every(whole)...)
		layers := naiveLayers(sum.Leaves)
		for base := range layers[:len(layers)-1] {
			for length := 1; length <= len(layers[base]); length *= 2 {
				for index := 0; index < (blocks-1)>>base+1; index += length {
					for proofs := range len(layers) - base {
						if length == 1 && proofs == 0 {
							continue // one uncle, or none: BEP 52 has no such request
						}
						hashes, err := whole.Hashes(base, index, length, proofs)
						if want := naiveHashes(sum.Leaves, base, index, length, proofs); err != nil || length > 1 && !slices.Equal(hashes, want) {
							t.Fatalf("%d blocks: %d hashes from %d of layer %d, %d proofs: %v, %v, want %v", blocks, length, index, base, proofs, hashes, err, want)
						}
						if proofs < len(layers)-2-base {
							continue // does not lead up to the root
						}
						expectHashes(t, b, sum, base, index, length, proofs, hashes)
					}
				}
			}
		}
		whole.Close()
	}
}

// expectHashes hands hashes to a file of the same root in another store, and
// wrong ones before.
func expectHashes(t *testing.T, b *bench, sum Summary, base, index, length, proofs int, hashes []Root) {
	t.Helper()
	empty := newFile(b.Store, key{sum.Root, sum.Size + 1<<30}) // a name of its own
	empty.shape = shapeOf(len(sum.Leaves))
	empty.tree.shape = empty.shape
	defer func() {
		empty.use.Lock()
		empty.drop()
		b.mu.Lock()
		b.erase(empty.key)
		b.forget(empty)
		b.mu.Unlock()
		empty.use.Unlock()
	}()
	for i := range hashes {
		wrong := slices.Clone(hashes)
		wrong[i][7] ^= 1
		if err := empty.SetHashes(base, index, length, proofs, wrong); !errors.Is(err, kith.Invalid) {
			t.Fatalf("hash %d wrong of %d from %d of layer %d: %v", i, length, index, base, err)
		}
	}
	for _, wrong := range [][]Root{nil, hashes[1:], append(slices.Clone(hashes), Root{})} {
		if err := empty.SetHashes(base, index, length, proofs, wrong); !errors.Is(err, kith.Invalid) {
			t.Fatalf("%d hashes in place of %d: %v", len(wrong), len(hashes), err)
		}
	}
	if err := empty.SetHashes(base, index, length, proofs, hashes); err != nil {
		t.Fatal(err)
	}
	for block := range sum.Leaves {
		if in := base == 0 && block >= index && block < index+length; in && !empty.HasHashes(block) {
			t.Fatalf("hash of block %d is not known after %d from %d", block, length, index)
		}
	}
	if got, err := empty.Hashes(base, index, length, proofs); err != nil || !slices.Equal(got, hashes) {
		t.Fatalf("hashes do not come back: %v", err)
	}
}

func TestHashRequestsRefused(t *testing.T) {
	b := newBench(t)
	data := random(100*BlockSize, 1)
	sum := summary(t, data)
	f := b.file(sum)
	defer f.Close()
	b.take(f, data, sum.Leaves, every(f)...)
	const huge = math.MaxInt/2 + 1
	for _, r := range [][4]int{
		{-1, 0, 2, 0}, {7, 0, 2, 0}, {huge, 0, 2, 0}, {0, -2, 2, 0}, {0, 128, 2, 0}, {0, 100, 2, 0}, {0, huge, 2, 0}, {0, 0, 0, 0}, {0, 0, -2, 0},
		{0, 0, 3, 0}, {0, 1, 2, 0}, {0, 0, 256, 0}, {0, 0, 2 * MaxHashes, 0}, {0, 0, huge, 0}, {0, 0, 2, -1}, {6, 0, 4, 0}, {5, 2, 4, 0},
	} {
		if _, err := f.Hashes(r[0], r[1], r[2], r[3]); !errors.Is(err, kith.Invalid) {
			t.Errorf("hash request %v: %v", r, err)
		}
		if err := f.SetHashes(r[0], r[1], r[2], r[3], nil); !errors.Is(err, kith.Invalid) {
			t.Errorf("hashes %v: %v", r, err)
		}
	}
	if _, err := f.Hashes(0, 0, 2, huge); err != nil {
		t.Errorf("more proofs than there are layers: %v", err)
	}
	other := b.file(summary(t, random(100*BlockSize, 2)))
	defer other.Close()
	if _, err := other.Hashes(0, 0, 2, 5); !errors.Is(err, kith.NotFound) {
		t.Errorf("hashes of a file that is not here: %v", err)
	}
}

func TestAbsurdSizes(t *testing.T) {
	b := newBench(t)
	root := Root{1}
	for _, size := range []int64{-1, 0, MaxSize + 1, 1<<63 - 1, -1 << 63} {
		if f, err := b.File(t.Context(), root, size); !errors.Is(err, kith.Invalid) {
			t.Errorf("file of %d bytes: %v, %v", size, f, err)
		}
	}
	if f, err := b.File(t.Context(), Root{}, 1); !errors.Is(err, kith.Invalid) {
		t.Errorf("file of one byte without a root: %v, %v", f, err)
	}
	if _, err := Sum(t.Context(), bytes.NewReader(nil), 1<<62, 0, false, nil); !errors.Is(err, kith.Invalid) {
		t.Errorf("sum of 2^62 bytes: %v", err)
	}
}

// TestZeroHashes offers a tree in which a block has the hash that stands for no block.
func TestZeroHashes(t *testing.T) {
	b := newBench(t)
	leaves := naiveLeaves(random(40*BlockSize, 1))
	leaves[33] = Root{}
	f, err := b.File(t.Context(), rootOf(leaves), 40*BlockSize)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, request := range [][4]int{{0, 32, 32, 5}, {0, 32, 2, 5}, {0, 32, 1, 5}} {
		hashes := naiveHashes(leaves, request[0], request[1], request[2], request[3])
		if request[2] == 1 {
			hashes = slices.Insert(hashes, 1, leaves[33])
		}
		if err := f.SetHashes(request[0], request[1], request[2], request[3], hashes); !errors.Is(err, kith.Invalid) {
			t.Errorf("zero among %d hashes: %v", request[2], err)
		}
	}
}

func TestSumEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	_, err := Sum(ctx, bytes.NewReader(make([]byte, 8<<20)), 8<<20, 1<<20, false, func(int64) { cancel() })
	if !errors.Is(err, context.Canceled) {
		t.Errorf("sum after its context ended: %v", err)
	}
}
