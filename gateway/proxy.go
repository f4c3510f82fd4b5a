package gateway

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"kith.alt/kith"
	"kith.alt/kith/proto/socks"
)

// A proxy serves the proxy's port.
type proxy struct {
	*Gateway
	queue        *handoff     // connections for the HTTP server
	associations atomic.Int32 // of SOCKS, for datagrams
}

// serveProxy runs the proxy.
func (g *Gateway) serveProxy(ctx context.Context, l *limitListener) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	p := &proxy{Gateway: g, queue: &handoff{conns: make(chan net.Conn), closed: make(chan struct{}), addr: l.Addr()}}
	unregister := context.AfterFunc(ctx, func() { l.Close() })
	defer unregister()

	var accepting sync.WaitGroup
	var acceptErr error
	accepting.Go(func() {
		acceptErr = p.accept(ctx, stop, l)
	})
	server := g.httpServer(p)
	server.ConnContext = func(ctx context.Context, conn net.Conn) context.Context {
		if c, ok := conn.(*proxyConn); ok && c.tunnel != nil {
			return context.WithValue(ctx, tunnelKey{}, c.tunnel)
		}
		return ctx
	}
	err := serveHTTP(ctx, server, p.queue, l.closeAll)
	accepting.Wait()
	return errors.Join(acceptErr, err)
}

// accept gives each connection its goroutine and waits for them all. Failures
// that last, such as a lack of file descriptors, end it after some seconds.
func (p *proxy) accept(ctx context.Context, stop func(), l net.Listener) error {
	var conns sync.WaitGroup
	defer conns.Wait()
	defer stop()
	for {
		conn, err := l.Accept()
		switch {
		case err == nil:
			conns.Go(func() { p.serveConn(ctx, conn) })
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, net.ErrClosed):
			return fmt.Errorf("accept: %w", err)
		default: // too many open files: it passes
			select {
			case <-time.After(100 * time.Millisecond):
			case <-ctx.Done():
			}
		}
	}
}

// serveConn tells the protocols apart: SOCKS starts with its version, HTTP
// with a method in capitals. SOCKS 4, which knows addresses only, and TLS are
// turned away.
func (p *proxy) serveConn(ctx context.Context, conn net.Conn) {
	conn.SetDeadline(time.Now().Add(headerTimeout))
	var first [1]byte
	if _, err := io.ReadFull(conn, first[:]); err != nil {
		conn.Close()
		return
	}
	switch {
	case first[0] == socks.Version:
		p.serveSOCKS(ctx, conn, first[:])
	case first[0] >= 'A' && first[0] <= 'Z':
		conn.SetDeadline(time.Time{})
		p.queue.give(&proxyConn{Conn: conn, prefix: first[:]})
	default:
		conn.Close()
	}
}

func (p *proxy) serveSOCKS(ctx context.Context, conn net.Conn, first []byte) {
	request, err := socks.ReadRequest(struct {
		io.Reader
		io.Writer
	}{io.MultiReader(bytes.NewReader(first), conn), conn})
	if err != nil {
		p.config.Log.Debug("SOCKS handshake", "err", err)
		conn.Close()
		return
	}
	switch request.Command {
	case socks.CommandConnect:
	case socks.CommandAssociate:
		p.serveAssociation(ctx, conn, request)
		return
	default:
		p.refuseSOCKS(conn, request, socks.CommandUnsupported, nil)
		return
	}
	if request.Name == "" {
		p.badTargets.Add(1)
		p.refuseSOCKS(conn, request, socks.NotAllowed, nil)
		return
	}
	target, s, err := p.open(ctx, request.Name, int(request.Port))
	if err != nil {
		p.refuseSOCKS(conn, request, failureOf(err).reply, err)
		return
	}
	conn.SetDeadline(time.Now().Add(headerTimeout))
	if err := socks.WriteReply(conn, socks.Succeeded); err != nil {
		target.Close()
		conn.Close()
		return
	}
	conn.SetDeadline(time.Time{})
	p.join(conn, target, s, int(request.Port), nil)
}

func (p *proxy) refuseSOCKS(conn net.Conn, request socks.Request, reply socks.Reply, err error) {
	p.config.Log.Debug("SOCKS request refused", "addr", request.Target(), "reply", reply.Error(), "err", err)
	conn.SetDeadline(time.Now().Add(headerTimeout))
	socks.WriteReply(conn, reply)
	conn.Close()
}

// open connects to a process that a program named.
func (p *proxy) open(ctx context.Context, host string, port int) (net.Conn, site, error) {
	name, err := p.fullName(host)
	if err != nil {
		p.badTargets.Add(1)
		return nil, site{}, err
	}
	s, err := p.lookUp(name)
	if err != nil {
		return nil, site{}, err
	}
	if port == 0 {
		return nil, site{}, fmt.Errorf("port 0: %w", kith.Invalid)
	}
	conn, err := p.dial(ctx, s.address(port))
	return conn, s, err
}

// join has the client use the tunnel; early is what it sent already. It closes
// both ends.
func (p *proxy) join(client, target net.Conn, s site, port int, early []byte) {
	p.tunnels.Add(1)
	if port == webPort {
		p.queue.give(&proxyConn{Conn: client, prefix: early, tunnel: &tunnel{site: s, conn: target}})
		return
	}
	relay(&proxyConn{Conn: client, prefix: early}, target)
}

// ServeHTTP answers what is spoken in HTTP: to the proxy, or through a tunnel
// to port 80.
func (p *proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch t := tunnelOf(r.Context()); {
	case t != nil:
		p.handleTunnelled(w, r, t)
	case r.Method == http.MethodConnect:
		p.handleConnect(w, r)
	case r.URL.IsAbs():
		p.handleAbsolute(w, r)
	default:
		p.handleOwn(w, r)
	}
}

// handleConnect opens a tunnel (RFC 9110 9.3.6).
func (p *proxy) handleConnect(w http.ResponseWriter, r *http.Request) {
	host, portText, err := net.SplitHostPort(r.URL.Host)
	port, portErr := strconv.ParseUint(portText, 10, 16)
	if err != nil || portErr != nil {
		http.Error(w, "CONNECT wants HOST:PORT.", http.StatusBadRequest)
		return
	}
	target, s, err := p.open(r.Context(), host, int(port))
	if err != nil {
		p.fail(w, r, host, int(port), err)
		return
	}
	client, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		target.Close()
		p.fail(w, r, host, int(port), err)
		return
	}
	client.SetDeadline(time.Time{})
	early, _ := buffered.Reader.Peek(buffered.Reader.Buffered())
	if _, err := client.Write([]byte("HTTP/1.1 200 OK\r\n\r\n")); err != nil {
		target.Close()
		client.Close()
		return
	}
	p.join(client, target, s, int(port), early)
}

// handleAbsolute answers "GET http://maple.home.kith.alt/" (RFC 9112 3.2.2).
func (p *proxy) handleAbsolute(w http.ResponseWriter, r *http.Request) {
	host, port, ok := splitHost(r.URL.Host)
	if !ok || !strings.EqualFold(r.URL.Scheme, "http") {
		http.Error(w, "The proxy takes http://HOST/ here; use CONNECT for other schemes.", http.StatusBadRequest)
		return
	}
	p.pass(w, r, host, port)
}

// handleTunnelled answers a request that came through a tunnel to port 80.
// Its Host must be the tunnel's end.
func (p *proxy) handleTunnelled(w http.ResponseWriter, r *http.Request, t *tunnel) {
	host, port, ok := splitHost(r.Host)
	if name, err := p.fullName(host); !ok || err != nil || name != t.site.name || port != webPort {
		p.misdirected(w, r)
		return
	}
	p.pass(w, r, host, port)
}

// pass answers a request for a site by its name.
func (p *proxy) pass(w http.ResponseWriter, r *http.Request, host string, port int) {
	name, err := p.fullName(host)
	if err != nil {
		p.badTargets.Add(1)
		p.fail(w, r, host, port, err)
		return
	}
	s, err := p.lookUp(name)
	if err != nil {
		p.fail(w, r, shortName(name), port, err)
		return
	}
	origins := []string{origin(host, port), origin(name, port)}
	if port == webPort {
		origins = append(origins, p.siteOrigin(s))
	}
	if !p.admit(w, r, origins...) {
		return
	}
	if port == webPort && wantsGateway(r) {
		p.navigations.Add(1)
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("Location", p.siteOrigin(s)+r.URL.RequestURI())
		w.WriteHeader(http.StatusTemporaryRedirect)
		return
	}
	(&exchange{Gateway: p.Gateway, site: s, port: port, origins: origins}).serve(w, r)
}

// wantsGateway reports whether a browser should ask the web gateway instead:
// for pages, and for everything where it does not say what it wants. Browsers
// send Fetch metadata to trustworthy origins only, as http://*.localhost is
// and http://*.kith.alt is not: the gateway can judge what the proxy cannot.
func wantsGateway(r *http.Request) bool {
	if r.Method != http.MethodGet && r.Method != http.MethodHead || len(r.Header["Upgrade"]) > 0 {
		return false
	}
	if mode := r.Header.Get("Sec-Fetch-Mode"); mode != "" {
		return mode == "navigate"
	}
	return strings.HasPrefix(r.Header.Get("User-Agent"), "Mozilla/")
}

// handleOwn answers requests to the proxy itself.
func (p *proxy) handleOwn(w http.ResponseWriter, r *http.Request) {
	host, port, ok := splitHost(r.Host)
	ours := ok && port == p.config.ProxyPort() && (host == dashboardHost || host == "127.0.0.1" || host == "::1")
	switch {
	case !ours || r.URL.Path != pacPath:
		p.misdirected(w, r)
	case p.admit(w, r, origin(host, port)):
		p.servePAC(w, r)
	}
}

// A handoff is the listener of the proxy's HTTP server.
type handoff struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
	addr   net.Addr
}

// give hands over a connection, or closes it when the server has stopped.
func (h *handoff) give(conn net.Conn) {
	select {
	case h.conns <- conn:
	case <-h.closed:
		conn.Close()
	}
}

func (h *handoff) Accept() (net.Conn, error) {
	select {
	case conn := <-h.conns:
		return conn, nil
	case <-h.closed:
		return nil, net.ErrClosed
	}
}

func (h *handoff) Close() error {
	h.once.Do(func() { close(h.closed) })
	return nil
}

func (h *handoff) Addr() net.Addr { return h.addr }
