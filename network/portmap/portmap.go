package portmap

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"kith.alt/kith"
	"kith.alt/kith/proto/pcp"
)

const (
	lifetime      = 2 * time.Hour    // asked for
	lookEvery     = 10 * time.Minute // at least
	retryAfter    = 30 * time.Second // after a try that failed,
	tries         = 3                // this often, and then as rarely as lookEvery
	tryFor        = 30 * time.Second // all gateways and protocols together
	renewAfter    = 30 * time.Second // at least: what is granted for less is renewed too late, rather than all the time
	minPause      = time.Second      // between two tries, however often Again is called
	releaseWithin = time.Second
	maxGateways   = 3
)

// Protocols of a [Mapping].
const (
	UDP = "udp"
	TCP = "tcp"
)

// A Mapping is an outside port that the gateway passes on to ours.
type Mapping struct {
	Protocol string         // UDP or TCP
	External netip.AddrPort // may be a private address where there is a second router
	By       string         // "pcp", "nat-pmp" or "upnp"
	Until    time.Time      // when it ends unless it is renewed
}

// Config is what a [Mapper] needs. Port and Log are required.
type Config struct {
	Port     func() uint16       // the port of this host, UDP and TCP alike; 0 while there is none
	Gateways func() []netip.Addr // default gateways, best first; nil takes the system's
	Changed  func()              // Mapped or Failure says something else; may be nil
	Log      *slog.Logger

	// Nonce names this host's mappings to a gateway (RFC 6887 11.2). With the same
	// one the next run of the process takes over what a killed one left behind,
	// which the gateway refuses to strangers. Zero takes a random one.
	Nonce pcp.Nonce
}

// A Mapper keeps mappings alive. It is safe for concurrent use.
type Mapper struct {
	config Config
	wire   wire
	again  chan struct{}

	mu      sync.Mutex
	leases  []Mapping
	failure error

	session *session // of Serve alone
}

// A session is what stands between this host and a gateway.
type session struct {
	gateway netip.Addr
	method  method
	port    uint16 // that was mapped
}

// A method is one protocol spoken with one gateway. Its errors are of kind
// Unreachable when nobody answered.
type method interface {
	name() string

	// ask asks for a mapping of port, or for its renewal, with external as the
	// outside address or port if that can be had. It returns what was granted. A
	// lifetime of 0 deletes the mapping.
	ask(ctx context.Context, protocol string, port uint16, external netip.AddrPort, lifetime time.Duration) (netip.AddrPort, time.Duration, error)
}

// New returns a Mapper. It opens nothing and sends nothing.
func New(config Config) *Mapper {
	if config.Gateways == nil {
		config.Gateways = gateways
	}
	if config.Changed == nil {
		config.Changed = func() {}
	}
	if config.Nonce == (pcp.Nonce{}) {
		rand.Read(config.Nonce[:])
	}
	return &Mapper{config: config, wire: systemWire(), again: make(chan struct{}, 1)}
}

// Mapped returns the mappings that are in force, UDP first.
func (m *Mapper) Mapped() []Mapping {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := time.Now()
	return slices.DeleteFunc(slices.Clone(m.leases), func(l Mapping) bool { return !now.Before(l.Until) })
}

// Failure returns why the last try mapped nothing, nil when it did or none was
// made. Its kind is NotFound without a gateway, else Unreachable for each
// protocol that the gateway did not answer, and Denied for each where it refused.
func (m *Mapper) Failure() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.failure
}

// Again asks at once: the host moved, its port opened, closed or changed. It
// does not wait.
func (m *Mapper) Again() {
	select {
	case m.again <- struct{}{}:
	default:
	}
}

// Serve keeps the port mapped until ctx ends, deletes the mappings, which takes
// 1 s at most, and returns nil. One Serve runs at a time.
func (m *Mapper) Serve(ctx context.Context) error {
	for failed := 0; ; {
		started := time.Now()
		next := lookEvery
		switch renew, err := m.try(ctx); {
		case err == nil:
			failed, next = 0, renew
		case failed+1 < tries:
			failed++
			next = retryAfter
		}
		timer := time.NewTimer(next)
		select {
		case <-timer.C:
		case <-m.again:
			failed = 0
			timer.Reset(minPause - time.Since(started))
			select {
			case <-timer.C:
			case <-ctx.Done():
			}
		case <-ctx.Done():
		}
		timer.Stop()
		if ctx.Err() != nil {
			m.release(context.WithoutCancel(ctx))
			m.state(nil, nil)
			return nil
		}
	}
}

// try asks for the mappings once, and says when to do so again.
func (m *Mapper) try(ctx context.Context) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, tryFor)
	defer cancel()
	port := m.config.Port()
	var gateways []netip.Addr
	if port != 0 {
		gateways = m.config.Gateways()
		gateways = gateways[:min(len(gateways), maxGateways)]
	}
	if s := m.session; s != nil {
		if s.port != port || !slices.Contains(gateways, s.gateway) {
			m.release(ctx)
		} else if leases, err := m.ask(ctx, s.method, port); err == nil {
			return m.hold(s, leases), nil
		} else if ctx.Err() != nil {
			return 0, err
		} else if !errors.Is(err, kith.Unreachable) {
			m.state(nil, nil) // it said that they are gone
		}
	}
	if port == 0 {
		m.state(nil, nil)
		return lookEvery, nil
	}
	var failures failures
	for _, gateway := range gateways {
		for _, method := range m.methods(gateway) {
			leases, err := m.ask(ctx, method, port)
			if err == nil {
				return m.hold(&session{gateway, method, port}, leases), nil
			}
			failures = append(failures, fmt.Errorf("%s of %s: %w", method.name(), gateway, err))
		}
	}
	if len(gateways) == 0 {
		failures = append(failures, fmt.Errorf("no default gateway: %w", kith.NotFound))
	}
	m.state(m.Mapped(), failures)
	return 0, failures
}

// failures are what each protocol said, in one line.
type failures []error

func (f failures) Unwrap() []error { return f }

func (f failures) Error() string {
	var text []string
	for _, err := range f {
		text = append(text, err.Error())
	}
	return strings.Join(text, "; ")
}

func (m *Mapper) methods(gateway netip.Addr) []method {
	return []method{
		&pcpClient{gateway, m.wire, m.config.Nonce},
		&natpmpClient{gateway, m.wire},
		&upnpClient{gateway: gateway, wire: m.wire},
	}
}

// ask maps UDP, without which the rest is worth nothing, and then TCP.
func (m *Mapper) ask(ctx context.Context, method method, port uint16) ([]Mapping, error) {
	var leases []Mapping
	wish := netip.AddrPortFrom(netip.Addr{}, port)
	for _, protocol := range []string{UDP, TCP} {
		if held := m.held(protocol); held.IsValid() {
			wish = held
		}
		external, granted, err := method.ask(ctx, protocol, port, wish, lifetime)
		if err == nil && !usable(external) {
			method.ask(ctx, protocol, port, external, 0)
			err = fmt.Errorf("the gateway gave %s as the outside address: %w", external, kith.Temporary)
		}
		if err != nil && protocol == UDP {
			return nil, err
		}
		if err != nil {
			m.config.Log.Debug("TCP port not mapped", "by", method.name(), "err", err)
			break
		}
		granted = min(granted, lifetime)
		leases = append(leases, Mapping{protocol, external, method.name(), time.Now().Add(granted)})
		wish = external
	}
	return leases, nil
}

// usable reports whether packets can come for an outside address.
func usable(a netip.AddrPort) bool { return a.Addr().IsGlobalUnicast() && a.Port() != 0 }

// held returns what is mapped, or was until the gateway fell silent.
func (m *Mapper) held(protocol string) netip.AddrPort {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, l := range m.leases {
		if l.Protocol == protocol {
			return l.External
		}
	}
	return netip.AddrPort{}
}

// hold keeps what was granted, and says when to renew it.
func (m *Mapper) hold(s *session, leases []Mapping) time.Duration {
	m.session = s
	m.state(leases, nil)
	next := lookEvery
	for _, l := range leases {
		next = min(next, time.Until(l.Until)/2)
	}
	return max(next, renewAfter)
}

// release deletes what is mapped, as far as the gateway answers in time.
func (m *Mapper) release(ctx context.Context) {
	s := m.session
	m.session = nil
	if s == nil {
		return
	}
	defer m.state(nil, nil)
	if !slices.Contains(m.config.Gateways(), s.gateway) {
		return // in another network, where nobody but the gateway is asked anything
	}
	ctx, cancel := context.WithTimeout(ctx, releaseWithin)
	defer cancel()
	var deletions sync.WaitGroup
	for _, protocol := range []string{UDP, TCP} { // both: it may have granted what we did not hear of
		deletions.Go(func() {
			if _, _, err := s.method.ask(ctx, protocol, s.port, m.held(protocol), 0); err != nil {
				m.config.Log.Debug("mapping not deleted", "protocol", protocol, "by", s.method.name(), "err", err)
			}
		})
	}
	deletions.Wait()
}

// state sets what Mapped and Failure say.
func (m *Mapper) state(leases []Mapping, failure error) {
	m.mu.Lock()
	changed := !slices.EqualFunc(m.leases, leases, func(a, b Mapping) bool {
		return a.Protocol == b.Protocol && a.External == b.External && a.By == b.By
	}) || (m.failure == nil) != (failure == nil)
	m.leases, m.failure = leases, failure
	m.mu.Unlock()
	if !changed {
		return
	}
	for _, l := range leases {
		m.config.Log.Info("port mapped", "protocol", l.Protocol, "external", l.External, "by", l.By)
	}
	if failure != nil {
		m.config.Log.Info("port not mapped", "err", failure)
	}
	m.config.Changed()
}
