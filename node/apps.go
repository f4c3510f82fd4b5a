package node

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"time"

	"kith.alt/kith"
	"kith.alt/kith/admin"
)

// startApps starts the applications and returns, for the dashboard and the
// control socket, what they offer there. It waits until they listen.
func (n *Node) startApps(ctx context.Context, run *supervisor) ([]admin.App, map[string]http.Handler, error) {
	var screens []admin.App
	apis := make(map[string]http.Handler)
	patience := time.NewTimer(appPatience)
	defer patience.Stop()
	for _, app := range n.cfg.Apps {
		if app.Migrations != nil {
			if err := n.store.Migrate(ctx, app.Name, app.Migrations); err != nil {
				return nil, nil, fmt.Errorf("application %s: %w", app.Name, err)
			}
		}
		h := &host{node: n, app: app, log: n.log.With("app", app.Name), listening: make(map[string]func())}
		var waiting []chan struct{}
		for _, port := range app.Ports {
			listens := make(chan struct{})
			waiting = append(waiting, listens)
			h.listening[port.Protocol] = sync.OnceFunc(func() { close(listens) })
		}
		service, err := app.New(h)
		if err != nil {
			return nil, nil, fmt.Errorf("application %s: %w", app.Name, err)
		}
		run.start(app.Name, service.Serve)
		for _, listens := range waiting {
			select {
			case <-listens:
			case <-patience.C:
				patience.Reset(0)
				n.log.Warn("application does not listen yet", "app", app.Name)
			case <-ctx.Done():
				return nil, nil, ctx.Err()
			}
		}
		screens = append(screens, admin.App{Name: app.Name, Title: app.Title, Screens: service.Screens})
		if service.API != nil {
			apis[app.Name] = service.API
		}
	}
	return screens, apis, nil
}

// portApp names the application that serves an overlay port, for people.
func (n *Node) portApp(port uint16) string {
	if port == syncPort {
		return "members"
	}
	for _, app := range n.cfg.Apps {
		for _, p := range app.Ports {
			if p.Overlay == port {
				return app.Name
			}
		}
	}
	return ""
}

var _ kith.Host = (*host)(nil)
