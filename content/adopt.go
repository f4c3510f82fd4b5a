package content

import (
	"context"
	"errors"

	"kith.alt/kith"
)

// maxMoved is how many blocks that are not where they were Adopt looks for at once.
const maxMoved = 1 << 20

// Adopt copies blocks that are missing here, and whose hashes are known, from
// another file that has equal ones, such as the version before: from the same
// place, or else from any. It returns how many.
func (f *File) Adopt(ctx context.Context, other *File) (int, error) {
	a := &adoption{to: f, from: other, buf: make([]byte, BlockSize), wanted: make(map[Root]int)}
	for at := 0; at < f.blocks; at += MaxHashes {
		if err := ctx.Err(); err != nil {
			return a.count, err
		}
		if err := a.samePlace(at); err != nil {
			return a.count, err
		}
	}
	for at := 0; at < other.blocks && len(a.wanted) > 0; at += MaxHashes {
		if err := ctx.Err(); err != nil {
			return a.count, err
		}
		if err := a.anyPlace(at); err != nil {
			return a.count, err
		}
	}
	return a.count, nil
}

type adoption struct {
	to, from *File
	buf      []byte
	count    int
	wanted   map[Root]int // blocks that are missing still, by their hash
}

// samePlace adopts equal blocks among those from at on.
func (a *adoption) samePlace(at int) error {
	theirs := a.from.leaves(at)
	for i, leaf := range a.to.leaves(at) {
		block := at + i
		if leaf.IsZero() || a.to.Has(block) {
			continue
		}
		if i < len(theirs) && theirs[i] == leaf {
			if err := a.adopt(block, block); err != nil {
				return err
			}
		} else if len(a.wanted) < maxMoved {
			a.wanted[leaf] = block
		}
	}
	return nil
}

// anyPlace adopts those that are wanted from among the other's blocks from at on.
func (a *adoption) anyPlace(at int) error {
	for i, leaf := range a.from.leaves(at) {
		if block, ok := a.wanted[leaf]; ok {
			if err := a.adopt(at+i, block); err != nil {
				return err
			}
			delete(a.wanted, leaf)
		}
	}
	return nil
}

// adopt copies a block, if it is there and right.
func (a *adoption) adopt(from, to int) error {
	n, err := a.from.ReadBlock(from, a.buf)
	if err == nil {
		err = a.to.WriteBlock(to, a.buf[:n])
	}
	switch {
	case err == nil:
		a.count++
	case errors.Is(err, kith.NotFound), errors.Is(err, kith.Invalid), errors.Is(err, ErrNoHashes):
	default:
		return err
	}
	return nil
}

// leaves returns up to MaxHashes leaves from block at on, as stored; those that
// are not known are zero.
func (f *File) leaves(at int) []Root {
	if at >= f.blocks {
		return nil
	}
	if f.height == 0 {
		return []Root{f.root}
	}
	list := make([]Root, min(MaxHashes, f.blocks-at))
	if f.open() != nil {
		return list
	}
	defer f.use.RUnlock()
	f.mu.Lock()
	defer f.mu.Unlock()
	f.tree.nodes(list, 0, at)
	return list
}
