package group

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"

	"kith.alt/kith"
	"kith.alt/kith/gossip"
)

const (
	batch = 32 << 10 // bytes of a frame after which the next one is begun

	// What comes faster than this goes together. The sum of the paces is below
	// that at which the peer reads.
	entryBurst  = 16
	entryEvery  = 200 * time.Millisecond
	recordBurst = 2
	recordEvery = 500 * time.Millisecond
	beatEvery   = 5 * time.Second
)

// write sends what the peer lacks, whenever there is something, until ctx ends
// or one of the two is out of the group. Then it sends what says so, as soon as
// it knows what the peer has, closes our direction and returns the verdict.
func (s *stream) write(ctx context.Context) (verdict, err error) {
	payload, err := json.Marshal(s.greeting)
	if err != nil {
		return nil, err
	}
	if err := s.send(append(gossip.BeginFrame(frameHello), payload...), time.Now().Add(gossip.Patience)); err != nil {
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
		frame, rest := s.next(state, verdict == nil)
		for ; frame != nil; frame, rest = s.next(state, verdict == nil) {
			deadline := cut
			if verdict == nil {
				deadline = time.Now().Add(gossip.Patience)
			}
			if err := s.send(frame, deadline); err != nil {
				return verdict, err
			}
		}
		if verdict != nil {
			if rest = time.Until(cut); s.knowsPeer() || rest <= 0 {
				return verdict, kith.CloseWrite(s.conn)
			}
		}
		var due <-chan time.Time
		if rest > 0 {
			due = time.After(rest)
		}
		select {
		case <-state.changed:
		case <-s.wake:
		case <-due:
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
	_, err := s.conn.Write(gossip.FinishFrame(frame))
	s.group.traffic.note(frame)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return fmt.Errorf("peer does not read: %w", kith.Temporary)
	}
	return err
}

// next is the next frame for the peer; or nil, and how long what there is has
// to wait, if there is anything. What the frame holds counts as known to the
// peer from then on. Records and beats go to members only.
func (s *stream) next(state *state, member bool) (frame []byte, rest time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.greeted:
		s.greeted = false
		return s.nextHave(state), 0
	case s.sequences:
		s.sequences = false
		frame = gossip.BeginFrame(frameSequences)
		for id, n := range state.numbers() {
			frame = binary.BigEndian.AppendUint64(append(frame, id[:]...), n)
		}
		return frame, 0
	case s.owed:
		s.owed = false
		return gossip.BeginFrame(frameTaken), 0
	case !s.entries:
		return nil, 0
	}
	if state != s.done {
		if frame, rest = s.nextRoster(state, member); frame != nil {
			return frame, 0
		}
		if rest <= 0 && s.records {
			s.done = state
		}
	}
	if !member {
		return nil, rest
	}
	frame, wait := s.nextBeats()
	if rest <= 0 || wait > 0 && wait < rest {
		rest = wait
	}
	return frame, rest
}

// nextRoster is next for what state holds.
func (s *stream) nextRoster(state *state, member bool) (frame []byte, rest time.Duration) {
	frame, rest = s.nextEntries(state, member)
	switch {
	case frame != nil || rest > 0: // the peer takes no record of a host before the entry that admits it
		return frame, rest
	case !s.same && !s.sent:
		s.sent = true
		return gossip.BeginFrame(frameSent), 0
	case s.records && member:
		return s.nextRecords(state)
	}
	return nil, 0
}

// nextHave tells the peer what entries we have.
func (s *stream) nextHave(state *state) []byte {
	frame := append(gossip.BeginFrame(frameHave), 0)
	if s.lacks {
		frame[len(frame)-1] = 1
		for _, e := range state.entries {
			frame = append(frame, e.hash[:prefixLen]...)
		}
	}
	return frame
}

// nextEntries does not wait for the pace when it is the last that the peer
// hears.
func (s *stream) nextEntries(state *state, paced bool) (frame []byte, rest time.Duration) {
	for i, e := range state.entries[:min(len(state.entries), MaxEntries)] {
		if s.peerHas.has(i) {
			continue
		}
		if s.peerSent[e.hash] {
			delete(s.peerSent, e.hash)
			s.peerHas.set(i)
			continue
		}
		if frame == nil {
			if rest = s.entryPace.Rest(); rest > 0 && paced {
				return nil, rest
			}
			s.entryPace.Spend()
			frame = gossip.BeginFrame(frameEntries)
		}
		frame = appendEntry(frame, e)
		s.peerHas.set(i)
		if len(frame) > batch {
			break
		}
	}
	return frame, 0
}

func (s *stream) nextRecords(state *state) (frame []byte, rest time.Duration) {
	for id, r := range state.records {
		if n, ok := s.peerSeq[id]; ok && n >= r.body.Sequence {
			continue
		}
		if frame == nil {
			if rest = s.recordPace.Rest(); rest > 0 {
				return nil, rest
			}
			s.recordPace.Spend()
			frame = gossip.BeginFrame(frameRecords)
		}
		frame = appendRecord(frame, r)
		s.peerSeq[id] = r.body.Sequence
		if len(frame) > batch {
			break
		}
	}
	return frame, 0
}

func (s *stream) nextBeats() (frame []byte, rest time.Duration) {
	if len(s.beats) == 0 {
		return nil, 0
	}
	if rest = s.beatPace.Rest(); rest > 0 {
		return nil, rest
	}
	s.beatPace.Spend()
	frame = gossip.BeginFrame(frameBeats)
	for id, b := range s.beats {
		frame = appendBeat(frame, b)
		delete(s.beats, id)
		if len(frame) > batch {
			break
		}
	}
	return frame, 0
}
