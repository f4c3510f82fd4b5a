package web

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"kith.alt/kith"
	"kith.alt/kith/folders"
)

const (
	maxSites   = 200
	maxExposed = 200
	maxPath    = 200 // bytes of a path on the site
)

// publish shows folder dir at path of the site. With noCopies members keep none.
func (w *web) publish(ctx context.Context, path, dir string, noCopies bool) (Site, error) {
	path, err := sitePath(path)
	if err != nil {
		return Site{}, err
	}
	if err := w.checkDir(dir); err != nil {
		return Site{}, err
	}
	dir = filepath.Clean(dir)
	now, replaced := time.Now(), ""
	w.shares.again(path) // before the board says so: it is read once
	err = w.board.change(ctx, func(c *content) error {
		if e := c.named(path[1:]); e != nil {
			return fmt.Errorf("%s is where exposed port %d stands; choose another path, or: kith unexpose %d: %w", path, e.Port, e.Port, kith.Exists)
		}
		if old := c.site(path); old != nil {
			replaced = old.Dir
		} else if len(c.sites) >= maxSites {
			return fmt.Errorf("%d folders are published; unpublish one first: %w", maxSites, kith.Quota)
		}
		return nil
	}, "INSERT INTO web_sites (path, dir, published, copies) VALUES (?, ?, ?, ?) ON CONFLICT (path) DO UPDATE SET dir = excluded.dir, published = excluded.published, copies = excluded.copies",
		path, dir, now.Unix(), !noCopies)
	if err != nil {
		return Site{}, err
	}
	if replaced != dir {
		w.host.Event(fmt.Sprintf("You published %s at %s.", filepath.Base(dir), folderPath(path)))
	}
	site := w.described(Site{Path: path, Dir: dir, NoCopies: noCopies, Published: time.Unix(now.Unix(), 0)})
	if replaced != dir {
		site.Replaced = replaced
	}
	return site, nil
}

// unpublish no longer shows what is at path.
func (w *web) unpublish(ctx context.Context, path string) (Site, error) {
	path, err := sitePath(path)
	if err != nil {
		return Site{}, err
	}
	var site Site
	err = w.board.change(ctx, func(c *content) error {
		found := c.site(path)
		if found == nil {
			return fmt.Errorf("nothing is published at %s; kith sites shows what is: %w", path, kith.NotFound)
		}
		site = w.described(*found)
		return nil
	}, "DELETE FROM web_sites WHERE path = ?", path)
	if err != nil {
		return Site{}, err
	}
	w.host.Event(fmt.Sprintf("You no longer publish %s at %s.", filepath.Base(site.Dir), folderPath(path)))
	return site, nil
}

// described fills in the state and address of a site.
func (w *web) described(s Site) Site {
	s.URL = w.url(s.Path)
	s.Copies = w.shares.state(s)
	err := w.checkDir(s.Dir)
	switch {
	case err == nil:
		s.State, s.OK = "served", true
	case errors.Is(err, kith.NotFound):
		s.State = "missing: the folder is not there"
	case errors.Is(err, kith.Denied):
		s.State = "closed: the folder cannot be read"
	default:
		s.State = "not a folder any more"
	}
	return s
}

// url is where a browser on this host reads path, or, where no gateway runs,
// where every member's programs find it.
func (w *web) url(path string) string {
	link := w.host.Link(escaped(folderPath(path)))
	if strings.HasPrefix(link, "/") {
		return "http://" + w.host.Name().String() + link
	}
	return link
}

// folderPath ends path with a slash, as visitors see a folder's address.
func folderPath(path string) string { return strings.TrimSuffix(path, "/") + "/" }

// sitePath returns the form in which the site has a path that a person typed:
// "/", or "/docs" without a slash at its end.
func sitePath(typed string) (string, error) {
	path := "/" + strings.Trim(typed, "/")
	switch {
	case len(path) > maxPath:
		return "", fmt.Errorf("path %.20q... has %d bytes, at most %d: %w", path, len(path), maxPath, kith.Invalid)
	case !utf8.ValidString(path) || strings.ContainsFunc(path, misleads) || strings.Contains(path, `\`):
		return "", fmt.Errorf("path %q has characters that no address has; use letters, digits, - and _: %w", path, kith.Invalid)
	case path == "/":
		return path, nil
	}
	for part := range strings.SplitSeq(path[1:], "/") {
		if folders.Hidden(part) {
			return "", fmt.Errorf("--at %s: no part of the path may be empty or begin with a dot: %w", path, kith.Invalid)
		}
	}
	return path, nil
}

// misleads reports characters that have a path look like another: controls, and
// those that turn the direction of writing.
func misleads(c rune) bool { return unicode.IsControl(c) || unicode.Is(unicode.Bidi_Control, c) }

// checkDir says why a folder cannot be published.
func (w *web) checkDir(dir string) error {
	if !filepath.IsAbs(dir) {
		return fmt.Errorf("folder %q is not an absolute path: %w", dir, kith.Invalid)
	}
	dir = filepath.Clean(dir)
	info, err := os.Stat(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("there is no folder %s; check its name: %w", dir, kith.NotFound)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("folder %s cannot be opened; make it readable for you: %w", dir, kith.Denied)
	case err != nil:
		return fmt.Errorf("folder %s: %v: %w", dir, err, kith.Invalid)
	case !info.IsDir():
		return fmt.Errorf("%s is a file; publish the folder it is in: %s: %w", dir, filepath.Dir(dir), kith.Invalid)
	case w.host.PrivateDir(dir):
		return fmt.Errorf("%s is where kith keeps its key; publish another folder: %w", dir, kith.Invalid)
	case folders.HoldsHome(dir):
		return fmt.Errorf("%s holds your home folder, with everything private in it; publish a folder inside: %w", dir, kith.Invalid)
	}
	f, err := os.Open(dir)
	if err == nil {
		_, err = f.Readdirnames(1)
		f.Close()
	}
	if err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("folder %s cannot be read; make it readable for you: %w", dir, kith.Denied)
	}
	return nil
}
