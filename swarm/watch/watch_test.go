package watch

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"kith.alt/kith"
)

// A notebook notes what a watcher tells.
type notebook struct {
	mu   sync.Mutex
	told []time.Time
	mark Mark
	err  error
}

func (n *notebook) changed(_ context.Context, path string, mark Mark) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.told = append(n.told, time.Now())
	n.mark = mark
	return n.err
}

func (n *notebook) count() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return len(n.told)
}

// serve watches target until the end of the test.
func serve(t *testing.T, target Target) (*notebook, *Watcher) {
	t.Helper()
	n := new(notebook)
	w := New(Config{Changed: n.changed, Log: slog.New(slog.DiscardHandler)})
	w.Watch(target)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- w.Serve(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	synctest.Wait()
	return n, w
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func remove(t *testing.T, path string) {
	t.Helper()
	if err := os.RemoveAll(path); err != nil {
		t.Fatal(err)
	}
}

func TestChanges(t *testing.T) {
	for name, change := range map[string]func(t *testing.T, dir string){
		"a longer file": func(t *testing.T, dir string) { write(t, filepath.Join(dir, "a"), "longer") },
		"another file of the size": func(t *testing.T, dir string) {
			info, err := os.Stat(filepath.Join(dir, "a"))
			if err != nil {
				t.Fatal(err)
			}
			write(t, filepath.Join(dir, "new"), "b")
			if err := errors.Join(os.Chtimes(filepath.Join(dir, "new"), info.ModTime(), info.ModTime()), os.Rename(filepath.Join(dir, "new"), filepath.Join(dir, "a"))); err != nil {
				t.Fatal(err)
			}
		},
		"another time": func(t *testing.T, dir string) {
			if err := os.Chtimes(filepath.Join(dir, "a"), time.Time{}, time.Unix(1, 0)); err != nil {
				t.Fatal(err)
			}
		},
		"a new file":    func(t *testing.T, dir string) { write(t, filepath.Join(dir, "deep", "er", "c"), "c") },
		"one less":      func(t *testing.T, dir string) { remove(t, filepath.Join(dir, "sub", "b")) },
		"another name":  func(t *testing.T, dir string) { os.Rename(filepath.Join(dir, "a"), filepath.Join(dir, "A")) },
		"all is gone":   func(t *testing.T, dir string) { remove(t, dir) },
		"a file for it": func(t *testing.T, dir string) { remove(t, dir); write(t, dir, "a") },
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "published")
			write(t, filepath.Join(dir, "a"), "a")
			write(t, filepath.Join(dir, "sub", "b"), "b")
			synctest.Test(t, func(t *testing.T) {
				n, _ := serve(t, Target{Path: dir})
				time.Sleep(time.Hour)
				if n.count() != 0 {
					t.Fatal("a change is told where there is none")
				}
				change(t, dir)
				time.Sleep(restMax + 2*quiet + time.Second)
				if n.count() != 1 {
					t.Fatalf("told %d times", n.count())
				}
				if mark, err := Look(t.Context(), Target{Path: dir}); err != nil || mark != n.mark {
					t.Errorf("the mark told is not how it looks: %v", err)
				}
				time.Sleep(time.Hour)
				if n.count() != 1 {
					t.Errorf("told %d times, in the end", n.count())
				}
			})
		})
	}
}

func TestOneFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "film.mkv")
	write(t, path, "a")
	synctest.Test(t, func(t *testing.T) {
		n, w := serve(t, Target{Path: path})
		time.Sleep(time.Minute)
		write(t, path, "ab")
		time.Sleep(time.Minute)
		if n.count() != 1 {
			t.Errorf("told %d times", n.count())
		}
		w.Unwatch(path)
		write(t, path, "abc")
		time.Sleep(time.Hour)
		if n.count() != 1 {
			t.Error("told although nobody watches")
		}
		w.Watch(Target{Path: path, Mark: n.mark})
		time.Sleep(time.Minute)
		if n.count() != 2 {
			t.Error("what changed while nobody watched is not told")
		}
	})
}

// TestWriting has a file be written slowly: its change is told once it is there.
func TestWriting(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "a"), "a")
	synctest.Test(t, func(t *testing.T) {
		n, _ := serve(t, Target{Path: dir})
		time.Sleep(time.Minute)
		for second := range 120 {
			write(t, filepath.Join(dir, "film"), strings.Repeat("x", second))
			time.Sleep(time.Second)
		}
		if n.count() != 0 {
			t.Error("a change is told while a file is written")
		}
		time.Sleep(3 * quiet)
		if n.count() != 1 {
			t.Errorf("told %d times once it was written", n.count())
		}
	})
}

// TestNeverQuiet has a folder change all the time, with new files and with one
// file that grows for ever.
func TestNeverQuiet(t *testing.T) {
	for name, test := range map[string]struct {
		change      func(t *testing.T, dir string, second int)
		least, most int // times in an hour
	}{
		"new files": {func(t *testing.T, dir string, second int) {
			write(t, filepath.Join(dir, fmt.Sprint(second%100)), strings.Repeat("x", second/100))
		}, 50, 120},
		"one that grows": {func(t *testing.T, dir string, second int) {
			write(t, filepath.Join(dir, "log"), strings.Repeat("x", second))
		}, 9, 12},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			synctest.Test(t, func(t *testing.T) {
				n, _ := serve(t, Target{Path: dir})
				for second := range 3600 {
					test.change(t, dir, second)
					time.Sleep(time.Second)
				}
				if n.count() < test.least || n.count() > test.most {
					t.Errorf("told %d times in an hour, want %d to %d", n.count(), test.least, test.most)
				}
				for i := 1; i < n.count(); i++ {
					if apart := n.told[i].Sub(n.told[i-1]); apart < gap {
						t.Errorf("told twice in %v", apart)
					}
				}
			})
		})
	}
}

// TestQuickEdits has a person save again and again.
func TestQuickEdits(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		n, _ := serve(t, Target{Path: dir})
		for edit := range 12 {
			write(t, filepath.Join(dir, "page.html"), strings.Repeat("x", edit))
			time.Sleep(10 * time.Second)
		}
		time.Sleep(time.Minute)
		if n.count() < 2 || n.count() > 5 {
			t.Errorf("told %d times in two minutes", n.count())
		}
		if mark, _ := Look(t.Context(), Target{Path: dir}); mark != n.mark {
			t.Error("the last edit is not told")
		}
	})
}

func TestRetry(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		n, _ := serve(t, Target{Path: dir, Mark: Mark{1}})
		n.mu.Lock()
		n.err = kith.Temporary
		n.mu.Unlock()
		time.Sleep(10 * time.Minute)
		if n.count() < 5 || n.count() > 11 {
			t.Errorf("tried %d times in ten minutes", n.count())
		}
		n.mu.Lock()
		n.err = nil
		n.mu.Unlock()
		time.Sleep(2 * time.Minute)
		before := n.count()
		time.Sleep(time.Hour)
		if n.count() != before {
			t.Error("tried again after it worked")
		}
	})
}

func TestSkip(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		n, _ := serve(t, Target{Path: dir, Skip: func(entry fs.DirEntry) bool { return strings.HasPrefix(entry.Name(), ".") }})
		write(t, filepath.Join(dir, ".git", "a"), "a")
		write(t, filepath.Join(dir, ".b"), "b")
		time.Sleep(time.Hour)
		if n.count() != 0 {
			t.Error("what is skipped counts")
		}
		if err := os.Symlink("nowhere", filepath.Join(dir, "c")); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
		if n.count() != 1 {
			t.Error("a link does not count")
		}
	})
}

// TestStop has Serve end in the middle of things.
func TestStop(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		entered := make(chan struct{})
		w := New(Config{Log: slog.New(slog.DiscardHandler), Changed: func(ctx context.Context, _ string, _ Mark) error {
			close(entered)
			<-ctx.Done()
			return ctx.Err()
		}})
		w.Watch(Target{Path: dir, Mark: Mark{1}})
		w.Watch(Target{Path: dir + "-none", Mark: Mark{1}})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- w.Serve(ctx) }()
		<-entered
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func TestLookEnds(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	dir := t.TempDir()
	write(t, filepath.Join(dir, "a"), "a")
	if _, err := Look(ctx, Target{Path: dir}); !errors.Is(err, context.Canceled) {
		t.Errorf("a look that is given up: %v", err)
	}
}
