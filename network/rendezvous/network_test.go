package rendezvous

import (
	"context"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/anacrolix/dht/v2"
	"github.com/anacrolix/dht/v2/bep44"
	"github.com/anacrolix/dht/v2/krpc"
	"github.com/anacrolix/log"
	"golang.org/x/time/rate"
)

// A wire is an Internet of UDP in memory, made to run in a synctest bubble.
type wire struct {
	mu    sync.Mutex
	conns map[netip.AddrPort]*conn
	sent  map[netip.AddrPort]int // packets, by sender
	bytes map[netip.AddrPort]int
	tap   func(from, to netip.AddrPort, packet []byte)
}

func newWire() *wire {
	return &wire{conns: map[netip.AddrPort]*conn{}, sent: map[netip.AddrPort]int{}, bytes: map[netip.AddrPort]int{}}
}

func (w *wire) packets(from netip.AddrPort) (number, bytes int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.sent[from], w.bytes[from]
}

type packet struct {
	data []byte
	from net.Addr
}

// conn is a net.PacketConn whose reads obey deadlines.
type conn struct {
	wire     *wire
	address  netip.AddrPort
	inbox    chan packet
	mu       sync.Mutex
	expired  chan struct{} // closed by a deadline in the past
	deadline time.Time
	closed   chan struct{}
	once     sync.Once
}

func (w *wire) listen(address string) *conn {
	c := &conn{wire: w, address: netip.MustParseAddrPort(address), inbox: make(chan packet, 1024),
		expired: make(chan struct{}), closed: make(chan struct{})}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.conns[c.address] = c
	return c
}

func (c *conn) ReadFrom(b []byte) (int, net.Addr, error) {
	c.mu.Lock()
	expired := c.expired
	c.mu.Unlock()
	select {
	case <-expired:
		return 0, nil, os.ErrDeadlineExceeded
	default:
	}
	select {
	case p := <-c.inbox:
		return copy(b, p.data), p.from, nil
	case <-expired:
		return 0, nil, os.ErrDeadlineExceeded
	case <-c.closed:
		return 0, nil, net.ErrClosed
	}
}

func (c *conn) WriteTo(b []byte, to net.Addr) (int, error) {
	address := to.(*net.UDPAddr).AddrPort()
	address = netip.AddrPortFrom(address.Addr().Unmap(), address.Port())
	c.wire.mu.Lock()
	target, tap := c.wire.conns[address], c.wire.tap
	c.wire.sent[c.address]++
	c.wire.bytes[c.address] += len(b)
	c.wire.mu.Unlock()
	if tap != nil {
		tap(c.address, address, b)
	}
	if target != nil {
		select {
		case target.inbox <- packet{append([]byte(nil), b...), net.UDPAddrFromAddrPort(c.address)}:
		default:
		}
	}
	return len(b), nil
}

// SetReadDeadline knows two deadlines: long ago, and none.
func (c *conn) SetReadDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if past := !t.IsZero() && t.Before(time.Now()); past != c.deadline.IsZero() {
		return nil
	}
	if c.deadline = t; t.IsZero() {
		c.expired = make(chan struct{})
	} else {
		close(c.expired)
	}
	return nil
}

func (c *conn) Close() error {
	c.once.Do(func() { close(c.closed) })
	return nil
}

func (c *conn) LocalAddr() net.Addr                { return net.UDPAddrFromAddrPort(c.address) }
func (c *conn) SetDeadline(t time.Time) error      { return c.SetReadDeadline(t) }
func (c *conn) SetWriteDeadline(t time.Time) error { return nil }

// dhtNodes makes a DHT of the library's own servers, whose first is the router.
func (w *wire) dhtNodes(ctx context.Context, t *testing.T, addresses ...string) []*dht.Server {
	t.Helper()
	quiet := log.NewLogger()
	quiet.SetHandlers(silence{})
	var servers []*dht.Server
	for _, a := range addresses {
		server, err := dht.NewServer(&dht.ServerConfig{
			Conn: w.listen(a), NoSecurity: true, Logger: quiet, Store: bep44.NewMemory(), Exp: 2 * time.Hour,
			SendLimiter: rate.NewLimiter(rate.Inf, 1), DefaultWant: []krpc.Want{krpc.WantNodes},
			StartingNodes: func() ([]dht.Addr, error) {
				return []dht.Addr{dht.NewAddr(net.UDPAddrFromAddrPort(netip.MustParseAddrPort(addresses[0])))}, nil
			},
		})
		if err != nil {
			t.Fatal(err)
		}
		servers = append(servers, server)
	}
	refresh := func() {
		for _, s := range servers {
			s.BootstrapContext(ctx)
		}
	}
	refresh()
	refresh() // the early ones hear of the late ones
	go func() {
		tick := time.NewTicker(10 * time.Minute) // BEP 5: nodes are good for 15
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				refresh()
			case <-ctx.Done():
				return
			}
		}
	}()
	return servers
}

var slogDiscard = slog.New(slog.DiscardHandler)

// join makes a Rendezvous that serves until ctx ends.
func (w *wire) join(ctx context.Context, t *testing.T, address string, bootstrap ...string) (r *Rendezvous, served <-chan error) {
	t.Helper()
	r = New(Config{Conn: w.listen(address), Bootstrap: bootstrap, Log: slogDiscard})
	done := make(chan error, 1)
	go func() { done <- r.Serve(ctx) }()
	return r, done
}
