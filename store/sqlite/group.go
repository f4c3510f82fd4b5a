package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"slices"
	"sync"
	"time"
)

// A transaction ends before it has more Updates than maxGroup, and takes in no more once
// it is older than maxGroupTime.
const (
	maxGroup     = 128
	maxGroupTime = 20 * time.Millisecond
)

// turns has Updates run one at a time. The one whose turn it is has the open
// transaction, if there is one, and passes it on.
type turns struct {
	mu      sync.Mutex
	taken   bool          // it is somebody's turn
	waiting []chan *group // first come, first served
}

// A group is a transaction of several Updates, each a savepoint of its own.
type group struct {
	conn  *sql.Conn
	guard *guard
	begun time.Time
	size  int

	done chan struct{} // closed when it has ended
	err  error         // why nothing of it happened; set before done is closed
}

// Update runs fn in the writing transaction. What fn did is on the disk when
// Update returns nil. Updates that wait at the same time share a commit.
func (s *Store) Update(ctx context.Context, fn func(tx *sql.Tx) error) error {
	g, err := s.join(ctx)
	if err != nil {
		return s.explain(ctx, err)
	}
	if err := s.inGroup(ctx, g, fn); err != nil {
		return s.explain(ctx, err)
	}
	<-g.done
	return g.err
}

// inGroup runs fn in its savepoint, and passes on the turn, also when fn panics.
func (s *Store) inGroup(ctx context.Context, g *group, fn func(tx *sql.Tx) error) error {
	defer s.passOn(g)
	g.size++
	tx, err := g.conn.BeginTx(context.WithoutCancel(ctx), nil) // which must not end but here
	if err != nil {
		return err
	}
	defer tx.Rollback() // no effect after Commit
	if err := fn(tx); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	return tx.Commit()
}

// join waits for its turn, and returns the open transaction or begins one.
func (s *Store) join(ctx context.Context) (*group, error) {
	g, err := s.turns.take(ctx)
	if err != nil {
		return nil, err
	}
	if err = ctx.Err(); err == nil && g == nil {
		g, err = s.begin(ctx)
	}
	if err != nil {
		s.passOn(g)
		return nil, err
	}
	return g, nil
}

// passOn gives the turn, and the transaction with it, to the next one that waits. If
// there is none, or the transaction has had its share, it ends that first. g may be
// nil: there is none.
func (s *Store) passOn(g *group) {
	if g != nil {
		if g.open() && s.turns.give(g) {
			return
		}
		s.end(g)
	}
	s.turns.leave()
}

// take waits for its turn, and returns the open transaction, if there is one.
func (t *turns) take(ctx context.Context) (*group, error) {
	t.mu.Lock()
	if !t.taken {
		t.taken = true
		t.mu.Unlock()
		return nil, nil
	}
	mine := make(chan *group, 1)
	t.waiting = append(t.waiting, mine)
	t.mu.Unlock()
	select {
	case g := <-mine:
		return g, nil
	case <-ctx.Done():
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if i := slices.Index(t.waiting, mine); i >= 0 {
		t.waiting = slices.Delete(t.waiting, i, i+1)
		return nil, ctx.Err()
	}
	return <-mine, nil // it came at the same time
}

// give gives the turn to the next one that waits, if there is one.
func (t *turns) give(g *group) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.next(g)
}

// leave gives the turn to the next one that waits, or to whoever comes.
func (t *turns) leave() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.taken = t.next(nil)
}

func (t *turns) next(g *group) bool {
	if len(t.waiting) == 0 {
		return false
	}
	t.waiting[0] <- g // which has room
	t.waiting = slices.Delete(t.waiting, 0, 1)
	return true
}

// open reports whether the transaction takes in further Updates.
func (g *group) open() bool {
	return g.guard.lost == nil && g.size < maxGroup && time.Since(g.begun) < maxGroupTime
}

// begin begins a transaction.
func (s *Store) begin(ctx context.Context) (*group, error) {
	conn, err := s.writer.Conn(ctx)
	if err != nil {
		return nil, err
	}
	g := &group{conn: conn, begun: time.Now(), done: make(chan struct{})}
	err = conn.Raw(func(driverConn any) error {
		g.guard = driverConn.(*guard)
		return g.guard.begin(ctx)
	})
	if err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return g, nil
}

// end commits a transaction, unless it is lost, and tells its Updates.
func (s *Store) end(g *group) {
	err := g.conn.Raw(func(any) error { return g.guard.end() })
	g.err = s.explain(context.Background(), errors.Join(err, g.conn.Close()))
	close(g.done)
}
