package content

import (
	"crypto/sha256"
	"fmt"
	"math/bits"

	"kith.alt/kith"
)

// MaxHashes is how many hashes of a layer may be asked for at once: those of
// the blocks of a piece of 16 MiB. BEP 52 advises against more than 512.
const MaxHashes = 1024

// A shape is that of the tree of a file of so many blocks. Layer 0 is that of the
// leaves, layer height that of the root.
type shape struct{ blocks, height int }

func shapeOf(blocks int) shape { return shape{blocks, bits.Len(uint(max(blocks, 1) - 1))} }

// width returns the nodes of a layer, padding included.
func (s shape) width(layer int) int { return 1 << (s.height - layer) }

// count returns the nodes of a layer that have a block below them. The
// others are padding.
func (s shape) count(layer int) int { return (s.blocks-1)>>layer + 1 }

// stored returns how many nodes lie in the layers below layer, without padding.
func (s shape) stored(layer int) (n int64) {
	for l := range layer {
		n += int64(s.count(l))
	}
	return n
}

// A span is what a hash request of BEP 52 asks for: length hashes of the layer
// base from index on, and the uncles above them in so many layers.
type span struct{ base, index, length, uncles int }

// span checks a hash request. A length of one, which BEP 52 allows at the end of a
// layer only, is answered anywhere. The first log2(length) - 1 of the proof layers
// follow from the hashes themselves; layers beyond the tree's do not count.
func (s shape) span(base, index, length, proofs int) (span, error) {
	switch {
	case base < 0 || base >= s.height,
		length < 1 || length > MaxHashes || length&(length-1) != 0 || length > s.width(base),
		index < 0 || index >= s.count(base) || index%length != 0,
		proofs < 0:
		return span{}, fmt.Errorf("%d hashes from %d of layer %d with %d proofs, of a tree of %d blocks: %w",
			length, index, base, proofs, s.blocks, kith.Invalid)
	}
	top := base + bits.Len(uint(length)) - 1 // layer of the node above all of them
	proofs = min(proofs, s.height-1-base)
	return span{base, index, length, max(0, base+proofs+1-top)}, nil
}

// top returns the node above all hashes of the span.
func (p span) top() (layer, index int) {
	up := bits.Len(uint(p.length)) - 1
	return p.base + up, p.index >> up
}

// parent returns the hash of a node above two others.
func parent(left, right Root) Root {
	var both [2 * len(Root{})]byte
	copy(both[:], left[:])
	copy(both[len(left):], right[:])
	return sha256.Sum256(both[:])
}

// parentOf returns the parent of the node at index and its sibling.
func parentOf(index int, node, sibling Root) Root {
	if index&1 == 0 {
		return parent(node, sibling)
	}
	return parent(sibling, node)
}

// halve puts the layer above hashes, whose number is even, into into.
func halve(into, hashes []Root) []Root {
	into = into[:len(hashes)/2]
	for i := range into {
		into[i] = parent(hashes[2*i], hashes[2*i+1])
	}
	return into
}

// padding holds, for each layer, the hash of a node with no block below it.
var padding = func() (layers [32]Root) {
	for i := range layers[1:] {
		layers[i+1] = parent(layers[i], layers[i])
	}
	return layers
}()

// eachLayer calls visit with each layer of the tree above leaves, without
// padding, the leaves first, and returns the root. A layer is valid
// during the call only.
func eachLayer(leaves []Root, visit func(layer int, nodes []Root) error) (Root, error) {
	if len(leaves) == 0 {
		return Root{}, nil
	}
	layer := leaves
	above := make([]Root, 0, len(leaves)/2+1)
	for l := 0; len(layer) > 1; l++ {
		if err := visit(l, layer); err != nil {
			return Root{}, err
		}
		odd := len(layer) & 1
		last := layer[len(layer)-1]
		above = halve(above[:cap(above)], layer[:len(layer)-odd])
		if odd == 1 {
			above = append(above, parent(last, padding[l]))
		}
		layer = above // halve reads ahead of where it writes
	}
	return layer[0], nil
}

// rootOf returns the root above leaves.
func rootOf(leaves []Root) Root {
	root, _ := eachLayer(leaves, func(int, []Root) error { return nil })
	return root
}
