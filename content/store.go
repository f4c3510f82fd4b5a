package content

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"kith.alt/kith"
	"kith.alt/kith/folders"
)

// maxLoaded is how many files have descriptors open and bitmaps in memory.
const maxLoaded = 64

// What the files on disk end in.
const (
	treeSuffix       = ".tree"
	dataSuffix       = ".data"
	referencesSuffix = ".references"
	claimsSuffix     = ".claims"
	newSuffix        = ".new" // not finished
)

// Config is what a [Store] needs.
type Config struct {
	Dir     string // made when needed
	Store   kith.Store
	Log     *slog.Logger
	Metrics *kith.Metrics // may be nil
}

// A Store keeps files by root. It is safe for concurrent use, one process at a time.
type Store struct {
	dir     string
	tables  kith.Store
	log     *slog.Logger
	metrics *metrics
	usage   atomic.Int64
	work    sync.WaitGroup // syncs under way

	syncEvery int // blocks; fewer in tests

	retaining sync.Mutex // one Retain or Release at a time

	mu     sync.Mutex
	files  map[key]*File  // that somebody uses
	loaded []*File        // of these, with state in memory; the next to be dropped first
	fresh  map[Root]int64 // imported, and not retained yet; and their sizes
}

// NewStore makes a store. It opens nothing.
func NewStore(cfg Config) *Store {
	s := &Store{
		dir: cfg.Dir, tables: cfg.Store, log: cfg.Log, syncEvery: syncEvery,
		files: make(map[key]*File), fresh: make(map[Root]int64),
	}
	s.metrics = newMetrics(cfg.Metrics, s)
	return s
}

// Open prepares the directory, and deletes files that no content needs. Close ends
// what it began.
func (s *Store) Open(ctx context.Context) error {
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return fmt.Errorf("open content: %w", s.explain(err))
	}
	if err := s.migrate(ctx); err != nil {
		return fmt.Errorf("open content: %w", err)
	}
	if err := s.sweep(ctx); err != nil {
		return fmt.Errorf("open content: %w", err)
	}
	return nil
}

// Close saves the state of files that are still in use. Nothing may use the
// store after it.
func (s *Store) Close() error {
	s.mu.Lock()
	var open []*File
	for _, f := range s.files {
		open = append(open, f)
	}
	s.mu.Unlock()
	var err error
	for _, f := range open {
		f.use.Lock()
		err = errors.Join(err, f.drop())
		f.use.Unlock()
	}
	s.work.Wait()
	return err
}

// File returns the file of a root: whole, in part or not yet begun. It fails
// with kind Invalid when no file can have that size. While it is in use, all
// get the same one. The caller closes it.
func (s *Store) File(ctx context.Context, root Root, size int64) (*File, error) {
	if err := checkSize(root, size); err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	k := key{root, size}
	s.mu.Lock()
	defer s.mu.Unlock()
	f, ok := s.files[k]
	if !ok {
		f = newFile(s, k)
		s.files[k] = f
	}
	f.users++
	return f, nil
}

// forget takes a file that nobody uses out of memory, and off the disk when it is
// condemned. The caller holds s.mu and f.use.
func (s *Store) forget(f *File) {
	for i, other := range s.loaded {
		if other == f {
			s.loaded = append(s.loaded[:i], s.loaded[i+1:]...)
			break
		}
	}
	if f.users > 0 || s.files[f.key] != f {
		return
	}
	delete(s.files, f.key)
	if f.condemned {
		s.erase(f.key)
	}
}

// admit notes that a file was loaded, and drops others that were not used lately when
// there are too many.
func (s *Store) admit(f *File) {
	s.mu.Lock()
	for _, other := range s.loaded {
		if other == f {
			s.mu.Unlock()
			return
		}
	}
	s.loaded = append(s.loaded, f)
	var dropped []*File
	for tries := 2 * len(s.loaded); len(s.loaded) > maxLoaded && tries > 0; tries-- {
		next := s.loaded[0]
		s.loaded = s.loaded[1:]
		if next == f || next.touched.Swap(false) || !next.use.TryLock() {
			s.loaded = append(s.loaded, next)
			continue
		}
		dropped = append(dropped, next)
	}
	s.mu.Unlock()
	for _, old := range dropped {
		if err := old.drop(); err != nil {
			s.log.Error("content not saved", "root", old.root, "err", err)
		}
		old.use.Unlock()
	}
}

// Usage returns the bytes of disk that files in the store take. What a person's file
// shares with it, as a clone, counts too.
func (s *Store) Usage() int64 { return max(0, s.usage.Load()) }

// FreeSpace returns the bytes that may still be written.
func (s *Store) FreeSpace() (int64, error) { return folders.Free(s.dir) }

// path returns where a part of a file lies.
func (s *Store) path(k key, suffix string) string {
	name := k.root.String()
	return filepath.Join(s.dir, name[:2], name+"-"+strconv.FormatInt(k.size, 10)+suffix)
}

// parseName reads the name of a file that path made.
func parseName(name string) (k key, suffix string, ok bool) {
	root, rest, ok := strings.Cut(name, "-")
	if !ok || len(root) != hex.EncodedLen(len(k.root)) {
		return k, "", false
	}
	if _, err := hex.Decode(k.root[:], []byte(root)); err != nil {
		return k, "", false
	}
	size, suffix, ok := strings.Cut(rest, ".")
	if !ok {
		return k, "", false
	}
	var err error
	k.size, err = strconv.ParseInt(size, 10, 64)
	return k, "." + suffix, err == nil
}

// erase deletes a file. The caller holds s.mu.
func (s *Store) erase(k key) {
	if info, err := os.Stat(s.path(k, dataSuffix)); err == nil {
		s.usage.Add(-allocated(info))
	}
	for _, suffix := range []string{dataSuffix, referencesSuffix, claimsSuffix, treeSuffix} {
		if err := os.Remove(s.path(k, suffix)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			s.log.Error("content not deleted", "root", k.root, "err", err)
		}
	}
}

// explain adds the kind to an error of the disk.
func (s *Store) explain(err error) error {
	switch {
	case err == nil, errors.Is(err, kith.Quota):
		return err
	case isFull(err):
		return fmt.Errorf("the disk is full: make room; nothing kept is harmed: %w (%w)", kith.Quota, err)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%w (%w)", kith.Denied, err)
	}
	return err
}
