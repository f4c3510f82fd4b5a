package watch

import (
	"context"
	"io/fs"
	"log/slog"
	"sync"
	"time"
)

const (
	restMin    = 2 * time.Second // between two looks at a path
	restMax    = 30 * time.Second
	restShare  = 50               // times as long as a look takes
	quiet      = 2 * time.Second  // after which a change is over
	patience   = 30 * time.Second // with a folder that is never quiet
	writingMax = 5 * time.Minute  // with a file that is always being written
	gap        = 30 * time.Second // between two changes that are told
	retry      = time.Minute      // when a change could not be dealt with
)

// Config is what a watcher needs.
type Config struct {
	// Changed is told of a change, from Serve, one at a time; it may take long, and
	// ends when ctx does. The path may be gone. mark is how it looked
	// before the call. An error has it called again in a minute.
	Changed func(ctx context.Context, path string, mark Mark) error
	Log     *slog.Logger
}

// A Target is a path to be watched.
type Target struct {
	Path string // absolute: a file or folder

	// Mark is how it looked when it was last dealt with, such as before the program
	// was stopped; zero: it is as it should be.
	Mark Mark

	// Skip, if not nil, says which entries of a folder do not matter; a
	// folder is skipped with all in it.
	Skip func(fs.DirEntry) bool
}

// A Watcher watches paths. It is safe for concurrent use.
type Watcher struct {
	cfg     Config
	telling sync.Mutex // held while Changed is called
	work    sync.WaitGroup

	mu      sync.Mutex
	ctx     context.Context // of Serve; nil when it does not run
	targets map[string]*watched
}

type watched struct {
	Target
	stop context.CancelFunc // nil while Serve does not run
}

// New makes a watcher. It watches while Serve runs.
func New(cfg Config) *Watcher {
	return &Watcher{cfg: cfg, targets: make(map[string]*watched)}
}

// Watch begins to watch a target. A path that is watched already stays as it is.
func (w *Watcher) Watch(t Target) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.targets[t.Path] != nil {
		return
	}
	w.targets[t.Path] = &watched{Target: t}
	if w.ctx != nil {
		w.begin(w.targets[t.Path])
	}
}

// Unwatch ends it, and the call of Changed that is under way for the path.
func (w *Watcher) Unwatch(path string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if t := w.targets[path]; t != nil && t.stop != nil {
		t.stop()
	}
	delete(w.targets, path)
}

// Serve watches until ctx ends. It is called once.
func (w *Watcher) Serve(ctx context.Context) error {
	w.mu.Lock()
	w.ctx = ctx
	for _, t := range w.targets {
		w.begin(t)
	}
	w.mu.Unlock()
	<-ctx.Done()
	w.mu.Lock()
	w.ctx = nil
	w.mu.Unlock()
	w.work.Wait()
	return nil
}

// begin watches t. The caller holds mu.
func (w *Watcher) begin(t *watched) {
	ctx, stop := context.WithCancel(w.ctx)
	t.stop = stop
	w.work.Go(func() {
		defer stop()
		w.watch(ctx, t.Target)
	})
}

// watch tells of the changes of t until ctx ends.
func (w *Watcher) watch(ctx context.Context, t Target) {
	known, rest := t.Mark, time.Duration(0)
	var told time.Time
	for sleep(ctx, rest) {
		began := time.Now()
		seen, err := look(ctx, t, nil)
		least := restShare * time.Since(began)
		switch {
		case err != nil:
			if ctx.Err() == nil {
				w.cfg.Log.Warn("cannot see whether it has changed", "path", t.Path, "err", err)
			}
			rest = writingMax
		case known == Mark{}, known == seen:
			known = seen
			rest = max(restMin, least, min(rest*3/2, restMax))
		case !sleep(ctx, gap-time.Since(told)):
			return
		default:
			rest = max(restMin, least)
			if seen, err = settle(ctx, t, rest); err != nil || seen == known {
				continue
			}
			if err := w.tell(ctx, t.Path, seen); err != nil {
				rest = retry
				continue
			}
			known, told = seen, time.Now()
		}
	}
}

func (w *Watcher) tell(ctx context.Context, path string, mark Mark) error {
	w.telling.Lock()
	defer w.telling.Unlock()
	if err := ctx.Err(); err != nil {
		return err
	}
	return w.cfg.Changed(ctx, path, mark)
}

// settle waits until a change is over, looking at t every now and then, and
// returns how it looks.
func settle(ctx context.Context, t Target, every time.Duration) (Mark, error) {
	began := time.Now()
	before, writing := make(map[string]Mark), map[string]bool(nil)
	if _, err := look(ctx, t, before); err != nil {
		return Mark{}, err
	}
	for sleep(ctx, max(quiet, every)) {
		now := make(map[string]Mark)
		seen, err := look(ctx, t, now)
		if err != nil {
			return Mark{}, err
		}
		changed := differences(before, now)
		restless := time.Since(began)
		if len(changed) == 0 || restless >= writingMax || restless >= patience && disjoint(changed, writing) {
			return seen, nil
		}
		before, writing = now, changed
	}
	return Mark{}, ctx.Err()
}

// differences are the files that came, changed or went.
func differences(before, now map[string]Mark) map[string]bool {
	changed := make(map[string]bool)
	for path, mark := range now {
		if before[path] != mark {
			changed[path] = true
		}
	}
	for path := range before {
		if _, there := now[path]; !there {
			changed[path] = true
		}
	}
	return changed
}

func disjoint(a, b map[string]bool) bool {
	for path := range a {
		if b[path] {
			return false
		}
	}
	return true
}

// sleep waits; it reports false when ctx has ended.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(max(d, 0))
	defer timer.Stop()
	select {
	case <-timer.C:
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}
