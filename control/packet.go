package control

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"sync"
	"time"

	"kith.alt/kith"
)

// A frame is a datagram on the connection of a program's packet socket, with
// who is to get it, or who sent it:
//
//	length of the rest (2) | flags (1) | port (2) | length of the host (1) | host | payload
//
// A program writes the host as a name or an ID, the node as an ID. A frame that
// cannot be read ends the connection.
type frame struct {
	address kith.Address
	program bool // the sender is one, not a node
	payload []byte
}

const (
	frameHeader  = 1 + 2 + 1
	maxFrameHost = 255
	maxFrame     = frameHeader + maxFrameHost + kith.MaxDatagram

	flagProgram = 1 << 0
)

// append writes a frame whose host has at most maxFrameHost bytes.
func (f frame) append(b []byte) []byte {
	flags := byte(0)
	if f.program {
		flags |= flagProgram
	}
	b = binary.BigEndian.AppendUint16(b, uint16(frameHeader+len(f.address.Host)+len(f.payload)))
	b = binary.BigEndian.AppendUint16(append(b, flags), f.address.Port)
	b = append(append(b, byte(len(f.address.Host))), f.address.Host...)
	return append(b, f.payload...)
}

// peekFrame waits for a frame, which stays in r until it is discarded: what
// ends the wait does not cut it. The payload is r's.
func peekFrame(r *bufio.Reader) (f frame, size int, err error) {
	b, err := r.Peek(2)
	if err != nil {
		return f, 0, err
	}
	length := int(binary.BigEndian.Uint16(b))
	if length < frameHeader || length > maxFrame {
		return f, 0, fmt.Errorf("frame of %d bytes: %w", length, kith.Invalid)
	}
	if b, err = r.Peek(2 + length); err != nil {
		return f, 0, err
	}
	host := int(b[5])
	if frameHeader+host > length || length-frameHeader-host > kith.MaxDatagram {
		return f, 0, fmt.Errorf("frame of %d bytes with a host of %d: %w", length, host, kith.Invalid)
	}
	f.program = b[2]&flagProgram != 0
	f.address = kith.Address{Host: string(b[6 : 6+host]), Port: binary.BigEndian.Uint16(b[3:])}
	f.payload = b[6+host:]
	return f, 2 + length, nil
}

func newFrameReader(r io.Reader) *bufio.Reader { return bufio.NewReaderSize(r, 2+maxFrame) }

// listenPacket takes a datagram port for a program as long as its connection
// lasts.
func (s *Server) listenPacket(w http.ResponseWriter, r *http.Request) {
	var in addressRequest
	if err := kith.ReadRequest(w, r, &in); err != nil {
		kith.WriteError(w, err)
		return
	}
	socket, err := s.cfg.Node.ListenPacket(r.Context(), in.address())
	if err != nil {
		kith.WriteError(w, err)
		return
	}
	s.carryPackets(w, r, socket, endpoint{Local: addressText(socket.LocalAddr())})
}

// dialPacket is listenPacket for datagrams to and from one process.
func (s *Server) dialPacket(w http.ResponseWriter, r *http.Request) {
	var in addressRequest
	if err := kith.ReadRequest(w, r, &in); err != nil {
		kith.WriteError(w, err)
		return
	}
	conn, err := s.cfg.Node.DialPacket(r.Context(), in.address())
	if err != nil {
		kith.WriteError(w, dialError(in.address(), err))
		return
	}
	s.carryPackets(w, r, conn.(net.PacketConn), endpointOf(conn))
}

// carryPackets has the connection of a request carry the datagrams of socket,
// which it closes at the end. While the program does not read, the socket's
// queue fills.
func (s *Server) carryPackets(w http.ResponseWriter, r *http.Request, socket net.PacketConn, e endpoint) {
	defer socket.Close()
	program, err := upgrade(w, e)
	if err != nil {
		s.cfg.Log.Debug("program left while it asked for a datagram port", "err", err)
		return
	}
	defer context.AfterFunc(r.Context(), func() { program.Close() })()
	var sending sync.WaitGroup
	defer sending.Wait()
	defer program.Close()
	sending.Go(func() {
		sendFrames(socket, program)
		socket.Close() // first: a program that sees its connection end knows that the port is free
		program.Close()
	})
	buffer, wire := make([]byte, kith.MaxDatagram), make([]byte, 0, 2+maxFrame)
	for {
		n, from, err := socket.ReadFrom(buffer)
		if err != nil {
			return
		}
		sender, ok := from.(kith.Sender)
		if !ok {
			continue
		}
		wire = frame{address: sender.Address, program: sender.Program, payload: buffer[:n]}.append(wire[:0])
		if _, err := program.Write(wire); err != nil {
			return
		}
	}
}

// sendFrames sends what a program asks for until its connection ends. Nobody
// hears of what cannot be sent.
func sendFrames(socket net.PacketConn, program io.Reader) {
	frames := newFrameReader(program)
	for {
		f, size, err := peekFrame(frames)
		if err != nil {
			return
		}
		if _, err := socket.WriteTo(f.payload, f.address); errors.Is(err, net.ErrClosed) {
			return
		}
		frames.Discard(size)
	}
}

// ListenPacket takes a datagram port, as kith.PacketNetwork has it, until the
// socket is closed or this process ends. WriteTo takes names, too; it does not
// fail where the host turns out to be unknown.
func (c *Client) ListenPacket(ctx context.Context, address kith.Address) (net.PacketConn, error) {
	s, _, err := c.packetSocket(ctx, "listen-packet", address)
	if err != nil {
		return nil, err
	}
	return s, nil
}

// DialPacket takes a free port for datagrams to and from one process.
func (c *Client) DialPacket(ctx context.Context, address kith.Address) (net.Conn, error) {
	s, peer, err := c.packetSocket(ctx, "dial-packet", address)
	if err != nil {
		return nil, err
	}
	return kith.ConnectPacket(s, peer), nil
}

func (c *Client) packetSocket(ctx context.Context, method string, address kith.Address) (*packetConn, kith.Address, error) {
	node, e, err := c.upgrade(ctx, method, addressRequest{address.Host, address.Port})
	if err != nil {
		return nil, kith.Address{}, err
	}
	return &packetConn{node: node, local: parseAddr(e.Local), frames: newFrameReader(node)}, parseAddr(e.Remote), nil
}

// packetConn is a packet socket of a local program, held by the node.
type packetConn struct {
	node  *net.UnixConn
	local kith.Address

	reading sync.Mutex // held by the one ReadFrom at a time
	frames  *bufio.Reader
	writing sync.Mutex // held by the one WriteTo at a time
	wire    []byte

	mu            sync.Mutex
	closed        bool
	readDeadline  time.Time
	writeDeadline time.Time
}

func (c *packetConn) LocalAddr() net.Addr { return c.local }

// ReadFrom returns a datagram and its kith.Sender.
func (c *packetConn) ReadFrom(p []byte) (int, net.Addr, error) {
	n, from, err := c.read(p)
	if err != nil {
		return 0, nil, c.error("read", nil, err)
	}
	return n, from, nil
}

func (c *packetConn) read(p []byte) (int, net.Addr, error) {
	c.reading.Lock()
	defer c.reading.Unlock()
	if err := c.usable(&c.readDeadline); err != nil {
		return 0, nil, err
	}
	f, size, err := peekFrame(c.frames)
	if err != nil {
		return 0, nil, c.why(err)
	}
	defer c.frames.Discard(size)
	id, err := kith.ParseID(f.address.Host)
	if err != nil {
		return 0, nil, fmt.Errorf("datagram from the node: %w", err)
	}
	return copy(p, f.payload), kith.Sender{Address: f.address, Peer: kith.Peer{ID: id, Program: f.program}}, nil
}

// WriteTo hands a datagram to the node.
func (c *packetConn) WriteTo(p []byte, addr net.Addr) (int, error) {
	if err := c.write(p, addr); err != nil {
		return 0, c.error("write", addr, err)
	}
	return len(p), nil
}

func (c *packetConn) write(p []byte, addr net.Addr) error {
	if err := c.usable(&c.writeDeadline); err != nil {
		return err
	}
	to, err := kith.AddressOf(addr)
	switch {
	case err != nil:
		return err
	case len(p) > kith.MaxDatagram:
		return fmt.Errorf("datagram of %d bytes, at most %d: %w", len(p), kith.MaxDatagram, kith.Invalid)
	case to.Host == "" || len(to.Host) > maxFrameHost || to.Port == 0:
		return fmt.Errorf("it needs a host and a port: %w", kith.Invalid)
	}
	c.writing.Lock()
	defer c.writing.Unlock()
	// The node takes frames at once. One that is cut off would be the last.
	c.node.SetWriteDeadline(time.Now().Add(patience))
	c.wire = frame{address: to, payload: p}.append(c.wire[:0])
	if _, err := c.node.Write(c.wire); err != nil {
		c.node.Close()
		return c.why(err)
	}
	return nil
}

// usable reports why a call cannot even begin.
func (c *packetConn) usable(deadline *time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.closed:
		return net.ErrClosed
	case !deadline.IsZero() && !time.Now().Before(*deadline):
		return os.ErrDeadlineExceeded
	}
	return nil
}

// why says what an error of the connection to the node means.
func (c *packetConn) why(err error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.closed:
		return net.ErrClosed
	case errors.Is(err, os.ErrDeadlineExceeded):
		return os.ErrDeadlineExceeded
	case errors.Is(err, io.EOF):
		return fmt.Errorf("the node has stopped: %w", net.ErrClosed)
	}
	return fmt.Errorf("connection to the node: %w", err)
}

// Close returns once the node has freed the port.
func (c *packetConn) Close() error {
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return c.error("close", nil, net.ErrClosed)
	}
	c.closed = true
	c.node.SetReadDeadline(time.Unix(1, 0)) // wakes ReadFrom
	c.mu.Unlock()
	c.reading.Lock()
	defer c.reading.Unlock()
	c.node.CloseWrite() // fails when the node is gone, and the port with it
	c.node.SetReadDeadline(time.Now().Add(patience))
	io.Copy(io.Discard, c.node)
	return c.node.Close()
}

func (c *packetConn) SetDeadline(t time.Time) error {
	return errors.Join(c.SetReadDeadline(t), c.SetWriteDeadline(t))
}

func (c *packetConn) SetReadDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return c.error("set deadline", nil, net.ErrClosed)
	}
	c.readDeadline = t
	return c.node.SetReadDeadline(t)
}

func (c *packetConn) SetWriteDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return c.error("set deadline", nil, net.ErrClosed)
	}
	c.writeDeadline = t
	return nil
}

func (c *packetConn) error(op string, to net.Addr, err error) error {
	return &net.OpError{Op: op, Net: c.local.Network(), Source: c.local, Addr: to, Err: err}
}
