package overlay

import (
	"maps"
	"sync"
	"time"
)

const (
	backoffFirst  = 2 * time.Second
	backoffMost   = time.Minute
	backoffMemory = 1024 // ways remembered
)

// A backoff remembers which ways failed lately, for longer each time.
type backoff struct {
	mu   sync.Mutex
	ways map[wayKey]failure
}

type failure struct {
	pause time.Duration
	until time.Time
}

func newBackoff() *backoff { return &backoff{ways: make(map[wayKey]failure)} }

func (b *backoff) add(k wayKey) {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	if len(b.ways) >= backoffMemory {
		maps.DeleteFunc(b.ways, func(_ wayKey, f failure) bool { return now.After(f.until) })
	}
	if len(b.ways) >= backoffMemory {
		clear(b.ways)
	}
	pause := min(max(2*b.ways[k].pause, backoffFirst), backoffMost)
	b.ways[k] = failure{pause: pause, until: now.Add(pause)}
}

func (b *backoff) forget(k wayKey) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.ways, k)
}

func (b *backoff) holds(k wayKey) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return time.Now().Before(b.ways[k].until)
}
