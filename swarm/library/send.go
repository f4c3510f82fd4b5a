package library

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"time"

	"kith.alt/kith"
	"kith.alt/kith/gossip"
)

const (
	digestEvery = 15 * time.Second // between two that a peer is told
	settle      = 5 * time.Second  // before a digest that has changed is told
	compareSoon = 2 * settle       // before a digest that we were told is compared
	compareMin  = 30 * time.Second // before digests that differ are compared again; twice as long each time that they differ in the same way
	compareMax  = time.Hour
)

// write sends what there is for the peer until ctx ends.
func (s *stream) write(ctx context.Context) error {
	if err := s.greet(); err != nil {
		return err
	}
	for {
		s.library.mu.Lock()
		grown := s.library.grown
		s.library.mu.Unlock()
		if err := s.checkPeer(); err != nil {
			return err
		}
		frame, rest := s.next()
		for ; frame != nil; frame, rest = s.next() {
			if err := s.send(frame); err != nil {
				return err
			}
		}
		var due <-chan time.Time
		if rest > 0 {
			due = time.After(rest)
		}
		select {
		case <-grown:
		case <-s.wake:
		case <-due:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// greet says hello. What comes from then on is pushed.
func (s *stream) greet() error {
	s.library.mu.Lock()
	s.cursor = s.library.arrivals
	s.seen, s.toldAt = s.cursor, s.cursor
	s.library.mu.Unlock()
	_, s.told = s.library.summaries()
	frame, err := helloFrame(s.told)
	if err != nil {
		return err
	}
	s.digestPace.Spend()
	return s.send(frame)
}

func (s *stream) send(frame []byte) error {
	if err := s.conn.SetWriteDeadline(time.Now().Add(gossip.Patience)); err != nil {
		return err
	}
	_, err := s.conn.Write(gossip.FinishFrame(frame))
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return fmt.Errorf("peer does not read: %w", kith.Temporary)
	}
	return err
}

// next is the next frame for the peer; or nil, and how long what there is has
// to wait, if there is anything.
func (s *stream) next() (frame []byte, rest time.Duration) {
	s.mu.Lock()
	greeted := s.greeted
	s.mu.Unlock()
	if !greeted {
		return nil, 0
	}
	for _, next := range []func() ([]byte, time.Duration){s.nextSummaries, s.nextNews, s.nextAnswer, s.nextWant, s.nextAsk, s.nextDigest} {
		frame, wait := next()
		if frame != nil {
			return frame, 0
		}
		if wait > 0 && (rest <= 0 || wait < rest) {
			rest = wait
		}
	}
	return nil, rest
}

// paced waits for p, and spends of it what is there.
func paced(p *gossip.Pace) time.Duration {
	rest := p.Rest()
	if rest <= 0 {
		p.Spend()
	}
	return max(rest, 0)
}

// nextSummaries answers an ask.
func (s *stream) nextSummaries() ([]byte, time.Duration) {
	s.mu.Lock()
	asked := s.asked
	s.mu.Unlock()
	if !asked {
		return nil, 0
	}
	if rest := paced(&s.summaryPace); rest > 0 {
		return nil, rest
	}
	s.mu.Lock()
	s.asked = false
	s.mu.Unlock()
	frame := gossip.BeginFrame(frameSummaries)
	list, _ := s.library.summaries()
	for _, sum := range list {
		frame = sum.appendTo(frame)
	}
	return frame, 0
}

// nextNews pushes what came since, but what came from the peer or is its own;
// holdings are offered.
func (s *stream) nextNews() ([]byte, time.Duration) {
	news, cursor := s.library.since(s.cursor, s.peer)
	if len(news) == 0 {
		s.cursor = cursor
		return nil, 0
	}
	kind, p, frame := news[0].kind, &s.recordPace, gossip.BeginFrame(frameNews)
	if kind == kindHoldings {
		p, frame = &s.offerPace, gossip.BeginFrame(frameOffer)
	}
	if rest := paced(p); rest > 0 {
		return nil, rest
	}
	for _, r := range news {
		switch {
		case r.kind != kind || len(frame) > batch:
			return frame, 0
		case kind == kindHoldings:
			frame = summary{host: r.host(), holdings: r.entry.Version}.appendTo(frame)
		default:
			frame = r.appendTo(frame)
		}
		s.cursor = r.arrival
	}
	return frame, 0
}

const maxNews = 200 // records that are looked at together

// since returns the first records that came after cursor and are news to the
// peer, and the cursor where there are none.
func (l *Library) since(cursor uint64, peer kith.ID) (news []*record, end uint64) {
	for end = cursor; len(news) == 0; {
		l.mu.Lock()
		i, _ := l.at(end + 1)
		done := i == len(l.log)
		for ; i < len(l.log) && len(news) < maxNews; i++ {
			r := l.log[i]
			if end = r.arrival; !r.quiet && r.from != peer && r.host() != peer {
				news = append(news, r)
			}
		}
		l.mu.Unlock()
		if done {
			break
		}
		news = slices.DeleteFunc(news, func(r *record) bool { return !l.member(r.host()) })
	}
	return news, end
}

// nextAnswer sends what the peer wants, and at its end says so.
func (s *stream) nextAnswer() ([]byte, time.Duration) {
	s.mu.Lock()
	owing, question := s.owing, s.question
	s.mu.Unlock()
	if !owing {
		return nil, 0
	}
	if rest := paced(&s.recordPace); rest > 0 {
		return nil, rest
	}
	frame := gossip.BeginFrame(frameAnswer)
	for len(frame) <= batch {
		if len(s.answer) > 0 {
			frame, s.answer = s.answer[0].appendTo(frame), s.answer[1:]
			continue
		}
		if len(question) == 0 {
			break
		}
		w, rest, err := parseWant(question)
		if err != nil { // it was checked when it came
			break
		}
		s.answer, question = s.library.wanted(w), rest
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.question = question
	if len(frame) == gossip.FrameHead {
		s.owing, s.answer = false, nil
		return gossip.BeginFrame(frameDone), 0
	}
	return frame, 0
}

// wanted returns the records that answer w.
func (l *Library) wanted(w want) []*record {
	if !l.member(w.host) {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.shelves[w.host]
	if s == nil {
		return nil
	}
	var records []*record
	if s.holdings != nil && s.holdings.entry.Version > w.holdings {
		records = append(records, s.holdings)
	}
	if w.entries {
		records = append(records, s.missing(w.has, time.Now())...)
	}
	return records
}

// nextWant asks for what we lack, of as many hosts as go into a frame, unless
// the last answer is under way. Hosts that another peer was asked for have to
// wait.
func (s *stream) nextWant() ([]byte, time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.waiting || len(s.lacking) == 0 {
		return nil, 0
	}
	if rest := s.wantPace.Rest(); rest > 0 {
		return nil, rest
	}
	frame := gossip.BeginFrame(frameWant)
	var later []summary
	var rest time.Duration
	for i, sum := range s.lacking {
		w, lacks := s.library.compare(sum)
		if !lacks {
			continue
		}
		if len(frame) > gossip.FrameHead && len(frame)+w.size() > gossip.MaxFrame {
			later = append(later, s.lacking[i:]...)
			break
		}
		if w.entries {
			if wait := s.library.lease(s, w.host); wait > 0 {
				later, rest = append(later, sum), max(rest, wait)
				continue
			}
		}
		frame = w.appendTo(frame)
	}
	s.lacking = later
	if len(frame) == gossip.FrameHead {
		return nil, rest
	}
	s.wantPace.Spend()
	s.waiting = true
	return frame, 0
}

// A lease says which conversation a host's entries are asked in, so that they do
// not come several times. It ends with the answer, or after a time.
type lease struct {
	stream *stream
	until  time.Time
}

const leaseTime = 10 * time.Second

// lease takes the host for s, or says how long another has it.
func (l *Library) lease(s *stream, host kith.ID) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	if other, ok := l.leases[host]; ok && other.stream != s && other.until.After(now) {
		return other.until.Sub(now)
	}
	l.leases[host] = lease{s, now.Add(leaseTime)}
	return 0
}

// release ends the leases of s, and wakes those that wait for them.
func (l *Library) release(s *stream) {
	l.mu.Lock()
	defer l.mu.Unlock()
	before := len(l.leases)
	maps.DeleteFunc(l.leases, func(_ kith.ID, lease lease) bool { return lease.stream == s })
	if len(l.leases) < before {
		close(l.grown)
		l.grown = make(chan struct{})
	}
}

// nextAsk asks for the peer's summaries where its digest is not ours: at once
// after its hello, and later when what is new has had time to arrive; the longer
// the same two digests differ, the less often.
func (s *stream) nextAsk() ([]byte, time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.asking || s.waiting || len(s.lacking) > 0 {
		return nil, 0
	}
	now := time.Now()
	if arrived := s.library.arrived(); s.fresh || arrived != s.seen {
		s.fresh, s.seen = false, arrived
		if s.pause == 0 { // it is the hello
			s.compare = now
		} else if soon := now.Add(compareSoon); s.compare.IsZero() || s.pause > compareMin {
			s.compare = soon
		}
		s.pause = compareMin
	}
	if s.compare.IsZero() {
		return nil, 0
	}
	if wait := s.compare.Sub(now); wait > 0 {
		return nil, wait
	}
	_, ours := s.library.summaries()
	if ours == s.heard {
		s.compare = time.Time{}
		return nil, 0
	}
	if now := [2]digest{ours, s.heard}; now == s.differs {
		s.pause = min(2*s.pause, compareMax)
	} else {
		s.differs, s.pause = now, compareMin
	}
	s.compare = now.Add(s.pause)
	s.asking = true
	return gossip.BeginFrame(frameAsk), 0
}

func (l *Library) arrived() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.arrivals
}

// nextDigest tells the peer our digest once it has changed and what is new has
// been sent.
func (s *stream) nextDigest() ([]byte, time.Duration) {
	arrived := s.library.arrived()
	if arrived == s.toldAt {
		return nil, 0
	}
	if s.telling.IsZero() {
		s.telling = time.Now().Add(max(settle, s.digestPace.Rest()))
	}
	if wait := time.Until(s.telling); wait > 0 {
		return nil, wait
	}
	s.telling, s.toldAt = time.Time{}, arrived
	_, ours := s.library.summaries()
	if ours == s.told {
		return nil, 0
	}
	s.told = ours
	s.digestPace.Spend()
	return append(gossip.BeginFrame(frameDigest), ours[:]...), 0
}
