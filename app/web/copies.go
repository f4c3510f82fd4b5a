package web

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"kith.alt/kith"
	"kith.alt/kith/app/web/static"
	"kith.alt/kith/ui"
)

// copyHeader marks responses that come from a copy: the host whose site it is,
// when that version was published, and its number.
const copyHeader = "Kith-Copy"

const (
	describePatience = 15 * time.Second // for what is in a copy that others have
	readPatience     = 20 * time.Second // for the next bytes of it
	maxNodes         = 200_000          // of trees that are remembered, and of one
)

// copies keeps copies of other hosts' sites and shows them while those hosts
// sleep. It is safe for concurrent use.
type copies struct {
	host   kith.Host
	static *static.Server
	visits chan kith.ID
	keep   atomic.Bool // copies of sites that were visited

	mu      sync.Mutex
	trees   map[kith.ContentID]tree
	used    map[kith.ContentID]time.Time // read last, since the start
	refused map[siteKey]string           // why a site that was visited is not kept
}

func newCopies(host kith.Host) *copies {
	c := &copies{host: host, visits: make(chan kith.ID, 16),
		trees: make(map[kith.ContentID]tree), used: make(map[kith.ContentID]time.Time), refused: make(map[siteKey]string)}
	// What cannot be read is told to the reader, and by the swarm to the log.
	c.static = static.New(slog.New(slog.DiscardHandler), static.Pages{Listing: showCopiedListing, Error: showCopyError})
	c.keep.Store(true)
	return c
}

// member returns a member of the group.
func (c *copies) member(id kith.ID) (kith.Member, bool) {
	members := c.host.Members()
	i := slices.IndexFunc(members, func(m kith.Member) bool { return m.ID == id })
	if i < 0 {
		return kith.Member{}, false
	}
	return members[i], true
}

// sitesOf returns the newest versions of a host's sites, longest path first.
func (c *copies) sitesOf(host kith.ID) []kith.Entry {
	sites := slices.DeleteFunc(c.host.Swarm().Library(), func(e kith.Entry) bool {
		path, err := sitePath(e.Title)
		return e.Host != host || e.Kind != kith.EntrySite || !e.Folder || err != nil || path != e.Title
	})
	slices.SortFunc(sites, func(a, b kith.Entry) int { return len(b.Title) - len(a.Title) })
	return sites
}

// Copy returns what answers for a path of a host's site; see [kith.Copies].
func (c *copies) Copy(host kith.ID, path string) (http.Handler, bool) {
	member, ok := c.member(host)
	if !ok || host == c.host.ID() {
		return nil, true
	}
	for _, e := range c.sitesOf(host) {
		if rest, ok := strings.CutPrefix(path, strings.TrimSuffix(e.Title, "/")); ok && (rest == "" || rest[0] == '/') {
			return &siteCopy{copies: c, member: member, newest: e}, member.Online
		}
	}
	return nil, member.Online
}

// A siteCopy answers requests from a copy of a site.
type siteCopy struct {
	*copies
	member kith.Member
	newest kith.Entry

	version  kith.Entry // that is shown
	sentence string     // what readers are told
}

type siteCopyKey struct{}

func copyOf(r *http.Request) *siteCopy { return r.Context().Value(siteCopyKey{}).(*siteCopy) }

// ServeHTTP shows the newest version that is complete here, or else the newest
// of all, as other members have it.
func (c *siteCopy) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	shown := *c
	ctx := context.WithValue(r.Context(), siteCopyKey{}, &shown)
	r = r.WithContext(ctx)
	keeper := c.host.Name().Host
	var complete bool
	if shown.version, complete = c.complete(c.newest); !complete {
		keeper = "other members"
		if err := c.lend(ctx, shown.version); err != nil {
			showCopyError(rw, r, http.StatusServiceUnavailable)
			return
		}
	}
	content := shown.version.Content
	tree, err := c.treeOf(content)
	if err != nil {
		showCopyError(rw, r, http.StatusServiceUnavailable)
		return
	}
	now := time.Now()
	shown.sentence = copySentence(c.member.Host, keeper, c.member.Online, shown.version.Published, now)
	h := rw.Header()
	h.Set(copyHeader, fmt.Sprintf("%q; published=@%d; version=%d", c.member.Host, shown.version.Published.Unix(), shown.version.Version))
	h.Set("Age", strconv.FormatInt(max(0, int64(now.Sub(shown.version.Published).Seconds())), 10))
	c.use(content, now)
	files := contentFS{tree: tree, published: shown.version.Published, open: func(name string) (io.ReadSeekCloser, error) {
		return openPatiently(ctx, c.host.Swarm(), content, name)
	}}
	if isPageView(r) {
		files.mark = markOf(shown.sentence)
	}
	c.static.ServeFS(rw, r, files, strings.TrimSuffix(c.newest.Title, "/"))
}

// isPageView tells a page that a person opens from what a page or a program
// fetches, which has to stay as it is.
func isPageView(r *http.Request) bool {
	if destination := r.Header.Get("Sec-Fetch-Dest"); destination != "" {
		return destination == "document"
	}
	return strings.Contains(r.Header.Get("Accept"), "text/html")
}

// complete returns the newest version of an entry that is complete here, or
// the newest of all.
func (c *copies) complete(newest kith.Entry) (version kith.Entry, complete bool) {
	for _, h := range c.host.Swarm().Holdings() {
		switch e := h.Entry; {
		case !isHere(h):
		case h.Content == newest.Content:
			return newest, true
		case e.Host == newest.Host && e.Title == newest.Title && e.Kind == kith.EntrySite && (!complete || e.Version > version.Version):
			e.Content = h.Content
			version, complete = e, true
		}
	}
	if !complete {
		version = newest
	}
	return version, complete
}

func isHere(h kith.Holding) bool {
	return h.Files > 0 && h.Have == h.Size && h.State != kith.HoldingPaused
}

// lend has content fetched that others have, and waits until it is known what
// is in it.
func (c *copies) lend(ctx context.Context, e kith.Entry) error {
	swarm := c.host.Swarm()
	if _, err := swarm.Holding(e.Content); err != nil {
		if !slices.ContainsFunc(c.host.Members(), func(m kith.Member) bool { return m.Online && m.ID != c.host.ID() }) {
			return fmt.Errorf("nobody else is awake: %w", kith.Unreachable)
		}
		c.use(e.Content, time.Now()) // before it is there: it is not swept away
		if _, err := swarm.Take(ctx, c.taking(e)); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithTimeout(ctx, describePatience)
	defer cancel()
	for {
		changed := swarm.Changed()
		if _, err := swarm.Files(e.Content); err == nil {
			return nil
		}
		if h, err := swarm.Holding(e.Content); err != nil || h.State == kith.HoldingPaused {
			return fmt.Errorf("%s is not fetched: %w", e.Title, kith.Unreachable)
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// treeOf returns what is in content.
func (c *copies) treeOf(content kith.ContentID) (tree, error) {
	c.mu.Lock()
	t := c.trees[content]
	c.mu.Unlock()
	if t != nil {
		return t, nil
	}
	files, err := c.host.Swarm().Files(content)
	if err != nil {
		return nil, err
	}
	t = newTree(files)
	c.mu.Lock()
	defer c.mu.Unlock()
	nodes := len(t)
	for _, other := range c.trees {
		nodes += len(other)
	}
	if nodes > maxNodes {
		clear(c.trees)
	}
	c.trees[content] = t
	return t, nil
}

// openPatiently opens a file of content. Bytes that do not come for a while
// fail.
func openPatiently(ctx context.Context, swarm kith.Swarm, content kith.ContentID, name string) (io.ReadSeekCloser, error) {
	ctx, cancel := context.WithCancel(ctx)
	timer := time.AfterFunc(readPatience, cancel)
	r, err := swarm.Open(ctx, content, name)
	timer.Stop()
	if err != nil {
		cancel()
		return nil, err
	}
	return &patientReader{r, timer, cancel}, nil
}

type patientReader struct {
	io.ReadSeekCloser
	timer  *time.Timer
	cancel context.CancelFunc
}

func (r *patientReader) Read(p []byte) (int, error) {
	r.timer.Reset(readPatience)
	defer r.timer.Stop()
	return r.ReadSeekCloser.Read(p)
}

func (r *patientReader) Close() error {
	r.timer.Stop()
	r.cancel()
	return r.ReadSeekCloser.Close()
}

// show writes a page of a copy.
func (c *siteCopy) show(rw http.ResponseWriter, r *http.Request, status int, page ui.Page) {
	showPage(rw, r, c.static, kith.Name{Host: c.member.Host, Group: c.host.Name().Group}, status, page)
}

func showCopiedListing(rw http.ResponseWriter, r *http.Request, listing static.Listing) {
	c := copyOf(r)
	page := listingPage(c.member.Host, listing, false)
	page.Lead = c.sentence
	c.show(rw, r, http.StatusOK, page)
}

// showCopyError explains what a copy does not have.
func showCopyError(rw http.ResponseWriter, r *http.Request, status int) {
	c := copyOf(r)
	title, text := "Not here at present", fmt.Sprintf("%s does not answer, and nobody who is awake has this part of its site. Try again when %[1]s is awake.", c.member.Host)
	switch status {
	case http.StatusNotFound:
		title = "Not in this copy"
		text = fmt.Sprintf("%s Nothing in it is at %.200s. What %s shows of its programs is not in copies.", c.sentence, r.URL.Path, c.member.Host)
	case http.StatusNotAcceptable:
		title, text = "Not in that form", "Your program accepts none of the forms in which this can be sent: as it is, gzip, zstd."
	default:
		status = http.StatusServiceUnavailable
		rw.Header().Set("Retry-After", "30")
	}
	c.show(rw, r, status, ui.Page{Title: title, Lead: text, Body: pages.Body("error.html", nil)})
}
