package content

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"kith.alt/kith"
)

// copyRun is how many bytes are copied before the context is asked again.
const copyRun = 16 << 20

// Export makes a whole file appear at path, absolute, in a folder that exists,
// in place of what stands there. The person may do with it what they like.
// Where the file system can clone, it is a clone. Where it cannot, the store's
// file itself is moved there, and is used by reference from then on, so that it
// is not on the disk twice; it is copied if path is on another disk or the
// store has it by reference itself. It is on the disk when Export returns. It
// fails with kind NotFound when blocks are missing, and with kind Quota when
// the disk is full.
func (s *Store) Export(ctx context.Context, root Root, size int64, path string) error {
	f, err := s.File(ctx, root, size)
	if err != nil {
		return fmt.Errorf("export: %w", err)
	}
	defer f.Close()
	if err := f.export(ctx, path); err != nil {
		return fmt.Errorf("export %s: %w", path, s.explain(err))
	}
	return nil
}

func (f *File) export(ctx context.Context, path string) error {
	if f.blocks > 0 && f.standsAt(path) {
		return nil
	}
	temporary := temporaryName(path)
	defer os.Remove(temporary) // of no effect once it has its name
	file, err := createTemporary(temporary, 0o666)
	if err != nil {
		return err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return err
	}
	mode := info.Mode().Perm() // that this person's files have
	own, err := f.settle()
	if err != nil {
		return err
	}
	switch {
	case f.blocks == 0:
		return publish(file, path, mode)
	case !own:
		if err := f.copyBlocks(ctx, file); err != nil {
			return err
		}
		if err := publish(file, path, mode); err != nil {
			return err
		}
		return f.handOver(path, false)
	}

	file.Close()
	os.Remove(temporary)
	clone, err := clone(f.path(dataSuffix), temporary)
	if err == nil {
		defer clone.Close()
		if err := publish(clone, path, mode); err != nil {
			return err
		}
		return f.handOver(path, false)
	} else if !errors.Is(err, errors.ErrUnsupported) {
		return err
	}
	if err = f.moveTo(path, mode); !otherDevice(err) {
		return err
	}
	if file, err = createTemporary(temporary, 0o600); err != nil {
		return err
	}
	defer file.Close()
	if err := f.copyData(ctx, file); err != nil {
		return err
	}
	if err := publish(file, path, mode); err != nil {
		return err
	}
	return f.handOver(path, true)
}

// Unchanged reports whether the file at path is one that the store has made or
// was handed, of that root, and looks as it did then: by its size, when it was
// modified, and its inode.
func (s *Store) Unchanged(ctx context.Context, root Root, size int64, path string) bool {
	f, err := s.File(ctx, root, size)
	if err != nil {
		return false
	}
	defer f.Close()
	file, err := openShared(path)
	if err != nil {
		return false
	}
	defer file.Close()
	r, now, err := referTo(file, path)
	if err != nil || now != size || f.blocks == 0 || f.open() != nil {
		return false
	}
	defer f.use.RUnlock()
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Contains(f.references, r)
}

// temporaryName returns the name under which the file for path is made: always the
// same, so that what a killed process leaves behind is taken up.
func temporaryName(path string) string {
	sum := sha256.Sum256([]byte(path))
	return filepath.Join(filepath.Dir(path), ".kith-"+hex.EncodeToString(sum[:8])+".part")
}

// createTemporary makes an empty file. It is used by its descriptor until it gets its
// name, as others may be able to write to the folder: what they put in its place is
// not followed.
func createTemporary(path string, mode fs.FileMode) (*os.File, error) {
	os.Remove(path)
	return os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, mode)
}

// publish closes a finished file and gives it its name, durably.
func publish(file *os.File, path string, mode fs.FileMode) error {
	if err := errors.Join(file.Sync(), file.Chmod(mode), file.Close()); err != nil {
		return err
	}
	if err := os.Rename(file.Name(), path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

// standsAt reports whether the file at path is one that the store refers to,
// and no block of it was found wrong.
func (f *File) standsAt(path string) bool {
	file, err := openShared(path)
	if err != nil {
		return false
	}
	defer file.Close()
	r, size, err := referTo(file, path)
	if err != nil || size != f.size || f.open() != nil {
		return false
	}
	defer f.use.RUnlock()
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.count == f.blocks && f.written.Count() == 0 && slices.Contains(f.references, r)
}

// settle checks that all blocks are here, and waits until those in the store
// have reached the disk. It reports whether the store has all of them itself.
func (f *File) settle() (own bool, err error) {
	if f.blocks == 0 {
		return true, nil
	}
	if err := f.open(); err != nil {
		return false, err
	}
	defer f.use.RUnlock()
	if err := f.sync(); err != nil {
		return false, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.count < f.blocks {
		return false, fmt.Errorf("%d of %d blocks are missing: %w", f.blocks-f.count, f.blocks, kith.NotFound)
	}
	return f.written.Count() == f.blocks, nil
}

// copyBlocks writes the file to another block by block, each checked.
func (f *File) copyBlocks(ctx context.Context, to *os.File) error {
	buf := make([]byte, BlockSize)
	for block := range f.blocks {
		if err := ctx.Err(); err != nil {
			return err
		}
		n, err := f.ReadBlock(block, buf)
		if err != nil {
			return err
		}
		if _, err := to.Write(buf[:n]); err != nil {
			return err
		}
	}
	return nil
}

// copyData copies what the store has to another file, within the kernel where it can.
func (f *File) copyData(ctx context.Context, to *os.File) error {
	from, err := os.Open(f.path(dataSuffix))
	if err != nil {
		return err
	}
	defer from.Close()
	for left := f.size; left > 0; left -= copyRun {
		if err := ctx.Err(); err != nil {
			return err
		}
		if _, err := io.CopyN(to, from, min(copyRun, left)); err != nil { // copy_file_range on Linux
			return err
		}
	}
	return nil
}

// moveTo moves the store's file to path and refers to it there. It is written
// down where the file will be before it is: whatever happens in between, one of
// the two names holds.
func (f *File) moveTo(path string, mode fs.FileMode) error {
	f.use.Lock()
	defer f.use.Unlock()
	if err := f.load(); err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.written.Count() != f.blocks {
		return fmt.Errorf("blocks were found wrong: %w", kith.NotFound)
	}
	defer f.closeAll() // to be loaded again as it is then
	own := f.path(dataSuffix)
	if err := os.Chmod(own, mode); err != nil {
		return err
	}
	r, _, err := referTo(f.data, path)
	if err != nil {
		return err
	}
	before := f.references
	if err := f.refer(r); err != nil {
		return err
	}
	if err := f.syncReferences(); err != nil {
		return err
	}
	taken := f.allocated()
	f.data.Close()
	f.data = nil
	if err := os.Rename(own, path); err != nil {
		f.references = before
		return errors.Join(err, os.Chmod(own, 0o600), f.saveReferences())
	}
	f.store.usage.Add(-taken)
	clear(f.written)
	clear(f.durable)
	f.unsynced = 0
	return errors.Join(syncDir(filepath.Dir(path)), f.saveBitmaps())
}

// handOver refers to a copy at path, and deletes the store's own iff drop.
func (f *File) handOver(path string, drop bool) error {
	file, err := openShared(path)
	if err != nil {
		return err
	}
	defer file.Close()
	f.use.Lock()
	defer f.use.Unlock()
	if err := f.load(); err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	r, _, err := referTo(file, path)
	if err != nil {
		return err
	}
	if err := f.refer(r); err != nil {
		return err
	}
	defer f.closeAll() // to be loaded again as it is then
	if !drop {
		return nil
	}
	if err := f.syncReferences(); err != nil {
		return err
	}
	f.store.usage.Add(-f.allocated())
	clear(f.written)
	clear(f.durable)
	f.unsynced = 0
	return errors.Join(f.saveBitmaps(), f.data.Close(), os.Remove(f.path(dataSuffix)))
}

// syncReferences makes the references durable.
func (f *File) syncReferences() error {
	path := f.path(referencesSuffix)
	return errors.Join(syncFile(path), syncDir(filepath.Dir(path)))
}

// allocated returns the bytes of disk that the store's file takes.
func (f *File) allocated() int64 {
	info, err := f.data.Stat()
	if err != nil {
		return 0
	}
	return allocated(info)
}

// syncFile makes the bytes of a file durable.
func syncFile(path string) error {
	file, err := os.OpenFile(path, os.O_RDWR, 0) // Windows wants to be able to write
	if err != nil {
		return err
	}
	return errors.Join(file.Sync(), file.Close())
}
