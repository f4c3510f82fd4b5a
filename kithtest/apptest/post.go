package apptest

import (
	"bytes"
	"context"
	"database/sql"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"kith.alt/kith"
)

// Post is a [kith.Post] that brings nothing anywhere: a test reads what the
// application sent ([Post.Letters]), says how it ended ([Host.EndLetter]), and brings letters of
// others ([Host.BringLetter]). It is safe for concurrent use.
type Post struct {
	host *Host

	mu      sync.Mutex
	letters []kith.LetterStatus // the newest last
	limits  kith.PostLimits
	changed chan struct{}
}

var _ kith.Post = (*Post)(nil)

func newPost(h *Host) *Post { return &Post{host: h, changed: make(chan struct{})} }

// noteChange tells those who wait for Changed. The caller holds mu.
func (p *Post) noteChange() {
	close(p.changed)
	p.changed = make(chan struct{})
}

// The methods of kith.Post.

func (p *Post) Send(ctx context.Context, tx *sql.Tx, d kith.Draft) (kith.LetterID, error) {
	known := func(m kith.Member) bool { return m.ID == d.To }
	if d.To == p.host.ID() || !slices.ContainsFunc(p.host.Members(), known) {
		return kith.LetterID{}, fmt.Errorf("letter to %s: it is no other member: %w", d.To.Short(), kith.NotFound)
	}
	if err := p.host.blobs.Keep(ctx, tx, d.Payload.ID); err != nil {
		return kith.LetterID{}, err
	}
	now := time.Now()
	if d.Expires.IsZero() {
		d.Expires = now.Add(kith.LetterExpiry)
	}
	l := kith.Letter{ID: kith.NewLetterID(), From: p.host.ID(), To: d.To, App: p.host.app.Name, Note: d.Note, Payload: d.Payload, Sent: now, Expires: d.Expires}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.letters = append(p.letters, kith.LetterStatus{Letter: l, State: kith.LetterQueued, Since: now})
	p.noteChange()
	return l.ID, nil
}

func (p *Post) Letter(_ context.Context, id kith.LetterID) (kith.LetterStatus, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, l := range p.letters {
		if l.ID == id {
			return l, nil
		}
	}
	return kith.LetterStatus{}, fmt.Errorf("letter %s: %w", id, kith.NotFound)
}

func (p *Post) Letters(_ context.Context, app string, limit int) ([]kith.LetterStatus, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	list := slices.DeleteFunc(slices.Clone(p.letters), func(l kith.LetterStatus) bool { return app != "" && l.App != app })
	slices.Reverse(list)
	return list[:min(limit, len(list))], nil
}

func (p *Post) Changed() <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.changed
}

func (p *Post) Limits() kith.PostLimits {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.limits
}

func (p *Post) SetLimits(_ context.Context, l kith.PostLimits) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.limits = l
	return nil
}

func (p *Post) Custody() []kith.Custody {
	return []kith.Custody{{From: kith.ID{2}, Letters: 3, Bytes: 4 << 10}}
}

func (p *Post) Lost(context.Context) ([]kith.LostLetter, error) { return nil, nil }

// BringLetter brings the application a letter of another host, as a node does, and
// returns what the application says to it.
func (h *Host) BringLetter(t testing.TB, from kith.ID, note, payload []byte) error {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	b, err := h.blobs.Write(ctx, bytes.NewReader(payload), kith.MaxLetter)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	l := kith.Letter{ID: kith.NewLetterID(), From: from, To: h.ID(), App: h.app.Name, Note: note, Payload: b, Sent: now, Expires: now.Add(kith.LetterExpiry)}
	return h.store.Update(ctx, func(tx *sql.Tx) error { return h.Service.Receive(ctx, tx, l) })
}

// EndLetter brings a letter of the application to its end, as a node does.
func (h *Host) EndLetter(t testing.TB, id kith.LetterID, state, reason string) {
	t.Helper()
	h.post.mu.Lock()
	i := slices.IndexFunc(h.post.letters, func(l kith.LetterStatus) bool { return l.ID == id })
	if i < 0 {
		h.post.mu.Unlock()
		t.Fatalf("no letter %s", id)
	}
	s := &h.post.letters[i]
	s.State, s.Reason, s.Since = state, reason, time.Now()
	ended := *s
	h.post.noteChange()
	h.post.mu.Unlock()
	if h.Service.Ended == nil {
		return
	}
	if err := h.store.Update(t.Context(), func(tx *sql.Tx) error { return h.Service.Ended(t.Context(), tx, ended) }); err != nil {
		t.Error(err)
	}
}
