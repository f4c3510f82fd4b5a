package control

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"kith.alt/kith"
)

// Config is what a [Server] serves.
type Config struct {
	Node    Node
	APIs    map[string]http.Handler // by application, below /api/<name>/ with the prefix removed
	Metrics *kith.Metrics           // at /metrics, in the Prometheus text format
	Log     *slog.Logger
}

// Server answers what programs on this host ask of the node.
type Server struct {
	cfg     Config
	handler http.Handler
	buffers sync.Pool // of *[]byte, for relays

	mu     sync.Mutex
	offers map[string]*offer // accepted sockets by token, until they are fetched
	broken map[string]error  // why sockets did not end in order, by token, for a while
}

// NewServer makes a server. It opens nothing.
func NewServer(cfg Config) *Server {
	s := &Server{cfg: cfg, offers: make(map[string]*offer), broken: make(map[string]error)}
	s.buffers.New = func() any {
		b := make([]byte, relayBuffer)
		return &b
	}
	mux := http.NewServeMux()
	for name, method := range s.methods() {
		mux.Handle("POST "+prefix+name, s.counted(name, bounded(method)))
	}
	for app, api := range cfg.APIs {
		root := "/api/" + app
		mux.Handle(root+"/", s.counted("api/"+app, bounded(http.StripPrefix(root, api))))
	}
	mux.HandleFunc("GET /metrics", s.metrics)
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		kith.WriteError(w, fmt.Errorf("this node has no %s %.100s: %w", r.Method, r.URL.Path, kith.NotFound))
	})
	s.handler = mux
	return s
}

// Serve answers the connections of ln until ctx ends, then closes ln and every
// connection and returns nil within two seconds. It returns an error when ln
// fails before.
func (s *Server) Serve(ctx context.Context, ln net.Listener) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var active sync.WaitGroup // also handlers whose connection became a socket
	server := &http.Server{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			active.Add(1)
			defer active.Done()
			s.handler.ServeHTTP(w, r)
		}),
		ReadHeaderTimeout: patience,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    maxHeader,
		BaseContext:       func(net.Listener) context.Context { return ctx },
		ErrorLog:          slog.NewLogLogger(s.cfg.Log.Handler(), slog.LevelWarn),
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(ln) }()
	var err error
	select {
	case err = <-served:
		err = fmt.Errorf("control socket: %w", err)
	case <-ctx.Done():
	}
	cancel() // handlers give up what they wait for, relays close
	// The answer to a request that stops the node is still on its way.
	grace, done := context.WithTimeout(context.Background(), time.Second)
	defer done()
	if server.Shutdown(grace) != nil {
		server.Close()
	}
	active.Wait()
	return err
}

// methods are what can be asked, by name.
func (s *Server) methods() map[string]http.Handler {
	n := s.cfg.Node
	return map[string]http.Handler{
		"status":    ask(n.Status),
		"doctor":    ask(n.Doctor),
		"events":    ask(n.Events),
		"sockets":   ask(n.Sockets),
		"ping":      kith.Answer(func(ctx context.Context, in hostRequest) (Ping, error) { return n.Ping(ctx, in.Host) }),
		"trace":     kith.Answer(func(ctx context.Context, in hostRequest) (Trace, error) { return n.Trace(ctx, in.Host) }),
		"diagnose":  kith.Answer(func(ctx context.Context, in hostRequest) ([]Finding, error) { return n.Diagnose(ctx, in.Host) }),
		"configure": do(n.Configure),
		"stop":      do(func(ctx context.Context, _ struct{}) error { return n.Stop(ctx) }),

		"invite": kith.Answer(n.Invite),
		"join":   do(func(ctx context.Context, in joinRequest) error { return n.Join(ctx, in.Ticket) }),
		"trust":  do(func(ctx context.Context, in hostRequest) error { return n.Trust(ctx, in.Host) }),
		"revoke": do(func(ctx context.Context, in hostRequest) error { return n.Revoke(ctx, in.Host) }),
		"admin":  do(func(ctx context.Context, in hostRequest) error { return n.SetAdmin(ctx, in.Host, in.Admin) }),
		"leave":  do(func(ctx context.Context, _ struct{}) error { return n.Leave(ctx) }),
		"rename": do(n.Rename),

		"accounts":    ask(n.Accounts),
		"account/add": do(func(ctx context.Context, in accountRequest) error { return n.AddAccount(ctx, in.Account) }),
		"app-password/add": kith.Answer(func(ctx context.Context, in accountRequest) (AppPassword, error) {
			return n.AddAppPassword(ctx, in.Account, in.Label)
		}),
		"app-password/remove": do(func(ctx context.Context, in accountRequest) error {
			return n.RemoveAppPassword(ctx, in.Account, in.AppPassword)
		}),
		"password": do(func(ctx context.Context, in accountRequest) error {
			return n.SetPassword(ctx, in.Account, in.Password)
		}),
		"sign-in": kith.Answer(func(ctx context.Context, in accountRequest) (linkAnswer, error) {
			link, err := n.SignInLink(ctx, in.Account)
			return linkAnswer{link}, err
		}),

		"open":        do(func(ctx context.Context, in openRequest) error { return n.Open(ctx, in.App, in.To) }),
		"certificate": ask(n.Certificate),
		"backup":      http.HandlerFunc(s.backup),

		"dial":   http.HandlerFunc(s.dial),
		"listen": http.HandlerFunc(s.listen),
		"accept": http.HandlerFunc(s.accept),
		"ended":  do(s.ended),

		"listen-packet": http.HandlerFunc(s.listenPacket),
		"dial-packet":   http.HandlerFunc(s.dialPacket),
	}
}

// ask answers a request that has no argument.
func ask[Out any](f func(context.Context) (Out, error)) http.Handler {
	return kith.Answer(func(ctx context.Context, _ struct{}) (Out, error) { return f(ctx) })
}

// do answers a request that has no result.
func do[In any](f func(context.Context, In) error) http.Handler {
	return kith.Answer(func(ctx context.Context, in In) (struct{}, error) { return struct{}{}, f(ctx, in) })
}

// bounded has next see a request only once its body is here, within limits of
// size and time.
func bounded(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn := http.NewResponseController(w)
		conn.SetReadDeadline(time.Now().Add(patience))
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, kith.MaxRequest))
		conn.SetReadDeadline(time.Time{})
		if err != nil {
			if tooLarge := new(http.MaxBytesError); errors.As(err, &tooLarge) {
				err = fmt.Errorf("request has more than %d bytes: %w", tooLarge.Limit, kith.Quota)
			} else {
				err = fmt.Errorf("read request: %w: %w", err, kith.Invalid)
			}
			w.Header().Set("Connection", "close")
			kith.WriteError(w, err)
			return
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		next.ServeHTTP(w, r)
	})
}

func (s *Server) counted(name string, next http.Handler) http.Handler {
	if s.cfg.Metrics == nil {
		return next
	}
	count := s.cfg.Metrics.Counter("kith_control_requests_total", "Requests on the control socket.", "method", name)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		count.Add(1)
		next.ServeHTTP(w, r)
	})
}

func (s *Server) metrics(w http.ResponseWriter, _ *http.Request) {
	if s.cfg.Metrics == nil {
		kith.WriteError(w, fmt.Errorf("this node counts nothing: %w", kith.NotFound))
		return
	}
	w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
	if err := s.cfg.Metrics.Write(w); err != nil {
		s.cfg.Log.Debug("metrics were not read to the end", "err", err)
	}
}
