package web

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"kith.alt/kith"
)

func TestVisit(t *testing.T) {
	f, w := startInWorld(t)
	w.offer("/", "a.txt", "top")
	w.offer("/docs", "a.txt", "docs")
	w.swarm.Offer(kith.Entry{Host: oakID, Title: "photos", Name: "photos"}, map[string]string{"a": "not a site"})
	f.Service.Copies.Visited(f.ID())
	f.Service.Copies.Visited(oakID)
	until(t, "both sites are kept", func() bool { return len(overview(t, f).Kept) == 2 })
	if got := f.ask("GET", "/docs/a.txt"); got.Body.String() != "docs" {
		t.Errorf("the copy: %s", got.Body)
	}
	if len(w.swarm.Holdings()) != 2 {
		t.Errorf("taken: %q", w.swarm.taken)
	}
	out := f.must(t, t.TempDir(), "sites")
	if !strings.Contains(out, "oak/docs  4 bytes  published 2 days ago") {
		t.Errorf("sites:\n%s", out)
	}
	body := f.page(t, "/", http.StatusOK)
	if !strings.Contains(body, `href="http://oak--home.localhost:8080/docs/"><b>oak</b>/docs</a>`) || !strings.Contains(body, "Delete the copy") {
		t.Errorf("the page:\n%s", body)
	}

	f.must(t, t.TempDir(), "sites", "--forget", "oak")
	if o := overview(t, f); len(o.Kept) != 0 || len(w.swarm.Holdings()) != 0 {
		t.Errorf("after forgetting: %+v", o.Kept)
	}
	if _, _, err := f.Run(t.Context(), t.TempDir(), "sites", "--forget", "oak"); !errors.Is(err, kith.NotFound) {
		t.Errorf("forgotten twice: %v", err)
	}
}

// TestQuota says why a site that was visited is not kept.
func TestQuota(t *testing.T) {
	f, w := startInWorld(t)
	w.offer("/", "a.txt", "x")
	w.swarm.takeErr = fmt.Errorf("site has 9 bytes, more than the copies of a member may have here: %w", kith.Quota)
	f.Service.Copies.Visited(oakID)
	until(t, "the refusal is told", func() bool {
		o := overview(t, f)
		return len(o.Kept) == 1 && strings.HasPrefix(o.Kept[0].Problem, "Site has 9 bytes, more than")
	})
	if body := f.page(t, "/", http.StatusOK); !strings.Contains(body, "Site has 9 bytes") {
		t.Errorf("the page:\n%s", body)
	}
}

func TestKeepNothing(t *testing.T) {
	f, w := startInWorld(t)
	w.offer("/", "a.txt", "x")
	f.Service.Copies.Visited(oakID)
	until(t, "the site is kept", func() bool { return len(overview(t, f).Kept) == 1 })
	f.must(t, t.TempDir(), "sites", "--keep-visited=false")
	if o := overview(t, f); o.KeepVisited || len(o.Kept) != 0 {
		t.Errorf("kept: %+v", o)
	}
	f.Service.Copies.Visited(oakID)
	f.stop()
	f.stop = f.Serve(t)
	f.Service.Copies.Visited(oakID)
	if o := overview(t, f); o.KeepVisited || len(o.Kept) != 0 {
		t.Errorf("after a restart: %+v", o)
	}
	// It is read from others all the same, and kept for a while only.
	w.sleeps("oak", false)
	if got := f.ask("GET", "/a.txt"); got.Body.String() != "x" || len(w.swarm.Holdings()) != 1 {
		t.Errorf("on demand: %d %s", got.Code, got.Body)
	}
	w.swarm.Offer(kith.Entry{Host: oakID, Title: "other", Name: "x"}, map[string]string{"a": "a"}) // has it look
	if got := f.ask("GET", "/a.txt"); got.Body.String() != "x" || len(w.swarm.Holdings()) != 1 {
		t.Errorf("it is swept away while it is read")
	}
	form := f.visit(http.MethodPost, "/keep", map[string][]string{"keep": {"yes"}})
	if form.Code != http.StatusSeeOther || !overview(t, f).KeepVisited {
		t.Errorf("the form: %d", form.Code)
	}
}

// TestSweep has copies go with what they are of.
func TestSweep(t *testing.T) {
	f, w := startInWorld(t)
	c := f.Service.Copies.(*copies)
	entry := w.offer("/", "a.txt", "x")
	w.take(t, entry)
	c.sweep(t.Context())
	if len(w.swarm.Holdings()) != 1 {
		t.Fatal("a copy of what is published is swept away")
	}
	w.swarm.Offer(kith.Entry{Host: oakID, Title: "/", Name: "x", Withdrawn: true}, map[string]string{"b": "b"})
	c.sweep(t.Context())
	if len(w.swarm.Holdings()) != 0 || f.ask("GET", "/a.txt") != nil {
		t.Error("a copy of what was withdrawn stays")
	}
	w.take(t, w.offer("/docs", "a.txt", "x"))
	w.mu.Lock()
	w.gone["oak"] = true
	w.mu.Unlock()
	c.sweep(t.Context())
	if len(w.swarm.Holdings()) != 0 {
		t.Error("a copy of the site of somebody who left stays")
	}
}
