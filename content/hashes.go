package content

import (
	"fmt"
	"math/bits"
	"slices"

	"kith.alt/kith"
)

// proofGroup is how many leaves are proved at once: a power of two.
const proofGroup = 32

func (f *File) groups() int { return (f.blocks + proofGroup - 1) / proofGroup }

// HashGroup returns the hash request, as BEP 52 has it, for the leaves of the group
// of neighbours that a block is in, with all proofs. Groups have at most length
// blocks, a power of two up to MaxHashes. The length returned is 0 where no
// hashes are needed: a file of one block.
func (f *File) HashGroup(block, length int) (base, index, n, proofs int) {
	if f.height == 0 {
		return 0, 0, 0, 0
	}
	length = min(length, MaxHashes, f.width(0))
	return 0, block / length * length, length, f.height - 1
}

// HasHashes reports whether the hash of a block is known, so that the block can be
// checked.
func (f *File) HasHashes(block int) bool {
	if block < 0 || block >= f.blocks {
		return false
	}
	if f.height == 0 {
		return true
	}
	if f.open() != nil {
		return false
	}
	defer f.use.RUnlock()
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.proved.Has(block / proofGroup) {
		return true
	}
	_, known := f.leaf(block)
	return known
}

// Hashes answers a hash request of BEP 52: length hashes of the layer base from
// index on, padding included, then the uncle hashes of the proof layers that these
// do not give away. At most [MaxHashes] may be asked for. It fails with kind
// Invalid when nobody could answer, and with kind NotFound when this host cannot.
func (f *File) Hashes(base, index, length, proofs int) ([]Root, error) {
	span, err := f.span(base, index, length, proofs)
	if err != nil {
		return nil, fmt.Errorf("hash request: %w", err)
	}
	if err := f.open(); err != nil {
		return nil, fmt.Errorf("hash request: %w", err)
	}
	defer f.use.RUnlock()
	f.mu.Lock()
	defer f.mu.Unlock()
	hashes := make([]Root, length, length+span.uncles)
	f.tree.nodes(hashes, base, index)
	path, ok := f.prove(span, hashes, nil, nil)
	if !ok {
		return nil, fmt.Errorf("hashes of %s are not here: %w", f.root, kith.NotFound)
	}
	for _, pair := range path[:span.uncles] {
		hashes = append(hashes, pair.uncle)
	}
	return hashes, nil
}

// SetHashes takes the answer to a hash request. It fails with kind Invalid unless the
// hashes, with those that are known, lead up to the root.
func (f *File) SetHashes(base, index, length, proofs int, hashes []Root) error {
	span, err := f.span(base, index, length, proofs)
	if err != nil {
		return fmt.Errorf("hashes: %w", err)
	}
	if len(hashes) != length+span.uncles {
		return fmt.Errorf("%d hashes in place of %d: %w", len(hashes), length+span.uncles, kith.Invalid)
	}
	if err := f.open(); err != nil {
		return fmt.Errorf("hashes: %w", err)
	}
	defer f.use.RUnlock()
	f.mu.Lock()
	defer f.mu.Unlock()
	var layers [][]Root // of the hashes and above them
	path, ok := f.prove(span, hashes[:length], hashes[length:], func(layer []Root) { layers = append(layers, layer) })
	if !ok {
		return fmt.Errorf("hashes do not lead up to the root %s: %w", f.root, kith.Invalid)
	}
	if err := f.make(); err != nil {
		return fmt.Errorf("hashes: %w", f.store.explain(err))
	}
	for i, layer := range layers {
		if err := f.tree.saveNodes(layer, base+i, index>>i); err != nil {
			return fmt.Errorf("hashes: %w", f.store.explain(err))
		}
	}
	for _, pair := range path {
		if err := f.tree.saveNodes(pair.nodes(), pair.layer, pair.index&^1); err != nil {
			return fmt.Errorf("hashes: %w", f.store.explain(err))
		}
	}
	if base == 0 {
		for g := index / proofGroup; (g+1)*proofGroup <= index+length && g < f.groups(); g++ {
			f.proved.Set(g)
		}
		if err := f.judge(index, min(index+length, f.blocks)); err != nil {
			return fmt.Errorf("hashes: %w", f.store.explain(err))
		}
	}
	return nil
}

// A pair is a node on the way to the root, and its sibling: the uncle of the
// nodes below it.
type pair struct {
	layer, index int
	node, uncle  Root
}

func (p pair) nodes() []Root {
	if p.index&1 == 0 {
		return []Root{p.node, p.uncle}
	}
	return []Root{p.uncle, p.node}
}

// prove reports whether hashes of a span lead up to the root, by the uncles
// given and by those that are stored, and returns the way. Zero is the hash of
// no block and no node: a tree that has it there is not proved. Visit, if not
// nil, sees the hashes and each layer above them that they give away, the root
// left out. The caller holds f.mu.
func (f *File) prove(s span, hashes, uncles []Root, visit func(layer []Root)) ([]pair, bool) {
	if slices.Contains(hashes[:min(s.length, f.shape.count(s.base)-s.index)], Root{}) {
		return nil, false
	}
	layer := hashes
	for len(layer) > 1 {
		if visit != nil {
			visit(layer)
		}
		layer = halve(make([]Root, len(layer)/2), layer)
	}
	top, index := s.top()
	return f.climb(top, index, layer[0], uncles)
}

// climb goes from a node up to the root, and reports whether it got there. The
// caller holds f.mu.
func (f *File) climb(layer, index int, node Root, uncles []Root) ([]pair, bool) {
	path := make([]pair, 0, f.height)
	for ; layer < f.height; layer, index = layer+1, index>>1 {
		var uncle Root
		if len(uncles) > 0 {
			uncle, uncles = uncles[0], uncles[1:]
			if uncle.IsZero() && index^1 < f.shape.count(layer) {
				return nil, false
			}
		} else {
			var known bool
			if uncle, known = f.tree.node(layer, index^1); !known {
				return nil, false
			}
		}
		path = append(path, pair{layer, index, node, uncle})
		node = parentOf(index, node, uncle)
	}
	return path, node == f.root
}

// leaf returns the hash of a block, and false when it is not known or not proved. The
// caller holds f.mu.
func (f *File) leaf(block int) (Root, bool) {
	if f.height == 0 {
		return f.root, true
	}
	leaf, known := f.tree.node(0, block)
	if !known {
		return Root{}, false
	}
	if f.proveGroup(block / proofGroup) {
		return leaf, true
	}
	_, ok := f.climb(0, block, leaf, nil) // some of the group may be missing
	return leaf, ok
}

// proveGroup reports whether all leaves of a group lead up to the root. The caller
// holds f.mu.
func (f *File) proveGroup(group int) bool {
	if f.proved.Has(group) {
		return true
	}
	leaves := make([]Root, min(proofGroup, f.width(0)))
	f.tree.nodes(leaves, 0, group*proofGroup)
	up := bits.Len(uint(len(leaves))) - 1
	_, ok := f.prove(span{index: group << up, length: len(leaves)}, leaves, nil, nil)
	if ok {
		f.proved.Set(group)
	}
	return ok
}

// allHashes reports whether there is a tree with the hashes of all blocks.
func (f *File) allHashes() (bool, error) {
	if f.blocks == 0 {
		return true, nil
	}
	if err := f.open(); err != nil {
		return false, err
	}
	defer f.use.RUnlock()
	if f.height == 0 {
		f.mu.Lock()
		defer f.mu.Unlock()
		return f.tree.file != nil, nil
	}
	for group := range f.groups() {
		f.mu.Lock()
		ok := f.proveGroup(group)
		f.mu.Unlock()
		if !ok {
			return false, nil
		}
	}
	return true, nil
}
