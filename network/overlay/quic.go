package overlay

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"time"

	"github.com/quic-go/quic-go"
)

// quicConfig is what both roles share but for the pings, which the dialler
// sends for both.
func quicConfig(dialled bool) *quic.Config {
	c := &quic.Config{
		HandshakeIdleTimeout:           5 * time.Second,
		MaxIdleTimeout:                 keepAlive + pingPatience,
		InitialStreamReceiveWindow:     512 << 10,
		MaxStreamReceiveWindow:         maxStreamWindow,
		InitialConnectionReceiveWindow: maxWindow, // it grows only while somebody reads, and when it is shut no ping passes
		MaxConnectionReceiveWindow:     maxWindow,
		MaxIncomingStreams:             maxStreams,
		MaxIncomingUniStreams:          -1,
		EnableDatagrams:                true, // RFC 9221
	}
	if dialled {
		c.HandshakeIdleTimeout = 3 * time.Second
		c.KeepAlivePeriod = keepAlive
	}
	return c
}

// quicCarrier is a carrier on a QUIC connection (RFC 9000).
type quicCarrier struct{ conn *quic.Conn }

func (c quicCarrier) kind() string           { return carrierQUIC }
func (c quicCarrier) local() netip.AddrPort  { return netip.AddrPort{} }
func (c quicCarrier) remote() netip.AddrPort { return quicRemote(c.conn) }
func (c quicCarrier) rtt() time.Duration     { return c.conn.ConnectionStats().SmoothedRTT }
func (c quicCarrier) arrived() uint64        { return c.conn.ConnectionStats().BytesReceived }
func (c quicCarrier) wrote() time.Time       { return time.Time{} }
func (c quicCarrier) onArrival(func())       {} // QUIC acknowledges (RFC 9000 13.2)
func (c quicCarrier) done() <-chan struct{}  { return c.conn.Context().Done() }
func (c quicCarrier) close() error           { return c.conn.CloseWithError(0, "") }

func (c quicCarrier) openStream(ctx context.Context) (stream, error) {
	s, err := c.conn.OpenStreamSync(ctx)
	if err != nil {
		return nil, err
	}
	return quicStream{s}, nil
}

func (c quicCarrier) acceptStream() (stream, error) {
	s, err := c.conn.AcceptStream(context.Background())
	if err != nil {
		return nil, err
	}
	return quicStream{s}, nil
}

// drain says goodbye and leaves it to the peer to end the connection: when we
// end it, the peer loses even what has arrived and was not read.
func (c quicCarrier) drain(ctx context.Context) {
	s, err := c.conn.OpenStreamSync(ctx)
	if err != nil {
		return
	}
	s.Write(header{kind: forGoodbye}.append(nil))
	s.Close()
	select {
	case <-c.done():
	case <-ctx.Done():
	}
}

func (c quicCarrier) sendDatagram(p []byte) error { return c.conn.SendDatagram(p) }

func (c quicCarrier) receiveDatagram() ([]byte, error) {
	return c.conn.ReceiveDatagram(c.conn.Context())
}

// quicStream adapts a QUIC stream.
type quicStream struct{ *quic.Stream }

func (s quicStream) Read(p []byte) (int, error) {
	n, err := s.Stream.Read(p)
	return n, quicError(err)
}

func (s quicStream) Write(p []byte) (int, error) {
	n, err := s.Stream.Write(p)
	return n, quicError(err)
}

func (s quicStream) closeWrite() error { return quicError(s.Stream.Close()) }

// close ends our direction and has the peer stop sending (RFC 9000 3.5).
func (s quicStream) close() error {
	err := s.Stream.Close()
	s.CancelRead(0)
	return quicError(err)
}

func (s quicStream) reset() {
	s.CancelWrite(0)
	s.CancelRead(0)
}

func quicError(err error) error {
	var ended *quic.StreamError
	switch {
	case err == nil || err == io.EOF:
		return err
	case errors.Is(err, os.ErrDeadlineExceeded):
		return os.ErrDeadlineExceeded
	case errors.As(err, &ended):
		return errReset
	}
	return err
}

func quicRemote(conn *quic.Conn) netip.AddrPort {
	if udp, ok := conn.RemoteAddr().(*net.UDPAddr); ok {
		return unmapped(udp.AddrPort())
	}
	return netip.AddrPort{}
}

func unmapped(a netip.AddrPort) netip.AddrPort {
	return netip.AddrPortFrom(a.Addr().Unmap(), a.Port())
}

// dialQUIC connects to address from the socket of transport.
func dialQUIC(ctx context.Context, transport *quic.Transport, address netip.AddrPort, config *tls.Config) (*quic.Conn, error) {
	return transport.Dial(ctx, net.UDPAddrFromAddrPort(address), config, quicConfig(true))
}
