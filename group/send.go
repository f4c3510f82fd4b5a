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
)

const batch = 32 << 10 // bytes of a frame after which the next one is begun

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
			if s.peerSent[e.hash] {
				delete(s.peerSent, e.hash)
				s.peerHas.set(i)
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
		if !s.same && !s.sent {
			s.sent = true
			return beginFrame(frameSent)
		}
	}
	if s.owed {
		s.owed = false
		return beginFrame(frameTaken)
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
