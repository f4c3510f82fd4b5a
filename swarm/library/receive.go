package library

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"time"

	"kith.alt/kith"
	"kith.alt/kith/gossip"
)

// read takes the peer's frames until the connection ends.
func (s *stream) read(ctx context.Context) error {
	return gossip.Receive(ctx, s.conn, s.takeGreeting, func(kind frameType, payload []byte) error {
		if err := s.checkPeer(); err != nil {
			return err
		}
		return s.take(ctx, kind, payload)
	})
}

func (s *stream) takeGreeting(kind frameType, payload []byte) error {
	if kind != frameHello {
		return fmt.Errorf("first frame has type %d, want hello: %w", kind, kith.Invalid)
	}
	heard, err := parseHello(payload)
	if err != nil {
		return err
	}
	s.hear(heard)
	return nil
}

func (s *stream) hear(heard digest) {
	s.tell(func() { s.heard, s.greeted, s.fresh = heard, true, true })
}

func (s *stream) take(ctx context.Context, kind frameType, payload []byte) error {
	switch kind {
	case frameHello:
		return fmt.Errorf("second hello: %w", kith.Invalid)
	case frameDigest:
		if len(payload) != len(digest{}) {
			return fmt.Errorf("digest of %d bytes: %w", len(payload), kith.Invalid)
		}
		s.hear(digest(payload))
	case frameAsk:
		s.tell(func() { s.asked = true })
	case frameSummaries, frameOffer:
		list, err := parseSummaries(payload)
		if err != nil {
			return err
		}
		return s.takeSummaries(list, kind == frameSummaries)
	case frameWant:
		return s.takeWants(payload)
	case frameAnswer, frameNews:
		records, err := parseRecords(payload)
		if err != nil {
			return err
		}
		for _, r := range records {
			r.quiet = kind == frameAnswer && r.kind == kindEntry
		}
		return s.library.take(ctx, records, s.peer)
	case frameDone:
		s.library.release(s)
		s.tell(func() { s.waiting = false })
	}
	return nil
}

// takeSummaries notes what we lack of the hosts in list, all that the peer
// knows of or some with new holdings.
func (s *stream) takeSummaries(list []summary, all bool) error {
	s.mu.Lock()
	asking := s.asking
	s.mu.Unlock()
	if all && !asking {
		return fmt.Errorf("summaries that were not asked for: %w", kith.Invalid)
	}
	lacking := slices.DeleteFunc(list, func(sum summary) bool { _, lacks := s.library.compare(sum); return !lacks })
	s.tell(func() {
		if all {
			s.asking, s.lacking = false, nil
		}
		for _, sum := range lacking {
			same := func(other summary) bool { return other.host == sum.host }
			if i := slices.IndexFunc(s.lacking, same); i >= 0 {
				s.lacking[i].holdings = sum.holdings
			} else if len(s.lacking) < maxSummaries {
				s.lacking = append(s.lacking, sum)
			}
		}
	})
	return nil
}

// compare says what we want of a host of which another library has theirs, if
// anything.
func (l *Library) compare(theirs summary) (w want, lacks bool) {
	w.host = theirs.host
	if !l.member(w.host) {
		return w, false
	}
	now := time.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.shelves[w.host]
	ours := s.summary(w.host, now)
	w.holdings = ours.holdings
	if w.entries = theirs.entries != ours.entries && theirs.entries != (digest{}); w.entries {
		w.has = s.versions(now)
		w.has = w.has[:min(len(w.has), MaxEntries)]
	}
	return w, w.entries || theirs.holdings > ours.holdings && theirs.holdings <= MaxVersion
}

// takeWants leaves the peer's question to the writer.
func (s *stream) takeWants(payload []byte) error {
	if err := checkWants(payload); err != nil {
		return err
	}
	s.mu.Lock()
	owing := s.owing
	s.mu.Unlock()
	if owing {
		return fmt.Errorf("a want before the last one was answered: %w", kith.Invalid)
	}
	question := bytes.Clone(payload)
	s.tell(func() { s.question, s.owing = question, true })
	return nil
}
