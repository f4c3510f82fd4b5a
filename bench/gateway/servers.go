package main

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"time"

	"kith.alt/kith"
	"kith.alt/kith/gateway"
)

const bareProxy = "bare reverse proxy"

// A server answers for the files; host is sent as Host where it is not the
// URL's.
type server struct{ name, url, host string }

// start writes the files below dir and serves them in every way. The caller
// calls stop.
func start(ctx context.Context, dir string) (servers []server, stop func(), err error) {
	root := filepath.Join(dir, "files")
	if err := os.Mkdir(root, 0o755); err != nil {
		return nil, nil, err
	}
	for _, f := range files {
		if err := os.WriteFile(filepath.Join(root, fileName(f.name)), bytes.Repeat([]byte("x"), f.size), 0o644); err != nil {
			return nil, nil, err
		}
	}
	ctx, cancel := context.WithCancel(ctx)
	var running sync.WaitGroup
	stop = func() { cancel(); running.Wait() }
	defer func() {
		if err != nil {
			stop()
		}
	}()
	serve := func(handler http.Handler) (string, error) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return "", err
		}
		s := &http.Server{Handler: handler}
		running.Go(func() { s.Serve(l) })
		context.AfterFunc(ctx, func() { s.Close() })
		return l.Addr().String(), nil
	}

	backend, err := serve(http.FileServer(http.Dir(root)))
	if err != nil {
		return nil, stop, err
	}
	bare, err := serve(&httputil.ReverseProxy{
		Rewrite:   func(r *httputil.ProxyRequest) { r.SetURL(&url.URL{Scheme: "http", Host: backend}) },
		Transport: &http.Transport{MaxIdleConnsPerHost: 64, DisableCompression: true},
		ErrorLog:  slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug),
	})
	if err != nil {
		return nil, stop, err
	}
	web, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, stop, err
	}
	port := web.Addr().(*net.TCPAddr).Port
	g := newGateway(backend, port)
	running.Go(func() { g.Serve(ctx, web, nil) })
	servers = []server{
		{"file server", "http://" + backend + "/", ""},
		{bareProxy, "http://" + bare + "/", ""},
		{"gateway", "http://" + web.Addr().String() + "/", fmt.Sprintf("maple--home.localhost:%d", port)},
	}
	if nginx, err := exec.LookPath("nginx"); err == nil {
		addr, err := startNginx(ctx, &running, nginx, dir, root)
		if err != nil {
			return nil, stop, err
		}
		servers = append(servers, server{"nginx, direct", "http://" + addr + "/", ""})
	}
	return servers, stop, nil
}

// newGateway makes a gateway all of whose dials lead to one address. The port
// is the web gateway's.
func newGateway(addr string, port int) *gateway.Gateway {
	return gateway.New(gateway.Config{
		Dial: func(ctx context.Context, _ kith.Address) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "tcp", addr)
		},
		Self:     func() kith.Name { return kith.Name{Host: "oak", Group: "home"} },
		Resolve:  func(string) (kith.ID, error) { return kith.ID{1}, nil },
		HTTPPort: func() int { return port },
		Log:      slog.New(slog.DiscardHandler),
		Metrics:  new(kith.Metrics),
	})
}

// startNginx runs nginx with one worker for each processor.
func startNginx(ctx context.Context, running *sync.WaitGroup, nginx, dir, root string) (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	addr := l.Addr().String()
	l.Close()
	config := filepath.Join(dir, "nginx.conf")
	user := "" // nginx's workers drop root's rights, and could not read dir
	if os.Geteuid() == 0 {
		user = "user root;"
	}
	if err := os.WriteFile(config, fmt.Appendf(nil, `%s daemon off; worker_processes auto; pid %s/nginx.pid; error_log stderr crit;
events { worker_connections 1024; }
http { access_log off; sendfile on; tcp_nopush on; keepalive_requests 1000000;
client_body_temp_path %[2]s/t1; proxy_temp_path %[2]s/t2; fastcgi_temp_path %[2]s/t3; uwsgi_temp_path %[2]s/t4; scgi_temp_path %[2]s/t5;
server { listen %[3]s; root %[4]s; } }
`, user, dir, addr, root), 0o600); err != nil {
		return "", err
	}
	command := exec.CommandContext(ctx, nginx, "-c", config, "-p", dir)
	command.Cancel = func() error { return command.Process.Signal(os.Interrupt) } // SIGKILL would leave the workers
	command.WaitDelay = 5 * time.Second
	command.Stderr = os.Stderr
	if err := command.Start(); err != nil {
		return "", err
	}
	running.Go(func() { command.Wait() })
	for range 100 {
		if conn, err := net.Dial("tcp", addr); err == nil {
			conn.Close()
			return addr, nil
		}
		time.Sleep(20 * time.Millisecond)
	}
	return "", fmt.Errorf("nginx does not answer on %s", addr)
}
