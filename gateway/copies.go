package gateway

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"time"

	"kith.alt/kith"
)

const (
	// sleepPatience is how long a host that seems to sleep may take to answer
	// before a copy does.
	sleepPatience = 2 * time.Second

	// sleepFor is how long a host that did not answer is not asked again unless
	// it seems to be awake: a page has many parts.
	sleepFor = 20 * time.Second

	maxSleepers = 1024
)

// copyHeader marks responses that come from a copy, and no others.
const copyHeader = "Kith-Copy"

var errAsleep = errors.New("the host seems to be asleep, and there is a copy of its site")

// copyable reports whether a copy may answer the request in place of the site.
func (x *exchange) copyable(r *http.Request) bool {
	return x.config.Copies != nil && x.port == webPort &&
		(r.Method == http.MethodGet || r.Method == http.MethodHead) && len(r.Header["Upgrade"]) == 0
}

// serveCopy answers from a copy, if there is one. A host that seems to be awake
// has to have been tried before.
func (x *exchange) serveCopy(w http.ResponseWriter, r *http.Request, tried bool) bool {
	handler, awake := x.config.Copies.Copy(x.site.id, r.URL.Path)
	if handler == nil || awake && !tried {
		return false
	}
	x.asleep.add(x.site.id)
	x.copied.Add(1)
	r = r.Clone(r.Context())
	r.Header.Del("Cookie") // they are the site's
	handler.ServeHTTP(w, r)
	return true
}

// insteadOf says what can be had of a site that cannot be reached, for requests
// that a copy cannot answer.
func (x *exchange) insteadOf(r *http.Request, err error) []string {
	if x.config.Copies == nil || x.port != webPort || x.copyable(r) || !errors.Is(err, kith.Unreachable) {
		return nil
	}
	if handler, _ := x.config.Copies.Copy(x.site.id, r.URL.Path); handler == nil {
		return nil
	}
	return []string{"Its pages can be read meanwhile, from a copy; what you sent was not delivered."}
}

// isVisit reports whether a response is a page that somebody reads in a
// browser.
func isVisit(response *http.Response) bool {
	r := response.Request
	if r.Method != http.MethodGet || response.StatusCode != http.StatusOK && response.StatusCode != http.StatusNotModified {
		return false
	}
	if destination := r.Header.Get("Sec-Fetch-Dest"); destination != "" {
		return destination == "document"
	}
	return acceptsHTML(r) // a browser without Fetch metadata
}

// An attempt is a request that a copy may answer. It is given up when a host
// that seems to sleep takes its time. A nil attempt is none.
type attempt struct {
	timer *time.Timer

	mu      sync.Mutex
	settled bool // the host has answered, or the attempt was given up
	gaveUp  bool
}

// begin makes an attempt of the request. The caller calls done after all of the
// response.
func (x *exchange) begin(r *http.Request) (attempted *http.Request, done func()) {
	ctx, cancel := context.WithCancelCause(r.Context())
	id, path := x.site.id, r.URL.Path
	a := new(attempt)
	a.mu.Lock()
	defer a.mu.Unlock()
	a.timer = time.AfterFunc(sleepPatience, func() {
		handler, awake := x.config.Copies.Copy(id, path)
		a.mu.Lock()
		defer a.mu.Unlock()
		switch {
		case a.settled:
		case handler == nil || awake: // it may fall asleep while we wait
			a.timer.Reset(sleepPatience)
		default:
			a.settled, a.gaveUp = true, true
			cancel(errAsleep)
		}
	})
	x.attempt = a
	return r.WithContext(ctx), func() {
		_ = a.succeed()
		cancel(nil)
	}
}

// succeed settles the attempt, as the host has answered. It fails when that
// comes too late.
func (a *attempt) succeed() error {
	if a == nil {
		return nil
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.settled = true
	a.timer.Stop()
	if a.gaveUp {
		return errAsleep
	}
	return nil
}

// failed takes the error of an attempt, and reports whether the host was tried
// and cannot be reached: it is asleep, whatever it seems to be.
func (a *attempt) failed(err error) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.gaveUp || errors.Is(err, kith.Unreachable)
}

// answered reports whether an error is the host's own answer.
func answered(err error) bool {
	for _, kind := range []kith.Kind{kith.Refused, kith.Denied, kith.NotMember, kith.Invalid} {
		if errors.Is(err, kind) {
			return true
		}
	}
	return false
}

// sleepers are hosts that did not answer a moment ago. It is safe for
// concurrent use.
type sleepers struct {
	mu    sync.Mutex
	until map[kith.ID]time.Time
}

func (s *sleepers) recently(id kith.ID) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	until, ok := s.until[id]
	if ok && time.Now().After(until) {
		delete(s.until, id)
		return false
	}
	return ok
}

// add notes that a host did not answer, unless that is known.
func (s *sleepers) add(id kith.ID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, known := s.until[id]; known {
		return // or a reader who goes on reading would never ask it again
	}
	if s.until == nil || len(s.until) >= maxSleepers {
		s.until = make(map[kith.ID]time.Time)
	}
	s.until[id] = time.Now().Add(sleepFor)
}
