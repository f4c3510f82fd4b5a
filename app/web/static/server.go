package static

import (
	"errors"
	"io/fs"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"path"
	"strings"
	"syscall"
)

// Pages writes what is not a file. Its functions write a whole response; the
// request's method is GET or HEAD, but for Error it may be any.
type Pages struct {
	// Listing answers with the content of a directory without index.html.
	Listing func(http.ResponseWriter, *http.Request, Listing)

	// Error answers with a page for an HTTP status of 400 or more. The status
	// is 503 when the directory itself cannot be opened.
	Error func(w http.ResponseWriter, r *http.Request, status int)
}

// A Server serves directories. It is safe for concurrent use.
type Server struct {
	log     *slog.Logger
	pages   Pages
	buffers buffers
	codings *codings
}

// New returns a server that logs files it could not read to log.
func New(log *slog.Logger, pages Pages) *Server {
	return &Server{log: log, pages: pages, codings: newCodings()}
}

const indexFile, missingFile = "index.html", "404.html"

// ServeDir answers r with what is in directory dir, which stands at the path
// at: "" for the top of the site, or "/docs". The path of r is at, or begins
// with at and a slash.
func (s *Server) ServeDir(w http.ResponseWriter, r *http.Request, dir, at string) {
	name, slash, ok := s.begin(w, r, at)
	if !ok {
		return
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		s.log.Warn("a published folder cannot be opened", "dir", dir, "err", err)
		s.pages.Error(w, r, http.StatusServiceUnavailable)
		return
	}
	defer root.Close()
	s.serve(w, r, disk{root}, name, slash, at)
}

// ServeFS is ServeDir for files that do not lie in a directory. Those that
// fsys opens implement [io.ReaderAt], or else [fs.ReadDirFile]. Times of
// modification are taken to be those of all files together, so that no file
// stands for the coded content of another. The status is 500 for a file that
// fsys has and cannot open.
func (s *Server) ServeFS(w http.ResponseWriter, r *http.Request, fsys fs.FS, at string) {
	if name, slash, ok := s.begin(w, r, at); ok {
		s.serve(w, r, tree{fsys}, name, slash, at)
	}
}

// begin reads the name of the file that r asks for, and whether there was a
// slash behind it, or answers r itself.
func (s *Server) begin(w http.ResponseWriter, r *http.Request, at string) (name string, slash, ok bool) {
	if !s.allow(w, r) {
		return "", false, false
	}
	if name, slash, ok = fileName(r.URL, at); !ok {
		s.pages.Error(w, r, http.StatusNotFound)
		return "", false, false
	}
	if clean := at + "/" + name; !slash && name == "" || strings.Contains(r.URL.Path, "//") {
		if slash && name != "" {
			clean += "/"
		}
		redirect(w, r, clean)
		return "", false, false
	}
	return name, slash, true
}

// serve answers r with the file or directory name of root.
func (s *Server) serve(w http.ResponseWriter, r *http.Request, root folder, name string, slash bool, at string) {
	f, err := open(root, name)
	switch {
	case err != nil:
		s.fail(w, r, root, err)
		return
	case f.info.IsDir() && !slash:
		f.Close()
		redirect(w, r, at+"/"+name+"/")
		return
	case !f.info.IsDir() && slash:
		f.Close()
		s.notFound(w, r, root)
		return
	}
	defer f.Close()
	if !f.info.IsDir() {
		s.serveFile(w, r, root, f)
		return
	}
	index, err := open(root, path.Join(name, indexFile))
	switch {
	case errors.Is(err, fs.ErrNotExist) || err == nil && index.info.IsDir():
		if err == nil {
			index.Close()
		}
		s.serveListing(w, r, root, f, at)
	case err != nil:
		s.fail(w, r, root, err)
	default:
		defer index.Close()
		s.serveFile(w, r, root, index)
	}
}

// allow answers methods other than GET and HEAD (RFC 9110 9.3.7, 15.5.6).
func (s *Server) allow(w http.ResponseWriter, r *http.Request) bool {
	switch r.Method {
	case http.MethodGet, http.MethodHead:
		return true
	case http.MethodOptions:
		w.Header().Set("Allow", "GET, HEAD, OPTIONS")
		w.WriteHeader(http.StatusNoContent)
	default:
		w.Header().Set("Allow", "GET, HEAD, OPTIONS")
		s.pages.Error(w, r, http.StatusMethodNotAllowed)
	}
	return false
}

// fail answers with the page for an error of opening a file.
func (s *Server) fail(w http.ResponseWriter, r *http.Request, root folder, err error) {
	switch {
	case errors.Is(err, fs.ErrPermission):
		s.pages.Error(w, r, http.StatusForbidden)
	case errors.Is(err, errUnreadable), errors.Is(err, syscall.EMFILE), errors.Is(err, syscall.ENFILE), errors.Is(err, syscall.EIO):
		s.log.Error("a file cannot be opened", "path", r.URL.Path, "err", err)
		s.pages.Error(w, r, http.StatusInternalServerError)
	default: // no such file, a name too long, a link that leads outside, a socket
		s.notFound(w, r, root)
	}
}

// notFound answers with the site's own page 404.html, where it has one.
func (s *Server) notFound(w http.ResponseWriter, r *http.Request, root folder) {
	f, err := open(root, missingFile)
	if err != nil || f.info.IsDir() || f.info.Size() > bufferSize {
		if err == nil {
			f.Close()
		}
		s.pages.Error(w, r, http.StatusNotFound)
		return
	}
	defer f.Close()
	buffer := s.buffers.Get()
	defer s.buffers.Put(buffer)
	content, err := readAll(f, buffer)
	if err != nil {
		s.pages.Error(w, r, http.StatusNotFound)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "no-cache")
	w.WriteHeader(http.StatusNotFound)
	if r.Method != http.MethodHead {
		_, _ = w.Write(content) // the client has gone
	}
}

// redirect sends the client to another path of the same site, with its query.
func redirect(w http.ResponseWriter, r *http.Request, to string) {
	location := url.URL{Path: to, RawQuery: r.URL.RawQuery}
	w.Header().Set("Cache-Control", "no-cache") // a folder may become a file
	http.Redirect(w, r, location.String(), http.StatusMovedPermanently)
}
