package post

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"kith.alt/kith"
)

const (
	gapPatience = time.Minute // for an ordered letter whose forerunner is missing
	opening     = 16          // letters at a time
	openAgain   = time.Second // after a fault, twice as long each time
	openMax     = 5 * time.Minute
)

// errNotYet is of a letter that waits for one before it.
var errNotYet = fmt.Errorf("waits for a letter before it: %w", kith.Temporary)

// openLetters opens letters to this host until ctx ends.
func (p *Post) openLetters(ctx context.Context) {
	slots := make(chan struct{}, opening)
	for {
		p.mu.Lock()
		ready, now, wait := p.receivers != nil && p.leaving.IsZero(), time.Now(), time.Duration(0)
		var due []*parcel
		for _, c := range p.parcels {
			if c.to != p.cfg.Self || c.done || c.opening || !ready {
				continue
			}
			if rest := c.next.Sub(now); rest <= 0 {
				c.opening = true
				due = append(due, c)
			} else if wait == 0 || rest < wait {
				wait = rest
			}
		}
		p.mu.Unlock()
		slices.SortFunc(due, func(a, b *parcel) int { return a.arrived.Compare(b.arrived) })
		for _, c := range due {
			select {
			case slots <- struct{}{}:
			case <-ctx.Done():
				return
			}
			p.work.Go(func() {
				defer func() { <-slots }()
				p.openLetter(ctx, c)
			})
		}
		var timer <-chan time.Time
		if wait > 0 {
			timer = time.After(wait)
		}
		select {
		case <-p.inbox:
		case <-timer:
		case <-ctx.Done():
			return
		}
	}
}

// openLetter opens a letter and hands it to its application.
func (p *Post) openLetter(ctx context.Context, c *parcel) {
	outcome, err := p.deliver(ctx, c)
	p.mu.Lock()
	c.opening = false
	switch {
	case errors.Is(err, errNotYet):
		c.next = c.arrived.Add(gapPatience)
	case err != nil:
		c.next = time.Now().Add(min(openMax, openAgain<<min(c.tries, 16)))
		c.tries++
	default:
		if outcome == outcomeDelivered {
			p.noteOpenedLocked(c)
		} else {
			p.forgetLocked(c)
		}
		delete(p.lost, c.key)
		for _, other := range p.parcels { // what waited for this one
			if other.from == c.from && other.to == p.cfg.Self && other.tries == 0 {
				other.next = time.Time{}
			}
		}
	}
	p.mu.Unlock()
	nudge(p.inbox)
	if err != nil {
		if ctx.Err() == nil && !errors.Is(err, errNotYet) {
			p.log.Warn("letter not received yet", "letter", c.letter, "from", c.from.Short(), "err", err)
		}
		return
	}
	p.log.Debug("letter received", "letter", c.letter, "from", c.from.Short(), "outcome", outcome)
	p.wakeTalks()
}

// refusal reports whether an application's error ends a letter.
func refusal(err error) bool {
	return slices.ContainsFunc([]kith.Kind{kith.Invalid, kith.NotFound, kith.Denied, kith.Expired}, func(k kith.Kind) bool { return errors.Is(err, k) })
}

// deliver has a letter take effect, once: its effect, its receipt, which is the mark against
// duplicates, and that it is not to be opened again are one transaction.
func (p *Post) deliver(ctx context.Context, c *parcel) (outcome string, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	h := c.header
	letter, inside, err := p.unpack(ctx, h)
	switch {
	case errors.Is(err, errNoKey):
		outcome = outcomeUnreadable
	case errors.Is(err, kith.Invalid), errors.Is(err, kith.Denied):
		outcome = outcomeRefused
	case err != nil:
		return "", err
	}
	reason := ""
	if outcome != "" {
		reason = err.Error()
		return outcome, p.settle(ctx, h, outcome, reason)
	}
	p.mu.Lock()
	receive := p.receivers[inside.App].Receive
	p.mu.Unlock()
	if receive == nil {
		return outcomeRefused, p.settle(ctx, h, outcomeRefused, fmt.Sprintf("no application called %s takes letters there", inside.App))
	}
	if time.Now().After(letter.Expires) {
		return outcomeRefused, p.settle(ctx, h, outcomeRefused, "it came after it had expired")
	}
	var refused error
	err = p.cfg.Store.Update(ctx, func(tx *sql.Tx) error {
		if known, err := isOver(ctx, tx, h.key(), h.To); err != nil {
			return err
		} else if known {
			return keepOpened(ctx, tx, h)
		}
		if inside.Sequence > 0 {
			if err := p.inTurn(ctx, tx, c, inside); err != nil {
				return err
			}
		}
		if err := receive(ctx, tx, letter); refusal(err) {
			refused = err
			return err
		} else if err != nil {
			return err
		}
		if err := keepOpened(ctx, tx, h); err != nil {
			return err
		}
		if err := foundAgain(ctx, tx, h.key()); err != nil {
			return err
		}
		_, err := p.issueReceipt(ctx, tx, h, outcomeDelivered, "")
		return err
	})
	if refused != nil {
		return outcomeRefused, p.settle(ctx, h, outcomeRefused, refused.Error())
	}
	return outcomeDelivered, err
}

// settle ends a letter that takes no effect.
func (p *Post) settle(ctx context.Context, h *header, outcome, reason string) error {
	p.log.Info("letter not taken", "letter", h.Letter, "from", h.From.Short(), "outcome", outcome, "why", reason)
	return p.cfg.Store.Update(ctx, func(tx *sql.Tx) error {
		if known, err := isOver(ctx, tx, h.key(), h.To); err != nil {
			return err
		} else if !known {
			if _, err := p.issueReceipt(ctx, tx, h, outcome, reason); err != nil {
				return err
			}
		}
		return p.discardHeld(ctx, tx, h)
	})
}

func (p *Post) discardHeld(ctx context.Context, tx *sql.Tx, h *header) error {
	held, err := p.heldHeader(ctx, tx, h.key())
	if err != nil || held == nil {
		return err
	}
	return p.discard(ctx, tx, held)
}

// errNoKey is of a letter sealed to a key that was erased, or never this host's.
var errNoKey = errors.New("the key that it was sealed to is not here any more")

// unpack opens a letter, checks it, and puts its payload among the blobs until ctx ends.
func (p *Post) unpack(ctx context.Context, h *header) (letter kith.Letter, inside *contents, err error) {
	private := p.keyOf(h.Key)
	if private == nil {
		return letter, nil, errNoKey
	}
	sealed, err := p.cfg.Blobs.Open(ctx, h.Body)
	if err != nil {
		return letter, nil, err
	}
	defer sealed.Close()
	r, err := open(private, &h.headerBody, sealed)
	if err != nil {
		return letter, nil, err
	}
	s, err := readInside(r)
	if err != nil {
		return letter, nil, fmt.Errorf("%w: %w", err, kith.Invalid)
	}
	if inside, err = parseContents(s, h); err != nil {
		return letter, nil, err
	}
	var note []byte
	if inside.NoteSize > 0 {
		note = make([]byte, inside.NoteSize)
		if _, err := io.ReadFull(r, note); err != nil {
			return letter, nil, fmt.Errorf("note: %w", short(err))
		}
		if sha256.Sum256(note) != inside.Note {
			return letter, nil, fmt.Errorf("note is not what its sender signed: %w", kith.Denied)
		}
	}
	payload, err := p.cfg.Blobs.Write(ctx, &exactly{r: r, left: inside.Size}, inside.Size)
	if err != nil {
		return letter, nil, fmt.Errorf("payload: %w", short(err))
	}
	if payload.ID != inside.Payload {
		return letter, nil, fmt.Errorf("payload is not what its sender signed: %w", kith.Denied)
	}
	if _, err := io.Copy(io.Discard, r); err != nil { // the padding is sealed, too
		return letter, nil, err
	}
	return kith.Letter{
		ID: h.Letter, From: h.From, To: h.To, App: inside.App, Note: note, Payload: payload,
		Sent: time.UnixMilli(inside.Sent), Expires: time.Unix(h.Expires, 0),
	}, inside, nil
}

// short makes what its sender did wrong of a letter that ends early, and leaves what this host's disk does wrong.
func short(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("%w: %w", err, kith.Invalid)
	}
	return err
}

// inTurn has an ordered letter wait for those before it, for a while.
func (p *Post) inTurn(ctx context.Context, tx *sql.Tx, c *parcel, inside *contents) error {
	var stream []byte
	var next int64
	err := tx.QueryRowContext(ctx, `SELECT stream, next FROM post_order WHERE sender = ? AND app = ?`, c.from[:], inside.App).Scan(&stream, &next)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return err
	}
	if string(stream) != string(inside.Stream) {
		next = 1 // its first, or it was restored and counts anew
	}
	if inside.Sequence > next && time.Since(c.arrived) < gapPatience {
		return errNotYet
	}
	_, err = tx.ExecContext(ctx, `INSERT INTO post_order (sender, app, stream, next) VALUES (?, ?, ?, ?)
		ON CONFLICT (sender, app) DO UPDATE SET stream = excluded.stream, next = excluded.next`, c.from[:], inside.App, inside.Stream, max(next, inside.Sequence+1))
	return err
}
