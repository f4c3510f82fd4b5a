package content

import (
	"bytes"
	"crypto/sha1"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"testing"

	"kith.alt/kith"
)

// naiveLayers returns all layers of the tree above leaves, padded, as BEP 52 puts it: the
// twin of what the package does in place and without padding.
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
