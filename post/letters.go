package post

import (
	"bytes"
	"context"
	"crypto/sha256"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"time"

	"kith.alt/kith"
)

// Sender is the post of one application. It implements [kith.Post].
type Sender struct {
	*Post
	app string
}

var _ kith.Post = Sender{}

// For returns the post of an application.
func (p *Post) For(app string) Sender { return Sender{p, app} }

// Send implements [kith.Post].
func (s Sender) Send(ctx context.Context, tx *sql.Tx, d kith.Draft) (kith.LetterID, error) {
	id, err := s.send(ctx, tx, s.app, d)
	if err != nil {
		return id, fmt.Errorf("letter to %s: %w", d.To.Short(), err)
	}
	return id, nil
}

func (p *Post) send(ctx context.Context, tx *sql.Tx, app string, d kith.Draft) (kith.LetterID, error) {
	id, now := kith.NewLetterID(), time.Now()
	if d.To == p.cfg.Self {
		return id, fmt.Errorf("it is this host itself: %w", kith.Invalid)
	}
	if _, ok := p.members()[d.To]; !ok {
		return id, fmt.Errorf("it is not a member: %w", kith.NotFound)
	}
	if d.Expires.IsZero() {
		d.Expires = now.Add(kith.LetterExpiry)
	}
	if life := d.Expires.Sub(now); life <= 0 || life > kith.LetterExpiry+time.Hour {
		return id, fmt.Errorf("it expires in %v; letters live for %v at most: %w", life.Round(time.Second), kith.LetterExpiry, kith.Invalid)
	}
	size := d.Payload.Size
	if size > kith.MaxLetter || len(d.Note) > kith.MaxNote {
		return id, fmt.Errorf("%d bytes and a note of %d, at most %d and %d: %w", size, len(d.Note), kith.MaxLetter, kith.MaxNote, kith.Invalid)
	}
	p.mu.Lock()
	mine := p.mine
	p.mu.Unlock()
	if mine >= maxMine {
		return id, fmt.Errorf("%d letters of this host are under way already: %w", mine, kith.Quota)
	}
	if err := p.cfg.Blobs.Keep(ctx, tx, d.Payload.ID); err != nil {
		return id, fmt.Errorf("payload: %w", err)
	}
	var stream []byte
	var sequence int64
	var err error
	if d.Ordered {
		if stream, sequence, err = nextSequence(ctx, tx, d.To, app); err != nil {
			return id, err
		}
	}
	_, err = tx.ExecContext(ctx, `INSERT INTO post_letters (id, receiver, app, note, payload, size, sent, expires, stream, sequence, state, since)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`, id[:], d.To[:], app, append([]byte{}, d.Note...), d.Payload.ID[:], size, now.UnixMilli(), d.Expires.Unix(), stream, sequence, kith.LetterQueued, now.UnixMilli())
	nudge(p.posted)
	return id, err
}

// nextSequence takes the next number of ordered letters to a host.
func nextSequence(ctx context.Context, tx *sql.Tx, to kith.ID, app string) (stream []byte, sequence int64, err error) {
	fresh := kith.NewLetterID()
	err = tx.QueryRowContext(ctx, `INSERT INTO post_sequences (receiver, app, stream, next) VALUES (?, ?, ?, 2)
		ON CONFLICT (receiver, app) DO UPDATE SET next = next + 1 RETURNING stream, next - 1`, to[:], app, fresh[:]).Scan(&stream, &sequence)
	return stream, sequence, err
}

// collectPosted takes up letters that applications sent. That Send was called says only that a
// transaction will commit; as there is one writing transaction at a time, one that begins
// later ends after it.
func (p *Post) collectPosted(ctx context.Context) {
	for {
		select {
		case <-p.posted:
		case <-ctx.Done():
			return
		}
		err := p.cfg.Store.Update(ctx, func(*sql.Tx) error { return nil })
		if err == nil {
			err = p.collect(ctx)
		}
		if err != nil && ctx.Err() == nil {
			p.log.Warn("letters not taken up", "err", err)
			p.later(ctx, time.Second, p.posted)
		}
	}
}

// later nudges c after a while.
func (p *Post) later(ctx context.Context, after time.Duration, c chan struct{}) {
	timer := time.AfterFunc(after, func() { nudge(c) })
	context.AfterFunc(ctx, func() { timer.Stop() })
}

// collect makes parcels of the letters of this host that are under way and not
// known yet.
func (p *Post) collect(ctx context.Context) error {
	p.mu.Lock()
	after := p.collected
	p.mu.Unlock()
	var found []*parcel
	err := p.cfg.Store.View(ctx, func(tx *sql.Tx) error {
		rows, err := tx.QueryContext(ctx, `SELECT number, id, receiver, header, signature, sent, expires FROM post_letters
			WHERE number > ? AND state IN (?, ?) ORDER BY number`, after, kith.LetterQueued, kith.LetterHeld)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			c := &parcel{holders: make(map[kith.ID]proof), told: make(map[kith.ID]offer)}
			var id, receiver []byte
			var s signed
			var sent, expires int64
			if err := rows.Scan(&c.number, &id, &receiver, &s.raw, &s.signature, &sent, &expires); err != nil {
				return err
			}
			c.from, c.letter, c.to = p.cfg.Self, kith.LetterID(id), kith.ID(receiver)
			c.arrived, c.until = time.UnixMilli(sent), time.Unix(expires, 0)
			if s.raw != nil {
				if c.header, err = parseHeader(s); err != nil {
					return err
				}
			}
			found = append(found, c)
		}
		if err := rows.Err(); err != nil {
			return err
		}
		return loadHolders(ctx, tx, found)
	})
	if err != nil {
		return err
	}
	p.mu.Lock()
	for _, c := range found {
		if p.parcels[c.key] == nil {
			p.parcels[c.key] = c
			p.mine++
		}
		p.collected = max(p.collected, c.number)
	}
	if len(found) > 0 {
		p.noteChangeLocked()
	}
	p.mu.Unlock()
	nudge(p.house)
	return nil
}

// maxSeals is how often a letter is sealed, where its receiver cannot open it.
const maxSeals = 16

// keyFor returns the key to seal a letter to: nil where the receiver has not said one, or none but that which it
// did not have when it was to open the letter.
func (p *Post) keyFor(c *parcel) []byte {
	public := p.cfg.SealKey(c.to)
	p.mu.Lock()
	defer p.mu.Unlock()
	if c.stale && bytes.Equal(public, c.header.Key) {
		return nil
	}
	return public
}

// sealLetter seals a letter of this host to its receiver's key, and keeps the result.
func (p *Post) sealLetter(ctx context.Context, c *parcel) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	public := p.keyFor(c)
	if public == nil {
		return nil // looked at again when members change
	}
	inside := contents{Version: wireVersion, Group: p.group(), From: c.from, To: c.to, Letter: c.letter}
	head := headerBody{Group: inside.Group, From: c.from, To: c.to, Letter: c.letter, Key: public}
	var note, payload []byte
	err := p.cfg.Store.View(ctx, func(tx *sql.Tx) error {
		return tx.QueryRowContext(ctx, `SELECT app, sent, expires, note, payload, size, stream, sequence, seal FROM post_letters WHERE number = ?`, c.number).
			Scan(&inside.App, &inside.Sent, &inside.Expires, &note, &payload, &inside.Size, &inside.Stream, &inside.Sequence, &head.Seal)
	})
	if err != nil {
		return err
	}
	inside.Payload, head.Expires = kith.BlobID(payload), inside.Expires
	if len(note) > 0 {
		inside.Note, inside.NoteSize = sha256.Sum256(note), len(note)
	}
	if head.Seal++; head.Seal > maxSeals {
		err := p.cfg.Store.Update(ctx, func(tx *sql.Tx) error {
			return p.end(ctx, tx, c.key, kith.LetterRefused, fmt.Sprintf("The receiver cannot open it: it was sealed to %d keys.", maxSeals), time.Now())
		})
		if err == nil {
			p.ended(c.key)
		}
		return err
	}
	s, err := sign(p.cfg.Key, letterDomain, inside)
	if err != nil {
		return err
	}
	plain, err := p.cfg.Blobs.Open(ctx, inside.Payload)
	if err != nil {
		return fmt.Errorf("payload: %w", err)
	}
	defer plain.Close()
	sealed, err := seal(public, &head, s, io.MultiReader(bytes.NewReader(note), plain), int64(len(note))+inside.Size)
	if err != nil {
		return err
	}
	body, err := p.cfg.Blobs.Write(ctx, sealed, maxSealed)
	if err != nil {
		return err
	}
	head.Body, head.Size = body.ID, body.Size
	h, err := signHeader(p.cfg.Key, head)
	if err != nil {
		return err
	}
	old := c.header
	err = p.cfg.Store.Update(ctx, func(tx *sql.Tx) error {
		if err := p.cfg.Blobs.Keep(ctx, tx, body.ID); err != nil {
			return err
		}
		if old != nil {
			if err := p.cfg.Blobs.Release(ctx, tx, old.Body); err != nil {
				return err
			}
			if err := deleteHolders(ctx, tx, c.key); err != nil {
				return err
			}
		}
		_, err := tx.ExecContext(ctx, `UPDATE post_letters SET seal = ?, header = ?, signature = ? WHERE number = ?`, head.Seal, h.raw, h.signature, c.number)
		return err
	})
	if err != nil {
		return err
	}
	p.mu.Lock()
	c.header, c.stale, c.there = h, false, nil
	clear(c.told)
	clear(c.holders)
	p.mu.Unlock()
	nudge(p.house)
	return nil
}

// end brings a letter of this host into its last state. A late receipt may still turn expired into
// delivered.
func (p *Post) end(ctx context.Context, tx *sql.Tx, k key, state, reason string, at time.Time) error {
	var number int64
	var old string
	var payload, raw, signature []byte
	err := tx.QueryRowContext(ctx, `SELECT number, state, payload, header, signature FROM post_letters WHERE id = ?`, k.letter[:]).Scan(&number, &old, &payload, &raw, &signature)
	if errors.Is(err, sql.ErrNoRows) {
		return nil
	} else if err != nil {
		return err
	}
	ended := kith.LetterStatus{State: old}.Ended()
	if ended && (old != kith.LetterExpired || state != kith.LetterDelivered) {
		return nil
	}
	if !ended {
		if err := p.cfg.Blobs.Release(ctx, tx, kith.BlobID(payload)); err != nil {
			return err
		}
		if raw != nil {
			h, err := parseHeader(signed{raw, signature})
			if err != nil {
				return err
			}
			if err := p.cfg.Blobs.Release(ctx, tx, h.Body); err != nil {
				return err
			}
		}
	}
	if err := deleteHolders(ctx, tx, k); err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, `UPDATE post_letters SET state = ?, reason = ?, since = ?, told = CASE told WHEN 1 THEN 2 ELSE 0 END, header = NULL, signature = NULL WHERE number = ?`,
		state, reason, at.UnixMilli(), number)
	if err == nil {
		p.cfg.Metrics.Counter("kith_post_ended_total", "Letters of this host that came to an end.", "state", state).Add(1)
	}
	return err
}

// ended forgets the parcel of a letter of this host that has ended.
func (p *Post) ended(k key) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if c := p.parcels[k]; c != nil && c.own() {
		delete(p.parcels, k)
		p.mine--
	}
	p.untold = true
	p.noteChangeLocked()
	nudge(p.house)
}

const tellAtOnce = 100

// tellApps tells applications how their letters ended.
func (p *Post) tellApps(ctx context.Context) error {
	p.mu.Lock()
	receivers, untold := p.receivers, p.untold
	p.untold = p.untold && receivers == nil
	p.mu.Unlock()
	if receivers == nil || !untold {
		return nil
	}
	ended, err := p.query(ctx, `WHERE told IN (0, 2) AND state NOT IN (?, ?) ORDER BY number LIMIT ?`, kith.LetterQueued, kith.LetterHeld, tellAtOnce)
	again := err != nil || len(ended) == tellAtOnce
	defer func() {
		if again {
			p.mu.Lock()
			p.untold = true
			p.mu.Unlock()
		}
	}()
	errs := []error{err}
	for _, s := range ended {
		if err := p.tellApp(ctx, s, receivers[s.App].Ended); err != nil {
			again = true
			errs = append(errs, fmt.Errorf("tell %s of a letter: %w", s.App, err))
		}
	}
	return errors.Join(errs...)
}

// tellApp tells an application how a letter ended. Blobs that it writes and does not keep go afterwards.
func (p *Post) tellApp(ctx context.Context, s kith.LetterStatus, tell func(context.Context, *sql.Tx, kith.LetterStatus) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	return p.cfg.Store.Update(ctx, func(tx *sql.Tx) error {
		if tell != nil {
			if err := tx.QueryRowContext(ctx, `SELECT note FROM post_letters WHERE id = ?`, s.ID[:]).Scan(&s.Note); err != nil {
				return err
			}
			if err := tell(ctx, tx, s); err != nil {
				return err
			}
		}
		_, err := tx.ExecContext(ctx, `UPDATE post_letters SET told = 1 WHERE id = ? AND state = ?`, s.ID[:], s.State)
		return err
	})
}

// Letter implements [kith.Post].
func (p *Post) Letter(ctx context.Context, id kith.LetterID) (kith.LetterStatus, error) {
	found, err := p.query(ctx, `WHERE id = ?`, id[:])
	if err == nil && len(found) == 0 {
		err = kith.NotFound
	}
	if err != nil {
		return kith.LetterStatus{}, fmt.Errorf("letter %s: %w", id, err)
	}
	return found[0], nil
}

// Letters implements [kith.Post].
func (p *Post) Letters(ctx context.Context, app string, limit int) ([]kith.LetterStatus, error) {
	found, err := p.query(ctx, `WHERE app = ? OR ? = '' ORDER BY number DESC LIMIT ?`, app, app, limit)
	if err != nil {
		return nil, fmt.Errorf("letters: %w", err)
	}
	return found, nil
}

func (p *Post) query(ctx context.Context, where string, args ...any) (list []kith.LetterStatus, err error) {
	err = p.cfg.Store.View(ctx, func(tx *sql.Tx) error {
		rows, err := tx.QueryContext(ctx, `SELECT id, receiver, app, payload, size, sent, expires, state, reason, since, told = 2 FROM post_letters `+where, args...)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			s := kith.LetterStatus{Letter: kith.Letter{From: p.cfg.Self}}
			var id, receiver, payload []byte
			var sent, expires, since int64
			if err := rows.Scan(&id, &receiver, &s.App, &payload, &s.Payload.Size, &sent, &expires, &s.State, &s.Reason, &since, &s.Late); err != nil {
				return err
			}
			s.ID, s.To, s.Payload.ID = kith.LetterID(id), kith.ID(receiver), kith.BlobID(payload)
			s.Sent, s.Expires, s.Since = time.UnixMilli(sent), time.Unix(expires, 0), time.UnixMilli(since)
			list = append(list, s)
		}
		return rows.Err()
	})
	members := p.members()
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := range list {
		p.explainLocked(&list[i], members)
	}
	return list, err
}
