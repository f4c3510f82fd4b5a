package post

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"kith.alt/kith"
	"kith.alt/kith/gossip"
)

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
	case frameGaps:
		gaps, err := readGaps(payload)
		t.mu.Lock()
		t.gaps = gaps
		t.mu.Unlock()
		return err
	case frameReceipts:
		return t.takeReceipts(ctx, payload)
	case frameOffer:
		return t.takeOffer(ctx, payload)
	case frameAnswer:
		return t.takeAnswer(ctx, payload)
	case frameKept:
		return t.takeKept(ctx, payload)
	case frameHolders:
		return t.takeHolders(ctx, payload)
	case frameAgain:
		return t.takeAgain(payload)
	case frameWithdrawn:
		return t.takeWithdrawn(payload)
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
	var held *parcel
	switch {
	case err != nil:
		answer = answerTo(k, err)
	case have:
		var word proof
		if held = p.parcels[k]; held != nil && held.header != nil {
			word = p.proofLocked(held)
		}
		answer = haveFrame(k, word)
	case t.expected[k] != nil || p.comesLocked(k) || len(t.expected) >= maxUnsettled:
		answer = answerFrame(k, verdictBusy, "")
	default:
		p.arriving[k] = t
		e := &expectation{header: h, holders: holders, returned: t.peer == h.To, since: time.Now()}
		p.expectLocked(h, e.returned, 1)
		t.expected[k] = e
		answer = answerFrame(k, verdictWant, "")
	}
	t.mu.Unlock()
	p.mu.Unlock()
	if errors.Is(err, kith.Denied) {
		return err // a forged header
	}
	t.say(answer)
	if held != nil {
		return p.addHolders(ctx, held, holders...)
	}
	return nil
}

// comesLocked reports whether another brings a letter, and has not taken too long.
func (p *Post) comesLocked(k key) bool {
	t := p.arriving[k]
	if t == nil {
		return false
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	e := t.expected[k]
	return e != nil && time.Since(e.since) < slow
}

// takeWithdrawn notes that a letter which was wanted will not come.
func (t *talk) takeWithdrawn(payload []byte) error {
	k, _, err := cutKey(payload)
	if err != nil {
		return err
	}
	t.post.mu.Lock()
	t.mu.Lock()
	if e := t.expected[k]; e != nil && !e.begun {
		t.expectNoMoreLocked(k)
	}
	t.mu.Unlock()
	t.post.mu.Unlock()
	return nil
}

// takeAnswer notes what the peer says of an offer.
func (t *talk) takeAnswer(ctx context.Context, payload []byte) error {
	k, v, reason, word, err := readAnswer(payload)
	if err != nil {
		return err
	}
	p := t.post
	p.mu.Lock()
	t.mu.Lock()
	var c *parcel // that the answer is about
	o := t.open[k]
	now := o != nil && v == verdictWant && !o.wanted
	if o != nil && o.standsLocked(p) {
		c = o.parcel
	}
	if !now {
		delete(t.open, k)
	}
	switch {
	case now: // what does not stand any more is withdrawn in its turn
		o.wanted = true
		t.wanted = append(t.wanted, o)
		if c != nil {
			c.told[t.peer] = offer{at: t, full: c.told[t.peer].full}
		}
	case c == nil:
	case v == verdictBusy:
		c.told[t.peer] = offer{next: time.Now().Add(busyPause), reason: reason}
	case v == verdictFull: // it may have room soon, or not for long
		full := c.told[t.peer].full
		c.told[t.peer] = offer{next: time.Now().Add(min(busyPause<<full, refusedPause)), reason: reason, full: min(full+1, 16)}
		p.noteChangeLocked()
	case v == verdictHave: // without a proof it has ended, and the receipt is on its way
		c.told[t.peer] = offer{next: time.Now().Add(busyPause)}
	case v == verdictRefused:
		c.told[t.peer] = offer{next: time.Now().Add(refusedPause), reason: reason}
		p.noteChangeLocked()
	}
	if c != nil && v == verdictHave {
		c.noteThere(t)
	}
	t.mu.Unlock()
	p.mu.Unlock()
	nudge(t.wake)
	nudge(p.house)
	if c != nil && word != nil {
		return p.addHolders(ctx, c, holder{t.peer, word})
	}
	return nil
}

// takeKept notes that the peer has a letter now.
func (t *talk) takeKept(ctx context.Context, payload []byte) error {
	k, word, err := readKept(payload)
	if err != nil {
		return err
	}
	p := t.post
	p.mu.Lock()
	t.mu.Lock()
	o := t.open[k]
	sent := o != nil && o.wanted
	delete(t.open, k)
	t.mu.Unlock()
	var c *parcel
	if sent && o.standsLocked(p) {
		c = o.parcel
		c.told[t.peer] = offer{next: time.Now().Add(busyPause)}
		c.noteThere(t)
	}
	p.mu.Unlock()
	nudge(t.wake)
	if c == nil {
		return nil // it ended meanwhile
	}
	return p.addHolders(ctx, c, holder{t.peer, word})
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
	if e == nil || e.begun || t.inBody {
		return fmt.Errorf("a letter that nobody wants: %w", kith.Invalid)
	}
	t.mu.Lock()
	e.begun = true
	t.mu.Unlock()
	t.inBody = true
	body := &incoming{talk: t, ctx: ctx, left: e.header.Size}
	taking, cancel := context.WithCancel(context.WithoutCancel(ctx)) // what has come is kept, whatever becomes of the talk
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
		var word proof
		if err == nil {
			word, err = t.post.hold(ctx, e)
		}
		t.post.mu.Lock()
		t.mu.Lock()
		t.expectNoMoreLocked(k)
		if err == nil {
			t.post.expectLocked(e.header, e.returned, 1) // it has taken the room
		}
		t.mu.Unlock()
		t.post.mu.Unlock()
		if errors.Is(err, errOver) {
			t.say(haveFrame(k, nil))
			return
		} else if err != nil {
			t.post.log.Warn("letter not kept", "letter", k.letter, "from", k.from.Short(), "err", err)
			t.say(faultTo(k, err))
			return
		}
		t.say(keptFrame(k, word))
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
