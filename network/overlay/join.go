package overlay

import (
	"context"
	"crypto/ed25519"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/netip"
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
const (
	joinVersion  = 1
	joinMaxBody  = 4 << 10
	joinExporter = "EXPORTER-kith-join/1" // RFC 8446 7.5
	exporterSize = 32
)

func writeJoinRequest(w io.Writer, body []byte) error {
	if len(body) > joinMaxBody {
		return fmt.Errorf("join request has %d bytes, at most %d: %w", len(body), joinMaxBody, kith.Quota)
	}
	b := binary.BigEndian.AppendUint16([]byte{joinVersion}, uint16(len(body)))
	_, err := w.Write(append(b, body...))
	return err
}

func readJoinRequest(r io.Reader) ([]byte, error) {
	var head [3]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return nil, fmt.Errorf("read join request: %w", err)
	}
	if head[0] != joinVersion {
		return nil, fmt.Errorf("join request has version %d, want %d: %w", head[0], joinVersion, kith.Invalid)
	}
	return readJoinBody(r, binary.BigEndian.Uint16(head[1:]))
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
// deadlines of rw bound it.
func (o *Overlay) answerJoin(rw io.ReadWriter, from net.Addr, id kith.ID, state tls.ConnectionState) error {
	leave, err := o.joins.enter(hostOf(from))
	if err != nil {
		return errors.Join(err, writeJoinReply(rw, nil, err))
	}
	defer leave()
	request, err := readJoinRequest(rw)
	var reply, exporter []byte
	if err == nil {
		exporter, err = state.ExportKeyingMaterial(joinExporter, nil, exporterSize)
	}
	if err == nil {
		ctx, cancel := context.WithTimeout(o.ctx, handshakePatience)
		defer cancel()
		reply, err = o.cfg.Join(ctx, id, exporter, request)
	}
	if err == nil && len(reply) > joinMaxBody {
		err = fmt.Errorf("join reply has %d bytes, at most %d", len(reply), joinMaxBody)
	}
	o.metrics.joined.Add(1)
	if err != nil {
		o.log.Info("join refused", "peer", id.Short(), "from", from, "error", err)
	}
	return errors.Join(err, writeJoinReply(rw, reply, err))
}

// A joinLimit bounds how fast and how many at once strangers may try to join.
type joinLimit struct {
	all *rate.Limiter

	mu   sync.Mutex
	now  int
	from map[netip.Addr]*rate.Limiter
}

const (
	joinsAtOnce  = 8
	joinsBurst   = 20 // in all, then 5 a second
	joinsAddress = 10 // from one address, then 1 a second
	joinsTracked = 1024
)

func newJoinLimit() *joinLimit {
	return &joinLimit{all: rate.NewLimiter(5, joinsBurst), from: make(map[netip.Addr]*rate.Limiter)}
}

func (l *joinLimit) enter(from netip.Addr) (leave func(), err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	one := l.from[from]
	if one == nil {
		if len(l.from) >= joinsTracked {
			maps.DeleteFunc(l.from, func(_ netip.Addr, r *rate.Limiter) bool { return r.Tokens() >= joinsAddress })
		}
		if len(l.from) >= joinsTracked {
			return nil, errTooManyJoins
		}
		one = rate.NewLimiter(1, joinsAddress)
		l.from[from] = one
	}
	if l.now >= joinsAtOnce || !one.Allow() || !l.all.Allow() {
		return nil, errTooManyJoins
	}
	l.now++
	return func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.now--
	}, nil
}

var errTooManyJoins = fmt.Errorf("too many attempts to join; try again in a minute: %w", kith.Quota)

// A joining is a connection to a host that may let us join.
type joining struct {
	io.ReadWriter
	server  kith.ID
	request []byte
	close   func()
}

// Join asks the host at one of addrs to be let in: it sends what request
// makes, and returns the reply and who gave it. exporter is bound to the
// connection; request may be called for several hosts, at the same time, and
// an error of it passes that host by. TLS over TCP and QUIC are tried on all
// addresses. An error of a kind such as Denied or Expired is the host's
// answer; Unreachable means that none answered. ctx bounds everything, each
// exchange ends within ten seconds besides.
func Join(ctx context.Context, key ed25519.PrivateKey, addrs []netip.AddrPort,
	request func(server kith.ID, exporter []byte) ([]byte, error), log *slog.Logger) (reply []byte, server kith.ID, err error) {
	certificate, err := newCertificate(key)
	if err != nil {
		return nil, kith.ID{}, err
	}
	var running sync.WaitGroup
	defer running.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	spawn := func(task func()) bool { running.Go(task); return true }

	config := baseConfig(certificate, alpnJoin)
	var tries []try[joining]
	for rank, connect := range []func(context.Context, netip.AddrPort, *tls.Config) (joining, tls.ConnectionState, error){joinTLS, joinQUIC} {
		for i, address := range addrs {
			tries = append(tries, try[joining]{
				name:  []string{carrierTLS, carrierQUIC}[rank] + " " + address.String(),
				after: time.Duration(rank)*quicDelay + time.Duration(i)*addressDelay,
				run: func(ctx context.Context) (joining, error) {
					ctx, cancel := context.WithTimeout(ctx, handshakePatience)
					defer cancel()
					return beginJoin(ctx, address, config.Clone(), connect, request)
				},
			})
		}
	}
	j, err := race(ctx, spawn, tries, func(j joining) { j.close() })
	if err != nil {
		return nil, kith.ID{}, fmt.Errorf("join: %w", err)
	}
	defer j.close()
	if log != nil {
		log.Debug("joining", "server", j.server.Short())
	}
	stop := context.AfterFunc(ctx, j.close)
	defer stop()
	if err := writeJoinRequest(j, j.request); err != nil {
		return nil, j.server, fmt.Errorf("join: %w", err)
	}
	reply, err = readJoinReply(j)
	if ctx.Err() != nil {
		err = ctx.Err()
	}
	if err != nil {
		return nil, j.server, fmt.Errorf("host %s answers: %w", j.server.Short(), err)
	}
	return reply, j.server, nil
}

func beginJoin(ctx context.Context, address netip.AddrPort, config *tls.Config,
	connect func(context.Context, netip.AddrPort, *tls.Config) (joining, tls.ConnectionState, error),
	request func(kith.ID, []byte) ([]byte, error)) (joining, error) {
	j, state, err := connect(ctx, address, config)
	if err != nil {
		if isClosedToJoiners(err) {
			return j, fmt.Errorf("no invitation is open there: the ticket was used up or withdrawn: %w", kith.Denied)
		}
		return j, err
	}
	if j.server, err = peerOf(state); err == nil {
		var exporter []byte
		if exporter, err = state.ExportKeyingMaterial(joinExporter, nil, exporterSize); err == nil {
			j.request, err = request(j.server, exporter)
		}
	}
	if err != nil {
		j.close()
	}
	return j, err
}

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

func joinTLS(ctx context.Context, address netip.AddrPort, config *tls.Config) (joining, tls.ConnectionState, error) {
	conn, err := dialTLS(ctx, address, config)
	if err != nil {
		return joining{}, tls.ConnectionState{}, err
	}
	conn.SetDeadline(time.Now().Add(handshakePatience))
	return joining{ReadWriter: conn, close: func() { conn.NetConn().Close() }}, conn.ConnectionState(), nil
}

func joinQUIC(ctx context.Context, address netip.AddrPort, config *tls.Config) (joining, tls.ConnectionState, error) {
	var local net.UDPAddr
	if address.Addr().IsLoopback() {
		local.IP = address.Addr().AsSlice()
	}
	udp, err := net.ListenUDP("udp", &local)
	if err != nil {
		return joining{}, tls.ConnectionState{}, err
	}
	transport := &quic.Transport{Conn: udp}
	shut := func() {
		transport.Close()
		udp.Close()
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
