package group

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"os"
	"slices"
	"sync"
	"time"

	"kith.alt/kith"
)

const (
	syncVersion   = 1
	syncPatience  = 30 * time.Second // for the first frame, and for each write
	cutPatience   = time.Second      // to tell the peer that one of the two is out, and to hear that it knows
	maxSyncs      = 2                // with one peer: one that each side opened
	maxHelloHeads = 256
	prefixLen     = 12 // of a hash, where entries are only told apart
	batch         = 32 << 10

	// Frames of a peer are taken at this pace once a burst is used up.
	paceBurst = 200
	paceEvery = 100 * time.Millisecond
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
func (g *Group) Sync(ctx context.Context, conn net.Conn, peer kith.ID) error {
	if err := g.sync(ctx, conn, peer); err != nil {
		return fmt.Errorf("sync with %s: %w", peer.Short(), err)
	}
	return nil
}

func (g *Group) sync(ctx context.Context, conn net.Conn, peer kith.ID) error {
	defer conn.Close()
	first := g.state.Load()
	s := &stream{group: g, conn: conn, peer: peer, wake: make(chan struct{}, 1), told: len(first.entries), numbers: first.numbers()}
	s.greeting = hello{Version: syncVersion, Genesis: first.roster.genesis, Records: digest(s.numbers),
		Heads: first.heads[:min(len(first.heads), maxHelloHeads)]}
	if err := s.checkMember(first.roster, peer); err != nil {
		return err
	}
	running, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer g.syncs.enter(peer, cancel)()
	defer context.AfterFunc(running, func() { conn.Close() })()

	var readErr error
	read := make(chan struct{})
	go func() {
		defer close(read)
		defer cancel(nil)
		readErr = s.read(running)
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
	if cause := context.Cause(running); errors.Is(cause, errTooManySyncs) {
		return cause
	}
	for _, err := range []error{verdict, err, readErr} {
		if err != nil && (errors.Is(err, kith.NotMember) || !ended(err)) {
			return err
		}
	}
	return nil
}

// syncs are the exchanges under way.
type syncs struct {
	mu   sync.Mutex
	with map[kith.ID][]*context.CancelCauseFunc // oldest first
}

var errTooManySyncs = fmt.Errorf("more than %d exchanges at once: %w", maxSyncs, kith.Quota)

// enter notes an exchange with peer, which end ends, and ends what is too many.
func (s *syncs) enter(peer kith.ID, end context.CancelCauseFunc) (leave func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.with == nil {
		s.with = make(map[kith.ID][]*context.CancelCauseFunc)
	}
	s.with[peer] = append(s.with[peer], &end)
	if all := s.with[peer]; len(all) > maxSyncs {
		(*all[0])(errTooManySyncs)
		s.with[peer] = all[1:]
	}
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.with[peer] = slices.DeleteFunc(s.with[peer], func(e *context.CancelCauseFunc) bool { return e == &end })
		if len(s.with[peer]) == 0 {
			delete(s.with, peer)
		}
	}
}

// ended reports whether err only says that the connection or ctx ended.
func ended(err error) bool {
	return slices.ContainsFunc([]error{context.Canceled, context.DeadlineExceeded, io.EOF, net.ErrClosed, io.ErrClosedPipe},
		func(end error) bool { return errors.Is(err, end) })
}

// stream is one running Sync. Its reader tells its writer what the peer has.
type stream struct {
	group *Group
	conn  net.Conn
	peer  kith.ID
	wake  chan struct{} // capacity 1: the reader changed something below

	greeting hello              // ours
	told     int                // entries that we had then
	numbers  map[kith.ID]uint64 // of the records that we had then

	mu        sync.Mutex
	greeted   bool               // the peer's hello is there
	lacks     bool               // we lack a head of the peer's: send the whole list
	sequences bool               // the peer's records differ: send the numbers
	entries   bool               // peerHas is known: entries may go
	records   bool               // peerSeq is known: records may go
	peerHas   bits               // by position in the log
	peerSeq   map[kith.ID]uint64 // of members
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

// read takes the peer's frames until the connection ends.
func (s *stream) read(ctx context.Context) error {
	if err := s.conn.SetReadDeadline(time.Now().Add(syncPatience)); err != nil {
		return err
	}
	var buf []byte
	kind, payload, err := readFrame(s.conn, &buf)
	if err != nil {
		return err
	}
	if kind != frameHello {
		return fmt.Errorf("first frame has type %d, want hello: %w", kind, kith.Invalid)
	}
	if err := s.takeHello(payload); err != nil {
		return err
	}
	if err := s.conn.SetReadDeadline(time.Time{}); err != nil {
		return err
	}
	tokens, last := paceBurst, time.Now()
	for {
		kind, payload, err := readFrame(s.conn, &buf)
		if err != nil {
			return err
		}
		if gained := int(time.Since(last) / paceEvery); gained > 0 {
			tokens, last = min(tokens+gained, paceBurst), time.Now()
		}
		if tokens--; tokens < 0 {
			select {
			case <-time.After(paceEvery):
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		if err := s.take(ctx, kind, payload); err != nil {
			return err
		}
	}
}

func (s *stream) take(ctx context.Context, kind frameType, payload []byte) error {
	switch kind {
	case frameHello:
		return fmt.Errorf("second hello: %w", kith.Invalid)
	case frameHave:
		return s.takeHave(payload)
	case frameSequences:
		return s.takeSequences(payload)
	case frameEntries:
		entries, err := parseEntries(payload)
		if err != nil {
			return err
		}
		_, err = s.group.apply(ctx, entries)
		s.peerHasAll(entries)
		return err
	case frameRecords:
		records, err := parseRecords(payload)
		if err != nil {
			return err
		}
		s.peerSigned(records)
		return s.group.applyRecords(ctx, records)
	}
	return nil
}

func (s *stream) takeHello(payload []byte) error {
	var h hello
	if err := json.Unmarshal(payload, &h); err != nil {
		return fmt.Errorf("hello: %w: %w", err, kith.Invalid)
	}
	switch {
	case h.Version < 1:
		return fmt.Errorf("hello of version %d: %w", h.Version, kith.Invalid)
	case h.Genesis != s.greeting.Genesis:
		return fmt.Errorf("peer is of another group: %w", kith.NotMember)
	case len(h.Heads) > maxHelloHeads:
		return fmt.Errorf("hello with %d heads, at most %d: %w", len(h.Heads), maxHelloHeads, kith.Invalid)
	}
	lacks := slices.ContainsFunc(h.Heads, func(head Hash) bool {
		_, ok := s.group.position(head)
		return !ok
	})
	s.tell(func() {
		s.greeted, s.lacks = true, lacks
		if h.Records == s.greeting.Records {
			s.records, s.peerSeq = true, s.numbers
		} else {
			s.sequences = true
		}
	})
	return nil
}

func (s *stream) takeHave(payload []byte) error {
	has := makeBits(MaxEntries)
	switch {
	case len(payload) == 1 && payload[0] == 0:
		for i := range s.told {
			has.set(i)
		}
	case len(payload) >= 1 && payload[0] == 1 && (len(payload)-1)%prefixLen == 0:
		listed := make(map[[prefixLen]byte]bool)
		for prefix := range slices.Chunk(payload[1:], prefixLen) {
			listed[[prefixLen]byte(prefix)] = true
		}
		for i, e := range s.group.state.Load().entries {
			if i < MaxEntries && listed[[prefixLen]byte(e.hash[:])] {
				has.set(i)
			}
		}
	default:
		return fmt.Errorf("list of entries of %d bytes: %w", len(payload), kith.Invalid)
	}
	s.tell(func() {
		if s.peerHas == nil {
			s.peerHas = makeBits(MaxEntries)
		}
		s.peerHas.join(has)
		s.entries = true
	})
	return nil
}

func (s *stream) takeSequences(payload []byte) error {
	const size = len(kith.ID{}) + 8
	if len(payload)%size != 0 {
		return fmt.Errorf("list of records of %d bytes: %w", len(payload), kith.Invalid)
	}
	roster := s.group.Roster()
	numbers := make(map[kith.ID]uint64)
	for item := range slices.Chunk(payload, size) {
		id := kith.ID(item[:len(kith.ID{})])
		if _, ok := roster.Member(id); ok {
			numbers[id] = binary.BigEndian.Uint64(item[len(id):])
		}
	}
	s.tell(func() {
		for id, r := range s.peerSeq {
			numbers[id] = max(numbers[id], r)
		}
		s.records, s.peerSeq = true, numbers
	})
	return nil
}

// peerHasAll notes that the peer has the entries that it sent.
func (s *stream) peerHasAll(entries []*Entry) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.peerHas == nil {
		s.peerHas = makeBits(MaxEntries)
	}
	for _, e := range entries {
		if i, ok := s.group.position(e.hash); ok && i < MaxEntries {
			s.peerHas.set(i)
		}
	}
}

// peerSigned notes the records that the peer sent, so that they do not go back.
func (s *stream) peerSigned(records []*record) {
	roster := s.group.Roster()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.peerSeq == nil {
		s.peerSeq = make(map[kith.ID]uint64)
	}
	for _, r := range records {
		if _, ok := roster.Member(r.body.Host); ok {
			s.peerSeq[r.body.Host] = max(s.peerSeq[r.body.Host], r.body.Sequence)
		}
	}
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

// write sends what the peer lacks, whenever there is something, until ctx ends
// or one of the two is out of the group. Then it sends what says so, as soon as
// it knows what the peer has, closes our direction and returns the verdict.
func (s *stream) write(ctx context.Context) (verdict, err error) {
	payload, err := json.Marshal(s.greeting)
	if err != nil {
		return nil, err
	}
	if err := s.send(append(beginFrame(frameHello), payload...), time.Now().Add(syncPatience)); err != nil {
		return nil, err
	}
	var cut time.Time // when to give up, once one of the two is out
	for {
		state := s.group.state.Load()
		if verdict = s.checkMembers(state.roster); verdict == nil {
			cut = time.Time{}
		} else if ctx.Err() != nil {
			return verdict, ctx.Err() // the peer closed before it could hear of it
		} else if cut.IsZero() {
			cut = time.Now().Add(cutPatience)
		}
		for frame := s.next(state, verdict == nil); frame != nil; frame = s.next(state, verdict == nil) {
			deadline := cut
			if verdict == nil {
				deadline = time.Now().Add(syncPatience)
			}
			if err := s.send(frame, deadline); err != nil {
				return verdict, err
			}
		}
		var late <-chan time.Time
		if verdict != nil {
			rest := time.Until(cut)
			if s.knowsPeer() || rest <= 0 {
				return verdict, kith.CloseWrite(s.conn)
			}
			late = time.After(rest)
		}
		select {
		case <-state.changed:
		case <-s.wake:
		case <-late:
		case <-ctx.Done():
			return verdict, ctx.Err()
		}
	}
}

// knowsPeer reports whether the peer said what entries it has.
func (s *stream) knowsPeer() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.entries
}

func (s *stream) send(frame []byte, deadline time.Time) error {
	if err := s.conn.SetWriteDeadline(deadline); err != nil {
		return err
	}
	_, err := s.conn.Write(finishFrame(frame))
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return fmt.Errorf("peer does not read: %w", kith.Temporary)
	}
	return err
}

// next is the next frame for the peer, or nil. What it holds counts as known
// to the peer from then on. Records go to members only.
func (s *stream) next(state *state, member bool) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.greeted {
		s.greeted = false
		frame := append(beginFrame(frameHave), 0)
		if s.lacks {
			frame[len(frame)-1] = 1
			for _, e := range state.entries {
				frame = append(frame, e.hash[:prefixLen]...)
			}
		}
		return frame
	}
	if s.sequences {
		s.sequences = false
		frame := beginFrame(frameSequences)
		for id, n := range state.numbers() {
			frame = binary.BigEndian.AppendUint64(append(frame, id[:]...), n)
		}
		return frame
	}
	if s.entries {
		frame := beginFrame(frameEntries)
		for i, e := range state.entries {
			if i >= MaxEntries || s.peerHas.has(i) {
				continue
			}
			frame = appendEntry(frame, e)
			s.peerHas.set(i)
			if len(frame) > batch {
				break
			}
		}
		if len(frame) > len(beginFrame(0)) {
			return frame
		}
	}
	if s.records && member {
		frame := beginFrame(frameRecords)
		for id, r := range state.records {
			if n, ok := s.peerSeq[id]; ok && n >= r.body.Sequence {
				continue
			}
			frame = appendRecord(frame, r)
			s.peerSeq[id] = r.body.Sequence
			if len(frame) > batch {
				break
			}
		}
		if len(frame) > len(beginFrame(0)) {
			return frame
		}
	}
	return nil
}

// position is where the log has the entry hash.
func (g *Group) position(hash Hash) (int, bool) {
	g.changing.Lock()
	defer g.changing.Unlock()
	i, ok := g.log.index[hash]
	return i, ok
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
