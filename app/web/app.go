package web

import (
	"context"
	"embed"
	"io/fs"
	"log/slog"
	"net/http"
	"sync"

	"kith.alt/kith"
	"kith.alt/kith/app/web/static"
)

//go:embed migrations
var files embed.FS

// App returns the web application.
func App() kith.App {
	migrations, err := fs.Sub(files, "migrations")
	if err != nil {
		panic(err) // the name is a constant
	}
	return kith.App{
		Name:  "web",
		Title: "Web",
		Ports: []kith.Port{
			{Protocol: "http", Overlay: 80, Local: kith.LocalNone},
		},
		Migrations: migrations,
		Commands:   []kith.Command{publishCommand(), unpublishCommand(), sitesCommand(), exposeCommand(), unexposeCommand()},
		New: func(host kith.Host) (kith.Service, error) {
			w := newWeb(host)
			return kith.Service{Serve: w.serve, API: w.api(), Screens: w.screens(), Copies: w.copies}, nil
		},
	}
}

// web is the application on one host.
type web struct {
	host      kith.Host
	log       *slog.Logger
	metrics   *metrics
	static    *static.Server
	board     *board
	ports     *ports
	transport *http.Transport // to exposed services
	conns     *connLimit      // of the site
	shares    *shares         // of what is published
	copies    *copies         // of others' sites
}

func newWeb(host kith.Host) *web {
	w := &web{host: host, log: host.Log(), board: &board{store: host.Store()}}
	w.metrics = newMetrics(host.Metrics())
	w.static = static.New(w.log, static.Pages{Listing: w.showListing, Error: w.showError})
	w.conns = newConnLimit(maxConns, maxPeerConns, w.metrics.refused)
	w.ports = newPorts(host.ListenPort, host.PrivatePort, w.metrics, w.log)
	w.transport = newTransport(w.ports)
	w.board.handler = w.placeHandler
	w.shares = newShares(host, w.board, w.checkDir)
	w.board.changed = w.shares.changed
	w.copies = newCopies(host)
	host.Metrics().Gauge("kith_web_connections", "Open connections to the site.",
		func() float64 { return float64(w.conns.count()) })
	host.Metrics().Gauge("kith_web_exposed_connections", "Open connections to exposed ports.",
		func() float64 { return float64(w.ports.conns.count()) })
	return w
}

// serve shows the site and the exposed ports until ctx ends.
func (w *web) serve(ctx context.Context) error {
	if err := w.board.load(ctx); err != nil {
		return err
	}
	if err := w.copies.load(ctx); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	var work sync.WaitGroup
	defer work.Wait()
	defer cancel()
	begun := make(chan struct{})
	work.Go(func() { w.ports.serve(ctx, w.board.exposed(), begun) })
	<-begun
	work.Go(func() { w.shares.serve(ctx) })
	work.Go(func() { w.copies.serve(ctx) })
	listener, err := w.host.Listen(ctx, "http")
	if err != nil {
		return err
	}
	return w.serveHTTP(ctx, listener)
}

// placeHandler serves what stands at one place of the site.
func (w *web) placeHandler(at string, site *Site, exposed *Exposed) http.Handler {
	if exposed != nil {
		return w.newProxy(at, exposed.Target)
	}
	dir := site.Dir
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) { w.static.ServeDir(rw, r, dir, at) })
}
