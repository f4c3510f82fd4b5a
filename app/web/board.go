package web

import (
	"context"
	"database/sql"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"kith.alt/kith"
)

// A Site is a published folder.
type Site struct {
	Path  string `json:"path"`  // "/", or "/docs"
	Dir   string `json:"dir"`   // absolute
	State string `json:"state"` // "served", or what is wrong with the folder
	OK    bool   `json:"ok"`
	URL   string `json:"url"`

	NoCopies bool   `json:"no_copies,omitempty"` // the owner wants members to keep none
	Copies   string `json:"copies"`              // "allowed", "off", "not yet", or why there can be none

	Published time.Time `json:"published"`
	Replaced  string    `json:"replaced,omitempty"` // in the answer to publishing: the folder before
}

// An Exposed is a port of this computer that members reach.
type Exposed struct {
	Port    uint16 `json:"port"`           // on the overlay
	Target  uint16 `json:"local"`          // on this computer
	Name    string `json:"name,omitempty"` // its path on the site, without slashes
	State   string `json:"state"`          // "open", "closed" in the answer to closing it, or what is wrong
	OK      bool   `json:"ok"`
	Address string `json:"address"`
	URL     string `json:"url,omitempty"`

	Since time.Time `json:"since"`
}

// A place is a path of the site with what stands there.
type place struct {
	at      string // "" for the top, or "/docs"
	handler http.Handler
}

// A board is what the host shows. Readers take no lock.
type board struct {
	store   kith.Store
	handler func(at string, site *Site, exposed *Exposed) http.Handler
	changed func() // after each change

	changing sync.Mutex // held from reading the board to exchanging it
	now      atomic.Pointer[content]
}

// content is what a board held at one moment; it never changes.
type content struct {
	sites   []Site    // by path
	exposed []Exposed // by port
	places  []place   // longest path first
}

// load reads the board from the store.
func (b *board) load(ctx context.Context) error {
	b.changing.Lock()
	defer b.changing.Unlock()
	return b.read(ctx)
}

func (b *board) read(ctx context.Context) error {
	c := new(content)
	err := b.store.View(ctx, func(tx *sql.Tx) error {
		sites, err := rows(ctx, tx, "SELECT path, dir, published, NOT copies FROM web_sites ORDER BY path", func(r *sql.Rows) (s Site, _ error) {
			var at int64
			err := r.Scan(&s.Path, &s.Dir, &at, &s.NoCopies)
			s.Published = time.Unix(at, 0)
			return s, err
		})
		if err != nil {
			return err
		}
		exposed, err := rows(ctx, tx, "SELECT port, target, name, exposed FROM web_exposed ORDER BY port", func(r *sql.Rows) (e Exposed, _ error) {
			var at int64
			err := r.Scan(&e.Port, &e.Target, &e.Name, &at)
			e.Since = time.Unix(at, 0)
			return e, err
		})
		c.sites, c.exposed = sites, exposed
		return err
	})
	if err != nil {
		return fmt.Errorf("read what is published: %w", err)
	}
	for i := range c.sites {
		at := strings.TrimSuffix(c.sites[i].Path, "/")
		c.places = append(c.places, place{at, b.handler(at, &c.sites[i], nil)})
	}
	for i, e := range c.exposed {
		if e.Name != "" {
			at := "/" + e.Name
			c.places = append(c.places, place{at, b.handler(at, nil, &c.exposed[i])})
		}
	}
	slices.SortFunc(c.places, func(x, y place) int { return len(y.at) - len(x.at) })
	b.now.Store(c)
	return nil
}

func rows[T any](ctx context.Context, tx *sql.Tx, query string, scan func(*sql.Rows) (T, error)) ([]T, error) {
	found, err := tx.QueryContext(ctx, query)
	if err != nil {
		return nil, err
	}
	defer found.Close()
	var all []T
	for found.Next() {
		one, err := scan(found)
		if err != nil {
			return nil, err
		}
		all = append(all, one)
	}
	return all, found.Err()
}

// content returns what the board holds, or nil when the application has not
// started.
func (b *board) content() *content { return b.now.Load() }

func (b *board) exposed() []Exposed { return b.content().exposed }

// place returns what stands at a path of the site, or nil.
func (b *board) place(path string) *place {
	c := b.content()
	if c == nil {
		return nil
	}
	for i := range c.places {
		if rest, ok := strings.CutPrefix(path, c.places[i].at); ok && (rest == "" || rest[0] == '/') {
			return &c.places[i]
		}
	}
	return nil
}

// change runs a statement and shows the result, unless check, which sees the
// board as it then is, refuses.
func (b *board) change(ctx context.Context, check func(*content) error, query string, args ...any) error {
	b.changing.Lock()
	defer b.changing.Unlock()
	c := b.content()
	if c == nil {
		return errStarting
	}
	if err := check(c); err != nil {
		return err
	}
	err := b.store.Update(ctx, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, query, args...)
		return err
	})
	if err != nil {
		return err
	}
	defer b.changed()
	return b.read(context.WithoutCancel(ctx)) // it is done: show it
}

func (c *content) site(path string) *Site {
	for i := range c.sites {
		if c.sites[i].Path == path {
			return &c.sites[i]
		}
	}
	return nil
}

// hides returns the path below a site at which something else stands, so that the
// site does not show what its folder has of that name; "" if it shows all.
func (c *content) hides(site Site) string {
	for _, p := range c.places {
		below, ok := strings.CutPrefix(p.at, folderPath(site.Path))
		if !ok || below == "" {
			continue
		}
		info, err := os.Stat(filepath.Join(site.Dir, filepath.FromSlash(below)))
		if err != nil {
			continue
		}
		if other := c.site(p.at); other != nil && !other.NoCopies {
			if same, err := os.Stat(other.Dir); err == nil && os.SameFile(info, same) {
				continue // published in its own right
			}
		}
		return folderPath(p.at)
	}
	return ""
}

// port finds an exposed port by its number on the overlay.
func (c *content) port(port uint16) *Exposed {
	for i := range c.exposed {
		if c.exposed[i].Port == port {
			return &c.exposed[i]
		}
	}
	return nil
}

func (c *content) named(name string) *Exposed {
	for i := range c.exposed {
		if name != "" && c.exposed[i].Name == name {
			return &c.exposed[i]
		}
	}
	return nil
}
