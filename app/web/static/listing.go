package static

import (
	"cmp"
	"errors"
	"io"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strings"
	"time"

	"kith.alt/kith/folders"
)

// A Listing is the content of a directory.
type Listing struct {
	Path    string  // as in the request, with a slash at its end
	At      string  // where the served directory itself stands: "", or "/docs"
	Entries []Entry // directories first, then by name
	More    bool    // the directory has more entries than a listing shows
}

// An Entry is a file or a directory in a Listing.
type Entry struct {
	Name    string
	Href    string // relative to the listing, escaped
	Dir     bool
	Size    int64 // bytes; 0 for directories
	ModTime time.Time
}

// maxListed bounds the entries of a listing.
const maxListed = 5000

func (s *Server) serveListing(w http.ResponseWriter, r *http.Request, root folder, dir file, at string) {
	found, err := dir.readDir(maxListed + 1)
	if err != nil && !errors.Is(err, io.EOF) {
		s.log.Error("a published folder cannot be read", "folder", dir.name, "err", err)
		s.pages.Error(w, r, http.StatusInternalServerError)
		return
	}
	listing := Listing{Path: r.URL.Path, At: at, More: len(found) > maxListed}
	for _, f := range found[:min(len(found), maxListed)] {
		if folders.Hidden(f.Name()) {
			continue
		}
		info, err := root.stat(path.Join(dir.name, f.Name())) // follows links that stay inside
		if err != nil || !info.Mode().IsRegular() && !info.IsDir() {
			continue
		}
		// With "./" a name such as "a:b" is no scheme (RFC 3986 4.2).
		href := "./" + (&url.URL{Path: f.Name()}).EscapedPath()
		entry := Entry{Name: f.Name(), Href: href, Dir: info.IsDir(), ModTime: info.ModTime()}
		if info.IsDir() {
			entry.Href += "/"
		} else {
			entry.Size = info.Size()
		}
		listing.Entries = append(listing.Entries, entry)
	}
	slices.SortFunc(listing.Entries, func(a, b Entry) int {
		if a.Dir != b.Dir {
			if a.Dir {
				return -1
			}
			return 1
		}
		return cmp.Or(strings.Compare(strings.ToLower(a.Name), strings.ToLower(b.Name)), strings.Compare(a.Name, b.Name))
	})
	s.pages.Listing(w, r, listing)
}
