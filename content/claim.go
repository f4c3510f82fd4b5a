package content

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/bits"
	"os"

	"kith.alt/kith"
)

// Claim keeps a block whose hash is not known yet, as clients of BitTorrent version 1
// give: at its place on disk, with the hash of what came, but not among the blocks
// that are here. [File.Prove] and [File.SetHashes] find out whether it is right. Of
// several claims of a block the first stays. Where the hash is known, Claim is as
// [File.WriteBlock].
func (f *File) Claim(block int, p []byte) error {
	if block < 0 || block >= f.blocks || len(p) != blockLength(f.size, block) {
		return fmt.Errorf("block %d with %d bytes, of %d blocks and %d bytes: %w", block, len(p), f.blocks, f.size, kith.Invalid)
	}
	hash := Root(sha256.Sum256(p))
	if err := f.open(); err != nil {
		return fmt.Errorf("keep block: %w", err)
	}
	known, err := f.claim(block, p, hash)
	f.use.RUnlock()
	switch {
	case known:
		return f.WriteBlock(block, p)
	case err != nil:
		return fmt.Errorf("keep block: %w", f.store.explain(err))
	}
	return nil
}

// claim keeps a block, unless its hash is known. The caller holds f.use.
func (f *File) claim(block int, p []byte, hash Root) (known bool, err error) {
	f.mu.Lock() // until it is written: another may bring other bytes
	defer f.mu.Unlock()
	if _, known := f.leaf(block); known {
		return true, nil
	}
	if f.have.Has(block) || f.claimed != nil && f.claimed.Has(block) {
		return false, nil
	}
	if err := f.makeData(); err != nil {
		return false, err
	}
	if f.claims == nil {
		if f.claims, err = createIn(f.path(claimsSuffix), os.O_TRUNC); err != nil {
			f.claims = nil
			return false, err
		}
		f.claimed = NewBitmap(f.blocks)
	}
	if _, err := f.data.WriteAt(p, int64(block)*BlockSize); err != nil {
		return false, err
	}
	if _, err := f.claims.WriteAt(hash[:], int64(block*len(hash))); err != nil {
		return false, err
	}
	f.claimed.Set(block)
	f.claimCount++
	f.store.usage.Add(onDisk(len(p)))
	return false, nil
}

// onDisk is what so many bytes take there.
func onDisk(n int) int64 { return (int64(n) + diskBlock - 1) &^ (diskBlock - 1) }

// Claimed returns a bit for each block that is claimed, and how many of the others are
// not here. It is nil where none is claimed.
func (f *File) Claimed() (claimed Bitmap, missing int) {
	if f.blocks == 0 || f.open() != nil {
		return nil, f.blocks
	}
	defer f.use.RUnlock()
	f.mu.Lock()
	defer f.mu.Unlock()
	return append(Bitmap(nil), f.claimed...), f.blocks - f.count - f.claimCount
}

// IsClaimed reports whether a block is claimed.
func (f *File) IsClaimed(block int) bool {
	if block < 0 || block >= f.blocks || f.open() != nil {
		return false
	}
	defer f.use.RUnlock()
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.claimed != nil && f.claimed.Has(block)
}

// ReadClaim reads a claimed block into p, which has room for it, as it came, and
// returns its length. It fails with kind NotFound where none is claimed, or what is on disk is
// not what came.
func (f *File) ReadClaim(block int, p []byte) (int, error) {
	if block < 0 || block >= f.blocks || len(p) < blockLength(f.size, block) {
		return 0, fmt.Errorf("read block %d of %d into %d bytes: %w", block, f.blocks, len(p), kith.Invalid)
	}
	if err := f.open(); err != nil {
		return 0, fmt.Errorf("read block: %w", err)
	}
	defer f.use.RUnlock()
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.claimed == nil || !f.claimed.Has(block) {
		return 0, fmt.Errorf("block %d of %s is not claimed: %w", block, f.root, kith.NotFound)
	}
	p = p[:blockLength(f.size, block)]
	claim, err := f.claimsAt(block, 1)
	if err == nil {
		_, err = f.data.ReadAt(p, int64(block)*BlockSize)
	}
	if err == nil && sha256.Sum256(p) == claim[0] {
		return len(p), nil
	}
	if err := f.unclaim(block, block+1); err != nil {
		return 0, err
	}
	return 0, fmt.Errorf("block %d of %s did not reach the disk: %w", block, f.root, kith.NotFound)
}

// Unclaim forgets claims of n blocks from first on.
func (f *File) Unclaim(first, n int) error {
	if first < 0 || n < 0 || first+n > f.blocks {
		return fmt.Errorf("%d blocks from %d of %d: %w", n, first, f.blocks, kith.Invalid)
	}
	if err := f.open(); err != nil {
		return fmt.Errorf("forget blocks: %w", err)
	}
	defer f.use.RUnlock()
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.unclaim(first, first+n); err != nil {
		return fmt.Errorf("forget blocks: %w", f.store.explain(err))
	}
	return nil
}

// unclaim forgets claims of blocks from first to before last. The caller holds f.mu.
func (f *File) unclaim(first, last int) error {
	if f.claimed == nil {
		return nil
	}
	for block := first; block < last; block++ {
		if !f.claimed.Has(block) {
			continue
		}
		var none Root
		if _, err := f.claims.WriteAt(none[:], int64(block*len(none))); err != nil {
			return err
		}
		f.claimed.Clear(block)
		f.claimCount--
		f.store.usage.Add(-onDisk(blockLength(f.size, block)))
	}
	return f.endClaims()
}

// endClaims deletes the claims once there is none left. The caller holds f.mu.
func (f *File) endClaims() error {
	if f.claimed == nil || f.claimCount > 0 {
		return nil
	}
	err := errors.Join(f.claims.Close(), os.Remove(f.path(claimsSuffix)))
	f.claims, f.claimed = nil, nil
	return err
}

// claimsAt reads the hashes that are claimed of blocks; zero is none. The caller holds f.mu.
func (f *File) claimsAt(block, n int) ([]Root, error) {
	text := make([]byte, n*len(Root{}))
	if _, err := f.claims.ReadAt(text, int64(block*len(Root{}))); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	hashes := make([]Root, n)
	for i := range hashes {
		copy(hashes[i][:], text[i*len(Root{}):])
	}
	return hashes, nil
}

// loadClaims reads which blocks are claimed. The caller holds f.mu.
func (f *File) loadClaims() error {
	claims, err := os.OpenFile(f.path(claimsSuffix), os.O_RDWR, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	f.claims, f.claimed, f.claimCount = claims, NewBitmap(f.blocks), 0
	if f.data == nil { // no block was written, and so it was not opened
		if f.data, err = os.OpenFile(f.path(dataSuffix), os.O_RDWR, 0); err != nil {
			f.data = nil
			return f.endClaims()
		}
	}
	for at := 0; at < f.blocks; at += MaxHashes {
		hashes, err := f.claimsAt(at, min(MaxHashes, f.blocks-at))
		if err != nil {
			return err
		}
		for i, hash := range hashes {
			if !hash.IsZero() && !f.have.Has(at+i) {
				f.claimed.Set(at + i)
				f.claimCount++
			}
		}
	}
	for block := 0; block < f.blocks && f.claimed != nil; block += proofGroup {
		if f.proveGroup(block / proofGroup) { // just before it stopped
			if err := f.judge(block, min(block+proofGroup, f.blocks)); err != nil {
				return err
			}
		}
	}
	return f.endClaims()
}

// judge compares claims of blocks from first to before last, whose hashes are known
// now: those that are right are here, the others are forgotten. The caller
// holds f.mu.
func (f *File) judge(first, last int) error {
	for at := first; at < last && f.claimed != nil; at += MaxHashes {
		n := min(MaxHashes, last-at)
		claims, err := f.claimsAt(at, n)
		if err != nil {
			return err
		}
		leaves := make([]Root, n)
		f.tree.nodes(leaves, 0, at)
		for i := range n {
			block := at + i
			if !f.claimed.Has(block) || claims[i] != leaves[i] {
				continue
			}
			f.claimed.Clear(block)
			f.claimCount--
			if f.written.Has(block) {
				continue
			}
			f.written.Set(block) // not seen: it is read and compared before it is given to anybody
			f.unsynced++
			if !f.have.Has(block) {
				f.have.Set(block)
				f.count++
			}
			f.store.metrics.written.Add(uint64(blockLength(f.size, block)))
		}
		if err := f.tree.saveBitmap(writtenBits, f.written, at/8, (at+n-1)/8); err != nil {
			return err
		}
		if err := f.unclaim(at, at+n); err != nil {
			return err
		}
	}
	if f.unsynced >= f.store.syncEvery && !f.saving {
		f.saving = true
		f.store.work.Go(f.saveSoon)
	}
	return f.endClaims()
}

// Prove compares the claims among length blocks around block, a power of two or all
// blocks, with the hash of the tree above them. Claims that are right are here from
// then on. It fails with kind Invalid when some are wrong, which stay claims, and with [ErrNoHashes]
// when that hash is not known or one of the blocks is missing.
func (f *File) Prove(block, length int) error {
	if block < 0 || block >= f.blocks || length < 1 {
		return fmt.Errorf("prove %d blocks from %d of %d: %w", length, block, f.blocks, kith.Invalid)
	}
	if err := f.open(); err != nil {
		return fmt.Errorf("prove blocks: %w", err)
	}
	defer f.use.RUnlock()
	f.mu.Lock()
	defer f.mu.Unlock()
	up := min(bits.Len(uint(length-1)), f.height)
	index := block >> up
	want := f.root
	if up < f.height {
		node, known := f.tree.node(up, index)
		if known {
			_, known = f.climb(up, index, node, nil)
		}
		if !known {
			return ErrNoHashes
		}
		want = node
	}
	first, last := index<<up, min((index+1)<<up, f.blocks)
	switch top, err := f.fold(first, last, up, nil); {
	case errors.Is(err, ErrNoHashes):
		return err
	case err != nil:
		return fmt.Errorf("prove blocks: %w", f.store.explain(err))
	case top != want:
		return fmt.Errorf("blocks %d to %d are not all of the file %s: %w", first, last-1, f.root, kith.Invalid)
	}
	err := f.make()
	if err == nil {
		_, err = f.fold(first, last, up, f.tree.saveNodes)
	}
	if err == nil {
		err = f.judge(first, last)
	}
	if err != nil {
		return fmt.Errorf("prove blocks: %w", f.store.explain(err))
	}
	return nil
}

// A saver takes nodes of a layer of the tree, from index on.
type saver func(nodes []Root, layer, index int) error

// fold computes the node so many layers above blocks from first to before last, by
// their hashes as known or claimed. Save, if not nil, sees the layers below it. It fails with
// ErrNoHashes where one is missing. The caller holds f.mu.
func (f *File) fold(first, last, up int, save saver) (Root, error) {
	low := min(up, bits.Len(uint(MaxHashes))-1)
	var tops []Root
	for at := first; at < last; at += 1 << low {
		leaves, err := f.evidence(at, min(1<<low, last-at))
		if err != nil {
			return Root{}, err
		}
		top, err := lift(leaves, 0, low, at, save)
		if err != nil {
			return Root{}, err
		}
		tops = append(tops, top)
	}
	return lift(tops, low, up, first>>low, save)
}

// lift goes from nodes of a layer, from index on, up to the only node above them.
func lift(nodes []Root, layer, up, index int, save saver) (Root, error) {
	for ; layer < up; layer, index = layer+1, index>>1 {
		if save != nil {
			if err := save(nodes, layer, index); err != nil {
				return Root{}, err
			}
		}
		if len(nodes)&1 == 1 {
			nodes = append(nodes, padding[layer])
		}
		nodes = halve(make([]Root, len(nodes)/2), nodes)
	}
	return nodes[0], nil
}

// evidence returns the hashes of n blocks, as known or else as claimed. The caller
// holds f.mu.
func (f *File) evidence(first, n int) ([]Root, error) {
	claims := make([]Root, n)
	if f.claimed != nil {
		var err error
		if claims, err = f.claimsAt(first, n); err != nil {
			return nil, err
		}
	}
	for i := range claims {
		block := first + i
		if f.claimed != nil && f.claimed.Has(block) {
			continue
		}
		leaf, known := f.leaf(block)
		if !known {
			return nil, ErrNoHashes
		}
		claims[i] = leaf
	}
	return claims, nil
}

// SetLayer takes a whole layer of the tree, without padding, as .torrent files have of
// each file (BEP 52: piece layers): from then on Prove can tell of the blocks below one of
// its hashes whether they are right. It fails with kind Invalid unless the layer leads
// up to the root.
func (f *File) SetLayer(layer int, nodes []Root) error {
	if layer < 0 || layer >= f.height || len(nodes) != f.shape.count(layer) {
		return fmt.Errorf("%d hashes of layer %d of a tree of %d blocks: %w", len(nodes), layer, f.blocks, kith.Invalid)
	}
	if root, _ := lift(append([]Root(nil), nodes...), layer, f.height, 0, nil); root != f.root {
		return fmt.Errorf("hashes do not lead up to the root %s: %w", f.root, kith.Invalid)
	}
	if err := f.open(); err != nil {
		return fmt.Errorf("hashes: %w", err)
	}
	defer f.use.RUnlock()
	f.mu.Lock()
	defer f.mu.Unlock()
	err := f.make()
	if err == nil {
		_, err = lift(append([]Root(nil), nodes...), layer, f.height, 0, f.tree.saveNodes)
	}
	if err == nil && layer == 0 {
		err = f.judge(0, f.blocks)
	}
	if err != nil {
		return fmt.Errorf("hashes: %w", f.store.explain(err))
	}
	return nil
}
