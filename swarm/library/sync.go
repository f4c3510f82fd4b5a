package library

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"time"

	"kith.alt/kith"
	"kith.alt/kith/gossip"
)

const maxSyncs = 2 // with one peer: one that each side opened

var errTooManySyncs = fmt.Errorf("more than %d conversations at once: %w", maxSyncs, kith.Quota)

// Sync brings this library and that of the member peer up to date over conn, and
// goes on passing what is new in either direction. Both sides call it; it does
// not matter who dialled. It ends, and closes conn, when ctx ends or the peer
// closes (nil), when the peer sends nonsense (kinds Invalid and Denied), does
// not greet or read within 30 seconds (Temporary), or is not a member
// (NotMember), or this host changes groups (NotMember). The third with one peer
// ends the oldest (Quota).
func (l *Library) Sync(ctx context.Context, conn net.Conn, peer kith.ID) error {
	if err := l.sync(ctx, conn, peer); err != nil {
		return fmt.Errorf("library of %s: %w", peer.Short(), err)
	}
	return nil
}

func (l *Library) sync(ctx context.Context, conn net.Conn, peer kith.ID) error {
	defer conn.Close()
	if err := l.tidy(ctx); err != nil {
		return err
	}
	running, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	s := newStream(l, conn, peer, cancel)
	if err := s.checkPeer(); err != nil {
		return err
	}
	defer l.enter(s)()
	defer l.release(s)
	defer context.AfterFunc(running, func() { conn.Close() })()
	var readErr error
	read := make(chan struct{})
	go func() {
		defer close(read)
		defer cancel(nil)
		readErr = s.read(running)
	}()
	err := s.write(running)
	cancel(nil)
	conn.Close()
	<-read
	if cause := context.Cause(running); errors.Is(cause, errTooManySyncs) || errors.Is(cause, errOtherGroup) {
		return cause
	}
	for _, err := range []error{err, readErr} {
		if err != nil && !gossip.Ended(err) {
			return err
		}
	}
	return nil
}

// tidy forgets what it is time to forget.
func (l *Library) tidy(ctx context.Context) error {
	l.changing.Lock()
	defer l.changing.Unlock()
	return errors.Join(l.regroup(ctx), l.prune(ctx))
}

// enter notes a conversation, and ends what is too many with that peer.
func (l *Library) enter(entering *stream) (leave func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	peer := entering.peer
	l.syncs[peer] = append(l.syncs[peer], entering)
	if all := l.syncs[peer]; len(all) > maxSyncs {
		all[0].end(errTooManySyncs)
		l.syncs[peer] = all[1:]
	}
	return func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.syncs[peer] = slices.DeleteFunc(l.syncs[peer], func(other *stream) bool { return other == entering })
		if len(l.syncs[peer]) == 0 {
			delete(l.syncs, peer)
		}
	}
}

// stream is one running Sync. Its reader tells its writer what the peer said.
type stream struct {
	library *Library
	conn    net.Conn
	peer    kith.ID
	end     context.CancelCauseFunc
	wake    chan struct{} // capacity 1: something below changed, for the writer

	// The writer's.
	recordPace, offerPace, summaryPace, wantPace, digestPace gossip.Pace

	told    digest    // the last that the peer was told of ours
	toldAt  uint64    // arrivals then
	telling time.Time // when it is told next; zero: not before something is new
	seen    uint64    // arrivals that compare takes account of
	cursor  uint64    // the last arrival that the peer has, or was offered
	answer  []*record // of the peer's want under way
	compare time.Time // when our digest is compared with the peer's; zero: not before something is new
	pause   time.Duration
	differs [2]digest // ours and the peer's when they were compared last

	mu       sync.Mutex
	heard    digest    // the peer's, as it told last
	greeted  bool      // heard is there
	fresh    bool      // heard is new to the writer
	asked    bool      // the peer asks for our summaries
	asking   bool      // we asked for the peer's
	lacking  []summary // what the peer has and we lacked
	waiting  bool      // for the end of an answer
	question []byte    // the peer's wants that we have not begun to answer
	owing    bool      // the peer waits for the end of our answer
}

func newStream(l *Library, conn net.Conn, peer kith.ID, end context.CancelCauseFunc) *stream {
	return &stream{
		library: l, conn: conn, peer: peer, end: end, wake: make(chan struct{}, 1),
		recordPace:  gossip.Pace{Burst: 16, Every: 500 * time.Millisecond},
		offerPace:   gossip.Pace{Burst: 2, Every: 500 * time.Millisecond},
		summaryPace: gossip.Pace{Burst: 3, Every: 10 * time.Second},
		wantPace:    gossip.Pace{Burst: 16, Every: time.Second},
		digestPace:  gossip.Pace{Burst: 1, Every: digestEvery},
	}
}

// checkPeer fails where the peer is not in the group.
func (s *stream) checkPeer() error {
	if !s.library.member(s.peer) {
		return fmt.Errorf("host %s is not in the group: %w", s.peer.Short(), kith.NotMember)
	}
	return nil
}

// tell changes what the writer looks at, and wakes it.
func (s *stream) tell(change func()) {
	s.mu.Lock()
	change()
	s.mu.Unlock()
	select {
	case s.wake <- struct{}{}:
	default:
	}
}
