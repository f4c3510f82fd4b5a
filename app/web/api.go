package web

import (
	"encoding/json"
	"errors"
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
}

type siteRequest struct {
	Path string `json:"path"`
	Dir  string `json:"dir,omitempty"`
}

type exposeRequest struct {
	Target uint16 `json:"local"`          // on this computer
	Port   uint16 `json:"port,omitempty"` // on the overlay; 0: the same
	Name   string `json:"name,omitempty"`
}

const maxRequest = 64 << 10 // bytes of a request to the API

// api is what the command line speaks to: JSON, and errors with their kind.
func (w *web) api() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /sites", answer(func(r *http.Request, _ struct{}) (Overview, error) {
		return w.overview()
	}))
	mux.HandleFunc("PUT /sites", answer(func(r *http.Request, in siteRequest) (Site, error) {
		return w.publish(r.Context(), in.Path, in.Dir)
	}))
	mux.HandleFunc("DELETE /sites", answer(func(r *http.Request, in siteRequest) (Site, error) {
		return w.unpublish(r.Context(), in.Path)
	}))
	mux.HandleFunc("PUT /exposed", answer(func(r *http.Request, in exposeRequest) (Exposed, error) {
		return w.expose(r.Context(), in.Target, in.Port, in.Name)
	}))
	mux.HandleFunc("DELETE /exposed", answer(func(r *http.Request, in exposeRequest) (Exposed, error) {
		return w.unexpose(r.Context(), in.Port)
	}))
	return mux
}

func (w *web) overview() (Overview, error) {
	c := w.board.content()
	if c == nil {
		return Overview{}, errStarting
	}
	o := Overview{URL: w.url("/"), Sample: c.site("/") == nil, Sites: []Site{}, Exposed: []Exposed{}}
	for _, s := range c.sites {
		o.Sites = append(o.Sites, w.described(s))
	}
	for _, e := range c.exposed {
		o.Exposed = append(o.Exposed, w.exposed(e))
	}
	return o, nil
}

var errStarting = fmt.Errorf("the web application is starting; try again in a moment: %w", kith.Temporary)

// answer makes a handler of a function from JSON to JSON. An empty body is the
// zero value.
func answer[In, Out any](fn func(*http.Request, In) (Out, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var in In
		if r.ContentLength != 0 {
			if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxRequest)).Decode(&in); err != nil {
				writeJSON(w, http.StatusBadRequest, failure{fmt.Sprintf("request is not the JSON expected: %v", err), kith.Invalid})
				return
			}
		}
		out, err := fn(r, in)
		if err != nil {
			f := failure{Text: err.Error()}
			errors.As(err, &f.Kind)
			writeJSON(w, status(f.Kind), f)
			return
		}
		writeJSON(w, http.StatusOK, out)
	}
}

// A failure is an error as it crosses the control socket.
type failure struct {
	Text string    `json:"error"`
	Kind kith.Kind `json:"kind,omitempty"`
}

func status(kind kith.Kind) int {
	switch kind {
	case kith.Invalid:
		return http.StatusBadRequest
	case kith.NotFound:
		return http.StatusNotFound
	case kith.Exists, kith.InUse:
		return http.StatusConflict
	case kith.Denied:
		return http.StatusForbidden
	case kith.Quota:
		return http.StatusTooManyRequests
	case kith.Temporary:
		return http.StatusServiceUnavailable
	}
	return http.StatusInternalServerError
}

func writeJSON(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // the caller has gone
}
