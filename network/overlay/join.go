package overlay

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/quic-go/quic-go"
	"golang.org/x/time/rate"

	"kith.alt/kith"
)

// The exchange on kith-join/1, on a TCP connection or the first stream of a
// QUIC connection:
//
//	request: version (1) | length (2) | body
//	reply:   version (1) | verdict (1) | length (2) | body, or the reason
//
// A request of version 2, whose body is a host's ID, asks for a connection to
// that host instead; when the reply accepts, its bytes follow.
const (
	joinVersion  = 1
	joinRelay    = 2
	joinMaxBody  = 4 << 10
	joinRelayed  = 64 << 10               // bytes that are relayed each way, handshake included
	joinExporter = "EXPORTER-kith-join/1" // RFC 8446 7.5
	exporterSize = 32
)

func writeJoinRequest(w io.Writer, version byte, body []byte) error {
	if len(body) > joinMaxBody {
		return fmt.Errorf("join request has %d bytes, at most %d: %w", len(body), joinMaxBody, kith.Quota)
	}
	b := binary.BigEndian.AppendUint16([]byte{version}, uint16(len(body)))
	_, err := w.Write(append(b, body...))
	return err
}

func readJoinRequest(r io.Reader) (version byte, body []byte, err error) {
	var head [3]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return 0, nil, fmt.Errorf("read join request: %w", err)
	}
	version = head[0]
	if version != joinVersion && version != joinRelay {
		return 0, nil, fmt.Errorf("join request has version %d, want %d: %w", version, joinVersion, kith.Invalid)
	}
	body, err = readJoinBody(r, binary.BigEndian.Uint16(head[1:]))
	if err == nil && version == joinRelay && len(body) != len(kith.ID{}) {
		err = fmt.Errorf("join request names no host: %w", kith.Invalid)
	}
	return version, body, err
}

func writeJoinReply(w io.Writer, body []byte, err error) error {
	v, reason := judge(err)
	if v != accepted {
		body = []byte(reason)
	}
	b := binary.BigEndian.AppendUint16([]byte{joinVersion, byte(v)}, uint16(len(body)))
	_, werr := w.Write(append(b, body...))
	return werr
}

func readJoinReply(r io.Reader) ([]byte, error) {
	var head [4]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return nil, fmt.Errorf("read join reply: %w", err)
	}
	body, err := readJoinBody(r, binary.BigEndian.Uint16(head[2:]))
	if err != nil {
		return nil, err
	}
	if v := verdict(head[1]); v != accepted {
		return nil, v.err(string(body))
	}
	if head[0] != joinVersion {
		return nil, fmt.Errorf("join reply has version %d, want %d: %w", head[0], joinVersion, kith.Invalid)
	}
	return body, nil
}

func readJoinBody(r io.Reader, size uint16) ([]byte, error) {
	if size > joinMaxBody {
		return nil, fmt.Errorf("join message has %d bytes, at most %d: %w", size, joinMaxBody, kith.Quota)
	}
	body := make([]byte, size)
	if _, err := io.ReadFull(r, body); err != nil {
		return nil, fmt.Errorf("read join message: %w", err)
	}
	return body, nil
}

// answerJoin gives a host that no group has admitted its one exchange. The
// deadlines of rw, and until the request is there the gate, bound it.
func (o *Overlay) answerJoin(rw io.ReadWriter, from net.Addr, id kith.ID, state tls.ConnectionState) error {
	version, request, err := readJoinRequest(rw)
	var reply []byte
	var far stream
	if err == nil {
		ctx, cancel := context.WithTimeout(o.ctx, handshakePatience)
		defer cancel()
		var leave func()
		if leave, err = o.joins.enter(ctx, hostOf(from)); err == nil {
			defer leave()
			switch _, relayed := from.(kith.Address); {
			case version == joinRelay && relayed:
				err = fmt.Errorf("relays are not chained: %w", kith.Invalid)
			case version == joinRelay:
				far, err = o.openJoin(ctx, kith.ID(request))
			default:
				reply, err = o.joinReply(ctx, request, id, state)
			}
		}
	}
	o.metrics.joined.Add(1)
	if err != nil {
		o.log.Info("join refused", "peer", id.Short(), "from", from, "err", err)
	}
	err = errors.Join(err, writeJoinReply(rw, reply, err))
	if far != nil {
		o.spliceJoin(rw, far)
	}
	return err
}

func (o *Overlay) joinReply(ctx context.Context, request []byte, id kith.ID, state tls.ConnectionState) ([]byte, error) {
	exporter, err := state.ExportKeyingMaterial(joinExporter, nil, exporterSize)
	if err != nil {
		return nil, err
	}
	reply, err := o.cfg.Join(ctx, id, exporter, request)
	if err == nil && len(reply) > joinMaxBody {
		return nil, fmt.Errorf("join reply has %d bytes, at most %d", len(reply), joinMaxBody)
	}
	return reply, err
}

// openJoin opens a stream for somebody who wants to join at a member that we
// have a direct carrier to.
func (o *Overlay) openJoin(ctx context.Context, to kith.ID) (stream, error) {
	l := o.directLink(to)
	if l == nil {
		return nil, fmt.Errorf("no connection to host %s here: %w", to.Short(), kith.NotFound)
	}
	st, err := l.openStream(ctx)
	if err != nil {
		return nil, l.lost(err)
	}
	deadline := time.Now().Add(handshakePatience)
	st.SetReadDeadline(deadline)
	st.SetWriteDeadline(deadline)
	if _, err := st.Write(header{kind: forRelayed}.append(nil)); err != nil {
		st.reset()
		return nil, l.lost(err)
	}
	return st, nil
}

// spliceJoin passes on what fits a joining, within the deadlines of both.
func (o *Overlay) spliceJoin(rw io.ReadWriter, far stream) {
	defer far.reset()
	if !o.spawn(func() {
		io.CopyN(far, rw, joinRelayed)
		far.reset()
	}) {
		return
	}
	io.CopyN(rw, far, joinRelayed)
}

// A joinLimit bounds how fast and how many at once strangers may try to join.
type joinLimit struct {
	places chan struct{} // taken ones
	rate   *rate.Limiter

	mu   sync.Mutex
	from map[netip.Addr]*addressLimit
}

// An addressLimit is a joinLimit's part for one address.
type addressLimit struct {
	places chan struct{}
	rate   *rate.Limiter
}

const (
	joinsAtOnce        = 8
	joinsAtOnceAddress = 2
	joinsBurst         = 60 // in all, then 5 a second
	joinsBurstAddress  = 30 // from one address, then 1 a second: a class joins at once
	joinsTracked       = 1024
	joinsPatience      = 5 * time.Second // for a place
)

func newJoinLimit() *joinLimit {
	return &joinLimit{
		places: make(chan struct{}, joinsAtOnce),
		rate:   rate.NewLimiter(5, joinsBurst),
		from:   make(map[netip.Addr]*addressLimit),
	}
}

// enter takes a place, for which it may wait, or fails with kind Quota. leave
// gives it back.
func (l *joinLimit) enter(ctx context.Context, from netip.Addr) (leave func(), err error) {
	one := l.address(from)
	if one == nil || !one.rate.Allow() || !l.rate.Allow() {
		return nil, errTooManyJoins
	}
	ctx, cancel := context.WithTimeout(ctx, joinsPatience)
	defer cancel()
	for _, places := range []chan struct{}{one.places, l.places} {
		select {
		case places <- struct{}{}:
		case <-ctx.Done():
			if places == l.places {
				<-one.places
			}
			return nil, errTooManyJoins
		}
	}
	return func() { <-l.places; <-one.places }, nil
}

// address returns the limit of an address, or nil when there are too many.
func (l *joinLimit) address(from netip.Addr) *addressLimit {
	l.mu.Lock()
	defer l.mu.Unlock()
	if one := l.from[from]; one != nil {
		return one
	}
	if len(l.from) >= joinsTracked {
		maps.DeleteFunc(l.from, func(_ netip.Addr, one *addressLimit) bool { return one.rate.Tokens() >= joinsBurstAddress })
	}
	if len(l.from) >= joinsTracked {
		return nil
	}
	one := &addressLimit{places: make(chan struct{}, joinsAtOnceAddress), rate: rate.NewLimiter(1, joinsBurstAddress)}
	l.from[from] = one
	return one
}

var errTooManyJoins = fmt.Errorf("too many attempts to join; try again in a minute: %w", kith.Quota)

// A joining is a connection to a host that may let us join.
type joining struct {
	io.ReadWriter
	server  kith.ID
	request []byte
	close   func()
}

// Join asks the host inviter to be let in, which is expected at one of addrs: it
// sends what request makes, and returns the reply and who gave it. exporter is
// bound to the connection; an error of request passes that host by. TLS over
// TCP and QUIC are tried on all addresses, QUIC from the overlay's own port if it
// is open. Where the inviter is at none of them, other hosts that are there are
// asked one after the other: they may be admins of its group, or relay to the
// inviter.
//
// An error of a kind such as Denied or Expired is the answer of server.
// Without a server, Denied means that nobody could be asked and that one host
// accepts no joiners now, and Unreachable that none answered. ctx bounds
// everything, each exchange ends within ten seconds besides.
func (o *Overlay) Join(ctx context.Context, inviter kith.ID, addrs []netip.AddrPort,
	request func(server kith.ID, exporter []byte) ([]byte, error)) (reply []byte, server kith.ID, err error) {
	certificate, err := o.certificate()
	if err != nil {
		return nil, kith.ID{}, err
	}
	var running sync.WaitGroup
	defer running.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	spawn := func(task func()) bool { running.Go(task); return true }

	addrs = slices.DeleteFunc(slices.Clone(addrs), o.own)
	s := &joinSearch{overlay: o, config: baseConfig(certificate, alpnJoin), request: request}
	var tries []try[joining]
	for rank, carrier := range []string{carrierTLS, carrierQUIC} {
		for i, address := range addrs {
			tries = append(tries, try[joining]{
				name:  carrier + " " + address.String(),
				after: time.Duration(rank)*carrierDelay + time.Duration(i)*addressDelay,
				run:   func(ctx context.Context) (joining, error) { return s.begin(ctx, joinWay{carrier, address}, inviter) },
			})
		}
	}
	j, err := race(ctx, spawn, tries, func(j joining) { j.close() })
	if err == nil {
		o.log.Debug("joining", "server", inviter.Short())
		reply, err = j.exchange(ctx)
		return reply, inviter, err
	}
	if ctx.Err() != nil || !errors.Is(err, kith.Unreachable) {
		return nil, kith.ID{}, fmt.Errorf("join: %w", err)
	}
	var refusal error
	for _, other := range s.others { // all tries have ended: nobody else looks
		j, err := s.begin(ctx, other.way, other.server)
		if err != nil {
			continue
		}
		o.log.Debug("joining", "server", j.server.Short(), "inviter", inviter.Short())
		reply, err := j.exchange(ctx)
		if err == nil {
			return reply, j.server, nil
		}
		if through, err := s.beginThrough(ctx, other, inviter); err == nil {
			o.log.Debug("joining", "server", inviter.Short(), "relay", other.server.Short())
			if reply, err := through.exchange(ctx); !errors.Is(err, kith.Unreachable) {
				return reply, inviter, err
			}
		}
		if refusal == nil {
			server, refusal = j.server, fmt.Errorf("the host that made the ticket does not answer; at its address, %w", err)
		}
	}
	switch {
	case refusal != nil:
		err = refusal
	case s.closed:
		err = fmt.Errorf("join: no invitation is open there: the ticket was used up or withdrawn: %w", kith.Denied)
	default:
		err = fmt.Errorf("join: %w", err)
	}
	return nil, server, err
}

// exchange sends the request and returns the reply. It closes j.
func (j joining) exchange(ctx context.Context) ([]byte, error) {
	defer j.close()
	stop := context.AfterFunc(ctx, j.close)
	defer stop()
	err := writeJoinRequest(j, joinVersion, j.request)
	var reply []byte
	if err == nil {
		reply, err = readJoinReply(j)
	}
	if ctx.Err() != nil {
		err = ctx.Err()
	}
	if err != nil {
		return nil, fmt.Errorf("host %s answers: %w", j.server.Short(), err)
	}
	return reply, nil
}

// A joinSearch looks for the host that may let us in.
type joinSearch struct {
	overlay *Overlay
	config  *tls.Config
	request func(kith.ID, []byte) ([]byte, error)

	mu     sync.Mutex
	others []joinOther // in the order in which they were met
	closed bool        // a host, it did not say which, accepts no joiners
}

// A joinOther is a host that is where another one was expected.
type joinOther struct {
	server kith.ID
	way    joinWay
}

type joinWay struct {
	carrier string
	address netip.AddrPort
}

// begin connects to the host want, up to its request.
func (s *joinSearch) begin(ctx context.Context, way joinWay, want kith.ID) (joining, error) {
	ctx, cancel := context.WithTimeout(ctx, handshakePatience)
	defer cancel()
	connect := s.overlay.joinTLS
	if way.carrier == carrierQUIC {
		connect = s.overlay.joinQUIC
	}
	j, state, err := connect(ctx, way.address, s.config.Clone())
	if err != nil {
		if isClosedToJoiners(err) {
			s.mu.Lock()
			s.closed = true
			s.mu.Unlock()
			err = errors.New("no invitation is open there")
		}
		return j, err
	}
	if j.server, err = peerOf(state); err == nil && j.server != want {
		s.mu.Lock()
		if !slices.ContainsFunc(s.others, func(o joinOther) bool { return o.server == j.server }) {
			s.others = append(s.others, joinOther{j.server, way})
		}
		s.mu.Unlock()
		err = errOtherHost
	}
	if err == nil {
		err = s.prepare(&j, state)
	}
	if err != nil {
		j.close()
	}
	return j, err
}

// prepare makes the request, for this one connection.
func (s *joinSearch) prepare(j *joining, state tls.ConnectionState) error {
	exporter, err := state.ExportKeyingMaterial(joinExporter, nil, exporterSize)
	if err == nil {
		j.request, err = s.request(j.server, exporter)
	}
	return err
}

// beginThrough has a host that is not the inviter relay to it.
func (s *joinSearch) beginThrough(ctx context.Context, relay joinOther, inviter kith.ID) (joining, error) {
	ctx, cancel := context.WithTimeout(ctx, handshakePatience)
	defer cancel()
	outer, err := s.begin(ctx, relay.way, relay.server)
	if err != nil {
		return joining{}, err
	}
	err = writeJoinRequest(outer, joinRelay, inviter[:])
	if err == nil {
		_, err = readJoinReply(outer)
	}
	var inner *tls.Conn
	if err == nil {
		inner = tls.Client(flowConn{outer, outer.close}, s.config.Clone())
		err = inner.HandshakeContext(ctx)
	}
	if err != nil {
		outer.close()
		return joining{}, err
	}
	j := joining{ReadWriter: inner, close: outer.close}
	state := inner.ConnectionState()
	if j.server, err = peerOf(state); err == nil && j.server != inviter {
		err = errOtherHost
	}
	if err == nil {
		err = s.prepare(&j, state)
	}
	if err != nil {
		j.close()
	}
	return j, err
}

// flowConn is the net.Conn that TLS wants on a flow of bytes that has deadlines
// of its own.
type flowConn struct {
	io.ReadWriter
	close func()
}

func (c flowConn) Close() error                   { c.close(); return nil }
func (flowConn) LocalAddr() net.Addr              { return kith.Address{} }
func (flowConn) RemoteAddr() net.Addr             { return kith.Address{} }
func (flowConn) SetDeadline(time.Time) error      { return nil }
func (flowConn) SetReadDeadline(time.Time) error  { return nil }
func (flowConn) SetWriteDeadline(time.Time) error { return nil }

// alertNoProtocol is how a host refuses an ALPN (RFC 7301 3.2).
const alertNoProtocol tls.AlertError = 120

func isClosedToJoiners(err error) bool {
	var op *net.OpError
	if errors.As(err, &op) && op.Op == "remote error" { // crypto/tls
		return op.Err.Error() == alertNoProtocol.Error()
	}
	var te *quic.TransportError
	return errors.As(err, &te) && te.Remote && te.ErrorCode == 0x100+quic.TransportErrorCode(alertNoProtocol) // RFC 9001 4.8
}

func (o *Overlay) joinTLS(ctx context.Context, address netip.AddrPort, config *tls.Config) (joining, tls.ConnectionState, error) {
	tcp, err := o.cfg.Internet.DialTCP(ctx, address)
	if err != nil {
		return joining{}, tls.ConnectionState{}, err
	}
	conn := tls.Client(tcp, config)
	if err := conn.HandshakeContext(ctx); err != nil {
		tcp.Close()
		return joining{}, tls.ConnectionState{}, err
	}
	conn.SetDeadline(time.Now().Add(handshakePatience))
	return joining{ReadWriter: conn, close: func() { tcp.Close() }}, conn.ConnectionState(), nil
}

func (o *Overlay) joinQUIC(ctx context.Context, address netip.AddrPort, config *tls.Config) (joining, tls.ConnectionState, error) {
	transport, shut, err := o.joinTransport(ctx, address)
	if err != nil {
		return joining{}, tls.ConnectionState{}, err
	}
	conn, err := dialQUIC(ctx, transport, address, config)
	if err != nil {
		shut()
		return joining{}, tls.ConnectionState{}, err
	}
	giveUp := func() {
		conn.CloseWithError(0, "")
		shut()
	}
	s, err := conn.OpenStreamSync(ctx)
	if err != nil {
		giveUp()
		return joining{}, tls.ConnectionState{}, err
	}
	s.SetDeadline(time.Now().Add(handshakePatience))
	return joining{ReadWriter: s, close: giveUp}, conn.ConnectionState().TLS, nil
}

// joinTransport returns what QUIC is spoken on: the overlay's port if it is
// open, else one for this connection.
func (o *Overlay) joinTransport(ctx context.Context, address netip.AddrPort) (t *quic.Transport, shut func(), err error) {
	o.mu.Lock()
	d := o.door
	o.mu.Unlock()
	if d != nil {
		return d.transport, func() {}, nil
	}
	host := ""
	if address.Addr().IsLoopback() {
		host = address.Addr().String()
	}
	udp, err := o.cfg.Internet.ListenUDP(ctx, host, 0)
	if err != nil {
		return nil, nil, err
	}
	t = &quic.Transport{Conn: udp}
	return t, func() {
		t.Close()
		udp.Close()
	}, nil
}
