package group

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"slices"
	"sync"
	"time"

	"kith.alt/kith"
	"kith.alt/kith/gossip"
)

const (
	syncVersion   = 1
	cutPatience   = time.Second // to tell the peer that one of the two is out, and to hear that it knows
	maxSyncs      = 2           // with one peer: one that each side opened
	maxHelloHeads = 256
	prefixLen     = 12 // of a hash, where entries are only told apart
)

// hello is the first frame in each direction.
type hello struct {
	Version int    `json:"v"`
	Genesis Hash   `json:"genesis"`
	Heads   []Hash `json:"heads"`
	Records Hash   `json:"records"` // digest of the address records' sequence numbers
}

// Sync brings this host and the member peer up to date over conn, and goes on
// passing every change in either direction as it happens. Both sides call it;
// it does not matter who dialled. It ends, and closes conn, when ctx ends or
// the peer closes (nil), when the peer sends nonsense, or when the peer or this
// host is out of the group (kind NotMember); the entries that say so are sent
// first, unless the peer was out before. The third Sync with one peer ends the
// oldest of them (kind Quota).
//
// Each side begins with a hello: its heads and a digest of its address
// records. Who has all the heads says so, who has not answers with twelve bytes
// of the hash of each entry it has; then each sends what the other lacks. When
// nothing changes nothing is sent.
//
// level, which may be nil, is called once, as soon as each side has the roster
// entries that the other had when the exchange began, as far as it takes them:
// where they have the same, right after the hellos. It is called from a
// goroutine of Sync, which waits for it, and never after Sync has returned.
func (g *Group) Sync(ctx context.Context, conn net.Conn, peer kith.ID, level func()) error {
	if err := g.sync(ctx, conn, peer, level); err != nil {
		return fmt.Errorf("sync with %s: %w", peer.Short(), err)
	}
	return nil
}

func (g *Group) sync(ctx context.Context, conn net.Conn, peer kith.ID, level func()) error {
	defer conn.Close()
	first := g.state.Load()
	s := newStream(g, conn, peer, level, first)
	if err := s.checkMember(first.roster, peer); err != nil {
		return err
	}
	running, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	s.end = cancel
	defer g.syncs.enter(s)()
	defer context.AfterFunc(running, func() { conn.Close() })()

	var readErr, keepErr error
	read, kept := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(read)
		defer cancel(nil)
		readErr = s.read(running)
	}()
	go func() {
		defer close(kept)
		if keepErr = s.keep(running); keepErr != nil {
			cancel(nil)
		}
	}()
	verdict, err := s.write(running)
	if verdict != nil && err == nil {
		select {
		case <-read:
			if errors.Is(readErr, io.EOF) && ctx.Err() == nil {
				s.confirmed()
			}
		case <-time.After(cutPatience):
		}
	}
	cancel(nil)
	conn.Close()
	<-read
	<-kept
	if cause := context.Cause(running); errors.Is(cause, errTooManySyncs) {
		return cause
	}
	for _, err := range []error{verdict, err, readErr, keepErr} {
		if err != nil && (errors.Is(err, kith.NotMember) || !gossip.Ended(err)) {
			return err
		}
	}
	return nil
}

// syncs are the exchanges under way.
type syncs struct {
	mu   sync.Mutex
	with map[kith.ID][]*stream // oldest first
}

var errTooManySyncs = fmt.Errorf("more than %d exchanges at once: %w", maxSyncs, kith.Quota)

// enter notes an exchange, and ends what is too many with that peer.
func (s *syncs) enter(entering *stream) (leave func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.with == nil {
		s.with = make(map[kith.ID][]*stream)
	}
	peer := entering.peer
	s.with[peer] = append(s.with[peer], entering)
	if all := s.with[peer]; len(all) > maxSyncs {
		all[0].end(errTooManySyncs)
		s.with[peer] = all[1:]
	}
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.with[peer] = slices.DeleteFunc(s.with[peer], func(other *stream) bool { return other == entering })
		if len(s.with[peer]) == 0 {
			delete(s.with, peer)
		}
	}
}

// newest is one exchange with each peer.
func (s *syncs) newest() []*stream {
	s.mu.Lock()
	defer s.mu.Unlock()
	streams := make([]*stream, 0, len(s.with))
	for _, all := range s.with {
		streams = append(streams, all[len(all)-1])
	}
	return streams
}

// stream is one running Sync. Its reader tells its writer what the peer has, and
// hands records to its keeper, which may have to wait with them.
type stream struct {
	group *Group
	conn  net.Conn
	peer  kith.ID
	end   context.CancelCauseFunc
	wake  chan struct{} // capacity 1: something below changed, for the writer
	came  chan struct{} // capacity 1: records came, for the keeper

	greeting hello              // ours
	told     int                // entries that we had then
	numbers  map[kith.ID]uint64 // of the records that we had then

	// The reader's.
	level func() // of Sync; nil once it was called
	given bool   // the peer has sent the entries that it had at its hello
	taken bool   // the peer has those that we had at ours

	// The writer's.
	entryPace, recordPace, beatPace gossip.Pace
	done                            *state // the peer lacks nothing of it

	mu        sync.Mutex
	greeted   bool               // the peer's hello is there
	lacks     bool               // we lack a head of the peer's: send the whole list
	sequences bool               // the peer's records differ: send the numbers
	entries   bool               // peerHas is known: entries may go
	records   bool               // peerSeq is known: records may go
	same      bool               // the rosters are the same in both hellos
	sent      bool               // the peer has heard that we sent all that we had then
	owed      bool               // the peer has yet to hear that we took all that it had then
	peerHas   bits               // by position in the log
	peerSent  map[Hash]bool      // entries that came from the peer, until the writer met them in the log
	peerSeq   map[kith.ID]uint64 // of members
	beats     map[kith.ID]beat   // to be sent
	inbox     map[kith.ID]*record
}

func newStream(g *Group, conn net.Conn, peer kith.ID, level func(), first *state) *stream {
	s := &stream{group: g, conn: conn, peer: peer, level: level,
		wake: make(chan struct{}, 1), came: make(chan struct{}, 1),
		told: len(first.entries), numbers: first.numbers(),
		entryPace:  gossip.Pace{Burst: entryBurst, Every: entryEvery},
		recordPace: gossip.Pace{Burst: recordBurst, Every: recordEvery},
		beatPace:   gossip.Pace{Burst: 1, Every: beatEvery},
		peerHas:    makeBits(MaxEntries), peerSent: make(map[Hash]bool), peerSeq: make(map[kith.ID]uint64),
		beats: make(map[kith.ID]beat), inbox: make(map[kith.ID]*record)}
	s.greeting = hello{Version: syncVersion, Genesis: first.roster.genesis, Records: digest(s.numbers),
		Heads: first.heads[:min(len(first.heads), maxHelloHeads)]}
	return s
}

// checkMembers says whether peer and this host are in the group.
func (s *stream) checkMembers(r *Roster) error {
	if err := s.checkMember(r, s.group.id); err != nil {
		return err
	}
	return s.checkMember(r, s.peer)
}

func (s *stream) checkMember(r *Roster, id kith.ID) error {
	if _, ok := r.Member(id); ok || s.group.joining(r, s.peer) {
		return nil
	}
	if removal, out := r.Removal(id); out {
		return fmt.Errorf("host %s is out of the group: %s: %w", removal.Host, removal.Reason, kith.NotMember)
	}
	return fmt.Errorf("host %s is a stranger to the group: %w", id.Short(), kith.NotMember)
}

// confirmed notes that the peer has all that we know. It is the news that this
// host is out that somebody may wait for.
func (s *stream) confirmed() {
	if _, member := s.group.Roster().Member(s.group.id); !member && s.knowsPeer() {
		s.group.tellOnce.Do(func() { close(s.group.told) })
	}
}

// numbers are the sequence numbers of the records.
func (st *state) numbers() map[kith.ID]uint64 {
	numbers := make(map[kith.ID]uint64, len(st.records))
	for id, r := range st.records {
		numbers[id] = r.body.Sequence
	}
	return numbers
}

// digest is the same for two hosts whose records have the same numbers.
func digest(numbers map[kith.ID]uint64) Hash {
	ids := slices.SortedFunc(maps.Keys(numbers), func(a, b kith.ID) int { return bytes.Compare(a[:], b[:]) })
	h := sha256.New()
	h.Write([]byte("kith address records 1\x00"))
	for _, id := range ids {
		h.Write(id[:])
		h.Write(binary.BigEndian.AppendUint64(nil, numbers[id]))
	}
	return Hash(h.Sum(nil))
}
