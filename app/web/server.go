package web

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"kith.alt/kith"
)

// The limits of the site's server.
const (
	maxConns      = 1024
	maxPeerConns  = 512
	maxHeader     = 64 << 10 // bytes
	headerTimeout = 10 * time.Second
	idleTimeout   = 2 * time.Minute
	writeTimeout  = 5 * time.Minute // for one write: a reader that has paused comes back with a range
	stopTimeout   = 3 * time.Second
)

// serveHTTP serves the site on listener until ctx ends. Requests under way
// then have stopTimeout to finish.
func (w *web) serveHTTP(ctx context.Context, listener net.Listener) error {
	var active sync.WaitGroup
	requests, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	server := &http.Server{
		Handler: http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			active.Add(1)
			defer active.Done()
			w.ServeHTTP(rw, r)
		}),
		ReadHeaderTimeout: headerTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeader,
		BaseContext:       func(net.Listener) context.Context { return requests },
		ConnContext:       withPeer,
		ErrorLog:          slog.NewLogLogger(w.log.Handler(), slog.LevelDebug), // other people's bad requests
	}
	stopped := make(chan struct{})
	unlessEnded := context.AfterFunc(ctx, func() {
		defer close(stopped)
		grace, cancelGrace := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
		defer cancelGrace()
		if err := server.Shutdown(grace); err != nil {
			_ = server.Close() // what is left has had its time
		}
		cancel() // ends WebSockets, which Shutdown does not see
		active.Wait()
	})
	err := server.Serve(limitedListener{listener, w.conns, w.metrics, writeTimeout})
	if unlessEnded() { // the listener failed
		_ = server.Close()
		return err
	}
	<-stopped
	return nil
}

// ServeHTTP answers with the place of the site whose path fits best.
func (w *web) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	recorder := &recorder{ResponseWriter: rw}
	defer func() { w.metrics.request(recorder.status) }()
	if place := w.board.place(r.URL.Path); place != nil {
		place.handler.ServeHTTP(recorder, r)
		return
	}
	w.showSample(recorder, r)
}

type peerKey struct{}

func withPeer(ctx context.Context, conn net.Conn) context.Context {
	if peer, ok := kith.PeerOf(conn); ok {
		return context.WithValue(ctx, peerKey{}, peer)
	}
	return ctx
}

// recorder remembers the status of a response.
type recorder struct {
	http.ResponseWriter
	status int
}

func (r *recorder) WriteHeader(status int) {
	if r.status < http.StatusOK { // the last one counts: 100 and 103 come before
		r.status = status
	}
	r.ResponseWriter.WriteHeader(status)
}

func (r *recorder) Write(p []byte) (int, error) {
	if r.status < http.StatusOK {
		r.status = http.StatusOK
	}
	return r.ResponseWriter.Write(p)
}

// ReadFrom keeps the pooled buffers of net/http in use.
func (r *recorder) ReadFrom(from io.Reader) (int64, error) {
	if r.status < http.StatusOK {
		r.status = http.StatusOK
	}
	return io.Copy(r.ResponseWriter, from)
}

// Unwrap lets http.ResponseController flush and hijack.
func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }
