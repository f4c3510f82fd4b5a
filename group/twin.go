package group

import (
	"cmp"
	"context"
	"encoding/hex"
	"fmt"
	"slices"

	"kith.alt/kith"
)

// A Run is one start of a host. It names the one before, so that two starts of one copy of a host's disk
// tell each other.
type Run struct {
	ID      RunID `json:"id"`
	After   RunID `json:"after,omitzero"`
	Started int64 `json:"started"` // milliseconds since 1970
}

// A RunID is random. The zero ID names none.
type RunID [16]byte

// IsZero reports whether the ID names no run.
func (r RunID) IsZero() bool { return r == RunID{} }

// MarshalText writes 32 hexadecimal digits.
func (r RunID) MarshalText() ([]byte, error) { return hex.AppendEncode(nil, r[:]), nil }

// UnmarshalText reads what MarshalText writes.
func (r *RunID) UnmarshalText(text []byte) error {
	if n, err := hex.Decode(r[:], text[:min(len(text), 2*len(r))]); err != nil || n != len(r) || len(text) != 2*len(r) {
		return fmt.Errorf("run %.40q: %w", text, kith.Invalid)
	}
	return nil
}

// Before reports whether r began before other, as far as clocks tell.
func (r Run) Before(other Run) bool {
	return cmp.Or(cmp.Compare(r.Started, other.Started), slices.Compare(r.ID[:], other.ID[:])) < 0
}

// A Twin is another that signs with this host's key: a copy of its disk that runs, or this host before it
// was restored from a backup. The zero Twin is none.
type Twin struct {
	Run   Run
	Alive bool // it has signed that it saw this run: one that is gone cannot
}

// noteTwin notes a record of our own that we did not sign. The caller holds changing, and signs a record that
// names the run that was seen.
func (g *Group) noteTwin(own *record) {
	g.twin = Twin{Run: own.body.Run, Alive: !g.card.Run.ID.IsZero() && own.body.Saw == g.card.Run.ID}
}

// Twin returns what was seen of another that signs with this host's key, and a channel that is closed when that
// may have changed.
func (g *Group) Twin() (Twin, <-chan struct{}) {
	g.changing.Lock()
	defer g.changing.Unlock()
	return g.twin, g.state.Load().changed
}

// AwaitTwin waits until a twin is alive that is none of those known.
func (g *Group) AwaitTwin(ctx context.Context, known ...RunID) (Twin, error) {
	for {
		t, changed := g.Twin()
		if t.Alive && !slices.Contains(known, t.Run.ID) {
			return t, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return Twin{}, ctx.Err()
		}
	}
}
