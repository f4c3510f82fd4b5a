package overlay

import (
	"context"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"sync"
	"time"

	"github.com/quic-go/quic-go"

	"kith.alt/kith"
)

// A door is the UDP and TCP port on which the overlay is reached. The UDP
// socket also serves for dialling.
type door struct {
	tcp       net.Listener
	udp       net.PacketConn
	socket    *udpSocket // on udp
	transport *quic.Transport
	listener  *quic.Listener
}

// Open binds UDP and TCP on one port of host ("" is every interface; port 0
// takes a free one) and accepts carriers there until Shut. It fails with kind
// InUse when the port is taken on either, and with kind Exists when the
// overlay is open already.
func (o *Overlay) Open(ctx context.Context, host string, port uint16) (netip.AddrPort, error) {
	d, err := o.newDoor(ctx, host, port)
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("open the overlay's port: %w", err)
	}
	o.mu.Lock()
	switch {
	case o.stopped:
		err = errStopped
	case o.door != nil:
		err = fmt.Errorf("the overlay is open already: %w", kith.Exists)
	default:
		o.door = d
		o.tasks.Go(func() { o.acceptTCP(d.tcp) })
		o.tasks.Go(func() { o.acceptQUIC(d.listener) })
	}
	o.mu.Unlock()
	if err != nil {
		d.stopAccepting()
		d.close()
		return netip.AddrPort{}, err
	}
	address := d.tcp.Addr().(*net.TCPAddr).AddrPort()
	o.log.Info("overlay open", "address", address)
	o.hastenAll()
	return address, nil
}

// Shut takes back Open: nobody reaches the overlay from outside any more. TLS
// carriers live on; QUIC carriers, which use the same socket, end.
func (o *Overlay) Shut() {
	o.mu.Lock()
	d := o.door
	o.door = nil
	o.mu.Unlock()
	if d != nil {
		d.stopAccepting()
		d.close()
	}
}

func (o *Overlay) newDoor(ctx context.Context, host string, port uint16) (*door, error) {
	config, err := o.acceptor()
	if err != nil {
		return nil, err
	}
	reset, err := hkdf.Key(sha256.New, o.cfg.Key.Seed(), nil, "kith QUIC stateless reset", 32)
	if err != nil {
		return nil, err
	}
	d := new(door)
	for range 10 { // a free port must be free on both
		if d.tcp, d.udp, err = o.listenBoth(ctx, host, port); err == nil || port != 0 {
			break
		}
	}
	if err != nil {
		return nil, err
	}
	var conn net.PacketConn
	d.socket, conn = newUDPSocket(d.udp, o.contacts)
	d.transport = &quic.Transport{
		Conn:                  conn,
		ConnectionIDGenerator: connectionIDs{},
		StatelessResetKey:     (*quic.StatelessResetKey)(reset), // ends the carriers of the run before (RFC 9000 10.3)
		ConnContext:           o.gate.quicContext,
		VerifySourceAddress:   func(net.Addr) bool { return o.gate.busy() },
	}
	if d.listener, err = d.transport.Listen(config, quicConfig(false)); err != nil {
		d.tcp.Close()
		d.udp.Close()
		return nil, err
	}
	return d, nil
}

func (o *Overlay) listenBoth(ctx context.Context, host string, port uint16) (net.Listener, net.PacketConn, error) {
	tcp, err := o.cfg.Internet.ListenTCP(ctx, host, port)
	if err != nil {
		return nil, nil, err
	}
	udp, err := o.cfg.Internet.ListenUDP(ctx, host, addressOf(tcp.Addr()).Port())
	if err != nil {
		tcp.Close()
		return nil, nil, err
	}
	return tcp, udp, nil
}

// connectionIDs are random, but for the second byte of a packet, by which those
// of the DHT are told apart.
type connectionIDs struct{}

func (connectionIDs) ConnectionIDLen() int { return 6 }

func (g connectionIDs) GenerateConnectionID() (quic.ConnectionID, error) {
	b := make([]byte, g.ConnectionIDLen())
	for {
		if rand.Read(b); !foreignSecond(b[0]) {
			return quic.ConnectionIDFromBytes(b), nil
		}
	}
}

func (d *door) stopAccepting() {
	d.tcp.Close()
	d.listener.Close()
}

func (d *door) close() {
	d.transport.Close()
	d.udp.Close()
}

func (o *Overlay) acceptTCP(l net.Listener) {
	for pause := time.Duration(0); ; {
		conn, err := l.Accept()
		switch {
		case errors.Is(err, net.ErrClosed):
			return
		case err != nil: // out of descriptors, most likely
			pause = min(pause+10*time.Millisecond, time.Second)
			o.log.Warn("accept overlay connection", "err", err)
			select {
			case <-time.After(pause):
			case <-o.ctx.Done():
				return
			}
			continue
		}
		pause = 0
		release, ok := o.gate.enter(conn.RemoteAddr())
		if !ok || !o.spawn(func() {
			defer release()
			o.turnAway(conn.RemoteAddr(), o.receiveTLS(conn, release))
		}) {
			o.metrics.turnedAway.Add(1)
			release()
			conn.Close()
		}
	}
}

func (o *Overlay) acceptQUIC(l *quic.Listener) {
	for {
		conn, err := l.Accept(o.ctx)
		if err != nil {
			return
		}
		release := o.gate.quicRelease(conn)
		if !o.spawn(func() {
			defer release()
			o.turnAway(conn.RemoteAddr(), o.receiveQUIC(conn, release))
		}) {
			conn.CloseWithError(0, "")
		}
	}
}

func (o *Overlay) turnAway(from net.Addr, err error) {
	if err != nil {
		o.metrics.turnedAway.Add(1)
		o.log.Debug("connection turned away", "from", from, "err", err)
	}
}

// receiveTLS runs the acceptor's handshake on a TCP connection. release gives
// the place at the gate back once the peer is admitted.
func (o *Overlay) receiveTLS(tcp net.Conn, release func()) error {
	return o.receive(tcp, origin{}, release)
}

// An origin is how a connection came that is not the caller's own.
type origin struct {
	via    kith.ID // the relay
	caller kith.ID // for whom it relays; zero: somebody who wants to join
}

// receive runs the acceptor's handshake on a reliable flow of bytes.
func (o *Overlay) receive(tcp net.Conn, from origin, release func()) (err error) {
	stop := context.AfterFunc(o.ctx, func() { tcp.Close() })
	defer stop()
	defer func() {
		if err != nil {
			tcp.Close()
		}
	}()
	tcp.SetDeadline(time.Now().Add(handshakePatience))
	config, err := o.acceptor()
	if err != nil {
		return err
	}
	conn := tls.Server(tcp, config)
	if err := conn.HandshakeContext(o.ctx); err != nil {
		return err
	}
	state := conn.ConnectionState()
	id, err := peerOf(state)
	if err != nil {
		return err
	}
	joins := state.NegotiatedProtocol == alpnJoin
	if !from.via.IsZero() && (joins != from.caller.IsZero() || !joins && id != from.caller) {
		return fmt.Errorf("relayed by %s: %w", from.via.Short(), errOtherHost)
	}
	if joins {
		err := o.answerJoin(conn, conn.RemoteAddr(), id, state)
		conn.CloseWrite()
		awaitEnd(conn)
		return errors.Join(err, tcp.Close())
	}
	theirs, err := o.greetAsAcceptor(conn, id, addressOf(conn.RemoteAddr()), func() {})
	if err != nil {
		conn.CloseWrite()
		awaitEnd(conn)
		return err
	}
	tcp.SetDeadline(time.Time{})
	release()
	c, err := newYamuxCarrier(carrierTLS, prompt{conn}, false)
	if err != nil {
		return err
	}
	_, err = o.adopt(c, arrival{peer: id, theirs: theirs, via: from.via})
	return err
}

// receiveQUIC is receiveTLS on a QUIC connection, whose first stream takes the
// part of the TCP connection.
func (o *Overlay) receiveQUIC(conn *quic.Conn, release func()) (err error) {
	defer func() {
		if err != nil {
			conn.CloseWithError(0, "")
		}
	}()
	ctx, cancel := context.WithTimeout(o.ctx, handshakePatience)
	defer cancel()
	state := conn.ConnectionState().TLS
	id, err := peerOf(state)
	if err != nil {
		return err
	}
	first, err := conn.AcceptStream(ctx)
	if err != nil {
		return err
	}
	first.SetDeadline(time.Now().Add(handshakePatience))
	stop := context.AfterFunc(ctx, quicStream{first}.reset)
	defer stop()
	admitted := allowOne(ctx, conn)
	defer admitted()
	if state.NegotiatedProtocol == alpnJoin {
		err := o.answerJoin(first, conn.RemoteAddr(), id, state)
		first.Close()
		awaitEnd(first)
		return errors.Join(err, conn.CloseWithError(0, ""))
	}
	theirs, err := o.greetAsAcceptor(first, id, quicRemote(conn), admitted)
	first.Close()
	if err != nil {
		awaitEnd(first)
		return err
	}
	release()
	_, err = o.adopt(quicCarrier{conn}, arrival{peer: id, theirs: theirs})
	return err
}

// allowOne ends a connection whose peer opens a second stream before admitted is
// called: the window is that of a member, and a stranger may not fill it.
func allowOne(ctx context.Context, conn *quic.Conn) (admitted func()) {
	ctx, cancel := context.WithCancel(ctx)
	var watching sync.WaitGroup
	watching.Go(func() {
		if _, err := conn.AcceptStream(ctx); err == nil {
			conn.CloseWithError(0, "")
		}
	})
	return func() {
		cancel()
		watching.Wait()
	}
}

// awaitEnd lets the peer take our last word: it closes when it has. What it
// still sends is dropped, the deadlines of conn bound the wait.
func awaitEnd(conn interface{ Read([]byte) (int, error) }) {
	buf := make([]byte, 512)
	for range 64 {
		if _, err := conn.Read(buf); err != nil {
			return
		}
	}
}

// approach dials a peer one way, up to the acceptor's hello.
func (o *Overlay) approach(ctx context.Context, id kith.ID, w way, config *tls.Config) (candidate, error) {
	switch w.carrier {
	case carrierTLS:
		patience := handshakePatience
		if !o.contacts.known(w.address) {
			patience = strangePatience
		}
		dialling, cancel := context.WithTimeout(ctx, patience)
		defer cancel()
		if !o.contacts.allowTCP(w.address) {
			return candidate{}, errRests
		}
		tcp, err := o.cfg.Internet.DialTCP(dialling, w.address)
		switch {
		case err == nil:
			o.contacts.answered(w.address)
		case isPathGone(err):
			o.contacts.unsent(w.address)
			return candidate{}, err
		case !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, os.ErrDeadlineExceeded) && ctx.Err() == nil:
			o.contacts.refused(w.address)
			return candidate{}, err
		default:
			return candidate{}, err
		}
		return o.approachOver(ctx, tcp, id, config, kith.ID{})
	case carrierRelay:
		conn, err := o.relayedConn(ctx, w.via, id)
		if err != nil {
			return candidate{}, err
		}
		return o.approachOver(ctx, conn, id, config, w.via)
	}
	conn, err := dialQUIC(ctx, w.door, w.address, config)
	if err != nil {
		return candidate{}, err
	}
	giveUp := func() { conn.CloseWithError(0, "") }
	stop := context.AfterFunc(ctx, giveUp)
	first, err := conn.OpenStreamSync(ctx)
	var theirs hello
	alone := w.begun != nil && w.begun.Load() == 1
	if err == nil {
		deadline, _ := ctx.Deadline()
		first.SetDeadline(deadline)
		theirs, err = o.greetAsDialler(first, id, quicRemote(conn), alone)
	}
	if !stop() {
		return candidate{}, ctx.Err()
	}
	if err != nil {
		giveUp()
		return candidate{}, err
	}
	return candidate{theirs: theirs, discard: giveUp, carrier: func() (carrier, error) {
		var err error
		if !alone {
			err = confirm(first)
		}
		if err := errors.Join(err, first.Close()); err != nil {
			giveUp()
			return nil, err
		}
		return quicCarrier{conn}, nil
	}}, nil
}

// strangePatience is for a TCP connection to an address that has not answered
// before: so long that one packet is sent.
const strangePatience = 900 * time.Millisecond

var errRests = fmt.Errorf("the address does not answer, and rests: %w", kith.Unreachable)

// approachOver is approach on a flow of bytes that is there, which it closes
// when it fails.
func (o *Overlay) approachOver(ctx context.Context, flow net.Conn, id kith.ID, config *tls.Config, via kith.ID) (candidate, error) {
	conn := tls.Client(flow, config)
	stop := context.AfterFunc(ctx, func() { flow.Close() })
	deadline, _ := ctx.Deadline()
	conn.SetDeadline(deadline)
	err := conn.HandshakeContext(ctx)
	var theirs hello
	if err == nil {
		theirs, err = o.greetAsDialler(conn, id, addressOf(flow.RemoteAddr()), false)
	}
	if !stop() {
		return candidate{}, ctx.Err()
	}
	if err != nil {
		flow.Close()
		return candidate{}, err
	}
	return candidate{theirs: theirs, via: via, discard: func() { flow.Close() }, carrier: func() (carrier, error) {
		if err := confirm(conn); err != nil {
			flow.Close()
			return nil, err
		}
		conn.SetDeadline(time.Time{})
		return newYamuxCarrier(carrierTLS, prompt{conn}, true)
	}}, nil
}

// A gate limits the connections whose peers are not admitted yet.
type gate struct {
	mu    sync.Mutex
	total int
	from  map[netip.Addr]int
}

const (
	gateTotal   = 256
	gateAddress = 64
)

func newGate() *gate { return &gate{from: make(map[netip.Addr]int)} }

// enter takes a place, or reports false. release gives it back, once.
func (g *gate) enter(from net.Addr) (release func(), ok bool) {
	host := hostOf(from)
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.total >= gateTotal || g.from[host] >= gateAddress {
		return func() {}, false
	}
	g.total++
	g.from[host]++
	return sync.OnceFunc(func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		g.total--
		if g.from[host]--; g.from[host] == 0 {
			delete(g.from, host)
		}
	}), true
}

// busy has QUIC peers prove their address first (RFC 9000 8.1.2).
func (g *gate) busy() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.total >= gateTotal/4
}

type gateKey struct{}

func (g *gate) quicContext(ctx context.Context, info *quic.ClientInfo) (context.Context, error) {
	release, ok := g.enter(info.RemoteAddr)
	if !ok {
		return nil, kith.Quota
	}
	context.AfterFunc(ctx, release)
	return context.WithValue(ctx, gateKey{}, release), nil
}

func (g *gate) quicRelease(conn *quic.Conn) func() {
	if release, ok := conn.Context().Value(gateKey{}).(func()); ok {
		return release
	}
	return func() {}
}

// hostOf is what limits count by: an IPv4 address, or the /64 that an IPv6
// subscriber has to himself.
func hostOf(from net.Addr) netip.Addr {
	var a netip.Addr
	switch from := from.(type) {
	case *net.TCPAddr:
		a = from.AddrPort().Addr()
	case *net.UDPAddr:
		a = from.AddrPort().Addr()
	}
	return subscriberOf(a)
}

func subscriberOf(a netip.Addr) netip.Addr {
	if a = a.Unmap().WithZone(""); a.Is6() {
		p, _ := a.Prefix(64)
		return p.Addr()
	}
	return a
}
