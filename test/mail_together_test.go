package test

import (
	"net/http"
	"slices"
	"testing"

	"kith.alt/kith/kithtest/require"
)

// held waits until so many members hold each letter of the sender.
func (w *mailWorld) held(t *testing.T, count int) {
	t.Helper()
	type letter struct {
		HeldBy        []string
		State, Reason string
	}
	var letters []letter
	defer func() {
		if t.Failed() {
			t.Logf("letters: %+v", letters)
		}
	}()
	await(t, "all letters are held", func() bool {
		err := w.nodes[0].control.API(t.Context(), "post", http.MethodGet, "/letters?limit=10000", nil, &letters)
		return err == nil && len(letters) == len(w.taken) &&
			!slices.ContainsFunc(letters, func(l letter) bool { return len(l.HeldBy) < count })
	})
}

// many sends messages on one connection.
func (w *mailWorld) many(t *testing.T, count int) {
	t.Helper()
	c, err := w.nodes[0].submit()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for n := range count {
		if err := w.send(c, n); err != nil {
			t.Fatal(err)
		}
	}
}

// TestMailNeverTogether has the hosts of sender and receiver, each a process, never be up together, and a third one
// between them: all mail arrives, once, byte for byte.
func TestMailNeverTogether(t *testing.T) {
	t.Parallel()
	count := 100
	if require.Everything() {
		count = 1000
	}
	w := newMailWorld(t, "maple", "oak", "elm")
	maple, oak := w.nodes[0], w.nodes[1]
	oak.stop()
	w.many(t, count)
	w.held(t, 1)
	maple.stop()
	oak.start(t, "")
	await(t, "all have arrived", func() bool { return len(w.fetch(t, oak)) == count })
	oak.stop()
	maple.start(t, "") // elm tells it
	w.settle(t)
	oak.start(t, "")
	w.audit(t)
}

// TestMailCustodiansLost destroys two of three hosts that hold the mail, while those of sender and receiver are down.
func TestMailCustodiansLost(t *testing.T) {
	t.Parallel()
	count := 20
	if require.Everything() {
		count = 200
	}
	w := newMailWorld(t, "maple", "oak", "elm", "ash", "fir")
	maple, oak := w.nodes[0], w.nodes[1]
	oak.stop()
	w.many(t, count)
	w.held(t, 3)
	maple.stop()
	for _, lost := range w.nodes[2:4] {
		lost.cmd.Process.Kill()
		<-lost.done
	}
	oak.start(t, "")
	await(t, "all have arrived", func() bool { return len(w.fetch(t, oak)) == count })
	maple.start(t, "")
	w.settle(t)
	w.audit(t)
}
