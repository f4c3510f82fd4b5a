package group

import (
	"context"
	"crypto/ed25519"
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"sync"
	"time"

	"kith.alt/kith"
)

const (
	beatPause  = 5 * time.Second // between two heartbeats of one host
	beatDomain = "kith heartbeat 1\x00"
	beatSize   = len(kith.ID{}) + 8 + ed25519.SignatureSize
)

// A beat is a host's sign of life. On the wire it is the host's ID, a sequence
// number (8 bytes) and the signature; the group, which the exchange is about,
// is signed with them.
type beat struct {
	host      kith.ID
	sequence  uint64
	signature [ed25519.SignatureSize]byte
}

// beatStatement is what the host signs.
func beatStatement(group Hash, host kith.ID, sequence uint64) []byte {
	text := append([]byte(beatDomain), group[:]...)
	text = append(text, host[:]...)
	return binary.BigEndian.AppendUint64(text, sequence)
}

func (b beat) verify(group Hash) error {
	if !ed25519.Verify(b.host.Key(), beatStatement(group, b.host, b.sequence), b.signature[:]) {
		return fmt.Errorf("heartbeat of %s is not signed by it: %w", b.host.Short(), kith.Denied)
	}
	return nil
}

func appendBeat(buf []byte, b beat) []byte {
	buf = append(buf, b.host[:]...)
	buf = binary.BigEndian.AppendUint64(buf, b.sequence)
	return append(buf, b.signature[:]...)
}

// parseBeats reads what appendBeat wrote, any number of times. Signatures are
// not checked.
func parseBeats(buf []byte) ([]beat, error) {
	if len(buf)%beatSize != 0 {
		return nil, fmt.Errorf("heartbeats of %d bytes: %w", len(buf), kith.Invalid)
	}
	beats := make([]beat, 0, len(buf)/beatSize)
	for item := range slices.Chunk(buf, beatSize) {
		var b beat
		item = item[copy(b.host[:], item):]
		b.sequence = binary.BigEndian.Uint64(item)
		copy(b.signature[:], item[8:])
		beats = append(beats, b)
	}
	return beats, nil
}

// pulse is the newest beat of each host, as far as this process heard.
type pulse struct {
	mu     sync.Mutex
	newest map[kith.ID]heard
}

type heard struct {
	beat
	at time.Time // zero: met before this process wanted to beat
}

// of returns the newest beat of the host id.
func (p *pulse) of(id kith.ID) heard {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.newest[id]
}

// note makes h the newest beat of its host, and forgets hosts that are out. It
// reports false where a newer one came meanwhile.
func (p *pulse) note(h heard, r *Roster) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.newest == nil {
		p.newest = make(map[kith.ID]heard)
	}
	if old, ok := p.newest[h.host]; ok && old.sequence >= h.sequence {
		return false
	}
	p.newest[h.host] = h
	if len(p.newest) > MaxMembers {
		for id := range p.newest {
			if _, member := r.Member(id); !member {
				delete(p.newest, id)
			}
		}
	}
	return true
}

// Beat tells the group that this host is awake: it signs a heartbeat, which the
// members pass on by [Group.Sync], each at most once, in five seconds at most
// from one to the next. Nothing is stored. A host's beats count once in five
// seconds, so that an earlier call does nothing; ten seconds or more is a
// sensible interval. A host that is not, or no longer, in the group fails with
// kind NotMember.
func (g *Group) Beat(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("beat: %w", err)
	}
	state := g.state.Load()
	if _, ok := state.roster.Member(g.id); !ok {
		return fmt.Errorf("beat: this host is not in the group: %w", kith.NotMember)
	}
	if last := g.pulse.of(g.id); time.Since(last.at) >= beatPause {
		return g.beatAbove(state, last.sequence)
	}
	return nil
}

// beatAbove beats with a number above last. Numbers begin at the clock, so that
// a host that starts again goes on above itself, and at the number of its
// address record, below which who has heard none yet takes none.
func (g *Group) beatAbove(state *state, last uint64) error {
	if last == math.MaxUint64 {
		return fmt.Errorf("beat: the sequence numbers are used up: %w", kith.Quota)
	}
	b := beat{host: g.id, sequence: max(last+1, uint64(time.Now().Unix()), state.floor(g.id))}
	copy(b.signature[:], ed25519.Sign(g.key, beatStatement(g.log.genesis, b.host, b.sequence)))
	if g.pulse.note(heard{b, time.Now()}, state.roster) {
		g.syncs.pass([]beat{b}, kith.ID{})
	}
	return nil
}

// floor is the least number that the first beat heard of the host id may have
// to be no replay: that of its record, which is on disk and renewed every week.
func (st *state) floor(id kith.ID) uint64 {
	if r := st.records[id]; r != nil {
		return r.body.Sequence
	}
	return 0
}

// Heard returns when the newest heartbeat of the member id came, or the zero
// time where none did since this process began. For this host it is the last
// [Group.Beat].
func (g *Group) Heard(id kith.ID) time.Time {
	if _, ok := g.Roster().Member(id); !ok {
		return time.Time{}
	}
	return g.pulse.of(id).at
}

// takeBeats takes those of the peer's beats that are news and passes them on: at
// most one of a host in five seconds. Others are dropped. A bad signature is an
// error.
func (s *stream) takeBeats(beats []beat) error {
	s.mu.Lock()
	for _, b := range beats {
		if waiting, ok := s.beats[b.host]; ok && waiting.sequence <= b.sequence {
			delete(s.beats, b.host)
		}
	}
	s.mu.Unlock()

	g := s.group
	state := g.state.Load()
	var fresh []beat
	for _, b := range beats {
		last := g.pulse.of(b.host)
		if _, ok := state.roster.Member(b.host); !ok {
			continue
		}
		if b.sequence < last.sequence && b.host == s.peer {
			// Its clock went back while it was off. It goes on above this.
			s.tell(func() { s.beats[b.host] = last.beat })
		}
		switch {
		case b.sequence <= last.sequence, b.host != g.id && time.Since(last.at) < beatPause:
			continue
		case last.at.IsZero() && b.sequence < state.floor(b.host):
			continue
		}
		if err := b.verify(g.log.genesis); err != nil {
			return err
		}
		if b.host != g.id {
			if g.pulse.note(heard{b, time.Now()}, state.roster) {
				fresh = append(fresh, b)
			}
		} else if last.at.IsZero() {
			g.pulse.note(heard{beat: b}, state.roster)
		} else if err := g.beatAbove(state, b.sequence); err != nil {
			return err
		}
	}
	g.syncs.pass(fresh, s.peer)
	return nil
}

// pass has every exchange but those with from send the beats.
func (s *syncs) pass(beats []beat, from kith.ID) {
	if len(beats) == 0 {
		return
	}
	for _, stream := range s.newest() {
		if stream.peer == from {
			continue
		}
		stream.tell(func() {
			for _, b := range beats {
				if b.host != stream.peer {
					stream.beats[b.host] = b
				}
			}
		})
	}
}
