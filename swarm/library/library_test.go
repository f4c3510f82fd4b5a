package library

import (
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"kith.alt/kith"
	"kith.alt/kith/gossip"
	"kith.alt/kith/store/sqlite"
)

func testKey(name string) ed25519.PrivateKey {
	seed := sha256.Sum256([]byte(name))
	return ed25519.NewKeyFromSeed(seed[:])
}

func testID(name string) kith.ID { return kith.IDOf(testKey(name).Public().(ed25519.PublicKey)) }

func testContent(name string) kith.ContentID { return sha256.Sum256([]byte(name)) }

// A host is a library whose group is everybody but those that are out.
type host struct {
	*Library
	name    string
	changes atomic.Int64
	mu      sync.Mutex
	out     map[kith.ID]bool
	group   [32]byte
}

func newHost(t testing.TB, name string, store kith.Store) *host {
	t.Helper()
	h := &host{name: name, out: make(map[kith.ID]bool)}
	h.Library = New(Config{Key: testKey(name), Store: store, Group: h.inGroup, Member: h.isMember, Log: slog.New(slog.DiscardHandler), Changed: func() { h.changes.Add(1) }})
	if err := h.Open(t.Context()); err != nil {
		t.Fatal(err)
	}
	return h
}

func (h *host) inGroup() [32]byte {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.group
}

// enter has the host change groups.
func (h *host) enter(group string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.group = sha256.Sum256([]byte(group))
}

func (h *host) isMember(id kith.ID) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return !h.out[id]
}

func (h *host) revoke(id kith.ID) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.out[id] = true
}

func (h *host) admit(id kith.ID) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.out, id)
}

func (h *host) publish(t testing.TB, title, content string) kith.Entry {
	t.Helper()
	e, err := h.Publish(t.Context(), kith.Entry{Title: title, Kind: kith.EntryFiles, Content: testContent(content), Name: "file", Size: 1, Files: 1})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// text is all that a library says.
func (h *host) text() string {
	var b strings.Builder
	for _, e := range h.Entries() {
		fmt.Fprintf(&b, "%s/%s v%d %s\n", e.Host.Short(), e.Title, e.Version, e.Content)
	}
	return b.String()
}

func newStore(t testing.TB, path string) *sqlite.Store {
	t.Helper()
	store, err := sqlite.Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() })
	return store
}

// A meter counts what is written.
type meter struct {
	net.Conn
	bytes *atomic.Int64
}

func (m meter) Write(p []byte) (int, error) {
	n, err := m.Conn.Write(p)
	m.bytes.Add(int64(n))
	return n, err
}

// connect has two hosts talk until stop or the end of the test.
func connect(t testing.TB, a, b *host) (traffic *atomic.Int64, stop func() (error, error)) {
	t.Helper()
	traffic = new(atomic.Int64)
	left, right := net.Pipe()
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	var errA, errB error
	running.Go(func() { errA = a.Sync(ctx, meter{left, traffic}, b.id) })
	running.Go(func() { errB = b.Sync(ctx, meter{right, traffic}, a.id) })
	stop = func() (error, error) { cancel(); running.Wait(); return errA, errB }
	t.Cleanup(func() { stop() })
	return traffic, stop
}

func same(t testing.TB, hosts ...*host) {
	t.Helper()
	for _, h := range hosts[1:] {
		if got, want := h.text(), hosts[0].text(); got != want {
			t.Fatalf("%s has\n%s%s has\n%s", h.name, got, hosts[0].name, want)
		}
		_, got := h.summaries()
		if _, want := hosts[0].summaries(); got != want {
			t.Fatalf("digests of %s and %s differ", h.name, hosts[0].name)
		}
	}
}

func TestPublish(t *testing.T) {
	maple := newHost(t, "maple", newStore(t, filepath.Join(t.TempDir(), "kith.db")))
	first := maple.publish(t, "Holiday", "a")
	if first.Version != 1 || first.Host != maple.id || first.Published.IsZero() {
		t.Errorf("first version: %+v", first)
	}
	if again := maple.publish(t, "Holiday", "a"); again != first {
		t.Errorf("the same again: %+v, want %+v", again, first)
	}
	second := maple.publish(t, "Holiday", "b")
	if second.Version != 2 || !second.Published.After(first.Published) {
		t.Errorf("second version: %+v", second)
	}
	maple.publish(t, "Books", "c")
	if got := maple.Entries(); len(got) != 2 || got[0].Title != "Books" || got[1] != second {
		t.Errorf("entries: %+v", got)
	}
	if err := maple.Withdraw(t.Context(), "Holiday"); err != nil {
		t.Fatal(err)
	}
	if err := maple.Withdraw(t.Context(), "Holiday"); !errors.Is(err, kith.NotFound) {
		t.Errorf("withdrawn twice: %v", err)
	}
	if e, ok := maple.Entry(maple.id, "Holiday"); !ok || !e.Withdrawn || e.Version != 3 || !e.Content.IsZero() {
		t.Errorf("withdrawn: %+v %v", e, ok)
	}
	if third := maple.publish(t, "Holiday", "b"); third.Version != 4 {
		t.Errorf("published again: %+v", third)
	}
	if n := maple.changes.Load(); n != 5 {
		t.Errorf("%d changes were told, want 5", n)
	}
}

func TestPublishRefuses(t *testing.T) {
	maple := newHost(t, "maple", nil)
	good := kith.Entry{Title: strings.Repeat("ä", MaxTitle), Kind: "files", Content: testContent("a"), Name: strings.Repeat("n", maxName), Size: maxSize, Files: maxFiles}
	if _, err := maple.Publish(t.Context(), good); err != nil {
		t.Fatalf("at the limits: %v", err)
	}
	for name, spoil := range map[string]func(*kith.Entry){
		"no title":           func(e *kith.Entry) { e.Title = "" },
		"a blank title":      func(e *kith.Entry) { e.Title = " \u00a0" },
		"a long title":       func(e *kith.Entry) { e.Title += "a" },
		"a line in a title":  func(e *kith.Entry) { e.Title = "a\nb" },
		"an escape":          func(e *kith.Entry) { e.Title = "a\x1bb" },
		"a C1 control":       func(e *kith.Entry) { e.Title = "a\u0085b" },
		"text turned round":  func(e *kith.Entry) { e.Title = "a\u202egpj.exe" },
		"no UTF-8":           func(e *kith.Entry) { e.Title = "a\xff" },
		"no kind":            func(e *kith.Entry) { e.Kind = "" },
		"a kind in capitals": func(e *kith.Entry) { e.Kind = "Files" },
		"a long kind":        func(e *kith.Entry) { e.Kind = strings.Repeat("k", maxKind+1) },
		"a path for a name":  func(e *kith.Entry) { e.Name = "../x" },
		"a long name":        func(e *kith.Entry) { e.Name += "n" },
		"less than no bytes": func(e *kith.Entry) { e.Size = -1 },
		"too many bytes":     func(e *kith.Entry) { e.Size++ },
		"too many files":     func(e *kith.Entry) { e.Files++ },
		"no content":         func(e *kith.Entry) { e.Content = kith.ContentID{} },
	} {
		e := good
		spoil(&e)
		if _, err := maple.Publish(t.Context(), e); !errors.Is(err, kith.Invalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestSync(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		maple, oak := newHost(t, "maple", nil), newHost(t, "oak", nil)
		for i := range 300 {
			maple.publish(t, fmt.Sprint("maple ", i), "a")
			oak.publish(t, fmt.Sprint("oak ", i), "b")
		}
		maple.SetHoldings([]kith.ContentID{testContent("a"), testContent("b")})
		oak.SetHoldings([]kith.ContentID{testContent("b")})
		traffic, stop := connect(t, maple, oak)
		time.Sleep(10 * time.Second)
		synctest.Wait()
		same(t, maple, oak)
		if got := oak.Holders(testContent("b")); len(got) != 2 {
			t.Errorf("holders of b: %v", got)
		}

		before := traffic.Load()
		time.Sleep(time.Hour)
		synctest.Wait()
		if after := traffic.Load(); after-before > 2*(gossip.FrameHead+16) {
			t.Errorf("an idle hour costs %d bytes", after-before)
		}
		before = traffic.Load()
		maple.publish(t, "new", "c")
		oak.SetHoldings([]kith.ContentID{testContent("c")})
		time.Sleep(time.Second)
		synctest.Wait()
		if _, ok := oak.Entry(maple.id, "new"); !ok || len(maple.Holders(testContent("c"))) != 1 {
			t.Error("news do not arrive within a second")
		}
		time.Sleep(time.Hour)
		if after := traffic.Load(); after-before > 2048 {
			t.Errorf("a new entry and new holdings cost %d bytes", after-before)
		}
		if a, b := stop(); a != nil || b != nil {
			t.Errorf("ended with %v and %v", a, b)
		}
		traffic, _ = connect(t, maple, oak)
		time.Sleep(time.Hour)
		if n := traffic.Load(); n > 200 {
			t.Errorf("meeting again with nothing new costs %d bytes", n)
		}
	})
}

// TestNewcomer has a host meet eight members at once: what it lacks does not come
// from each. A frame may come twice, as whom to ask next is open for a moment after an answer.
func TestNewcomer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		members := []*host{newHost(t, "maple", nil)}
		size := 0
		for n := range 500 {
			members[0].publish(t, fmt.Sprint("title ", n), "a")
		}
		for _, r := range members[0].records() {
			size += len(r.raw) + len(r.signature)
		}
		for i := range 7 {
			members = append(members, newHost(t, fmt.Sprint("member ", i), nil))
			deliver(t, members[i+1], members[0])
		}
		ash := newHost(t, "ash", nil)
		var meters []*atomic.Int64
		for _, h := range members {
			traffic, _ := connect(t, ash, h)
			meters = append(meters, traffic)
		}
		time.Sleep(10 * time.Second)
		same(t, append(members, ash)...)
		total := 0
		for _, traffic := range meters {
			total += int(traffic.Load())
		}
		if total > 2*size {
			t.Errorf("%d bytes of entries cost %d", size, total)
		}
	})
}
