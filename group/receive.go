package group

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"kith.alt/kith"
	"kith.alt/kith/gossip"
)

// read takes the peer's frames until the connection ends.
func (s *stream) read(ctx context.Context) error {
	return gossip.Receive(ctx, s.conn, s.takeGreeting, func(kind frameType, payload []byte) error { return s.take(ctx, kind, payload) })
}

func (s *stream) takeGreeting(kind frameType, payload []byte) error {
	if kind != frameHello {
		return fmt.Errorf("first frame has type %d, want hello: %w", kind, kith.Invalid)
	}
	return s.takeHello(payload)
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
		return s.takeEntries(ctx, entries)
	case frameRecords:
		records, err := parseRecords(payload)
		if err != nil {
			return err
		}
		s.takeRecords(records)
	case frameBeats:
		beats, err := parseBeats(payload)
		if err != nil {
			return err
		}
		return s.takeBeats(beats)
	case frameSent:
		s.given = true
		s.tell(func() { s.owed = true })
		s.reachLevel()
	case frameTaken:
		s.taken = true
		s.reachLevel()
	}
	return nil
}

// reachLevel calls level, once, when both sides have what the other had, unless
// one of the two is out by now.
func (s *stream) reachLevel() {
	if level := s.level; level != nil && s.given && s.taken && s.checkMembers(s.group.Roster()) == nil {
		s.level = nil
		level()
	}
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
	index := s.group.Roster().merge.index
	lacks := slices.ContainsFunc(h.Heads, func(head Hash) bool {
		_, ok := index[head]
		return !ok
	})
	same := sameHeads(h.Heads, s.greeting.Heads)
	s.tell(func() {
		s.greeted, s.lacks, s.same = true, lacks, same
		if h.Records == s.greeting.Records {
			s.records = true
			maps.Copy(s.peerSeq, s.numbers)
		} else {
			s.sequences = true
		}
	})
	s.given, s.taken = same, same
	s.reachLevel()
	return nil
}

// sameHeads reports whether two hellos tell of the same roster.
func sameHeads(a, b []Hash) bool {
	return len(a) < maxHelloHeads && slices.Equal(slices.SortedFunc(slices.Values(a), Hash.compare), slices.SortedFunc(slices.Values(b), Hash.compare))
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
		s.records = true
		for id, n := range numbers {
			s.peerSeq[id] = max(s.peerSeq[id], n)
		}
	})
	return nil
}

// takeEntries takes entries, which do not go back to the peer.
func (s *stream) takeEntries(ctx context.Context, entries []*Entry) error {
	s.mu.Lock()
	for _, e := range entries {
		s.peerSent[e.hash] = true
	}
	s.mu.Unlock()
	_, err := s.group.apply(ctx, entries)
	index := s.group.Roster().merge.index
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range entries {
		if _, ok := index[e.hash]; !ok {
			delete(s.peerSent, e.hash)
		}
	}
	return err
}

// takeRecords leaves records of members to the keeper. They do not go back to
// the peer.
func (s *stream) takeRecords(records []*record) {
	roster := s.group.Roster()
	s.mu.Lock()
	for _, r := range records {
		id := r.body.Host
		if _, ok := roster.Member(id); ok && r.newer(s.inbox[id]) {
			s.peerSeq[id] = max(s.peerSeq[id], r.body.Sequence)
			s.inbox[id] = r
		}
	}
	s.mu.Unlock()
	select {
	case s.came <- struct{}{}:
	default:
	}
}

// keep takes the records that came, until ctx ends. Those of one host have to
// wait for each other, and nothing else has to wait for them.
func (s *stream) keep(ctx context.Context) error {
	for {
		select {
		case <-s.came:
		case <-ctx.Done():
			return nil
		}
		s.mu.Lock()
		records := slices.Collect(maps.Values(s.inbox))
		clear(s.inbox)
		s.mu.Unlock()
		if err := s.group.applyRecords(ctx, records); err != nil {
			return err
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
