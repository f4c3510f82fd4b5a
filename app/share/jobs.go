package share

import (
	"context"
	"crypto/rand"
	"fmt"
	"slices"
	"sync"
	"time"

	"kith.alt/kith"
)

// jobs are what the dashboard began that may take long, such as reading a folder:
// they go on while nobody looks. It is safe for concurrent use.
type jobs struct {
	ready chan struct{} // closed once Serve runs
	begun sync.Once

	mu      sync.Mutex
	ctx     context.Context // of Serve; nil while it does not run
	running sync.WaitGroup
	list    []*job // also those that failed, until somebody has seen it
}

// A job is one of them.
type job struct {
	Word    string // by which works tells its progress
	Title   string
	Problem string // why it failed, as a sentence
	cancel  context.CancelFunc
	done    chan struct{}
	err     error // once done is closed
}

// maxJobs is how many there may be at once.
const maxJobs = 20

// soon is how long a form waits for its job before it says that it goes on.
const soon = time.Second

func newJobs() *jobs { return &jobs{ready: make(chan struct{})} }

// serve has jobs run until ctx ends.
func (j *jobs) serve(ctx context.Context) {
	j.mu.Lock()
	j.ctx = ctx
	j.mu.Unlock()
	j.begun.Do(func() { close(j.ready) })
	<-ctx.Done()
	j.mu.Lock()
	j.ctx, j.list = nil, nil
	j.mu.Unlock()
	j.running.Wait()
}

// start begins a job, and waits for a moment. Over is false where it goes on;
// else err is how it ended.
func (j *jobs) start(title string, do func(ctx context.Context, word string) error) (over bool, err error) {
	timer := time.NewTimer(soon)
	defer timer.Stop()
	select {
	case <-j.ready:
	case <-timer.C:
	}
	j.mu.Lock()
	if j.ctx == nil {
		j.mu.Unlock()
		return true, fmt.Errorf("sharing is starting; try again in a moment: %w", kith.Temporary)
	}
	if len(j.list) >= maxJobs {
		j.mu.Unlock()
		return true, fmt.Errorf("%d files or folders are being read already; wait for one: %w", maxJobs, kith.Quota)
	}
	ctx, cancel := context.WithCancel(j.ctx)
	begun := &job{Word: rand.Text(), Title: title, cancel: cancel, done: make(chan struct{})}
	j.list = append(j.list, begun)
	j.running.Go(func() {
		defer cancel()
		err := do(ctx, begun.Word)
		j.mu.Lock()
		defer j.mu.Unlock()
		if begun.err = err; err != nil && ctx.Err() == nil {
			begun.Problem = kith.Sentence(err)
		} else {
			j.remove(begun.Word)
		}
		close(begun.done)
	})
	j.mu.Unlock()
	select {
	case <-begun.done:
		j.stop(begun.Word)
		return true, begun.err
	case <-timer.C:
		return false, nil
	}
}

// stop ends a job, or forgets one that failed.
func (j *jobs) stop(word string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, job := range j.list {
		if job.Word == word {
			job.cancel()
		}
	}
	j.remove(word)
}

// remove is called with the lock held.
func (j *jobs) remove(word string) {
	j.list = slices.DeleteFunc(j.list, func(job *job) bool { return job.Word == word })
}

// all returns copies of the jobs.
func (j *jobs) all() []job {
	j.mu.Lock()
	defer j.mu.Unlock()
	var list []job
	for _, one := range j.list {
		list = append(list, *one)
	}
	return list
}
