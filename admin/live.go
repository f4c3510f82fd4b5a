package admin

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"time"

	"kith.alt/kith"
	"kith.alt/kith/control"
	"kith.alt/kith/ui"
)

// A view is what a page that changes by itself shows.
type view interface {
	live() []string // names of the templates that change, and ids of the elements around them
}

// view gathers what the page of that name shows.
func (a *Admin) view(ctx context.Context, status control.Status, name, host string) (view, error) {
	switch name {
	case "home":
		return a.homeView(ctx, status)
	case "members":
		return membersView(status), nil
	case "member":
		return memberView(status, host)
	case "computer":
		return a.computerView(ctx, status)
	}
	return nil, fmt.Errorf("there is no view %q: %w", name, kith.NotFound)
}

// events streams the changes of a page. Whoever is signed out meanwhile
// learns it when the stream ends, after minutes.
func (a *Admin) events(w http.ResponseWriter, r *http.Request, v visit) {
	name, host := r.PathValue("view"), r.PathValue("host")
	if host != "" {
		name = "member"
	}
	if _, err := a.view(r.Context(), v.status, name, host); err != nil {
		http.Error(w, "no such view", http.StatusNotFound)
		return
	}
	a.streams.Serve(w, r, time.Second, func(ctx context.Context) ([]ui.Fragment, error) {
		status, err := a.node.Status(ctx)
		if err != nil {
			return nil, err
		}
		shown, err := a.view(ctx, status, name, host)
		if err != nil {
			return nil, err
		}
		var frame ui.Frame
		frame.Awake, frame.Members = awake(status)
		fragments := []ui.Fragment{{ID: "live-awake", Body: func(w io.Writer) error {
			_, err := io.WriteString(w, frame.Presence())
			return err
		}}}
		for _, id := range shown.live() {
			fragments = append(fragments, ui.Fragment{ID: id, Body: pages.Body(id, shown)})
		}
		return fragments, nil
	})
}
