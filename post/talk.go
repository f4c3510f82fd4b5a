package post

import (
	"context"
	"database/sql"
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
	whole   bool              // all of the vector has come
	cursor  int64             // arrival of the last receipt that was looked at
	queue   [][]byte          // frames
	offers  []*parcel         // to be offered
	open    map[key]bool      // offered, and not settled: true once the peer wants it
	wanted  []*parcel
	holding sync.WaitGroup
}

// An expectation is a letter that is to come in a talk.
type expectation struct {
	header  *header
	holders []kith.ID
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
		vector: make(map[kith.ID]int64), expected: make(map[key]*expectation), open: make(map[key]bool),
	}
	p.mu.Lock()
	p.talks[peer] = append(p.talks[peer], t)
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
	for k, e := range t.expected {
		delete(p.arriving, k)
		p.expectLocked(e.header, -1)
	}
	for _, c := range p.parcels {
		if c.told[t.peer].at == t {
			delete(c.told, t.peer)
		}
	}
	p.mu.Unlock()
	nudge(p.house)
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
	for _, frame := range append([][]byte{hello}, vectorFrames(vector)...) {
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
		if r.Number > t.vector[r.To] {
			t.vector[r.To] = r.Number
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
		if p.parcels[c.key] != c || c.header == nil || c.stale || c.holders[t.peer] || c.told[t.peer].at != nil || c.told[t.peer].next.After(time.Now()) {
			continue
		}
		c.told[t.peer] = offer{at: t}
		t.open[c.key] = false
		holders := make([]kith.ID, 0, len(c.holders)+1)
		for id := range c.holders {
			if id != t.peer {
				holders = append(holders, id)
			}
		}
		if !c.own() {
			holders = append(holders, p.cfg.Self)
		}
		t.queue = append(t.queue, offerFrame(c.header, holders))
		t.used = time.Now()
		return true
	}
	return false
}

// sendLetter sends the next letter that the peer wants.
func (t *talk) sendLetter(ctx context.Context) (bool, error) {
	p := t.post
	t.mu.Lock()
	var c *parcel
	if len(t.wanted) > 0 {
		c, t.wanted = t.wanted[0], t.wanted[1:]
		t.used = time.Now()
	}
	t.mu.Unlock()
	if c == nil {
		return false, nil
	}
	p.mu.Lock()
	h := c.header
	p.mu.Unlock()
	body, err := p.cfg.Blobs.Open(ctx, h.Body)
	if errors.Is(err, kith.NotFound) { // it ended meanwhile: the peer learns it from the receipt
		return false, fmt.Errorf("letter %s ended on its way: %w", c.letter, net.ErrClosed)
	} else if err != nil {
		return false, err
	}
	defer body.Close()
	if err := t.send(keyFrame(frameBegin, c.key)); err != nil {
		return false, err
	}
	frame := gossip.BeginFrame(frameBody)
	head := len(frame)
	buf := make([]byte, min(bodyPart, h.Size))
	for left := h.Size; left > 0; {
		n, err := io.ReadFull(body, buf[:min(int64(len(buf)), left)])
		if err != nil {
			return false, fmt.Errorf("read letter %s: %w", c.letter, err)
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

// read takes the peer's frames until the conversation ends.
func (t *talk) read(ctx context.Context) error {
	if err := t.conn.SetReadDeadline(time.Now().Add(gossip.Patience)); err != nil {
		return err
	}
	kind, payload, err := gossip.ReadFrame[frameKind](t.conn, &t.buf)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return fmt.Errorf("peer says nothing: %w", kith.Temporary)
	} else if err != nil {
		return err
	}
	if kind != frameHello {
		return fmt.Errorf("frame of type %d in place of a greeting: %w", kind, kith.Invalid)
	}
	g, err := readHello(payload)
	if err != nil {
		return err
	}
	t.post.noteRoom(t.peer, g.Room)
	for {
		if err := t.conn.SetReadDeadline(time.Time{}); err != nil {
			return err
		}
		if err := t.next(ctx); err != nil {
			return err
		}
	}
}

// next reads a frame and takes it.
func (t *talk) next(ctx context.Context) error {
	kind, payload, err := gossip.ReadFrame[frameKind](t.conn, &t.buf)
	if err != nil {
		return err
	}
	if kind != frameBody {
		if rest := t.frames.Rest(); rest > 0 {
			select {
			case <-time.After(rest):
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		t.frames.Spend()
	}
	return t.take(ctx, kind, payload)
}

func (t *talk) take(ctx context.Context, kind frameKind, payload []byte) error {
	switch kind {
	case frameVector:
		return t.takeVector(payload)
	case frameReceipts:
		return t.takeReceipts(ctx, payload)
	case frameOffer:
		return t.takeOffer(ctx, payload)
	case frameAnswer:
		return t.takeAnswer(ctx, payload)
	case frameKept:
		k, _, err := cutKey(payload)
		if err != nil {
			return err
		}
		return t.takeKept(ctx, k)
	case frameHolders:
		return t.takeHolders(ctx, payload)
	case frameAgain:
		return t.takeAgain(payload)
	case frameBegin:
		return t.takeLetter(ctx, payload)
	case frameBody:
		if !t.inBody {
			return fmt.Errorf("bytes of no letter: %w", kith.Invalid)
		}
		t.body = payload
	}
	return nil
}

func (t *talk) takeVector(payload []byte) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.whole {
		return fmt.Errorf("a second vector: %w", kith.Invalid)
	}
	t.whole = len(payload) == 0
	nudge(t.wake)
	return readVector(payload, t.vector)
}

func (t *talk) takeReceipts(ctx context.Context, payload []byte) error {
	list, err := readReceipts(payload)
	if err != nil {
		return err
	}
	if err := t.post.takeReceipts(ctx, list); err != nil {
		return err
	}
	t.mu.Lock()
	t.used = time.Now()
	for _, r := range list {
		t.vector[r.To] = max(t.vector[r.To], r.Number)
	}
	t.mu.Unlock()
	t.post.wakeTalks()
	return nil
}

// takeOffer answers whether a letter is wanted here.
func (t *talk) takeOffer(ctx context.Context, payload []byte) error {
	h, holders, err := readOffer(payload)
	if err != nil {
		return err
	}
	p, k := t.post, h.key()
	have, err := p.admit(ctx, h, t.peer)
	p.mu.Lock()
	t.mu.Lock()
	t.used = time.Now()
	var answer []byte
	switch {
	case err != nil:
		answer = answerTo(k, err)
	case have:
		answer = answerFrame(k, verdictHave, "")
	case p.arriving[k] != nil || len(t.expected) >= maxUnsettled:
		answer = answerFrame(k, verdictBusy, "")
	default:
		p.arriving[k] = t
		p.expectLocked(h, 1)
		t.expected[k] = &expectation{h, holders}
		answer = answerFrame(k, verdictWant, "")
	}
	t.mu.Unlock()
	p.mu.Unlock()
	if errors.Is(err, kith.Denied) {
		return err // a forged header
	}
	t.say(answer)
	return nil
}

// takeAnswer notes what the peer says of an offer.
func (t *talk) takeAnswer(ctx context.Context, payload []byte) error {
	k, v, reason, err := readAnswer(payload)
	if err != nil {
		return err
	}
	p := t.post
	p.mu.Lock()
	t.mu.Lock()
	wanted, open := t.open[k]
	c := p.parcels[k]
	settled := open && !(v == verdictWant && !wanted)
	if settled {
		delete(t.open, k)
	}
	switch {
	case !open || c == nil || c.told[t.peer].at != t:
		c = nil
	case v == verdictWant && !wanted:
		t.open[k] = true
		t.wanted = append(t.wanted, c)
	case v == verdictBusy:
		c.told[t.peer] = offer{next: time.Now().Add(busyPause), reason: reason}
	case v == verdictFull, v == verdictRefused:
		c.told[t.peer] = offer{next: time.Now().Add(refusedPause), reason: reason}
		p.noteChangeLocked()
	}
	t.mu.Unlock()
	p.mu.Unlock()
	nudge(t.wake)
	nudge(p.house)
	if c != nil && v == verdictHave {
		return p.addHolders(ctx, c, t.peer)
	}
	return nil
}

// takeKept notes that the peer has a letter now.
func (t *talk) takeKept(ctx context.Context, k key) error {
	p := t.post
	p.mu.Lock()
	t.mu.Lock()
	_, sent := t.open[k]
	delete(t.open, k)
	t.mu.Unlock()
	c := p.parcels[k]
	p.mu.Unlock()
	nudge(t.wake)
	if !sent || c == nil {
		return nil // it ended meanwhile
	}
	return p.addHolders(ctx, c, t.peer)
}

func (t *talk) takeHolders(ctx context.Context, payload []byte) error {
	k, rest, err := cutKey(payload)
	if err != nil {
		return err
	}
	holders, err := readHolders(rest)
	if err != nil {
		return err
	}
	p := t.post
	p.mu.Lock()
	c := p.parcels[k]
	known := c != nil && (c.from == t.peer || c.holders[t.peer])
	p.mu.Unlock()
	if !known {
		return nil
	}
	return p.addHolders(ctx, c, holders...)
}

// addHolders notes who else has a letter.
func (p *Post) addHolders(ctx context.Context, c *parcel, holders ...kith.ID) error {
	p.mu.Lock()
	fresh := slices.DeleteFunc(slices.Clone(holders), func(id kith.ID) bool { return c.holders[id] || id == p.cfg.Self })
	if len(c.holders)+len(fresh) > maxHolders {
		fresh = nil
	}
	p.mu.Unlock()
	err := p.cfg.Store.Update(ctx, func(tx *sql.Tx) error {
		for _, id := range fresh {
			if err := addHolder(ctx, tx, c.key, id); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	p.mu.Lock()
	for _, id := range holders {
		if c.told[id].at != nil {
			delete(c.told, id)
		}
	}
	for _, id := range fresh {
		c.holders[id] = true
	}
	if len(fresh) > 0 && p.parcels[c.key] == c {
		p.tellHoldersLocked(c)
	}
	p.noteChangeLocked()
	p.mu.Unlock()
	p.wakeTalks()
	return nil
}

// tellHoldersLocked tells those who have a letter who else has it.
func (p *Post) tellHoldersLocked(c *parcel) {
	for id := range c.holders {
		if talks := p.talks[id]; len(talks) > 0 && id != c.to {
			talks[0].say(p.holdersFrameLocked(c))
		}
	}
}

func (p *Post) holdersFrameLocked(c *parcel) []byte {
	all := make([]kith.ID, 0, len(c.holders)+1)
	for id := range c.holders {
		all = append(all, id)
	}
	if !c.own() {
		all = append(all, p.cfg.Self)
	}
	return appendHolders(keyFrame(frameHolders, c.key), all)
}

// tellAllHolders tells the peer, once, who has the letters that it has.
func (t *talk) tellAllHolders() {
	p := t.post
	p.mu.Lock()
	defer p.mu.Unlock()
	n := 0
	for _, c := range p.parcels {
		if c.holders[t.peer] && !c.done && c.to != t.peer {
			t.say(p.holdersFrameLocked(c))
			if n++; n == maxRetold {
				return
			}
		}
	}
}

// takeLetter takes the body of a letter that was wanted.
func (t *talk) takeLetter(ctx context.Context, payload []byte) error {
	k, _, err := cutKey(payload)
	if err != nil {
		return err
	}
	t.mu.Lock()
	e := t.expected[k]
	t.mu.Unlock()
	if e == nil || t.inBody {
		return fmt.Errorf("a letter that nobody wants: %w", kith.Invalid)
	}
	t.inBody = true
	body := &incoming{talk: t, ctx: ctx, left: e.header.Size}
	taking, cancel := context.WithCancel(ctx)
	blob, err := t.post.cfg.Blobs.Write(taking, body, e.header.Size)
	if err != nil && body.err == nil { // a fault here, not of the conversation
		_, body.err = io.Copy(io.Discard, body)
	}
	t.inBody = false
	if body.err != nil {
		cancel()
		return body.err
	}
	if err == nil && blob.ID != e.header.Body {
		cancel()
		return fmt.Errorf("letter %s is not what its header says: %w", k.letter, kith.Invalid)
	}
	t.holding.Go(func() {
		defer cancel()
		if err == nil {
			err = t.post.hold(ctx, e.header, e.holders)
		}
		t.post.mu.Lock()
		delete(t.post.arriving, k)
		if err != nil {
			t.post.expectLocked(e.header, -1)
		}
		t.mu.Lock()
		delete(t.expected, k)
		t.mu.Unlock()
		t.post.mu.Unlock()
		if err != nil {
			t.post.log.Warn("letter not kept", "letter", k.letter, "from", k.from.Short(), "err", err)
			t.say(answerTo(k, err))
			return
		}
		t.say(keyFrame(frameKept, k))
	})
	return nil
}

// incoming is the body of a letter as it comes. Other frames in between are taken.
type incoming struct {
	talk *talk
	ctx  context.Context
	left int64
	err  error // of the conversation
}

func (in *incoming) Read(b []byte) (int, error) {
	t := in.talk
	if in.left == 0 {
		return 0, io.EOF
	}
	for len(t.body) == 0 && in.err == nil {
		if in.err = t.conn.SetReadDeadline(time.Now().Add(gossip.Patience)); in.err == nil {
			in.err = t.next(in.ctx)
		}
	}
	if int64(len(t.body)) > in.left && in.err == nil {
		in.err = fmt.Errorf("more bytes than the letter has: %w", kith.Invalid)
	}
	if in.err != nil {
		return 0, in.err
	}
	n := copy(b, t.body)
	t.body = t.body[n:]
	in.left -= int64(n)
	return n, nil
}
