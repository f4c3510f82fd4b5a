package blob

import (
	"context"
	"embed"
	"encoding/hex"
	"fmt"
	"io/fs"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"kith.alt/kith"
)

// MaxRow is the size in bytes up to which a blob is a row of the database.
const MaxRow = 16 << 10

// Between two sweeps there is at least sweepPause, and failedPause after one that failed.
const (
	sweepPause  = time.Second
	failedPause = time.Minute
)

// newPrefix begins the names of files that are being written.
const newPrefix = "new-"

//go:embed migrations/*.sql
var migrations embed.FS

// Config is what a [Store] needs.
type Config struct {
	Dir   string     // made when needed
	Store kith.Store // for the table
	FS    FS         // nil: the Disk
	Log   *slog.Logger
}

// A Store is a [kith.Blobs] in a directory and a database. It is safe for
// concurrent use, by one process at a time.
type Store struct {
	dir    string
	tables kith.Store
	fs     FS
	log    *slog.Logger

	serial   atomic.Uint64 // of files that are being written
	nudge    chan struct{} // wakes the sweeper
	stop     context.CancelFunc
	sweeping sync.WaitGroup

	making sync.Mutex // one makeDir at a time
	made   [256]bool  // directories whose names are durable

	mu       sync.Mutex
	uses     map[kith.BlobID]*use
	ended    []kith.BlobID // files whose writers' contexts ended, one for each
	suspects []kith.BlobID // files that may have to go
	holds    int           // while there are some, no file goes
}

// A use is a blob that somebody writes, has written, or reads.
type use struct {
	size  int64
	data  []byte // of a small one
	live  int    // writers whose contexts have not ended: it can be kept and opened
	users int    // of a file: writers, until the sweep after their end, and readers
	check bool   // see whether the file must go, when the last user has left

	publishing sync.Mutex
	published  bool // the file has its name, durably
}

var _ kith.Blobs = (*Store)(nil)

// New makes a store. It opens nothing.
func New(cfg Config) *Store {
	s := &Store{
		dir: cfg.Dir, tables: cfg.Store, fs: cfg.FS, log: cfg.Log,
		nudge: make(chan struct{}, 1), uses: make(map[kith.BlobID]*use),
	}
	if s.fs == nil {
		s.fs = Disk{}
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	return s
}

// Load prepares the directory and the table, deletes files that nobody kept, and
// starts the sweeper, which Close stops.
func (s *Store) Load(ctx context.Context) error {
	if err := s.prepare(ctx); err != nil {
		return fmt.Errorf("load blobs: %w", err)
	}
	ctx, s.stop = context.WithCancel(context.WithoutCancel(ctx))
	s.sweeping.Go(func() { s.sweepUntil(ctx) })
	return nil
}

func (s *Store) prepare(ctx context.Context) error {
	own, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return err
	}
	if err := s.tables.Migrate(ctx, "blob", own); err != nil {
		return err
	}
	return s.sweepAll(ctx)
}

// Close stops the sweeper. Nothing may use the store after it; what was not kept
// goes at the next Load.
func (s *Store) Close() error {
	if s.stop != nil {
		s.stop()
		s.sweeping.Wait()
	}
	return nil
}

// path returns where the file of a blob lies.
func (s *Store) path(id kith.BlobID) string {
	return filepath.Join(s.dir, filepath.FromSlash(Path(id)))
}

// Path returns where below the directory the file of a blob lies, with a slash: ab/cdef…
func Path(id kith.BlobID) string {
	name := hex.EncodeToString(id[:])
	return name[:2] + "/" + name[2:]
}

// ParsePath reads what Path returned. It fails with an error of kind Invalid.
func ParsePath(path string) (kith.BlobID, error) {
	first, rest, _ := strings.Cut(path, "/")
	raw, err := hex.DecodeString(first + rest)
	if err != nil || len(raw) != len(kith.BlobID{}) || Path(kith.BlobID(raw)) != path {
		return kith.BlobID{}, fmt.Errorf("%.100q is not where a blob lies: %w", path, kith.Invalid)
	}
	return kith.BlobID(raw), nil
}

// enter returns the use of a blob for one more user.
func (s *Store) enter(id kith.BlobID, size int64) *use {
	s.mu.Lock()
	defer s.mu.Unlock()
	u, ok := s.uses[id]
	if !ok {
		u = &use{size: size}
		s.uses[id] = u
	}
	u.users++
	return u
}

// exit takes back what enter did. Where check is set, or somebody wanted the file to
// go meanwhile, the last user has the sweeper look at it.
func (s *Store) exit(id kith.BlobID, u *use, check bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.leave(id, u, check) {
		s.suspect(id)
	}
}

// leave does what exit does, but returns whether the sweeper must look. The caller
// holds s.mu.
func (s *Store) leave(id kith.BlobID, u *use, check bool) bool {
	u.users--
	u.check = u.check || check
	if u.users > 0 {
		return false
	}
	delete(s.uses, id)
	return u.check
}

// suspect has the sweeper look whether a file must go. The caller holds s.mu.
func (s *Store) suspect(id kith.BlobID) {
	s.suspects = append(s.suspects, id)
	s.wake()
}

func (s *Store) wake() {
	select {
	case s.nudge <- struct{}{}:
	default: // it will look anyway
	}
}
