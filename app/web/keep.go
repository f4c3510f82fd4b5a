package web

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"kith.alt/kith"
)

const (
	sweepEvery = time.Minute
	lentFor    = 10 * time.Minute // copies that are read, where none are kept
)

// A Kept is a copy of a site of another host.
type Kept struct {
	Host      string    `json:"host"`
	ID        kith.ID   `json:"id"`
	Path      string    `json:"path"` // on the host's site
	Content   string    `json:"content,omitempty"`
	Size      int64     `json:"size"`
	Have      int64     `json:"have"`
	Published time.Time `json:"published"` // of the version that is here
	Awake     bool      `json:"awake"`
	Problem   string    `json:"problem,omitempty"` // why it is not here, or not yet
}

// A siteKey names a site of a host.
type siteKey struct {
	host kith.ID
	path string
}

// Visited takes copies of a host's sites, if its owner wants that.
func (c *copies) Visited(host kith.ID) {
	if host == c.host.ID() || !c.keep.Load() {
		return
	}
	select {
	case c.visits <- host:
	default: // many sites at once: at the next visit
	}
}

// serve keeps copies until ctx ends.
func (c *copies) serve(ctx context.Context) {
	for ctx.Err() == nil {
		changed := c.host.Swarm().Changed()
		c.sweep(ctx)
		if host := wait(ctx, c.visits, changed, sweepEvery); !host.IsZero() {
			c.take(ctx, host)
		}
	}
}

// take takes copies of a host's sites.
func (c *copies) take(ctx context.Context, host kith.ID) {
	sites := c.sitesOf(host)
	for _, e := range sites[:min(len(sites), maxSites)] {
		_, err := c.host.Swarm().Holding(e.Content)
		if err == nil {
			continue
		}
		_, err = c.host.Swarm().Take(ctx, c.taking(e))
		c.mu.Lock()
		delete(c.refused, siteKey{host, e.Title})
		if err != nil && ctx.Err() == nil {
			c.refused[siteKey{host, e.Title}] = kith.Sentence(err)
			c.host.Log().Info("no copy of a site that was visited", "peer", host.Short(), "path", e.Title, "err", err)
		}
		c.mu.Unlock()
	}
}

func (c *copies) taking(e kith.Entry) kith.Taking {
	return kith.Taking{Content: e.Content, Name: e.Name, From: []kith.ID{e.Host}, Entry: e, Follow: c.keep.Load()}
}

// use notes that content is read.
func (c *copies) use(content kith.ContentID, now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.used[content] = now
}

// isCopy reports whether the node keeps a holding as a copy of another's site.
func (c *copies) isCopy(h kith.Holding) bool {
	return h.Entry.Kind == kith.EntrySite && h.Path == "" && h.Entry.Host != c.host.ID()
}

// sweep drops copies of what their hosts do not publish any more, of hosts
// that have left, and, where none are to be kept, those that nobody reads.
func (c *copies) sweep(ctx context.Context) {
	published := make(map[siteKey]bool)
	for _, e := range c.host.Swarm().Library() {
		published[siteKey{e.Host, e.Title}] = e.Kind == kith.EntrySite
	}
	now := time.Now()
	c.mu.Lock()
	for content, at := range c.used {
		if now.Sub(at) > lentFor {
			delete(c.used, content)
		}
	}
	for key := range c.refused {
		if !published[key] {
			delete(c.refused, key)
		}
	}
	c.mu.Unlock()
	for _, h := range c.host.Swarm().Holdings() {
		if !c.isCopy(h) {
			continue
		}
		c.mu.Lock()
		_, read := c.used[h.Content]
		c.mu.Unlock()
		_, member := c.member(h.Entry.Host)
		if member && published[siteKey{h.Entry.Host, h.Entry.Title}] && (read || h.Pinned || c.keep.Load()) {
			continue
		}
		if err := c.host.Swarm().Drop(ctx, h.Content); err != nil && !errors.Is(err, kith.NotFound) {
			c.host.Log().Warn("a copy is not dropped", "path", h.Entry.Title, "err", err)
		}
	}
}

// list returns the copies that are here or on their way, and those that cannot
// be.
func (c *copies) list() []Kept {
	versions := make(map[siteKey]kith.Holding) // the newest complete one, else the newest
	for _, h := range c.host.Swarm().Holdings() {
		key := siteKey{h.Entry.Host, h.Entry.Title}
		other, ok := versions[key]
		if c.isCopy(h) && (!ok || isHere(h) && !isHere(other) || isHere(h) == isHere(other) && h.Entry.Version > other.Entry.Version) {
			versions[key] = h
		}
	}
	list := []Kept{}
	for key, h := range versions {
		k := Kept{Path: key.path, Content: h.Content.String(), Size: h.Size, Have: h.Have, Published: h.Entry.Published, Problem: h.Reason}
		list = append(list, c.named(k, key.host))
	}
	c.mu.Lock()
	for key, why := range c.refused {
		if _, ok := versions[key]; !ok {
			list = append(list, c.named(Kept{Path: key.path, Problem: why}, key.host))
		}
	}
	c.mu.Unlock()
	slices.SortFunc(list, func(a, b Kept) int {
		return cmp.Or(strings.Compare(a.Host, b.Host), strings.Compare(a.ID.String(), b.ID.String()), strings.Compare(a.Path, b.Path))
	})
	return list
}

func (c *copies) named(k Kept, host kith.ID) Kept {
	k.ID, k.Host = host, host.Short()
	if m, ok := c.member(host); ok {
		k.Host, k.Awake = m.Host, m.Online
	}
	return k
}

// forget drops copies of a host's sites: of the one at a path, or of all where
// that is "".
func (c *copies) forget(ctx context.Context, host, path string) error {
	if path != "" {
		var err error
		if path, err = sitePath(path); err != nil {
			return err
		}
	}
	found := false
	for _, k := range c.list() {
		if k.Host != host && k.ID.String() != host || path != "" && k.Path != path {
			continue
		}
		found = true
		c.mu.Lock()
		delete(c.refused, siteKey{k.ID, k.Path})
		c.mu.Unlock()
		for _, h := range c.host.Swarm().Holdings() {
			if c.isCopy(h) && h.Entry.Host == k.ID && h.Entry.Title == k.Path {
				if err := c.host.Swarm().Drop(ctx, h.Content); err != nil && !errors.Is(err, kith.NotFound) {
					return fmt.Errorf("forget %s of %s: %w", k.Path, k.Host, err)
				}
			}
		}
	}
	if !found {
		return fmt.Errorf("no copy of a site of %q is kept here; kith sites shows which are: %w", host, kith.NotFound)
	}
	return nil
}

const keepSetting = "keep_visited"

// load reads whether copies are to be kept; they are where nobody said so.
func (c *copies) load(ctx context.Context) error {
	keep := true
	err := c.host.Store().View(ctx, func(tx *sql.Tx) error {
		return tx.QueryRowContext(ctx, "SELECT value FROM web_settings WHERE name = ?", keepSetting).Scan(&keep)
	})
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return fmt.Errorf("read the settings: %w", err)
	}
	c.keep.Store(keep)
	return nil
}

// setKeep says whether copies of sites that are visited are to be kept.
// Without, those that are here go, once nobody reads them.
func (c *copies) setKeep(ctx context.Context, keep bool) error {
	err := c.host.Store().Update(ctx, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, "INSERT INTO web_settings (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value", keepSetting, keep)
		return err
	})
	if err != nil {
		return fmt.Errorf("store the setting: %w", err)
	}
	c.keep.Store(keep)
	c.sweep(ctx)
	return nil
}
