package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"slices"
	"time"
)

// A service that fails is started again after firstPause, then twice that, up
// to longestPause; one that lasted longer than that starts afresh.
const (
	firstPause   = time.Second
	longestPause = time.Minute
)

// supervisor runs services and stops them in reverse order. It belongs to one
// goroutine.
type supervisor struct {
	log      *slog.Logger
	failed   func(service string, err error)
	services []*service
}

type service struct {
	name   string
	cancel context.CancelFunc
	done   chan struct{}
}

// start runs serve until stop, and again whenever it fails.
func (s *supervisor) start(name string, serve func(context.Context) error) {
	ctx, cancel := context.WithCancel(context.Background())
	svc := &service{name: name, cancel: cancel, done: make(chan struct{})}
	s.services = append(s.services, svc)
	go func() {
		defer close(svc.done)
		wait := firstPause
		for {
			started := time.Now()
			err := s.protect(ctx, name, serve)
			if ctx.Err() != nil {
				return
			}
			if err == nil {
				err = errors.New("ended although nobody stopped it")
			}
			if time.Since(started) > longestPause {
				wait = firstPause
			}
			s.log.Error("service failed, starts again", "service", name, "err", err, "pause", wait)
			s.failed(name, err)
			if !pause(ctx, wait) {
				return
			}
			wait = min(2*wait, longestPause)
		}
	}()
}

// protect turns a panic into an error, so that one application's fault is not
// every application's end.
func (s *supervisor) protect(ctx context.Context, name string, serve func(context.Context) error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			s.log.Error("service panicked", "service", name, "panic", p, "stack", string(debug.Stack()))
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	return serve(ctx)
}

// stop ends the services, the last started first, and gives all of them
// together the time of grace.
func (s *supervisor) stop(grace time.Duration) {
	deadline := time.After(grace)
	for _, svc := range slices.Backward(s.services) {
		svc.cancel()
		select {
		case <-svc.done:
		case <-deadline:
			s.log.Warn("service did not stop in time", "service", svc.name)
			for _, rest := range s.services {
				rest.cancel()
			}
			return
		}
	}
}
