package web

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"kith.alt/kith"
)

// The limits of exposed ports.
const (
	maxForwarded     = 1024
	maxPeerForwarded = 256
	maxProbes        = 64 // at a time
	probeTimeout     = 200 * time.Millisecond
	listenPause      = 10 * time.Second // before a port that is taken is tried again
)

// ports keeps overlay ports open and forwards their connections to services of
// this computer. It is safe for concurrent use.
type ports struct {
	listen  func(context.Context, uint16) (net.Listener, error)
	private func(uint16) bool
	metrics *metrics
	log     *slog.Logger
	conns   *connLimit

	mu       sync.Mutex
	start    func(*forward, net.Listener) // has a port forwarded, from the listener first where there is one; nil while serve does not run
	forwards map[uint16]*forward
	services map[uint16]*service
}

// A forward is one overlay port.
type forward struct {
	port    uint16
	target  atomic.Pointer[service]
	problem atomic.Pointer[string] // why it is not open; nil: it is
	cancel  context.CancelFunc
	done    chan struct{} // closed when nothing of it runs any more
}

func newPorts(listen func(context.Context, uint16) (net.Listener, error), private func(uint16) bool, m *metrics, log *slog.Logger) *ports {
	return &ports{
		listen: listen, private: private, metrics: m, log: log,
		conns:    newConnLimit(maxForwarded, maxPeerForwarded, m.refused),
		forwards: make(map[uint16]*forward), services: make(map[uint16]*service),
	}
}

// serve keeps the exposed ports open, each as soon as that is possible, until
// ctx ends, and returns when nothing of them runs. It closes begun when open
// and keep may be called.
func (p *ports) serve(ctx context.Context, exposed []Exposed, begun chan<- struct{}) {
	p.mu.Lock()
	p.start = func(f *forward, listener net.Listener) {
		ctx, cancel := context.WithCancel(ctx)
		f.cancel, f.done = cancel, make(chan struct{})
		go func() {
			defer close(f.done)
			p.run(ctx, f, listener)
		}()
	}
	p.mu.Unlock()
	p.keep(exposed)
	close(begun)
	<-ctx.Done()
	p.mu.Lock()
	p.start = nil
	p.mu.Unlock()
	p.keep(nil)
}

// open opens a port now, or fails with kind InUse. A port that is open
// already gets a new target.
func (p *ports) open(ctx context.Context, port, target uint16) error {
	service := p.service(target)
	p.mu.Lock()
	defer p.mu.Unlock()
	if f := p.forwards[port]; f != nil {
		f.target.Store(service)
		return nil
	}
	if p.start == nil {
		return errStarting
	}
	listener, err := p.listen(ctx, port)
	if errors.Is(err, kith.InUse) {
		return fmt.Errorf("another program listens on overlay port %d; choose another with --to: %w", port, kith.InUse)
	} else if err != nil {
		return fmt.Errorf("open overlay port %d: %w", port, err)
	}
	p.add(port, service, listener)
	return nil
}

// keep closes all ports but those exposed, and opens those that are not open
// as soon as that is possible.
func (p *ports) keep(exposed []Exposed) {
	wanted := make(map[uint16]*service, len(exposed))
	for _, e := range exposed {
		wanted[e.Port] = p.service(e.Target)
	}
	p.mu.Lock()
	var closing []*forward
	for port, f := range p.forwards {
		if wanted[port] == nil {
			delete(p.forwards, port)
			f.cancel()
			closing = append(closing, f)
		}
	}
	for port, service := range wanted {
		if f := p.forwards[port]; f != nil {
			f.target.Store(service)
		} else if p.start != nil {
			p.add(port, service, nil)
		}
	}
	p.mu.Unlock()
	for _, f := range closing {
		<-f.done
	}
}

// add starts to forward a port. The caller holds the lock.
func (p *ports) add(port uint16, target *service, listener net.Listener) {
	f := &forward{port: port}
	f.target.Store(target)
	p.forwards[port] = f
	p.start(f, listener)
}

// service returns the service on a port of this computer.
func (p *ports) service(port uint16) *service {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.services[port]
	if s == nil {
		s = &service{port: port, private: p.private}
		p.services[port] = s
	}
	return s
}

// probe finds out which of the services behind exposed ports answer now. One
// that takes longer than probeTimeout counts as silent.
func (p *ports) probe(ctx context.Context, exposed []Exposed) {
	ctx = context.WithoutCancel(ctx) // who has stopped waiting says nothing about a service
	places := make(chan struct{}, maxProbes)
	var probes sync.WaitGroup
	for _, e := range exposed {
		places <- struct{}{}
		probes.Go(func() {
			defer func() { <-places }()
			ctx, cancel := context.WithTimeout(ctx, probeTimeout)
			defer cancel()
			p.service(e.Target).probe(ctx)
		})
	}
	probes.Wait()
}

// problem says in words why an exposed port does not work, or "".
func (p *ports) problem(port uint16) string {
	p.mu.Lock()
	f := p.forwards[port]
	p.mu.Unlock()
	if f == nil {
		return "starting"
	}
	if problem := f.problem.Load(); problem != nil {
		return *problem
	}
	switch s := f.target.Load(); {
	case s.private(s.port):
		return fmt.Sprintf("closed: port %d of this computer is kith's own now", s.port)
	case s.silent.Load():
		return fmt.Sprintf("open, but nothing answers on port %d of this computer", s.port)
	}
	return ""
}

// run accepts connections until ctx ends, and waits for the last of them.
func (p *ports) run(ctx context.Context, f *forward, listener net.Listener) {
	var conns sync.WaitGroup
	defer conns.Wait()
	for {
		if listener == nil {
			var err error
			if listener, err = p.listen(ctx, f.port); err != nil {
				problem := "waiting: another program listens on this overlay port"
				if !errors.Is(err, kith.InUse) {
					problem = "waiting: " + err.Error()
				}
				f.problem.Store(&problem)
			}
		}
		if listener != nil {
			f.problem.Store(nil)
			p.accept(ctx, f, listener, &conns)
			listener = nil
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(listenPause):
		}
	}
}

func (p *ports) accept(ctx context.Context, f *forward, listener net.Listener, conns *sync.WaitGroup) {
	defer listener.Close()
	defer context.AfterFunc(ctx, func() { listener.Close() })()
	limited := limitedListener{Listener: listener, limit: p.conns, metrics: p.metrics}
	for {
		conn, err := limited.Accept()
		if err != nil {
			if ctx.Err() == nil {
				problem := "waiting: " + err.Error()
				f.problem.Store(&problem)
				p.log.Warn("an exposed port failed", "port", f.port, "err", err)
			}
			return
		}
		conns.Go(func() { p.forward(ctx, conn, f.target.Load()) })
	}
}

// forward carries one connection to the service and back. When the service is
// down the caller sees its connection end at once.
func (p *ports) forward(ctx context.Context, conn net.Conn, to *service) {
	defer conn.Close()
	near, err := to.dial(ctx)
	if err != nil {
		p.log.Debug("an exposed port has no service", "port", to.port, "err", err)
		return
	}
	defer near.Close()
	p.metrics.forwarded.Add(1)
	defer context.AfterFunc(ctx, func() {
		conn.Close()
		near.Close()
	})()
	relay(conn, near)
}
