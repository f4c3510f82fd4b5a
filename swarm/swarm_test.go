package swarm

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"kith.alt/kith"
	"kith.alt/kith/network/memory"
	"kith.alt/kith/store/sqlite"
)

// A village is some hosts with swarms, all members of one group.
type village struct {
	hub   *memory.Hub
	mu    sync.Mutex
	hosts []*villager
}

type villager struct {
	*Swarm
	village *village
	name    string
	id      kith.ID
	key     ed25519.PrivateKey
	data    string // data directory
	files   string // the person's folder
	store   *sqlite.Store
	online  bool
	revoked bool
	group   byte
	stop    func()
	said    journal
	street  *street // what clients outside come from
}

// A journal keeps what a host logs.
type journal struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.Write(p)
}

func (j *journal) has(what string) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return bytes.Contains(j.text.Bytes(), []byte(what))
}

func newVillage(t testing.TB, names ...string) *village {
	v := &village{hub: memory.NewHub()}
	for _, name := range names {
		v.add(t, name)
	}
	for _, h := range v.hosts {
		h.start(t)
	}
	return v
}

// add makes a host a member; it is not started.
func (v *village) add(t testing.TB, name string) *villager {
	v.mu.Lock()
	defer v.mu.Unlock()
	seed := make([]byte, ed25519.SeedSize)
	seed[0] = byte(len(v.hosts) + 1)
	key := ed25519.NewKeyFromSeed(seed)
	h := &villager{
		village: v, name: name, key: key, id: kith.IDOf(key.Public().(ed25519.PublicKey)),
		data: t.TempDir(), files: t.TempDir(), street: newStreet(),
	}
	v.hosts = append(v.hosts, h)
	return h
}

// log is the host's log, which is kept.
func (h *villager) log(t testing.TB) *slog.Logger {
	level := slog.LevelWarn
	if testing.Verbose() {
		level = slog.LevelDebug
	}
	return slog.New(slog.NewTextHandler(io.MultiWriter(t.Output(), &h.said), &slog.HandlerOptions{Level: level})).With("self", h.name)
}

func (v *village) host(name string) *villager {
	for _, h := range v.hosts {
		if h.name == name {
			return h
		}
	}
	panic("no host " + name)
}

func (h *villager) start(t testing.TB) {
	t.Helper()
	store, err := sqlite.Open(t.Context(), filepath.Join(h.data, "kith.db"))
	if err != nil {
		t.Fatal(err)
	}
	store.Single()
	network := h.village.hub.Network(h.id)
	log := h.log(t)
	listening := make(chan struct{})
	s := New(Config{
		Self: h.id, Key: h.key, Dir: filepath.Join(h.data, "content"), Store: store,
		Dial: network.Dial,
		Listen: func(ctx context.Context) (net.Listener, error) {
			defer close(listening)
			return network.Listen(ctx, kith.Address{Port: Port})
		},
		ListenClients: func(context.Context) (net.Listener, error) { return net.Listen("tcp", "127.0.0.1:0") },
		Outside:       h.street.outside(),
		Members: func() []kith.Member {
			h.village.mu.Lock()
			defer h.village.mu.Unlock()
			var members []kith.Member
			for _, other := range h.village.hosts {
				if other.revoked {
					continue
				}
				members = append(members, kith.Member{ID: other.id, Host: other.name, Online: other.online})
			}
			return members
		},
		Group: func() [32]byte {
			h.village.mu.Lock()
			defer h.village.mu.Unlock()
			return [32]byte{h.group}
		},
		Paths:   func() map[kith.ID]Path { return nil },
		Private: func(path string) bool { return path == h.data },
		Inside:  func(path string) bool { return path == h.data },
		Event:   func(text string) { fmt.Fprintln(&h.said, "event:", text); log.Info("event", "text", text) },
		Log:     log, Metrics: new(kith.Metrics),
	})
	if err := s.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx) }()
	<-listening
	h.village.mu.Lock()
	h.Swarm, h.store, h.online = s, store, true
	h.village.mu.Unlock()
	h.stop = sync.OnceFunc(func() {
		h.village.mu.Lock()
		h.online = false
		h.village.mu.Unlock()
		cancel()
		if err := <-done; err != nil {
			t.Errorf("%s: Serve: %v", h.name, err)
		}
		if err := s.Close(); err != nil {
			t.Errorf("%s: Close: %v", h.name, err)
		}
		store.Close()
	})
	t.Cleanup(func() { h.stop() })
}

// write makes a file of random bytes in the person's folder.
func (h *villager) write(t testing.TB, name string, size int) (path string, content []byte) {
	t.Helper()
	content = randomBytes(size)
	path = filepath.Join(h.files, filepath.FromSlash(name))
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, content, 0o644); err != nil {
		t.Fatal(err)
	}
	return path, content
}

func randomBytes(n int) []byte {
	b := make([]byte, n)
	r := rand.NewChaCha8([32]byte{byte(n), byte(n >> 8), byte(n >> 16)})
	r.Read(b)
	return b
}

// until waits until check reports that it is so.
func (h *villager) until(t testing.TB, what string, check func() bool) {
	t.Helper()
	deadline := time.After(4 * time.Minute)
	for {
		changed := h.Changed()
		if check() {
			return
		}
		select {
		case <-changed:
		case <-time.After(20 * time.Millisecond): // what is counted is no change
		case <-deadline:
			for _, other := range h.village.hosts {
				if other.Swarm == nil {
					continue
				}
				t.Logf("%s sends at %.0f bytes a second", other.name, other.uplink.rate())
				for _, holding := range other.Holdings() {
					holding, _ := other.Holding(holding.Content)
					t.Logf("%s has %+v", other.name, holding)
				}
			}
			t.Fatalf("%s: not %s in time", h.name, what)
		}
	}
}

// untilComplete waits until a content is here, and compares a file with what
// it should be.
func (h *villager) untilComplete(t testing.TB, id kith.ContentID, path string, want []byte) {
	t.Helper()
	h.until(t, "complete", func() bool {
		holding, err := h.Holding(id)
		return err == nil && holding.State == kith.HoldingComplete
	})
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s: %s has other bytes", h.name, path)
	}
}

// TestShare shares a file with several takers at once, who find it in the library.
func TestShare(t *testing.T) {
	t.Parallel()
	v := newVillage(t, "maple", "oak", "elm", "ash")
	maple := v.host("maple")
	path, want := maple.write(t, "song.ogg", 3<<20+12345)
	entry, err := maple.Publish(t.Context(), kith.Publication{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range v.hosts[1:] {
		h.until(t, "aware of the song", func() bool { return len(h.Library()) == 1 })
		found := h.Library()[0]
		if found.Content != entry.Content || found.Title != "song.ogg" || found.Size != int64(len(want)) {
			t.Fatalf("%s: library has %+v", h.name, found)
		}
		if _, err := h.Take(t.Context(), kith.Taking{Content: found.Content, Entry: found, Path: filepath.Join(h.files, "taken.ogg")}); err != nil {
			t.Fatal(err)
		}
	}
	for _, h := range v.hosts[1:] {
		h.untilComplete(t, entry.Content, filepath.Join(h.files, "taken.ogg"), want)
	}
	// Who took it gives it when the first is away.
	maple.stop()
	late := v.host("ash")
	if err := late.Drop(t.Context(), entry.Content); err != nil {
		t.Fatal(err)
	}
	if _, err := late.Take(t.Context(), kith.Taking{Content: entry.Content, Path: filepath.Join(late.files, "again.ogg")}); err != nil {
		t.Fatal(err)
	}
	late.untilComplete(t, entry.Content, filepath.Join(late.files, "again.ogg"), want)
}

// TestShareFolder shares a folder with files of all kinds of sizes, and then a
// newer version of it, of which only what changed is fetched.
func TestShareFolder(t *testing.T) {
	t.Parallel()
	v := newVillage(t, "maple", "oak")
	maple, oak := v.host("maple"), v.host("oak")
	want := make(map[string][]byte)
	for i, size := range []int{0, 1, 16 << 10, 16<<10 + 1, 1 << 20, 3<<20 + 7} {
		name := fmt.Sprintf("photos/%d/file", i)
		_, want[name] = maple.write(t, name, size)
	}
	folder := filepath.Join(maple.files, "photos")
	entry, err := maple.Publish(t.Context(), kith.Publication{Path: folder, Title: "Photos"})
	if err != nil {
		t.Fatal(err)
	}
	check := func(id kith.ContentID) {
		t.Helper()
		for name, content := range want {
			oak.untilComplete(t, id, filepath.Join(oak.files, filepath.FromSlash(name)), content)
		}
	}
	oak.until(t, "aware of the photos", func() bool { return len(oak.Library()) == 1 })
	if _, err := oak.Take(t.Context(), kith.Taking{Content: entry.Content, Entry: oak.Library()[0], Path: filepath.Join(oak.files, "photos"), Follow: true}); err != nil {
		t.Fatal(err)
	}
	check(entry.Content)

	changed := want["photos/5/file"]
	copy(changed[1<<20:], "changed")
	if err := os.WriteFile(filepath.Join(folder, "5", "file"), changed, 0o644); err != nil {
		t.Fatal(err)
	}
	newer, err := maple.Publish(t.Context(), kith.Publication{Path: folder, Title: "Photos"})
	if err != nil {
		t.Fatal(err)
	}
	if newer.Version <= entry.Version || newer.Content == entry.Content {
		t.Fatalf("the newer version is %+v, after %+v", newer, entry)
	}
	oak.until(t, "at the newer version", func() bool {
		holding, err := oak.Holding(newer.Content)
		return err == nil && holding.State == kith.HoldingComplete
	})
	check(newer.Content)
	holding, err := oak.Holding(newer.Content)
	if err != nil {
		t.Fatal(err)
	}
	if holding.Received > 64<<10 {
		t.Errorf("%d bytes came for a change of 7", holding.Received)
	}
}

// TestEndsBeforeItBegins starts and stops a host in the same moment: that is no error.
func TestEndsBeforeItBegins(t *testing.T) {
	t.Parallel()
	v := newVillage(t, "maple")
	maple := v.host("maple")
	for range 100 {
		maple.stop()
		maple.start(t)
	}
}

// TestLink takes what only a link names.
func TestLink(t *testing.T) {
	t.Parallel()
	v := newVillage(t, "maple", "oak")
	maple, oak := v.host("maple"), v.host("oak")
	path, want := maple.write(t, "song.ogg", 3<<20+12345)
	entry, err := maple.Publish(t.Context(), kith.Publication{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := oak.Take(t.Context(), kith.Taking{Content: entry.Content, Path: filepath.Join(oak.files, "taken.ogg")}); err != nil {
		t.Fatal(err)
	}
	oak.untilComplete(t, entry.Content, filepath.Join(oak.files, "taken.ogg"), want)
}
