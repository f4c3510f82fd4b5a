package node

import (
	"context"
	"fmt"
	"net/http"
	"sync"

	"kith.alt/kith"
	"kith.alt/kith/admin"
	"kith.alt/kith/mesh"
	"kith.alt/kith/post"
	"kith.alt/kith/swarm"
)

// startApps starts the applications and returns, for the dashboard, the control
// socket and the gateway, what they offer there. It waits until they listen.
func (n *Node) startApps(ctx context.Context, run *supervisor) ([]admin.App, map[string]http.Handler, kith.Copies, error) {
	var screens []admin.App
	var copies kith.Copies
	apis := make(map[string]http.Handler)
	n.receivers = make(map[string]post.Receiver)
	waiting, cancel := context.WithTimeout(ctx, appPatience)
	defer cancel()
	for _, app := range n.cfg.Apps {
		service, listening, err := n.startApp(ctx, run, app)
		if err != nil {
			return nil, nil, nil, fmt.Errorf("application %s: %w", app.Name, err)
		}
		for _, listens := range listening {
			select {
			case <-listens:
			case <-waiting.Done():
				n.log.Warn("application does not listen yet", "app", app.Name)
			}
		}
		screens = append(screens, admin.App{Name: app.Name, Title: app.Title, Screens: service.Screens})
		if service.API != nil {
			apis[app.Name] = service.API
		}
		if service.Copies != nil {
			copies = service.Copies
		}
		n.receivers[app.Name] = post.Receiver{Receive: service.Receive, Ended: service.Ended}
	}
	return screens, apis, copies, ctx.Err()
}

// startApp starts one application; listening is closed, for each of its ports,
// when it listens there.
func (n *Node) startApp(ctx context.Context, run *supervisor, app kith.App) (service kith.Service, listening []chan struct{}, err error) {
	if app.Migrations != nil {
		if err := n.store.Migrate(ctx, app.Name, app.Migrations); err != nil {
			return service, nil, err
		}
	}
	h := &host{node: n, app: app, log: n.log.With("app", app.Name), listening: make(map[string]func())}
	for _, port := range app.Ports {
		listens := make(chan struct{})
		listening = append(listening, listens)
		h.listening[port.Protocol] = sync.OnceFunc(func() { close(listens) })
	}
	if service, err = app.New(h); err != nil {
		return service, nil, err
	}
	if service.Serve != nil {
		run.start(app.Name, service.Serve)
	}
	return service, listening, nil
}

// portApp names the application that serves an overlay port, for people.
func (n *Node) portApp(port uint16) string {
	switch port {
	case mesh.SyncPort:
		return "members"
	case swarm.Port:
		return "share"
	case post.Port:
		return "post"
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
