package swarm

import (
	"sync"
	"time"

	"kith.alt/kith"
)

const (
	banFor  = time.Hour
	maxBans = 4096 // that are remembered; the oldest go first
)

// Bans are the hosts that sent what is wrong, each for the content of which it
// was. They outlive exchanges, and end with the process.
type bans struct {
	mu    sync.Mutex
	until map[ban]time.Time
}

type ban struct {
	content kith.ContentID
	host    kith.ID
}

// add bans a host for a content from now on.
func (b *bans) add(content kith.ContentID, host kith.ID, now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.until == nil {
		b.until = make(map[ban]time.Time)
	}
	b.until[ban{content, host}] = now.Add(banFor)
	if len(b.until) <= maxBans {
		return
	}
	var oldest ban
	for other, until := range b.until {
		if !until.After(now) {
			delete(b.until, other)
		} else if first, ok := b.until[oldest]; !ok || until.Before(first) {
			oldest = other
		}
	}
	if len(b.until) > maxBans {
		delete(b.until, oldest)
	}
}

// holds reports whether a host is banned for a content.
func (b *bans) holds(content kith.ContentID, host kith.ID, now time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.until[ban{content, host}].After(now)
}
