package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os/exec"

	"kith.alt/kith/bench/harness"
	"kith.alt/kith/bench/measure"
)

const (
	kithGateway = "the gateway"
	bareTLS     = "bare proxy over TLS"
	barePlain   = "bare proxy over TCP"
)

// A server answers for the files; host is sent as Host where it is not the
// URL's.
type server struct{ name, url, host string }

// start serves the directory root in every way, until ctx ends.
func start(ctx context.Context, b *harness.Bench, root string) ([]server, error) {
	nodes, err := b.Group(ctx, 2)
	if err != nil {
		return nil, err
	}
	if err := nodes[1].Run(ctx, "publish", root); err != nil {
		return nil, err
	}
	web, err := nodes[0].Listener(ctx, "http")
	if err != nil {
		return nil, err
	}
	_, port, _ := net.SplitHostPort(web)
	servers := []server{{kithGateway, "http://" + web + "/", fmt.Sprintf("%s--home.localhost:%s", nodes[1].Name, port)}}
	for _, bare := range []struct{ name, scheme string }{{bareTLS, "https"}, {barePlain, "http"}} {
		backend, err := b.Peer(ctx, "files", bare.scheme, root)
		if err != nil {
			return nil, err
		}
		proxy, err := b.Peer(ctx, "proxy", backend)
		if err != nil {
			return nil, err
		}
		servers = append(servers, server{bare.name, proxy, ""})
	}
	if nginx, err := exec.LookPath("nginx"); err == nil {
		address, err := startNginx(ctx, b, nginx, root)
		if err != nil {
			return nil, err
		}
		servers = append(servers, server{"nginx, direct", address, ""})
	}
	return servers, nil
}

// serveFiles is the role of a bare file server; its arguments are the scheme
// and the directory. It says its URL.
func serveFiles(ctx context.Context, args []string, ready func(string)) error {
	handler := http.FileServer(http.Dir(args[1]))
	if args[0] == "http" {
		return serveHTTP(ctx, "http", nil, handler, ready)
	}
	config, err := measure.MutualTLS()
	if err != nil {
		return err
	}
	return serveHTTP(ctx, "https", config, handler, ready)
}

// serveProxy is the role of a bare reverse proxy; its argument is the URL of
// what it proxies. It says its own.
func serveProxy(ctx context.Context, args []string, ready func(string)) error {
	backend, err := url.Parse(args[0])
	if err != nil {
		return err
	}
	config, err := measure.MutualTLS()
	if err != nil {
		return err
	}
	return serveHTTP(ctx, "http", nil, &httputil.ReverseProxy{
		Rewrite:   func(r *httputil.ProxyRequest) { r.SetURL(backend) },
		Transport: &http.Transport{TLSClientConfig: config, MaxIdleConnsPerHost: 64, DisableCompression: true},
		ErrorLog:  log.New(io.Discard, "", 0),
	}, ready)
}

func serveHTTP(ctx context.Context, scheme string, config *tls.Config, handler http.Handler, ready func(string)) error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	s := &http.Server{Handler: handler, TLSNextProto: map[string]func(*http.Server, *tls.Conn, http.Handler){}}
	defer context.AfterFunc(ctx, func() { s.Close() })()
	ready(scheme + "://" + l.Addr().String() + "/")
	if config != nil {
		l = tls.NewListener(l, config)
	}
	s.Serve(l) // until Close
	return nil
}
