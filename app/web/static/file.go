package static

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"strings"
	"sync"
	"time"
)

// serveFile answers with a file in the content coding that the client likes
// best.
func (s *Server) serveFile(w http.ResponseWriter, r *http.Request, root folder, f file) {
	limitRange(r)
	kind, known := mediaType(f.name)
	accept := parseAccept(r.Header.Values("Accept-Encoding"))
	if kind.compressible || !accept.identity() {
		w.Header().Set("Vary", "Accept-Encoding")
		if sibling, c, ok := openSibling(root, f, accept.codings()); ok {
			defer sibling.Close()
			w.Header().Set("Content-Encoding", c.name)
			s.serveContent(w, r, sibling, kind, known, c, nil)
			return
		}
	}
	coded := kind.compressible && f.info.Size() >= minCoded && r.Header.Get("Range") == ""
	if coded || !accept.identity() {
		if encoder, c := s.codings.best(accept); encoder != nil {
			defer s.codings.put(encoder)
			r.Header.Del("Range") // it may always be ignored
			w.Header().Set("Content-Encoding", c.name)
			coder := &codedWriter{ResponseWriter: w, encoder: encoder, buffers: &s.buffers}
			s.serveContent(coder, r, f, kind, known, c, coder)
			return
		}
		if !accept.identity() {
			s.pages.Error(w, r, http.StatusNotAcceptable)
			return
		}
	}
	s.serveContent(w, r, f, kind, known, coding{}, nil)
}

// limitRange removes a Range that is to be ignored (RFC 9110 14.2): of a
// method other than GET, in another unit than bytes, or of too many parts.
func limitRange(r *http.Request) {
	unit, set, _ := strings.Cut(r.Header.Get("Range"), "=")
	if r.Method == http.MethodGet && strings.EqualFold(unit, "bytes") && strings.Count(set, ",") < maxRanges {
		r.Header.Set("Range", "bytes="+set)
		return
	}
	r.Header.Del("Range")
}

// openSibling opens the file beside f that holds its content in one of the
// codings, unless it is older than f.
func openSibling(root folder, f file, wanted []coding) (file, coding, bool) {
	if !root.dated() {
		return file{}, coding{}, false
	}
	for _, c := range wanted {
		sibling, err := open(root, f.name+c.suffix)
		if err != nil {
			continue
		}
		if sibling.info.Mode().IsRegular() && !sibling.info.ModTime().Before(f.info.ModTime()) {
			return sibling, c, true
		}
		sibling.Close()
	}
	return file{}, coding{}, false
}

// serveContent sends f, whose bytes are in coding c already unless coder is
// given, which then is w.
func (s *Server) serveContent(w http.ResponseWriter, r *http.Request, f file, kind media, known bool, c coding, coder *codedWriter) {
	var (
		content io.ReadSeeker
		head    []byte
		tag     string
		size    = f.info.Size()
	)
	buffer := s.buffers.Get()
	if !strings.Contains(r.Header.Get("Range"), ",") {
		defer s.buffers.Put(buffer) // else ServeContent may return while its writer of parts still reads
	}
	if size <= bufferSize {
		small, err := readAll(f, buffer)
		if err != nil {
			s.unreadable(w, r, f, err)
			return
		}
		content, head, size, tag = bytes.NewReader(small), small, int64(len(small)), hashTag(small)
	} else {
		n := 0
		if !known {
			var err error
			if n, err = f.at.ReadAt(buffer[:512], 0); err != nil && !errors.Is(err, io.EOF) {
				s.unreadable(w, r, f, err)
				return
			}
		}
		// A file that shrinks meanwhile ends the connection, as its length was
		// promised; what it grows by is not sent.
		content, head, tag = io.NewSectionReader(f.at, 0, size), buffer[:n], statTag(f.info)
	}
	if !known && c.name == "" { // not by its name, nor by coded bytes
		kind.name = http.DetectContentType(head)
	}
	if c.name != "" {
		tag += "-" + c.name
	}
	h := w.Header()
	h.Set("Content-Type", kind.name)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "no-cache") // keep it, but ask whether it changed
	h.Set("ETag", `"`+tag+`"`)
	modified := f.info.ModTime()
	if modified.After(time.Now()) {
		modified = time.Time{} // RFC 9110 8.8.2.1: never later than now
	}
	if c.name != "" && coder == nil {
		w = lengthWriter{w, size}
	}
	http.ServeContent(w, r, "", modified, content)
	if coder != nil {
		coder.close()
	}
}

func (s *Server) unreadable(w http.ResponseWriter, r *http.Request, f file, err error) {
	s.log.Error("a published file cannot be read", "file", f.name, "err", err)
	if coder, ok := w.(*codedWriter); ok {
		w = coder.ResponseWriter
	}
	w.Header().Del("Content-Encoding")
	s.pages.Error(w, r, http.StatusInternalServerError)
}

// lengthWriter states the length of coded content, which ServeContent does
// not trust itself to do.
type lengthWriter struct {
	http.ResponseWriter
	size int64
}

func (w lengthWriter) WriteHeader(status int) {
	if status == http.StatusOK {
		w.Header().Set("Content-Length", fmt.Sprint(w.size))
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w lengthWriter) ReadFrom(r io.Reader) (int64, error) { return io.Copy(w.ResponseWriter, r) }

const maxRanges = 32

// hashTag is the entity tag of content.
func hashTag(content []byte) string {
	sum := sha256.Sum256(content)
	return base64.RawURLEncoding.EncodeToString(sum[:15])
}

// statTag is the entity tag of a file too large to hash for each request. It
// misses only a change within one tick of the file system's clock that keeps
// size and inode.
func statTag(info fs.FileInfo) string {
	b := binary.BigEndian.AppendUint64(nil, uint64(info.Size()))
	b = binary.BigEndian.AppendUint64(b, uint64(info.ModTime().UnixNano()))
	return hashTag(binary.BigEndian.AppendUint64(b, inode(info)))
}

// readAll reads a file of at most bufferSize into buffer and returns what was
// read.
func readAll(f file, buffer []byte) ([]byte, error) {
	n, err := io.ReadFull(f, buffer[:min(f.info.Size(), bufferSize)])
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return nil, err
	}
	return buffer[:n], nil
}

const bufferSize = 64 << 10

// buffers is a pool of buffers of bufferSize bytes.
type buffers struct{ pool sync.Pool }

// Get returns a buffer of unknown content.
func (b *buffers) Get() []byte {
	if p, ok := b.pool.Get().(*[bufferSize]byte); ok {
		return p[:]
	}
	return make([]byte, bufferSize)
}

// Put takes back what Get returned.
func (b *buffers) Put(buffer []byte) { b.pool.Put((*[bufferSize]byte)(buffer)) }
