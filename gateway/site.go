package gateway

import (
	"net/http"
	"net/http/httputil"
	"slices"
	"strings"
	"sync"

	"kith.alt/kith"
	"kith.alt/kith/proto/mailconfig"
)

// A site is a member as the gateway addresses it.
type site struct {
	name string // "maple.home.kith.alt", or "<ID>.kith.alt"
	id   kith.ID
}

// address is where the site's process is found. The ID, rather than the name,
// keeps pooled connections from outliving the name.
func (s site) address(port int) kith.Address {
	return kith.Address{Host: s.id.String() + kithDomain, Port: uint16(port)}
}

// host is the Host field that the site's server sees.
func (s site) host(port int) string { return strings.TrimPrefix(origin(s.name, port), "http://") }

// An exchange is one request to a site, and its response.
type exchange struct {
	*Gateway
	site    site
	port    int
	origins []string // by which the client may know the site
	local   bool     // the first of them is the web gateway's
	attempt *attempt // to reach the host, where a copy may answer
}

// serve passes the request on and the response back. What is hop by hop stays
// (RFC 9110 7.6.1); upgrades, interim responses, trailers and streams pass.
func (x *exchange) serve(w http.ResponseWriter, r *http.Request) {
	x.requests.Add(1)
	if x.serveAutoconfig(w, r) {
		return
	}
	attempted := r
	if x.copyable(r) {
		if x.asleep.recently(x.site.id) && x.serveCopy(w, r, false) {
			return
		}
		var done func()
		attempted, done = x.begin(r)
		defer done()
	}
	proxy := httputil.ReverseProxy{
		Rewrite:        x.rewriteRequest,
		ModifyResponse: x.rewriteResponse,
		Transport:      x.transport,
		BufferPool:     buffers{},
		FlushInterval:  -1,
		ErrorLog:       x.httpLog,
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, err error) {
			if x.attempt != nil && !answered(err) && x.serveCopy(w, r, x.attempt.failed(err)) {
				return
			}
			x.fail(w, r, shortName(x.site.name), x.port, err, x.insteadOf(r, err)...)
		},
	}
	proxy.ServeHTTP(siteWriter{w, x.local}, attempted)
}

// serveAutoconfig answers a mail program that looks for the settings of an address of
// this host, and reports whether it did.
func (x *exchange) serveAutoconfig(w http.ResponseWriter, r *http.Request) bool {
	if x.config.Autoconfig == nil || r.Method != http.MethodGet || x.port != webPort ||
		x.site.name != x.config.Self().String() || !slices.Contains(mailconfig.AutoconfigPaths[:], r.URL.Path) {
		return false
	}
	text := x.config.Autoconfig(r.Context())
	if text == nil {
		return false
	}
	w.Header().Set("Content-Type", "application/xml")
	_, _ = w.Write(text) // fails where the program has gone
	return true
}

func (x *exchange) rewriteRequest(r *httputil.ProxyRequest) {
	out := r.Out
	out.URL.Scheme = "http"
	out.URL.Host = x.site.address(x.port).String()
	out.URL.RawQuery = r.In.URL.RawQuery // as it came, also where Go would read it differently
	out.Host = x.site.host(x.port)
	stripPrivateCookies(out.Header)
	// The site compares these with its Host: against forged requests, and to
	// tell its own resources from others' (Destination: RFC 4918 10.3).
	for _, name := range []string{"Origin", "Referer", "Destination"} {
		if value := out.Header[name]; len(value) == 1 {
			value[0] = x.siteLink(value[0])
		}
	}
}

// siteLink turns a link to the site, as the client knows it, into one that the
// site knows.
func (x *exchange) siteLink(link string) string {
	for _, origin := range x.origins {
		if rest, ok := strings.CutPrefix(link, origin); ok && (rest == "" || rest[0] == '/') {
			return "http://" + x.site.host(x.port) + rest
		}
	}
	return link
}

func (x *exchange) rewriteResponse(r *http.Response) error {
	if err := x.attempt.succeed(); err != nil {
		return err
	}
	if x.config.Copies != nil && x.local && isVisit(r) {
		x.config.Copies.Visited(x.site.id)
	}
	delete(r.Header, copyHeader) // this is no copy
	rewriteSetCookies(r.Header, x.local)
	if !x.local {
		return nil
	}
	delete(r.Header, "Alt-Svc") // another way to an origin that the gateway is the only way to
	for _, name := range []string{"Location", "Content-Location"} {
		for i, link := range r.Header[name] {
			r.Header[name][i] = x.localLink(link)
		}
	}
	for i, value := range r.Header["Refresh"] {
		if at := strings.Index(strings.ToLower(value), "url="); at >= 0 {
			r.Header["Refresh"][i] = value[:at+4] + x.localLink(value[at+4:])
		}
	}
	return nil
}

// localLink turns a link to port 80 of a member into one to the gateway. All
// other links, and everything after the host, stay byte for byte.
func (x *exchange) localLink(link string) string {
	_, rest, ok := strings.Cut(link, "//")
	if scheme := link[:len(link)-len(rest)]; !ok || scheme != "//" && !strings.EqualFold(scheme, "http://") {
		return link
	}
	authority, path := rest, ""
	if end := strings.IndexAny(rest, `/?#\`); end >= 0 {
		authority, path = rest[:end], rest[end:]
	}
	host, port, ok := splitHost(authority)
	if !ok || port != webPort || !strings.HasSuffix(host, kithDomain) {
		return link
	}
	name, err := x.fullName(host)
	if err != nil {
		return link
	}
	s := site{name: name}
	if name == x.site.name {
		s = x.site
	} else if found, err := x.lookUp(name); err == nil {
		s = found
	}
	if _, err := kith.ParseName(name); err == nil && s.id.IsZero() && len(name) > kith.MaxLabel {
		return link // needs the ID, which nobody knows
	}
	return x.siteOrigin(s) + path
}

// A siteWriter looks after interim responses (RFC 9110 15.2), which do not
// come by rewriteResponse.
type siteWriter struct {
	http.ResponseWriter
	local bool
}

func (w siteWriter) WriteHeader(status int) {
	if status < http.StatusOK {
		rewriteSetCookies(w.Header(), w.local)
	}
	w.ResponseWriter.WriteHeader(status)
}

// Unwrap is for http.ResponseController.
func (w siteWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// buffers is the pool that bodies and tunnels are copied through.
type buffers struct{}

var bufferPool = sync.Pool{New: func() any { return new([copyBuffer]byte) }}

func (buffers) Get() []byte  { return bufferPool.Get().(*[copyBuffer]byte)[:] }
func (buffers) Put(b []byte) { bufferPool.Put((*[copyBuffer]byte)(b)) }
