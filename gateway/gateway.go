package gateway

import (
	"context"
	"errors"
	"log"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"kith.alt/kith"
	"kith.alt/kith/gateway/loopback"
)

// Limits on what local programs and members' sites may ask of the gateway.
const (
	maxConnections    = 1024             // on each listener
	maxRequestHeader  = 64 << 10         // bytes
	maxResponseHeader = 256 << 10        // bytes
	headerTimeout     = 10 * time.Second // for a request's header section, and for the SOCKS handshake
	idleTimeout       = 2 * time.Minute  // of a client's connection between requests
	dialTimeout       = 30 * time.Second
	responseTimeout   = 5 * time.Minute // from the end of a request to the response's header section
	stopGrace         = time.Second     // for requests under way when Serve's context ends
	maxIdlePerSite    = 64              // pooled connections to one member's port
	maxIdle           = 512
	pooledIdleTimeout = 90 * time.Second
	copyBuffer        = 32 << 10 // bytes, for each direction of a tunnel
)

// Config is what a [Gateway] depends on. Everything is required except
// ListenPacket, Dashboard, Copies and Autoconfig.
type Config struct {
	// Dial opens a socket to a member's process, named "<ID>.kith.alt", with
	// the errors of kith.Network. The far side sees a local program.
	Dial func(ctx context.Context, address kith.Address) (net.Conn, error)

	// ListenPacket takes a datagram port, as kith.PacketNetwork has it. The
	// socket writes to IDs, and members see a local program. Nil: no datagrams.
	ListenPacket func(ctx context.Context, address kith.Address) (net.PacketConn, error)

	// Self is this host's name; it may change.
	Self func() kith.Name

	// Resolve finds the host that has a full name now. It is called for each
	// request; the first time that a name is used it may wait for the disk.
	Resolve func(name string) (kith.ID, error)

	// Dashboard answers http://localhost:<HTTPPort>/ and nothing else. It
	// does its own signing in, and its cookies are named kith_*.
	Dashboard http.Handler

	// Copies answer for sites of hosts that sleep.
	Copies kith.Copies

	// Autoconfig returns what mail programs ask this host's site for, in
	// place of the site (mailconfig.AutoconfigPaths); nil where there is no mail.
	Autoconfig func(context.Context) []byte

	HTTPPort  func() int // the web gateway's port, for links and the check of Host
	ProxyPort func() int // the proxy's port, for the PAC file

	Shared  bool // serve other users of this computer too
	Log     *slog.Logger
	Metrics *kith.Metrics
}

// A Gateway leads programs on this host into the overlay. It is safe for
// concurrent use.
type Gateway struct {
	config    Config
	transport *http.Transport
	httpLog   *log.Logger // what net/http has to say
	asleep    sleepers

	requests, copied, navigations     *kith.Counter
	tunnels, associated               *kith.Counter
	wrongHost, crossSites, badTargets *kith.Counter
}

// New returns a gateway that serves nothing yet.
func New(config Config) *Gateway {
	g := &Gateway{config: config, httpLog: slog.NewLogLogger(config.Log.Handler(), slog.LevelDebug)}
	g.transport = &http.Transport{
		DialContext:            g.dialPooled,
		DisableCompression:     true, // bodies pass as they are
		MaxIdleConns:           maxIdle,
		MaxIdleConnsPerHost:    maxIdlePerSite,
		IdleConnTimeout:        pooledIdleTimeout,
		MaxResponseHeaderBytes: maxResponseHeader,
		ResponseHeaderTimeout:  responseTimeout,
		ExpectContinueTimeout:  time.Second,
		ReadBufferSize:         8 << 10,
		WriteBufferSize:        8 << 10,
	}
	count := func(name, help string, labels ...string) *kith.Counter {
		return config.Metrics.Counter("kith_gateway_"+name, help, labels...)
	}
	g.requests = count("requests_total", "HTTP requests passed to members' sites.")
	g.copied = count("copies_total", "HTTP requests answered from copies of sites whose hosts sleep.")
	g.navigations = count("redirects_total", "Pages asked of the proxy and redirected to the web gateway.")
	g.tunnels = count("tunnels_total", "Connections opened through SOCKS or CONNECT.")
	g.associated = count("associations_total", "Associations for datagrams opened through SOCKS.")
	const refusals = "Requests and connections refused."
	g.wrongHost = count("refused_total", refusals, "reason", "host")
	g.crossSites = count("refused_total", refusals, "reason", "cross_site")
	g.badTargets = count("refused_total", refusals, "reason", "target")
	return g
}

// Serve answers on the listeners until ctx ends, then returns nil within two
// seconds; requests under way get one of them to finish. Either listener may
// be nil, where its port was taken. Serve closes both, and is called once.
func (g *Gateway) Serve(ctx context.Context, web, proxy net.Listener) error {
	defer g.transport.CloseIdleConnections()
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	var (
		servers sync.WaitGroup
		errs    [2]error
	)
	for i, s := range []struct {
		listener net.Listener
		serve    func(context.Context, *limitListener) error
	}{{web, g.serveWeb}, {proxy, g.serveProxy}} {
		if s.listener == nil {
			continue
		}
		if !g.config.Shared {
			s.listener = loopback.SameUser(s.listener, g.config.Log)
		}
		servers.Go(func() {
			defer stop()
			errs[i] = s.serve(ctx, newLimitListener(s.listener, maxConnections))
		})
	}
	<-ctx.Done()
	servers.Wait()
	return errors.Join(errs[:]...)
}

// serveWeb runs the web gateway.
func (g *Gateway) serveWeb(ctx context.Context, l *limitListener) error {
	return serveHTTP(ctx, g.httpServer(http.HandlerFunc(g.handleWeb)), l, l.closeAll)
}

func (g *Gateway) httpServer(handler http.Handler) *http.Server {
	return &http.Server{
		Handler:           handler,
		MaxHeaderBytes:    maxRequestHeader,
		ReadHeaderTimeout: headerTimeout,
		IdleTimeout:       idleTimeout,
		ErrorLog:          g.httpLog,

		DisableGeneralOptionsHandler: true, // "OPTIONS *" is the site's
	}
}

// serveHTTP runs server on l until ctx ends. Requests then have stopGrace to
// finish, before their contexts end and closeAll closes all connections, the
// hijacked ones too.
func serveHTTP(ctx context.Context, server *http.Server, l net.Listener, closeAll func()) error {
	work, abort := context.WithCancel(context.WithoutCancel(ctx))
	defer abort()
	server.BaseContext = func(net.Listener) context.Context { return work }
	finish := func() {
		grace, cancel := context.WithTimeout(work, stopGrace)
		defer cancel()
		server.Shutdown(grace)
		abort()
		server.Close()
		closeAll()
	}
	finished := make(chan struct{})
	unregister := context.AfterFunc(ctx, func() { defer close(finished); finish() })
	err := server.Serve(l)
	if !unregister() {
		<-finished
		return nil
	}
	finish()
	return err
}

// dialPooled opens a connection for the pool. Its key is an ID and a port, so
// that a connection never outlives the name it was opened for.
func (g *Gateway) dialPooled(ctx context.Context, _, hostPort string) (net.Conn, error) {
	if conn := claimTunnel(ctx, hostPort); conn != nil {
		return conn, nil
	}
	address, err := kith.ParseAddress(hostPort)
	if err != nil {
		return nil, err
	}
	return g.dial(ctx, address)
}

func (g *Gateway) dial(ctx context.Context, address kith.Address) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	return g.config.Dial(ctx, address)
}
