package mailbox

import (
	"context"
	"database/sql"
	"io"
	"log/slog"
	"sync"
	"time"

	"kith.alt/kith"
)

// Limits of what an account may have. Zero is the default.
type Limits struct {
	Bytes    int64 // of all its messages; 4 GiB
	Messages int   // in a folder; 1,000,000
	Folders  int   // 1,000
}

// What nobody may exceed.
const (
	MaxMessage  = 64 << 20 // bytes
	maxName     = 240      // bytes of a folder's name
	maxLevels   = 16       // of it
	maxKeywords = 64       // of a message
	maxKeyword  = 64       // bytes
)

// Config is what a [Store] needs.
type Config struct {
	Store  kith.Store
	Blobs  kith.Blobs
	Log    *slog.Logger
	Limits Limits
}

// A Store is the mailboxes of all accounts. It is safe for concurrent use. Errors are of kind NotFound, Exists, Invalid,
// Quota; others are failures of this host.
type Store struct {
	store  kith.Store
	blobs  kith.Blobs
	log    *slog.Logger
	limits Limits

	pending  chan struct{} // something is to be indexed
	marked   chan struct{} // something is in delivered
	indexing sync.Mutex

	mu        sync.Mutex
	live      map[int64]*live // folders that somebody looks at, or did just now
	delivered map[int64]bool  // folders that a caller's transaction changes
}

// New returns the mailboxes in a store that has the tables.
func New(cfg Config) *Store {
	s := &Store{
		store: cfg.Store, blobs: cfg.Blobs, log: cfg.Log, limits: cfg.Limits,
		pending: make(chan struct{}, 1), marked: make(chan struct{}, 1),
		live: make(map[int64]*live), delivered: make(map[int64]bool),
	}
	if s.limits.Bytes == 0 {
		s.limits.Bytes = 4 << 30
	}
	if s.limits.Messages == 0 {
		s.limits.Messages = 1_000_000
	}
	if s.limits.Folders == 0 {
		s.limits.Folders = 1000
	}
	return s
}

// keptExpunged is how many changes of a folder back the log of what was expunged goes, at least.
const keptExpunged = 100_000

const forgetEvery = 12 * time.Hour

// Serve puts what arrives into conversations, indexes it and tells of what is delivered, until ctx ends.
func (s *Store) Serve(ctx context.Context) error {
	var tasks sync.WaitGroup
	tasks.Go(func() { s.forget(ctx) })
	tasks.Go(func() { s.tell(ctx) })
	tasks.Go(func() { s.indexAll(ctx) })
	tasks.Wait()
	return nil
}

// forget shortens the log of what was expunged, now and then.
func (s *Store) forget(ctx context.Context) {
	tick := time.NewTicker(forgetEvery)
	defer tick.Stop()
	for {
		err := s.store.Update(ctx, func(tx *sql.Tx) error {
			_, err := tx.ExecContext(ctx, `DELETE FROM mail_expunged WHERE modseq <= (SELECT f.modseq - ? FROM mail_folders f WHERE f.id = folder)`, keptExpunged)
			return err
		})
		if err != nil && ctx.Err() == nil {
			s.log.Warn("what was expunged is not forgotten", "err", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// tell notifies of deliveries whose transactions have ended.
func (s *Store) tell(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.marked:
		}
		s.mu.Lock()
		folders := make([]int64, 0, len(s.delivered))
		for folder := range s.delivered {
			folders = append(folders, folder)
		}
		clear(s.delivered)
		s.mu.Unlock()
		// There is one transaction at a time: when this one has ended, those before have.
		if err := s.store.Update(ctx, func(*sql.Tx) error { return nil }); err != nil && ctx.Err() == nil {
			s.log.Error("deliveries cannot be waited for", "err", err)
		}
		s.changed(folders...)
		wake(s.pending)
	}
}

func wake(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// Usage returns how many bytes an account's messages have, and how many they may have.
func (s *Store) Usage(ctx context.Context, account string) (used, limit int64, err error) {
	err = s.store.View(ctx, func(tx *sql.Tx) error {
		used, _, err = usage(ctx, tx, account)
		return err
	})
	return used, s.limits.Bytes, err
}

func usage(ctx context.Context, tx *sql.Tx, account string) (bytes, messages int64, err error) {
	err = tx.QueryRowContext(ctx, `SELECT coalesce(sum(bytes), 0), coalesce(sum(messages), 0) FROM mail_folders WHERE account = ?`, account).Scan(&bytes, &messages)
	return bytes, messages, err
}

// Open reads the bytes of a message, which the caller closes.
func (s *Store) Open(ctx context.Context, blob kith.BlobID) (io.ReadSeekCloser, error) {
	return s.blobs.Open(ctx, blob)
}

// Write takes the bytes of a message, at most [MaxMessage] of them, to be appended before
// ctx ends.
func (s *Store) Write(ctx context.Context, r io.Reader) (kith.Blob, error) {
	return s.blobs.Write(ctx, r, MaxMessage)
}

// now is the time at which something is received that does not say so.
func now() time.Time { return time.Now().Truncate(time.Second) }
