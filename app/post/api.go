package post

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"kith.alt/kith"
)

// maxLetters is how many of the newest letters are looked at.
const maxLetters = 10_000

// recent is for how long a letter that ended is listed with those under way.
const recent = 24 * time.Hour

// api is what the command line speaks to: JSON, and errors with their kind.
func (p *post) api() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /letters", func(w http.ResponseWriter, r *http.Request) {
		kith.Answer(func(ctx context.Context, _ struct{}) ([]Letter, error) {
			q := r.URL.Query()
			limit, err := strconv.Atoi(q.Get("limit"))
			if err != nil || limit < 1 || limit > maxLetters {
				return nil, fmt.Errorf("limit %q is no number from 1 to %d: %w", q.Get("limit"), maxLetters, kith.Invalid)
			}
			return p.letters(ctx, q.Get("app"), q.Get("all") != "", limit)
		}).ServeHTTP(w, r)
	})
	mux.HandleFunc("GET /letters/{letter}", func(w http.ResponseWriter, r *http.Request) {
		kith.Answer(func(ctx context.Context, _ struct{}) (Letter, error) { return p.letter(ctx, r.PathValue("letter")) }).ServeHTTP(w, r)
	})
	mux.Handle("GET /held", kith.Answer(func(context.Context, struct{}) ([]Held, error) { return p.held(), nil }))
	mux.Handle("GET /lost", kith.Answer(func(ctx context.Context, _ struct{}) ([]Lost, error) { return p.lost(ctx) }))
	mux.Handle("GET /limits", kith.Answer(func(context.Context, struct{}) (kith.PostLimits, error) { return p.host.Post().Limits(), nil }))
	mux.Handle("PUT /limits", kith.Answer(func(ctx context.Context, in kith.PostLimits) (kith.PostLimits, error) {
		return in, p.host.Post().SetLimits(ctx, in)
	}))
	return mux
}

// letters lists at most limit letters, the newest first: those under way and those that ended
// lately, or all.
func (p *post) letters(ctx context.Context, app string, all bool, limit int) ([]Letter, error) {
	list, err := p.host.Post().Letters(ctx, app, maxLetters)
	if err != nil {
		return nil, err
	}
	g, now := p.group(), time.Now()
	letters := []Letter{}
	for _, s := range list {
		if len(letters) == limit {
			break
		}
		if all || !s.Ended() || now.Sub(s.Since) < recent {
			letters = append(letters, g.describe(s, now))
		}
	}
	return letters, nil
}

// letter finds a letter by its name, or by the beginning of it.
func (p *post) letter(ctx context.Context, name string) (Letter, error) {
	name = strings.ToLower(name)
	g, now := p.group(), time.Now()
	if id, err := kith.ParseLetterID(name); err == nil {
		s, err := p.host.Post().Letter(ctx, id)
		return g.describe(s, now), err
	}
	list, err := p.host.Post().Letters(ctx, "", maxLetters)
	if err != nil {
		return Letter{}, err
	}
	var found []kith.LetterStatus
	for _, s := range list {
		if name != "" && strings.HasPrefix(s.ID.String(), name) {
			found = append(found, s)
		}
	}
	switch len(found) {
	case 0:
		return Letter{}, fmt.Errorf("no letter of this computer begins with %.60q: %w", name, kith.NotFound)
	case 1:
		return g.describe(found[0], now), nil
	}
	return Letter{}, fmt.Errorf("%d letters begin with %s; give more of it: %w", len(found), name, kith.Invalid)
}

// held lists what this host holds for others.
func (p *post) held() []Held {
	g := p.group()
	list := []Held{}
	for _, c := range p.host.Post().Custody() {
		list = append(list, Held{c, g.name(c.From)})
	}
	return list
}

// lost lists what this host lost when it was restored, the newest first.
func (p *post) lost(ctx context.Context) ([]Lost, error) {
	letters, err := p.host.Post().Lost(ctx)
	g := p.group()
	list := []Lost{}
	for _, l := range letters {
		list = append(list, Lost{l, g.name(l.From)})
	}
	return list, err
}
