package web

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"sync"
	"time"

	"kith.alt/kith"
	"kith.alt/kith/folders"
	"kith.alt/kith/ui"
)

const (
	maxShared  = 1 << 30         // bytes of a folder that members may keep copies of
	shareAgain = 5 * time.Minute // a folder that could not be shared
	settle     = time.Second     // between looks at a swarm that changes all the time
)

// What a Site says of copies, beside a sentence that tells a problem.
const (
	copiesAllowed = "allowed"
	copiesOff     = "off"
	copiesSoon    = "not yet"
)

// shares has the swarm share the published folders as the board has them, so
// that members who visit can keep copies. It is safe for concurrent use.
type shares struct {
	host  kith.Host
	board *board
	check func(dir string) error // why a folder cannot be published
	kick  chan struct{}

	mu       sync.Mutex
	problems map[string]problem // by path
	shared   map[string]string  // folder by path, as this process knows
	anew     map[string]bool    // paths to share again although nothing seems to be new
}

// A problem is why a folder is not shared.
type problem struct {
	dir  string
	text string
	at   time.Time
}

func newShares(host kith.Host, board *board, check func(string) error) *shares {
	return &shares{host: host, board: board, check: check, kick: make(chan struct{}, 1),
		problems: make(map[string]problem), shared: make(map[string]string), anew: make(map[string]bool)}
}

// again has serve share what is at a path as it is, once the board changes.
func (s *shares) again(path string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.anew[path] = true
	delete(s.problems, path)
}

// changed has serve look at the board.
func (s *shares) changed() {
	select {
	case s.kick <- struct{}{}:
	default: // it will
	}
}

// serve shares what is on the board until ctx ends.
func (s *shares) serve(ctx context.Context) {
	for ctx.Err() == nil {
		changed := s.host.Swarm().Changed()
		s.reconcile(ctx)
		wait(ctx, s.kick, changed, shareAgain)
	}
}

// wait returns when there is a kick, or some time after something changed, or
// when it gets late.
func wait[T any](ctx context.Context, kick <-chan T, changed <-chan struct{}, late time.Duration) (kicked T) {
	timer := time.NewTimer(late)
	defer timer.Stop()
	for {
		select {
		case kicked = <-kick:
			return kicked
		case <-changed:
			changed = nil
			timer.Reset(settle)
		case <-timer.C:
			return kicked
		case <-ctx.Done():
			return kicked
		}
	}
}

// reconcile makes the library say of this host's sites what the board does.
func (s *shares) reconcile(ctx context.Context) {
	listed := make(map[string]kith.Entry)
	for _, e := range s.host.Swarm().Library() {
		if e.Host == s.host.ID() && e.Kind == kith.EntrySite {
			listed[e.Title] = e
		}
	}
	content := s.board.content()
	for _, site := range content.sites {
		entry, ok := listed[site.Path]
		hides := content.hides(site)
		switch {
		case site.NoCopies:
			continue
		case ok && entry.Size > maxShared: // it has grown
			s.note(site, errTooLarge)
			continue
		case hides != "":
			s.note(site, fmt.Errorf("the folder has something of its own where %s stands on your site, and copies would show that; take it out of the folder: %w", hides, kith.Exists))
			continue
		}
		delete(listed, site.Path)
		s.share(ctx, site, entry)
	}
	for title := range listed {
		s.mu.Lock()
		delete(s.shared, title)
		s.mu.Unlock()
		if err := s.host.Swarm().Withdraw(ctx, title); err != nil && !errors.Is(err, kith.NotFound) {
			s.host.Log().Warn("a site is not withdrawn from the library", "path", title, "err", err)
		}
	}
}

// share shares a folder, unless it is that of the entry.
func (s *shares) share(ctx context.Context, site Site, entry kith.Entry) {
	dir, err := filepath.EvalSymlinks(site.Dir) // whose target may have changed
	if err != nil {
		if entry.Version == 0 {
			s.note(site, s.check(site.Dir))
		}
		return // a disk that is away: copies are what is left
	}
	s.mu.Lock()
	anew, same := s.anew[site.Path], s.shared[site.Path] == dir
	delete(s.anew, site.Path)
	s.mu.Unlock()
	if entry.Version > 0 && !anew {
		if !same {
			holding, err := s.host.Swarm().Holding(entry.Content)
			same = err == nil && holding.Path == dir
		}
		if same {
			s.note(site, nil)
			return
		}
	}
	s.mu.Lock()
	p := s.problems[site.Path]
	s.mu.Unlock()
	if p.dir == site.Dir && time.Since(p.at) < shareAgain {
		return
	}
	if err = s.check(site.Dir); err == nil {
		err = measure(dir)
	}
	if err == nil {
		_, err = s.host.Swarm().Publish(ctx, kith.Publication{Path: dir, Title: site.Path, Kind: kith.EntrySite, Follow: true})
	}
	if ctx.Err() != nil {
		return
	}
	s.note(site, err)
	if err == nil {
		s.mu.Lock()
		s.shared[site.Path] = dir
		s.mu.Unlock()
	}
}

// note keeps why a site is not shared; nil: it is.
func (s *shares) note(site Site, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err == nil {
		delete(s.problems, site.Path)
		return
	}
	known := s.problems[site.Path]
	s.problems[site.Path] = problem{site.Dir, kith.Sentence(err), time.Now()}
	if known.dir == site.Dir && known.text == kith.Sentence(err) {
		return
	}
	s.host.Log().Info("members keep no copies of a site", "path", site.Path, "err", err)
}

// state says whether members may keep copies of a site.
func (s *shares) state(site Site) string {
	if site.NoCopies {
		return copiesOff
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if p, ok := s.problems[site.Path]; ok && p.dir == site.Dir {
		return p.text
	}
	for _, e := range s.host.Swarm().Library() {
		if e.Host == s.host.ID() && e.Kind == kith.EntrySite && e.Title == site.Path {
			return copiesAllowed
		}
	}
	return copiesSoon
}

var errTooLarge = fmt.Errorf("the folder is larger than the %s that members keep of a site: %w", ui.Size(maxShared), kith.Quota)

// measure fails for folders that are too large for copies.
func measure(dir string) error {
	var size int64
	return filepath.WalkDir(dir, func(name string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case name != dir && folders.Hidden(entry.Name()) && name != filepath.Join(dir, folders.WellKnown):
			if entry.IsDir() {
				return fs.SkipDir
			}
			return nil
		case !entry.Type().IsRegular():
			return nil
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		if size += info.Size(); size > maxShared {
			return errTooLarge
		}
		return nil
	})
}
