package control

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"syscall"
	"time"

	"kith.alt/kith"
)

// relayBuffer is the memory that each direction of a relayed socket takes.
const relayBuffer = 64 << 10

// An offer is an accepted socket that waits for its program to fetch it.
type offer struct {
	conn  net.Conn
	timer *time.Timer
	slots chan struct{} // the listener's; holds an element for each of its offers
}

// dial opens a socket for a program and becomes it.
func (s *Server) dial(w http.ResponseWriter, r *http.Request) {
	var in addressRequest
	if err := kith.ReadRequest(w, r, &in); err != nil {
		kith.WriteError(w, err)
		return
	}
	conn, err := s.cfg.Node.Dial(r.Context(), in.address())
	if err != nil {
		kith.WriteError(w, dialError(in.address(), err))
		return
	}
	s.become(w, r, conn)
}

// dialError names the address as the program gave it, where the network names
// the one that it was resolved to.
func dialError(asked kith.Address, err error) error {
	op, ok := err.(*net.OpError)
	if !ok {
		return err
	}
	if errors.Is(op.Err, kith.Refused) {
		return fmt.Errorf("dial %s: %w", asked, kith.Refused)
	}
	return fmt.Errorf("dial %s: %w", asked, op.Err)
}

// accept becomes a socket that a listener of the program accepted.
func (s *Server) accept(w http.ResponseWriter, r *http.Request) {
	var in tokenRequest
	if err := kith.ReadRequest(w, r, &in); err != nil {
		kith.WriteError(w, err)
		return
	}
	conn := s.take(in.Token)
	if conn == nil {
		kith.WriteError(w, fmt.Errorf("no socket waits under this token: %w", kith.NotFound))
		return
	}
	s.become(w, r, conn)
}

// listen takes a port for a program as long as its connection lasts, and
// announces accepted sockets on it, a line of JSON each.
func (s *Server) listen(w http.ResponseWriter, r *http.Request) {
	var in addressRequest
	if err := kith.ReadRequest(w, r, &in); err != nil {
		kith.WriteError(w, err)
		return
	}
	ln, err := s.cfg.Node.Listen(r.Context(), in.address())
	if err != nil {
		kith.WriteError(w, err)
		return
	}
	defer ln.Close()
	program, err := upgrade(w, endpoint{Local: addressText(ln.Addr())})
	if err != nil {
		s.cfg.Log.Debug("program left while it asked for a port", "err", err)
		return
	}
	defer program.Close()
	defer context.AfterFunc(r.Context(), func() { program.Close() })()

	gone := make(chan struct{})
	var watch sync.WaitGroup
	defer watch.Wait()
	defer program.Close()
	watch.Go(func() {
		io.Copy(io.Discard, program) // a program says nothing here: this ends when it leaves
		close(gone)
		ln.Close() // first: a program that sees its connection end knows that the port is free
		program.Close()
	})

	slots := make(chan struct{}, backlog)
	defer s.withdraw(slots)
	defer ln.Close()
	announce := json.NewEncoder(program)
	for {
		select {
		case <-gone:
			return
		case slots <- struct{}{}:
		}
		conn, err := ln.Accept()
		if err != nil {
			if !errors.Is(err, net.ErrClosed) {
				s.cfg.Log.Warn("listener of a program ends", "address", ln.Addr(), "err", err)
			}
			return
		}
		if announce.Encode(tokenRequest{s.offer(conn, slots)}) != nil {
			return
		}
	}
}

// offer keeps conn for the program that knows the token, for a while.
func (s *Server) offer(conn net.Conn, slots chan struct{}) (token string) {
	token = rand.Text()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.offers[token] = &offer{conn: conn, slots: slots, timer: time.AfterFunc(fetchTime, func() {
		if conn := s.take(token); conn != nil {
			s.cfg.Log.Warn("a program did not fetch an accepted socket", "from", conn.RemoteAddr(), "after", fetchTime)
			conn.Close()
		}
	})}
	return token
}

// take returns the socket offered under token to the first who asks, then nil.
func (s *Server) take(token string) net.Conn {
	s.mu.Lock()
	defer s.mu.Unlock()
	o := s.offers[token]
	if o == nil {
		return nil
	}
	s.drop(token, o)
	return o.conn
}

// withdraw closes the sockets of a listener that nobody has fetched.
func (s *Server) withdraw(slots chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for token, o := range s.offers {
		if o.slots == slots {
			s.drop(token, o)
			o.conn.Close()
		}
	}
}

// drop forgets an offer; the caller holds mu.
func (s *Server) drop(token string, o *offer) {
	delete(s.offers, token)
	o.timer.Stop()
	<-o.slots
}

// become turns the connection of a request into the socket far, and closes far
// at its end.
func (s *Server) become(w http.ResponseWriter, r *http.Request, far net.Conn) {
	defer far.Close()
	e := endpointOf(far)
	e.Token = rand.Text()
	program, err := upgrade(w, e)
	if err != nil {
		s.cfg.Log.Debug("program left while its socket opened", "err", err)
		return
	}
	defer program.Close()
	s.relay(r.Context(), program, far, func(err error) { s.breaks(e.Token, err) })
}

// breaks keeps the reason why a socket did not end in order.
func (s *Server) breaks(token string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.broken) >= maxBroken {
		for other := range s.broken {
			delete(s.broken, other) // any: most belong to programs that left first and never ask
			break
		}
	}
	s.broken[token] = err
	time.AfterFunc(brokenTime, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.broken, token)
	})
}

// ended fails where the socket did not end in order.
func (s *Server) ended(_ context.Context, in tokenRequest) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	err := s.broken[in.Token]
	delete(s.broken, in.Token)
	return err
}

// upgrade answers a request with 101, after which the connection carries raw
// bytes. The client's first byte says that it has read the answer, so that no
// byte of the socket hides in a buffer behind the answer's header.
func upgrade(w http.ResponseWriter, e endpoint) (_ net.Conn, err error) {
	text, err := json.Marshal(e)
	if err != nil {
		return nil, err
	}
	conn, rw, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			conn.Close()
		}
	}()
	if rw.Reader.Buffered() > 0 {
		return nil, fmt.Errorf("bytes before the answer: %w", kith.Invalid)
	}
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		return nil, err
	}
	const status = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n"
	if _, err := fmt.Fprintf(conn, status+"Upgrade: %s\r\n%s: %s\r\n\r\n", protocol, header, text); err != nil {
		return nil, err
	}
	if _, err := io.ReadFull(conn, make([]byte, 1)); err != nil {
		return nil, err
	}
	return conn, conn.SetDeadline(time.Time{})
}

// relay carries bytes both ways between a program and a far process and passes
// half-closes on, until both ways have ended, one has failed, or ctx ends. It
// calls breaks, before the program can read the end, when what came from the far
// process may not be all.
func (s *Server) relay(ctx context.Context, program, far net.Conn, breaks func(error)) {
	end := func(err error) {
		breaks(err)
		program.Close()
		far.Close()
	}
	defer context.AfterFunc(ctx, func() { end(ctx.Err()) })()
	var ways sync.WaitGroup
	defer ways.Wait()
	ways.Go(func() {
		if s.copy(far, program) != nil || kith.CloseWrite(far) != nil {
			far.Close() // the other way ends by that
		}
	})
	err := s.copy(program, far)
	if err == nil {
		err = kith.CloseWrite(program)
	}
	if err != nil {
		end(err)
	}
}

// copy copies until EOF.
func (s *Server) copy(to, from net.Conn) error {
	if isKernelSocket(to) && isKernelSocket(from) {
		_, err := io.Copy(to, from) // Linux splices
		return err
	}
	buffer := s.buffers.Get().(*[]byte)
	defer s.buffers.Put(buffer)
	// The wrappers hide ReadFrom and WriteTo, which would take a smaller buffer
	// of their own.
	_, err := io.CopyBuffer(struct{ io.Writer }{to}, struct{ io.Reader }{from}, *buffer)
	return err
}

func isKernelSocket(conn net.Conn) bool {
	_, ok := conn.(syscall.Conn)
	return ok
}
