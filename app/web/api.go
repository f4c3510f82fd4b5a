package web

import (
	"context"
	"fmt"
	"net/http"

	"kith.alt/kith"
)

// An Overview is what the host shows, as GET /sites answers.
type Overview struct {
	URL     string    `json:"url"`    // of the whole site
	Sample  bool      `json:"sample"` // nothing is published at the top: members see the sample page
	Sites   []Site    `json:"sites"`
	Exposed []Exposed `json:"exposed"`

	KeepVisited bool   `json:"keep_visited"` // others' sites that a browser here has opened are kept
	Kept        []Kept `json:"kept"`         // and these are
}

type siteRequest struct {
	Path string `json:"path"`
	Dir  string `json:"dir,omitempty"`

	NoCopies bool `json:"no_copies,omitempty"`
}

type settingsRequest struct {
	KeepVisited bool `json:"keep_visited"`
}

type forgetRequest struct {
	Host string `json:"host"` // name or ID
	Path string `json:"path,omitempty"`
}

type exposeRequest struct {
	Target uint16 `json:"local"`          // on this computer
	Port   uint16 `json:"port,omitempty"` // on the overlay; 0: the same
	Name   string `json:"name,omitempty"`
}

// api is what the command line speaks to: JSON, and errors with their kind.
func (w *web) api() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /sites", kith.Answer(func(ctx context.Context, _ struct{}) (Overview, error) {
		return w.overview(ctx)
	}))
	mux.Handle("PUT /sites", kith.Answer(func(ctx context.Context, in siteRequest) (Site, error) {
		return w.publish(ctx, in.Path, in.Dir, in.NoCopies)
	}))
	mux.Handle("DELETE /sites", kith.Answer(func(ctx context.Context, in siteRequest) (Site, error) {
		return w.unpublish(ctx, in.Path)
	}))
	mux.Handle("PUT /exposed", kith.Answer(func(ctx context.Context, in exposeRequest) (Exposed, error) {
		return w.expose(ctx, in.Target, in.Port, in.Name)
	}))
	mux.Handle("DELETE /exposed", kith.Answer(func(ctx context.Context, in exposeRequest) (Exposed, error) {
		return w.unexpose(ctx, in.Port)
	}))
	mux.Handle("PUT /settings", kith.Answer(func(ctx context.Context, in settingsRequest) (Overview, error) {
		if err := w.copies.setKeep(ctx, in.KeepVisited); err != nil {
			return Overview{}, err
		}
		return w.overview(ctx)
	}))
	mux.Handle("DELETE /kept", kith.Answer(func(ctx context.Context, in forgetRequest) (Overview, error) {
		if err := w.copies.forget(ctx, in.Host, in.Path); err != nil {
			return Overview{}, err
		}
		return w.overview(ctx)
	}))
	return mux
}

func (w *web) overview(ctx context.Context) (Overview, error) {
	c := w.board.content()
	if c == nil {
		return Overview{}, errStarting
	}
	w.ports.probe(ctx, c.exposed)
	o := Overview{URL: w.url("/"), Sample: c.site("/") == nil, Sites: []Site{}, Exposed: []Exposed{},
		KeepVisited: w.copies.keep.Load(), Kept: w.copies.list()}
	for _, s := range c.sites {
		o.Sites = append(o.Sites, w.described(s))
	}
	for _, e := range c.exposed {
		o.Exposed = append(o.Exposed, w.exposed(e))
	}
	return o, nil
}

var errStarting = fmt.Errorf("the web application is starting; try again in a moment: %w", kith.Temporary)
