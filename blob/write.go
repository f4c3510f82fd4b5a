package blob

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"

	"kith.alt/kith"
)

// Write reads r to its end. A small blob is in memory until ctx ends, which should be
// soon; a larger one is durable when Write returns. It fails as [kith.Blobs] says,
// or with the error of r.
func (s *Store) Write(ctx context.Context, r io.Reader, limit int64) (kith.Blob, error) {
	if limit < 0 {
		return kith.Blob{}, fmt.Errorf("the limit is %d bytes: %w", limit, kith.Invalid)
	}
	limited := &limitedReader{ctx: ctx, r: r, left: limit}
	head, err := io.ReadAll(io.LimitReader(limited, MaxRow+1))
	if err != nil {
		return kith.Blob{}, err
	}
	if len(head) > MaxRow {
		return s.writeFile(ctx, io.MultiReader(bytes.NewReader(head), limited))
	}
	id := kith.BlobID(sha256.Sum256(head))
	u := s.enter(id, int64(len(head)))
	s.mu.Lock()
	if u.data == nil {
		u.data = append([]byte{}, head...) // without the room beyond it, and never nil
	}
	u.live++
	s.mu.Unlock()
	context.AfterFunc(ctx, func() { s.endRow(id, u) })
	return kith.Blob{ID: id, Size: u.size}, nil
}

// endRow forgets a small blob when the last of its writers has ended.
func (s *Store) endRow(id kith.BlobID, u *use) {
	s.mu.Lock()
	defer s.mu.Unlock()
	u.live--
	s.leave(id, u, false) // there is no file to look at
}

func (s *Store) writeFile(ctx context.Context, r io.Reader) (blob kith.Blob, err error) {
	path := filepath.Join(s.dir, fmt.Sprintf("%s%d", newPrefix, s.serial.Add(1)))
	blob, err = s.fill(path, r)
	if err != nil {
		return kith.Blob{}, err
	}
	u := s.enter(blob.ID, blob.Size)
	if err := s.publish(path, blob, u); err != nil {
		s.discard(path)
		s.exit(blob.ID, u, true)
		return kith.Blob{}, explain(err)
	}
	s.mu.Lock()
	u.live++
	s.mu.Unlock()
	context.AfterFunc(ctx, func() { s.endFile(blob.ID, u) })
	return blob, nil
}

// endFile notes that a writer's context has ended. It counts as a user until a
// transaction that has kept the blob has ended, too, for certain.
func (s *Store) endFile(id kith.BlobID, u *use) {
	s.mu.Lock()
	defer s.mu.Unlock()
	u.live--
	s.ended = append(s.ended, id)
	s.wake()
}

// fill writes a new file, and syncs it. None is left after an error.
func (s *Store) fill(path string, r io.Reader) (blob kith.Blob, err error) {
	file, err := s.fs.Create(path)
	if err != nil {
		return blob, explain(err)
	}
	defer func() {
		if err != nil {
			file.Close() // no effect the second time
			s.discard(path)
		}
	}()
	hash := sha256.New()
	if blob.Size, err = io.Copy(io.MultiWriter(diskWriter{file}, hash), r); err != nil {
		return blob, err
	}
	if err := errors.Join(file.Sync(), file.Close()); err != nil {
		return blob, explain(err)
	}
	hash.Sum(blob.ID[:0])
	return blob, nil
}

// publish gives a file its name, unless it is there already. The name is durable
// when it returns nil. After an error there is no file where there was none.
func (s *Store) publish(path string, blob kith.Blob, u *use) error {
	u.publishing.Lock()
	defer u.publishing.Unlock()
	if u.published {
		s.discard(path)
		return nil
	}
	target := s.path(blob.ID)
	dir := filepath.Dir(target)
	if err := s.makeDir(dir, blob.ID[0]); err != nil {
		return err
	}
	size, err := s.fs.Size(target)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	there := err == nil && size == blob.Size
	if there {
		s.discard(path)
	} else if err := s.fs.Rename(path, target); err != nil {
		return err
	}
	if err := s.fs.SyncDir(dir); err != nil {
		if !there {
			s.discard(target) // a sync that failed may seem to succeed the next time
		}
		return err
	}
	u.published = true
	return nil
}

// makeDir makes the directory of blobs that begin with a byte. Its name is durable
// when it returns nil.
func (s *Store) makeDir(dir string, first byte) error {
	s.making.Lock()
	defer s.making.Unlock()
	if s.made[first] {
		return nil
	}
	if err := s.fs.MakeDir(dir); err != nil {
		return err
	}
	if err := s.fs.SyncDir(s.dir); err != nil {
		s.discard(dir) // as publish does
		return err
	}
	s.made[first] = true
	return nil
}

// discard removes a file that nobody needs. Where that fails, the next Load tries again.
func (s *Store) discard(path string) {
	if err := s.fs.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		s.log.Error("blob not deleted", "path", path, "err", err)
	}
}

// A limitedReader reads until its context ends, and fails beyond its limit.
type limitedReader struct {
	ctx  context.Context
	r    io.Reader
	left int64
}

func (l *limitedReader) Read(p []byte) (int, error) {
	if err := l.ctx.Err(); err != nil {
		return 0, err
	}
	if int64(len(p))-1 > l.left {
		p = p[:l.left+1]
	}
	n, err := l.r.Read(p)
	if l.left -= int64(n); l.left < 0 {
		return 0, fmt.Errorf("it is larger than the limit: %w", kith.Invalid)
	}
	return n, err
}

// A diskWriter tells the disk's errors from those of the reader.
type diskWriter struct{ w io.Writer }

func (d diskWriter) Write(p []byte) (int, error) {
	n, err := d.w.Write(p)
	return n, explain(err)
}
