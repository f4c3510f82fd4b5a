package discovery

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"time"

	"github.com/libp2p/zeroconf/v2"

	"kith.alt/kith"
)

const (
	service = "_kith._udp" // RFC 6763 7
	domain  = "local."

	ttl        = 120              // seconds (RFC 6762 10)
	portPoll   = time.Second      // for a change of the own port
	linkPoll   = 10 * time.Second // for changes of the interfaces
	firstPause = time.Second      // between browses; doubled each time (RFC 6762 5.2)
	lastPause  = time.Hour
)

// Config is what a [LAN] needs. All fields are required.
type Config struct {
	// Tag is this node's instance name, a label as kith.CheckLabel has them. It
	// should tell strangers nothing.
	Tag string

	// Port returns the port that the overlay listens on. While it is 0 the
	// node neither announces itself nor looks for others: nothing is open.
	Port func() uint16

	// Wanted reports whether a tag is one that Found shall hear of.
	Wanted func(tag string) bool

	// Found gets the addresses of a node that was found, at most eight. It is
	// called again each time the node is seen, and must not block.
	Found func(tag string, addresses []netip.AddrPort)

	Log *slog.Logger
}

// A LAN is the local network as a node sees it.
type LAN struct {
	config Config

	links    func() ([]link, error)
	current  []link
	looked   time.Time // when current was found
	port     uint16
	server   *zeroconf.Server // nil while nothing is announced
	troubled bool             // the log knows
}

// New returns a LAN. It opens nothing.
func New(config Config) *LAN { return &LAN{config: config, links: systemLinks} }

// Serve announces this node and looks for others until ctx ends, then returns
// nil. No multicast is no error.
func (l *LAN) Serve(ctx context.Context) error {
	if err := kith.CheckLabel(l.config.Tag); err != nil {
		return fmt.Errorf("announce on this network: %w", err)
	}
	defer l.withdraw()
	pause, next := firstPause, time.Now()
	for ctx.Err() == nil {
		if l.update() {
			pause, next = firstPause, time.Now()
		}
		if l.port != 0 && !time.Now().Before(next) {
			err := l.browse(ctx)
			if l.server == nil {
				err = errors.Join(err, l.announce()) // perhaps it works by now
			}
			l.note(err)
			next = time.Now().Add(pause)
			pause = min(2*pause, lastPause)
		}
		select {
		case <-time.After(min(portPoll, max(time.Until(next), portPoll/10))):
		case <-ctx.Done():
		}
	}
	return nil
}

// update notices new interfaces and another port, and announces anew then.
func (l *LAN) update() (changed bool) {
	links, port := l.current, l.config.Port()
	if now := time.Now(); now.Sub(l.looked) >= linkPoll {
		l.looked = now
		var err error
		if links, err = l.links(); err != nil {
			l.note(err)
			return false
		}
	}
	if sameLinks(links, l.current) && port == l.port {
		return false
	}
	l.current, l.port = links, port
	l.withdraw()
	l.note(l.announce())
	return true
}

// announce begins to announce and answer.
func (l *LAN) announce() error {
	if l.port == 0 {
		return nil
	}
	if len(l.current) == 0 {
		return fmt.Errorf("no network interface with multicast: %w", kith.Unreachable)
	}
	server, err := zeroconf.RegisterProxy(l.config.Tag, service, domain, int(l.port), l.config.Tag, loopbackAddresses(l.current),
		[]string{"txtvers=1"}, interfaces(l.current), zeroconf.TTL(ttl))
	if err != nil {
		return fmt.Errorf("announce: %w", err)
	}
	l.server = server
	return nil
}

// withdraw says goodbye (RFC 6762 10.1) and stops answering.
func (l *LAN) withdraw() {
	if l.server != nil {
		l.server.Shutdown()
		l.server = nil
	}
}

// browse reports the wanted nodes that answer.
func (l *LAN) browse(ctx context.Context) error {
	links := l.current
	return query(ctx, links, func(e *zeroconf.ServiceEntry) (more bool) {
		if e.Instance != l.config.Tag && l.config.Wanted(e.Instance) {
			if addresses := onLink(e, links); len(addresses) > 0 {
				l.config.Found(e.Instance, addresses)
			}
		}
		return true
	})
}

// note logs the first of a row of errors.
func (l *LAN) note(err error) {
	if err != nil && !l.troubled {
		l.config.Log.Warn("hosts on this network are not found by themselves: it carries no multicast", "err", err)
	}
	l.troubled = err != nil
}

// Lookup finds the addresses of the node that announces tag, at most eight. It
// asks until it is answered or ctx ends. Kinds: NotFound when ctx ended without
// an answer, Unreachable when there is no multicast.
func Lookup(ctx context.Context, tag string) ([]netip.AddrPort, error) {
	return lookup(ctx, tag, systemLinks)
}

func lookup(ctx context.Context, tag string, linksOf func() ([]link, error)) ([]netip.AddrPort, error) {
	links, err := linksOf()
	if err != nil {
		return nil, fmt.Errorf("look for %s on this network: %w", tag, err)
	}
	var found []netip.AddrPort
	for pause := firstPause; ; pause *= 2 {
		err := query(ctx, links, func(e *zeroconf.ServiceEntry) (more bool) {
			if e.Instance == tag {
				found = onLink(e, links)
			}
			return len(found) == 0
		})
		if len(found) > 0 {
			return found, nil
		}
		if err != nil {
			return nil, fmt.Errorf("look for %s on this network: %w", tag, err)
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return nil, fmt.Errorf("look for %s on this network: %w (%w)", tag, kith.NotFound, ctx.Err())
		}
	}
}
