package post

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"sync"
	"time"

	"kith.alt/kith"
	"kith.alt/kith/gossip"
)

const (
	maxTalks   = 2 // with one peer: one that each side opened
	framesFree = 2000
	framesEach = time.Millisecond
	maxRetold  = 1000 // letters of which a talk begins by telling who has them
)

var errTooManyTalks = fmt.Errorf("more than %d conversations at once: %w", maxTalks, kith.Quota)

// A talk is one conversation with a member. Its reader tells its writer what the peer said.
type talk struct {
	post  *Post
	conn  net.Conn
	peer  kith.ID
	end   context.CancelCauseFunc
	wake  chan struct{} // capacity 1
	begun time.Time

	// The reader's.
	frames   gossip.Pace
	buf      []byte
	body     []byte // what is left of a frame of a body
	inBody   bool
	expected map[key]*expectation // by mu

	mu      sync.Mutex
	used    time.Time
	vector  map[kith.ID]int64 // receipts that the peer has
	gaps    []gap             // in what the peer knows of its own receipts
	whole   bool              // all of the vector has come
	cursor  int64             // arrival of the last receipt that was looked at
	queue   [][]byte          // frames
	offers  []*parcel         // to be offered
	open    map[key]*proposal // offered, and not settled
	wanted  []*proposal
	holding sync.WaitGroup
}

// A proposal is an offer that the peer has not answered, or wants.
type proposal struct {
	parcel *parcel
	header *header // as it was offered; the letter may be sealed anew
	wanted bool
}

// standsLocked reports whether the letter is still as it was offered.
func (o *proposal) standsLocked(p *Post) bool {
	return p.parcels[o.parcel.key] == o.parcel && o.parcel.header == o.header
}

// An expectation is a letter that is to come in a talk.
type expectation struct {
	header   *header
	holders  []holder // by the word of who offered it
	returned bool     // by a copy of its receiver
	since    time.Time
	begun    bool // its body is coming, or has come
}

// converse talks with a member until ctx or the conversation ends.
func (p *Post) converse(ctx context.Context, conn net.Conn, peer kith.ID) {
	defer conn.Close()
	if _, ok := p.members()[peer]; !ok {
		return
	}
	running, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	t := &talk{
		post: p, conn: conn, peer: peer, end: cancel, wake: make(chan struct{}, 1), begun: time.Now(), used: time.Now(),
		frames: gossip.Pace{Burst: framesFree, Every: framesEach},
		vector: make(map[kith.ID]int64), expected: make(map[key]*expectation), open: make(map[key]*proposal),
	}
	p.mu.Lock()
	p.talks[peer] = append(p.talks[peer], t)
	h := p.hostLocked(peer)
	h.failed, h.next = 0, time.Time{} // it can be reached, whatever came of calls before
	if all := p.talks[peer]; len(all) > maxTalks {
		all[0].end(errTooManyTalks)
	}
	p.mu.Unlock()
	nudge(p.house)
	defer t.leave()
	defer context.AfterFunc(running, func() { conn.Close() })()
	read := make(chan error, 1)
	go func() {
		defer cancel(nil)
		read <- t.read(running)
	}()
	err := t.write(running)
	cancel(nil)
	conn.Close()
	for _, err := range []error{err, <-read} {
		if err != nil && !gossip.Ended(err) && !errors.Is(err, kith.Unreachable) {
			p.log.Info("conversation about letters ended", "peer", peer.Short(), "err", err)
		}
	}
}

// leave takes back all that the talk had begun.
func (t *talk) leave() {
	t.holding.Wait()
	p := t.post
	p.mu.Lock()
	p.talks[t.peer] = slices.DeleteFunc(p.talks[t.peer], func(other *talk) bool { return other == t })
	if len(p.talks[t.peer]) == 0 {
		delete(p.talks, t.peer)
	}
	for k := range t.expected {
		t.expectNoMoreLocked(k)
	}
	for _, c := range p.parcels {
		if c.told[t.peer].at == t {
			delete(c.told, t.peer)
		}
		if c.there == t {
			c.there = nil
		}
	}
	p.mu.Unlock()
	nudge(p.house)
}

// expectNoMoreLocked gives up a letter that was wanted. Post.mu and t.mu are held, or the talk has ended.
func (t *talk) expectNoMoreLocked(k key) {
	e := t.expected[k]
	delete(t.expected, k)
	t.post.expectLocked(e.header, e.returned, -1)
	if t.post.arriving[k] == t {
		delete(t.post.arriving, k)
	}
}

// say queues frames for the peer.
func (t *talk) say(frames ...[]byte) {
	t.mu.Lock()
	t.queue = append(t.queue, frames...)
	t.mu.Unlock()
	nudge(t.wake)
}

func (t *talk) send(frame []byte) error {
	if err := t.conn.SetWriteDeadline(time.Now().Add(gossip.Patience)); err != nil {
		return err
	}
	_, err := t.conn.Write(gossip.FinishFrame(frame))
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return fmt.Errorf("peer does not read: %w", kith.Temporary)
	}
	return err
}

// write sends what there is for the peer until ctx ends.
func (t *talk) write(ctx context.Context) error {
	hello, err := helloFrame(t.post.room())
	if err != nil {
		return err
	}
	vector, err := t.post.vector(ctx)
	if err != nil {
		return err
	}
	for _, frame := range append([][]byte{hello, gapsFrame(t.post.gaps)}, vectorFrames(vector)...) {
		if err := t.send(frame); err != nil {
			return err
		}
	}
	t.tellAllHolders()
	t.askAgain()
	for {
		for more := true; more; {
			if err := t.flush(); err != nil {
				return err
			}
			receipts, err := t.sendReceipts(ctx)
			if err != nil {
				return err
			}
			letter, err := t.sendLetter(ctx)
			if err != nil {
				return err
			}
			more = receipts || letter || t.offerNext()
		}
		select {
		case <-t.wake:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// flush sends the frames that are queued.
func (t *talk) flush() error {
	t.mu.Lock()
	queue := t.queue
	t.queue = nil
	t.mu.Unlock()
	for _, frame := range queue {
		if err := t.send(frame); err != nil {
			return err
		}
	}
	return nil
}

// sendReceipts sends some receipts that the peer lacks, and reports whether
// there may be more.
func (t *talk) sendReceipts(ctx context.Context) (more bool, err error) {
	t.mu.Lock()
	whole, cursor := t.whole, t.cursor
	t.mu.Unlock()
	if !whole {
		return false, nil
	}
	list, last, err := t.post.loadReceipts(ctx, cursor)
	if err != nil || len(list) == 0 {
		return false, err
	}
	frame := gossip.BeginFrame(frameReceipts)
	t.mu.Lock()
	t.cursor = last
	for _, r := range list {
		if r.Number > t.vector[r.To] || r.To == t.peer && inGaps(t.gaps, r.Number) {
			t.vector[r.To] = max(t.vector[r.To], r.Number)
			frame = r.append(frame)
			t.used = time.Now()
		}
		if len(frame) > gossip.MaxFrame-2*maxSigned {
			t.queue = append(t.queue, frame)
			frame = gossip.BeginFrame(frameReceipts)
		}
	}
	if len(frame) > len(gossip.BeginFrame(frameReceipts)) {
		t.queue = append(t.queue, frame)
	}
	t.mu.Unlock()
	return true, t.flush()
}

// offerNext offers the next letter, if the peer has not too many to answer already.
func (t *talk) offerNext() bool {
	p := t.post
	p.mu.Lock()
	defer p.mu.Unlock()
	t.mu.Lock()
	defer t.mu.Unlock()
	for len(t.offers) > 0 && len(t.open) < maxUnsettled {
		c := t.offers[0]
		t.offers = t.offers[1:]
		if p.parcels[c.key] != c || c.header == nil || c.stale || c.with(t.peer) || t.open[c.key] != nil || c.told[t.peer].at != nil || c.told[t.peer].next.After(time.Now()) {
			continue
		}
		c.told[t.peer] = offer{at: t, full: c.told[t.peer].full}
		t.open[c.key] = &proposal{parcel: c, header: c.header}
		t.queue = append(t.queue, offerFrame(c.header, p.holdersLocked(c)))
		t.used = time.Now()
		return true
	}
	return false
}

// sendLetter sends the next letter that the peer wants.
func (t *talk) sendLetter(ctx context.Context) (bool, error) {
	p := t.post
	p.mu.Lock()
	t.mu.Lock()
	var o *proposal
	if len(t.wanted) > 0 {
		o, t.wanted = t.wanted[0], t.wanted[1:]
		t.used = time.Now()
	}
	stands := o != nil && o.standsLocked(p)
	t.mu.Unlock()
	p.mu.Unlock()
	if o == nil {
		return false, nil
	}
	if !stands {
		t.withdraw(o)
		return true, nil
	}
	h := o.header
	body, err := p.cfg.Blobs.Open(ctx, h.Body)
	if errors.Is(err, kith.NotFound) { // it ended this moment
		t.withdraw(o)
		return true, nil
	} else if err != nil {
		return false, err
	}
	defer body.Close()
	if err := t.send(keyFrame(frameBegin, h.key())); err != nil {
		return false, err
	}
	frame := gossip.BeginFrame(frameBody)
	head := len(frame)
	buf := make([]byte, min(bodyPart, h.Size))
	for left := h.Size; left > 0; {
		n, err := io.ReadFull(body, buf[:min(int64(len(buf)), left)])
		if err != nil {
			return false, fmt.Errorf("read letter %s: %w", h.Letter, err)
		}
		left -= int64(n)
		if err := t.send(append(frame[:head], buf[:n]...)); err != nil {
			return false, err
		}
		if err := t.flush(); err != nil { // others do not wait for a large one
			return false, err
		}
	}
	return true, nil
}

// withdraw tells the peer that a letter which it wants will not come: it ended, or is sealed anew and offered again.
func (t *talk) withdraw(o *proposal) {
	t.post.mu.Lock()
	t.mu.Lock()
	delete(t.open, o.parcel.key)
	if o.parcel.told[t.peer].at == t {
		delete(o.parcel.told, t.peer)
	}
	t.mu.Unlock()
	t.post.mu.Unlock()
	t.say(keyFrame(frameWithdrawn, o.parcel.key))
	nudge(t.post.house)
}
