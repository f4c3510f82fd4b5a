package static

import (
	"io"
	"net/http"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// A coding is a content coding (RFC 9110 8.4.1). The zero coding is identity.
type coding struct {
	name   string
	suffix string // of files that hold coded content
}

// The codings served, best first. Brotli is too slow to do on the fly.
var (
	codingZstd   = coding{"zstd", ".zst"}
	codingBrotli = coding{"br", ".br"}
	codingGzip   = coding{"gzip", ".gz"}
)

// minCoded is the size below which coding a file gains nothing.
const minCoded = 1 << 10

// accept is what a client says about codings (RFC 9110 12.5.3). The zero
// value, as of a request that says nothing, accepts identity alone.
type accept struct {
	quality  map[string]int // by coding, in thousandths
	wildcard int            // of codings not named; -1: not given
}

// maxAccept bounds the codings of one request that are looked at.
const maxAccept = 32

// parseAccept reads the values of Accept-Encoding. Members that are malformed
// are ignored.
func parseAccept(values []string) accept {
	a := accept{wildcard: -1}
	n := 0
	for _, value := range values {
		for member := range strings.SplitSeq(value, ",") {
			if n++; n > maxAccept {
				return a
			}
			name, parameters, _ := strings.Cut(member, ";")
			quality, ok := parseQuality(parameters)
			if !ok {
				continue
			}
			switch name = strings.ToLower(strings.Trim(name, " \t")); name {
			case "":
				continue
			case "*":
				a.wildcard = quality
				continue
			case "x-gzip": // RFC 9110 8.4.1.3
				name = codingGzip.name
			}
			if a.quality == nil {
				a.quality = make(map[string]int)
			}
			a.quality[name] = quality
		}
	}
	return a
}

// parseQuality reads a weight (RFC 9110 12.4.2) in thousandths; none is 1.
func parseQuality(parameters string) (int, bool) {
	parameters = strings.Trim(parameters, " \t")
	if parameters == "" {
		return 1000, true
	}
	name, value, _ := strings.Cut(parameters, "=")
	if !strings.EqualFold(name, "q") || len(value) == 0 || len(value) > 5 || value[0] != '0' && value[0] != '1' {
		return 0, false
	}
	q, err := strconv.ParseFloat(value, 64)
	if err != nil || q > 1 {
		return 0, false
	}
	return int(q*1000 + 0.5), true
}

func (a accept) of(name string) int {
	if q, ok := a.quality[name]; ok {
		return q
	}
	return max(a.wildcard, 0)
}

// identity reports whether the client takes content as it is.
func (a accept) identity() bool {
	if q, ok := a.quality["identity"]; ok {
		return q > 0
	}
	return a.wildcard != 0
}

// codings returns the codings that the client likes at least as much as
// identity, best first.
func (a accept) codings() []coding {
	var wanted []coding
	least := max(1, a.quality["identity"]) // not named, it is the last resort
	for _, c := range []coding{codingZstd, codingBrotli, codingGzip} {
		if a.of(c.name) >= least {
			wanted = append(wanted, c)
		}
	}
	slices.SortStableFunc(wanted, func(x, y coding) int { return a.of(y.name) - a.of(x.name) })
	return wanted
}

// An encoder codes one stream at a time, again and again.
type encoder interface {
	io.WriteCloser
	Reset(io.Writer)
}

// codings lends out encoders, a bounded number at a time. It is safe for
// concurrent use.
type codings struct {
	free       chan struct{}
	zstd, gzip sync.Pool
}

func newCodings() *codings {
	return &codings{free: make(chan struct{}, 2*runtime.GOMAXPROCS(0))}
}

// best returns an encoder for the coding that the client likes best, of those
// that are free.
func (c *codings) best(a accept) (encoder, coding) {
	for _, wanted := range a.codings() {
		if e := c.take(wanted); e != nil {
			return e, wanted
		}
	}
	return nil, coding{}
}

// take returns an encoder, or nil when it has none for c or all are busy.
func (c *codings) take(wanted coding) encoder {
	if wanted != codingZstd && wanted != codingGzip {
		return nil
	}
	select {
	case c.free <- struct{}{}:
	default:
		return nil
	}
	if wanted == codingGzip {
		if e, ok := c.gzip.Get().(encoder); ok {
			return e
		}
		return gzip.NewWriter(nil)
	}
	if e, ok := c.zstd.Get().(encoder); ok {
		return e
	}
	// RFC 9659 3: a window of at most 8 MiB; ours is small for our own sake.
	e, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1),
		zstd.WithWindowSize(512<<10), zstd.WithLowerEncoderMem(true))
	if err != nil { // the options are wrong
		<-c.free
		return nil
	}
	return e
}

// put takes back what take returned.
func (c *codings) put(e encoder) {
	e.Reset(nil)
	if _, ok := e.(*gzip.Writer); ok {
		c.gzip.Put(e)
	} else {
		c.zstd.Put(e)
	}
	<-c.free
}

// codedWriter codes the body of a response. Its length is unknown, and it has
// no ranges.
type codedWriter struct {
	http.ResponseWriter
	encoder encoder
	buffers *buffers
	begun   bool
}

func (w *codedWriter) WriteHeader(status int) {
	w.Header().Del("Accept-Ranges")
	w.ResponseWriter.WriteHeader(status)
}

func (w *codedWriter) Write(p []byte) (int, error) {
	if !w.begun {
		w.begun = true
		w.encoder.Reset(w.ResponseWriter)
	}
	return w.encoder.Write(p)
}

// ReadFrom copies with a buffer from the pool.
func (w *codedWriter) ReadFrom(r io.Reader) (int64, error) {
	buffer := w.buffers.Get()
	defer w.buffers.Put(buffer)
	return io.CopyBuffer(struct{ io.Writer }{w}, struct{ io.Reader }{r}, buffer)
}

// close ends the coded body, if there is one.
func (w *codedWriter) close() {
	if w.begun {
		_ = w.encoder.Close() // the client has gone
	}
}

// Coded returns a writer for a page of the caller's own making, which codes it
// as the client likes best, and a function that ends it.
func (s *Server) Coded(w http.ResponseWriter, r *http.Request) (http.ResponseWriter, func()) {
	w.Header().Set("Vary", "Accept-Encoding")
	encoder, c := s.codings.best(parseAccept(r.Header.Values("Accept-Encoding")))
	if encoder == nil {
		return w, func() {}
	}
	w.Header().Set("Content-Encoding", c.name)
	coder := &codedWriter{ResponseWriter: w, encoder: encoder, buffers: &s.buffers}
	return coder, func() {
		coder.close()
		s.codings.put(encoder)
	}
}
