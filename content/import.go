package content

import (
	"context"
	"errors"
	"fmt"
	"os"

	"kith.alt/kith"
)

// Import takes a person's file in, of which sum is the [Summary]: as a clone
// where the file system can, else by reference to path, which must be absolute.
// It reads none of it; what has changed since the sum was made is found when a
// block is read. The file is kept durably once [Store.Retain] has named it. It
// fails with kind Invalid when sum contradicts itself, and with kind Temporary
// when the file has another size by now.
func (s *Store) Import(ctx context.Context, path string, sum Summary) error {
	if err := s.importFile(ctx, path, sum); err != nil {
		return fmt.Errorf("import %s: %w", path, err)
	}
	return nil
}

func (s *Store) importFile(ctx context.Context, path string, sum Summary) error {
	if len(sum.Leaves) != Blocks(sum.Size) || rootOf(sum.Leaves) != sum.Root {
		return fmt.Errorf("the summary is not that of one file: %w", kith.Invalid)
	}
	f, err := s.File(ctx, sum.Root, sum.Size)
	if err != nil {
		return err
	}
	defer f.Close()
	if sum.Size == 0 {
		return nil
	}
	file, err := openShared(path)
	if err != nil {
		return s.explain(err)
	}
	defer file.Close()
	reference, size, err := referTo(file, path)
	if err != nil {
		return err
	}
	if size != sum.Size {
		return fmt.Errorf("the file has %d bytes, not %d as before: %w", size, sum.Size, kith.Temporary)
	}

	s.mu.Lock()
	s.fresh[sum.Root] = sum.Size // not deleted until it is retained
	s.mu.Unlock()
	f.use.Lock()
	defer f.use.Unlock()
	if err := f.load(); err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.setLeaves(sum.Leaves); err != nil {
		return s.explain(err)
	}
	if f.written.Count() == f.blocks {
		return nil // one copy is enough
	}
	switch err := f.cloneFrom(path); {
	case err == nil:
		return nil
	case !errors.Is(err, errors.ErrUnsupported):
		return s.explain(err)
	}
	if err := f.refer(reference); err != nil {
		return s.explain(err)
	}
	f.closePerson()
	f.openPerson()
	f.recount()
	return nil
}

// setLeaves stores all hashes of the tree. The caller holds f.mu.
func (f *File) setLeaves(leaves []Root) error {
	if err := f.make(); err != nil {
		return err
	}
	if err := f.tree.saveAll(leaves); err != nil {
		return err
	}
	f.proved.fill(f.groups())
	return f.judge(0, f.blocks)
}

// cloneFrom has the file system share the bytes of a person's file with the
// store. Blocks are not checked before they are read. It fails with
// errors.ErrUnsupported where that cannot be. The caller holds f.use for
// writing and f.mu.
func (f *File) cloneFrom(path string) error {
	fresh := f.path(dataSuffix) + newSuffix
	os.Remove(fresh)
	copied, err := clone(path, fresh)
	if err != nil {
		return err
	}
	if err = errors.Join(copied.Sync(), copied.Close()); err == nil {
		if f.data != nil {
			f.data.Close()
			f.data = nil
		}
		err = os.Rename(fresh, f.path(dataSuffix))
	}
	if err == nil {
		f.data, err = os.OpenFile(f.path(dataSuffix), os.O_RDWR, 0)
	}
	if err != nil {
		os.Remove(fresh)
		return err
	}
	f.store.usage.Add(f.allocated())
	f.written.fill(f.blocks)
	f.durable.fill(f.blocks)
	clear(f.seen)
	f.unsynced = 0
	f.recount()
	return f.saveBitmaps()
}
