package web

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"kith.alt/kith"
)

// peerHeader tells a local service which host calls: its short name, or its ID
// where it has none.
const peerHeader = "Kith-Peer"

// newTransport returns the transport of all local services.
func newTransport(ports *ports) *http.Transport {
	return &http.Transport{
		DialContext: func(ctx context.Context, _, address string) (net.Conn, error) {
			_, text, err := net.SplitHostPort(address)
			if err != nil {
				return nil, err
			}
			port, err := strconv.ParseUint(text, 10, 16)
			if err != nil {
				return nil, err
			}
			return ports.service(uint16(port)).dial(ctx)
		},
		DisableCompression:     true, // what the service says passes as it is
		MaxIdleConnsPerHost:    32,
		IdleConnTimeout:        30 * time.Second,
		MaxResponseHeaderBytes: maxHeader,
		WriteBufferSize:        16 << 10,
	}
}

// newProxy passes what is below at on the site to a local service, which sees
// paths without at.
func (w *web) newProxy(at string, port uint16) http.Handler {
	local := net.JoinHostPort("127.0.0.1", strconv.Itoa(int(port)))
	proxy := &httputil.ReverseProxy{
		Transport: w.transport,
		ErrorLog:  slog.NewLogLogger(w.log.Handler(), slog.LevelDebug),
		Rewrite: func(r *httputil.ProxyRequest) {
			r.Out.URL.Scheme, r.Out.URL.Host = "http", local
			r.Out.URL.Path = strings.TrimPrefix(r.In.URL.Path, at)
			if raw, ok := strings.CutPrefix(r.In.URL.RawPath, at); ok {
				r.Out.URL.RawPath = raw
			} else {
				r.Out.URL.RawPath = ""
			}
			r.Out.URL.RawQuery = r.In.URL.RawQuery // as it came
			w.setForwarded(r.Out.Header, r.In, at)
		},
		ModifyResponse: func(r *http.Response) error {
			for _, name := range []string{"Location", "Content-Location"} {
				if values := r.Header[name]; len(values) > 0 {
					r.Header.Set(name, underPrefix(values[0], at, r.Request.Host, local))
				}
			}
			for i, line := range r.Header["Set-Cookie"] {
				r.Header["Set-Cookie"][i] = cookieUnderPrefix(line, at)
			}
			return nil
		},
		ErrorHandler: func(rw http.ResponseWriter, r *http.Request, err error) {
			w.log.Debug("a local service failed", "port", port, "err", err)
			w.showServiceDown(rw, r, port)
		},
	}
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if r.URL.Path == at { // so that relative links work
			to := url.URL{Path: at + "/", RawQuery: r.URL.RawQuery}
			http.Redirect(rw, r, to.String(), http.StatusPermanentRedirect)
			return
		}
		proxy.ServeHTTP(rw, r)
	})
}

// setForwarded tells the service what it cannot see itself. The names are
// those that other reverse proxies made customary.
func (w *web) setForwarded(h http.Header, in *http.Request, prefix string) {
	for name := range h {
		// Some servers take Kith_Peer for the same header.
		if strings.EqualFold(strings.ReplaceAll(name, "_", "-"), peerHeader) {
			delete(h, name)
		}
	}
	h.Set("X-Forwarded-Host", in.Host)
	h.Set("X-Forwarded-Proto", "http")
	h.Set("X-Forwarded-Prefix", prefix)
	if peer, ok := in.Context().Value(peerKey{}).(kith.Peer); ok {
		h.Set(peerHeader, w.nameOf(peer.ID))
	}
}

func (w *web) nameOf(id kith.ID) string {
	members := w.host.Members()
	i := slices.IndexFunc(members, func(m kith.Member) bool { return m.ID == id })
	if i < 0 {
		return id.String()
	}
	return members[i].Host
}

// underPrefix puts a reference of the service to itself below prefix. Others
// stay as they are.
func underPrefix(reference, prefix string, hosts ...string) string {
	u, err := url.Parse(reference)
	if err != nil || u.Opaque != "" {
		return reference
	}
	if u.Scheme != "" || u.User != nil || u.Host != "" {
		if !slices.Contains(hosts, u.Host) && !isLoopback(u.Host, hosts[len(hosts)-1]) || u.Scheme != "" && u.Scheme != "http" {
			return reference // of another, or of no host at all: http:///a, //@/
		}
		u.Scheme, u.Host, u.User = "", "", nil
		if u.Path == "" {
			u.Path = "/"
		}
	}
	if !strings.HasPrefix(u.EscapedPath(), "/") {
		return reference // relative to the page, wherever that is
	}
	if u.Path != prefix && !strings.HasPrefix(u.Path, prefix+"/") { // else the service heeds X-Forwarded-Prefix
		if u.RawPath != "" {
			u.RawPath = prefix + u.RawPath
		}
		u.Path = prefix + u.Path
	}
	return u.String()
}

// isLoopback reports whether host is another way to write local.
func isLoopback(host, local string) bool {
	_, port, _ := net.SplitHostPort(local)
	return host == "localhost:"+port || host == "[::1]:"+port
}

// cookieUnderPrefix puts the path of a Set-Cookie line below prefix. All else
// stays byte for byte (RFC 6265 5.2).
func cookieUnderPrefix(line, prefix string) string {
	parts := strings.Split(line, ";")
	if strings.HasPrefix(strings.ToLower(strings.TrimSpace(parts[0])), "__host-") {
		return line // its path must be "/"
	}
	for i, part := range parts[1:] {
		name, path, _ := strings.Cut(part, "=")
		path = strings.TrimSpace(path)
		if strings.EqualFold(strings.TrimSpace(name), "path") && strings.HasPrefix(path, "/") &&
			path != prefix && !strings.HasPrefix(path, prefix+"/") {
			parts[i+1] = " Path=" + prefix + path
		}
	}
	return strings.Join(parts, ";")
}
