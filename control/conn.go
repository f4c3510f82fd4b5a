package control

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"time"

	"kith.alt/kith"
)

// conn is a socket of a local program, relayed by the node.
type conn struct {
	*net.UnixConn
	local, remote kith.Address
	ended         func() error // io.EOF, or why the socket did not end in order
}

// Read reads as net.Conn has it. io.EOF comes only after everything that the
// far process wrote before it closed.
func (c *conn) Read(p []byte) (int, error) {
	n, err := c.UnixConn.Read(p)
	if err == io.EOF {
		err = c.ended()
	}
	return n, err
}

func (c *conn) LocalAddr() net.Addr  { return c.local }
func (c *conn) RemoteAddr() net.Addr { return c.remote }

// verifiedConn is a socket whose network verified the peer.
type verifiedConn struct {
	conn
	peer kith.Peer
}

// Peer returns who is at the far end, as the node verified it.
func (c *verifiedConn) Peer() kith.Peer { return c.peer }

// Dial opens a socket to a process, as kith.Network has it.
func (c *Client) Dial(ctx context.Context, address kith.Address) (net.Conn, error) {
	return c.socket(ctx, "dial", addressRequest{address.Host, address.Port})
}

// Listen takes an overlay port, as kith.Network has it, until the listener is
// closed or this process ends.
func (c *Client) Listen(ctx context.Context, address kith.Address) (net.Listener, error) {
	node, e, err := c.upgrade(ctx, "listen", addressRequest{address.Host, address.Port})
	if err != nil {
		return nil, err
	}
	l := &listener{
		client: c, node: node, address: parseAddr(e.Local),
		ready: make(chan net.Conn, backlog),
		done:  make(chan struct{}),
	}
	go l.fetch()
	return l, nil
}

// socket makes a request that becomes a socket.
func (c *Client) socket(ctx context.Context, method string, in any) (net.Conn, error) {
	unix, e, err := c.upgrade(ctx, method, in)
	if err != nil {
		return nil, err
	}
	plain := conn{UnixConn: unix, local: parseAddr(e.Local), remote: parseAddr(e.Remote)}
	plain.ended = sync.OnceValue(func() error {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := c.call(ctx, "ended", tokenRequest{e.Token}, nil); err != nil {
			return &net.OpError{Op: "read", Net: plain.remote.Network(), Source: plain.local, Addr: plain.remote, Err: err}
		}
		return io.EOF
	})
	if e.Peer == nil {
		return &plain, nil
	}
	return &verifiedConn{plain, *e.Peer}, nil
}

// upgrade makes a request whose connection carries raw bytes from then on.
func (c *Client) upgrade(ctx context.Context, method string, in any) (*net.UnixConn, endpoint, error) {
	node, err := connect(ctx, c.dir)
	if err != nil {
		return nil, endpoint{}, err
	}
	interrupted := context.AfterFunc(ctx, func() { node.SetDeadline(time.Unix(1, 0)) })
	e, err := handshake(ctx, node, method, in)
	if !interrupted() {
		err = ctx.Err()
	}
	if err != nil {
		node.Close()
		return nil, endpoint{}, err
	}
	return node.(*net.UnixConn), e, nil
}

func handshake(ctx context.Context, node net.Conn, method string, in any) (e endpoint, err error) {
	req, err := newRequest(ctx, http.MethodPost, prefix+method, in)
	if err != nil {
		return e, err
	}
	req.Header.Set("Connection", "Upgrade")
	req.Header.Set("Upgrade", protocol)
	if err := req.Write(node); err != nil {
		return e, fmt.Errorf("ask the node: %w", err)
	}
	r := bufio.NewReader(node)
	resp, err := http.ReadResponse(r, req)
	if err != nil {
		return e, fmt.Errorf("read the node's answer: %w", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusSwitchingProtocols {
		return e, kith.ReadError(resp)
	}
	if err := json.Unmarshal([]byte(resp.Header.Get(header)), &e); err != nil {
		return e, fmt.Errorf("read the node's answer: %w", err)
	}
	_, err = node.Write([]byte{0}) // the answer is read: raw bytes may follow
	return e, err
}

// listener is an overlay port that a local program holds.
type listener struct {
	client  *Client
	node    *net.UnixConn // the node announces accepted sockets on it, and frees the port when it closes
	address kith.Address
	ready   chan net.Conn
	done    chan struct{}
	closing sync.Once
	ended   error // why the node ended the listener; set before ready is closed
}

func (l *listener) Addr() net.Addr { return l.address }

// fetch fetches announced sockets at once, so that a program which is slow to
// accept loses none but keeps them waiting, within the backlog.
func (l *listener) fetch() {
	defer close(l.ready)
	announced := json.NewDecoder(l.node)
	for {
		var next tokenRequest
		if err := announced.Decode(&next); err != nil {
			l.ended = fmt.Errorf("the node has stopped: %w", net.ErrClosed)
			if !errors.Is(err, io.EOF) {
				l.ended = fmt.Errorf("connection to the node: %w", err)
			}
			return
		}
		ctx, cancel := context.WithTimeout(context.Background(), fetchTime)
		conn, err := l.client.socket(ctx, "accept", next)
		cancel()
		if err != nil { // the far end gave up, or the node: then Decode says so
			continue
		}
		select {
		case l.ready <- conn:
		case <-l.done:
			conn.Close()
		}
	}
}

func (l *listener) Accept() (net.Conn, error) {
	select {
	case <-l.done:
		return nil, l.error("accept", net.ErrClosed)
	default:
	}
	select {
	case <-l.done:
		return nil, l.error("accept", net.ErrClosed)
	case conn, ok := <-l.ready:
		if !ok {
			select {
			case <-l.done:
				return nil, l.error("accept", net.ErrClosed)
			default:
				return nil, l.error("accept", l.ended)
			}
		}
		return conn, nil
	}
}

// Close returns once the node has freed the port.
func (l *listener) Close() error {
	err := l.error("close", net.ErrClosed)
	l.closing.Do(func() {
		close(l.done)
		l.node.CloseWrite() // fails when the node is gone, and the port with it
		l.node.SetReadDeadline(time.Now().Add(patience))
		for conn := range l.ready { // until fetch has read the node's end
			conn.Close()
		}
		err = l.node.Close()
	})
	return err
}

func (l *listener) error(op string, err error) error {
	return &net.OpError{Op: op, Net: l.address.Network(), Addr: l.address, Err: err}
}
