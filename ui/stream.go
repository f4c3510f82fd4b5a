package ui

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"sync"
	"time"
)

// A Fragment is the content of the page's element with that id.
type Fragment struct {
	ID   string
	Body Body
}

const (
	streamLife  = 5 * time.Minute  // then the browser asks again, and its session is checked again
	streamPause = 15 * time.Second // a comment at least this often, to notice readers that left
	streamWrite = 10 * time.Second // a reader slower than this is cut off
	maxStreams  = 16               // of an account
)

// Streams are the open pages that change by themselves, at most 16 of an account. The zero Streams is ready. It is safe for
// concurrent use.
type Streams struct {
	mu   sync.Mutex
	open map[string]int // by account
}

// enter reports whether an account may have another one.
func (s *Streams) enter(account string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.open[account] >= maxStreams {
		return false
	}
	if s.open == nil {
		s.open = make(map[string]int)
	}
	s.open[account]++
	return true
}

func (s *Streams) leave(account string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.open[account]--; s.open[account] == 0 {
		delete(s.open, account)
	}
}

// Serve keeps a page up to date by server-sent events (HTML Living Standard
// 9.2): it asks draw for the fragments at once and then every interval, and
// sends those that changed since. It returns when the reader leaves, when draw
// fails, and after five minutes; browsers come again by themselves.
func (s *Streams) Serve(w http.ResponseWriter, r *http.Request, interval time.Duration, draw func(context.Context) ([]Fragment, error)) {
	account := Account(r)
	if !s.enter(account) {
		w.Header().Set("Retry-After", "10")
		http.Error(w, "too many pages are open", http.StatusServiceUnavailable)
		return
	}
	defer s.leave(account)
	ctx, cancel := context.WithTimeout(r.Context(), streamLife)
	defer cancel()
	control := http.NewResponseController(w)
	defer func() { _ = control.SetWriteDeadline(time.Time{}) }() // the connection may serve on
	h := w.Header()
	Protect(h)
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(http.StatusOK)

	send := func(message []byte) bool {
		_ = control.SetWriteDeadline(time.Now().Add(streamWrite)) // not every server has deadlines
		if _, err := w.Write(message); err != nil {
			return false
		}
		return control.Flush() == nil
	}
	if !send([]byte("retry: 2000\n\n")) {
		return
	}
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	sent := make(map[string][]byte)
	last := time.Now()
	for {
		fragments, err := draw(ctx)
		if err != nil {
			return
		}
		var out bytes.Buffer
		for _, f := range fragments {
			var b bytes.Buffer
			if err := f.Body(&b); err != nil {
				return
			}
			if old, ok := sent[f.ID]; ok && bytes.Equal(old, b.Bytes()) {
				continue
			}
			sent[f.ID] = b.Bytes()
			data, err := json.Marshal(struct {
				ID   string `json:"id"`
				HTML string `json:"html"`
			}{f.ID, b.String()})
			if err != nil {
				return
			}
			fmt.Fprintf(&out, "event: fragment\ndata: %s\n\n", data)
		}
		if out.Len() == 0 && time.Since(last) >= streamPause {
			out.WriteString(":\n\n")
		}
		if out.Len() > 0 {
			last = time.Now()
			if !send(out.Bytes()) {
				return
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}
