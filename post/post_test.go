package post

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"database/sql"
	"fmt"
	"io"
	"log/slog"
	"net"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"kith.alt/kith"
	"kith.alt/kith/blob"
	"kith.alt/kith/network/memory"
	"kith.alt/kith/store/sqlite"
)

// A village is a group of hosts with posts, in memory but for their disks.
type village struct {
	hub *memory.Hub

	mu    sync.Mutex
	hosts []*villager
	keys  map[kith.ID][]byte // that letters are sealed to, as their records say
}

// A villager is one of them, whether or not it is awake.
type villager struct {
	*Post
	village *village
	name    string
	key     ed25519.PrivateKey
	id      kith.ID
	dir     string
	disk    *disk // nil: none that fails

	store *sqlite.Store
	blobs *blob.Store
	sleep func()

	mu      sync.Mutex
	online  bool
	revoked bool
	got     []kith.Letter
	bodies  map[kith.LetterID][]byte
	ended   []kith.LetterStatus
	refuse  error // what the application says to letters
}

// wake starts a host.
func (h *villager) wake(t testing.TB) {
	t.Helper()
	store, err := sqlite.Open(t.Context(), filepath.Join(h.dir, "kith.db"))
	if err != nil {
		t.Fatal(err)
	}
	store.Single()
	if err := store.Migrate(t.Context(), "echo", echoTables); err != nil {
		t.Fatal(err)
	}
	level := slog.LevelWarn
	if testing.Verbose() {
		level = slog.LevelDebug
	}
	log := slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: level})).With("self", h.name)
	onDisk, files := kith.Store(store), blob.FS(nil)
	if h.disk != nil {
		onDisk, files = failing{store, h.disk}, h.disk
	}
	blobs := blob.New(blob.Config{Dir: filepath.Join(h.dir, "blobs"), Store: onDisk, FS: files, Log: log})
	if err := blobs.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	network := h.village.hub.Network(h.id)
	var p *Post
	p = New(Config{
		Self: h.id, Key: h.key, Store: onDisk, Blobs: blobs, Dial: network.Dial,
		Listen:    func(ctx context.Context) (net.Listener, error) { return network.Listen(ctx, kith.Address{Port: Port}) },
		Group:     func() [32]byte { return [32]byte{7} },
		Members:   h.village.members,
		Connected: func(kith.ID) bool { return true },
		SealKey:   h.village.sealKey,
		ShowKey: func(context.Context) error {
			h.village.mu.Lock()
			defer h.village.mu.Unlock()
			h.village.keys[h.id] = p.OwnSealKey()
			return nil
		},
		Log: log, Metrics: new(kith.Metrics),
	})
	if err := p.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	p.Register(map[string]Receiver{"echo": {Receive: h.receive, Ended: h.noteEnd}})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- p.Serve(ctx) }()
	h.mu.Lock()
	h.Post, h.store, h.blobs, h.online = p, store, blobs, true
	h.mu.Unlock()
	h.sleep = sync.OnceFunc(func() {
		h.mu.Lock()
		h.online = false
		h.mu.Unlock()
		cancel()
		if err := <-done; err != nil {
			t.Errorf("%s: Serve: %v", h.name, err)
		}
		if err := blobs.Close(); err != nil {
			t.Error(err)
		}
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
}

func newVillage(t testing.TB, names ...string) *village {
	v := &village{hub: memory.NewHub(), keys: make(map[kith.ID][]byte)}
	for i, name := range names {
		seed := make([]byte, ed25519.SeedSize)
		seed[0] = byte(i + 1)
		key := ed25519.NewKeyFromSeed(seed)
		v.hosts = append(v.hosts, &villager{
			village: v, name: name, key: key, id: kith.IDOf(key.Public().(ed25519.PublicKey)), dir: t.TempDir(), bodies: make(map[kith.LetterID][]byte), sleep: func() {},
		})
	}
	return v
}

// acquaint has all hosts be awake once, so that their keys are known.
func (v *village) acquaint(t testing.TB) {
	for _, h := range v.hosts {
		h.wake(t)
	}
	v.until(t, "keys", func() bool {
		v.mu.Lock()
		defer v.mu.Unlock()
		return len(v.keys) == len(v.hosts)
	})
}

func (v *village) sleepAll() {
	for _, h := range v.hosts {
		h.sleep()
	}
}

func (v *village) members() (list []kith.Member) {
	for _, h := range v.hosts {
		h.mu.Lock()
		if !h.revoked {
			list = append(list, kith.Member{ID: h.id, Host: h.name, Online: h.online})
		}
		h.mu.Unlock()
	}
	return list
}

func (v *village) sealKey(id kith.ID) []byte {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.keys[id]
}

// until waits, in virtual time.
func (v *village) until(t testing.TB, what string, done func() bool) {
	t.Helper()
	step := 10 * time.Millisecond
	for start := time.Now(); !done(); time.Sleep(step) {
		step = min(step+step/4, time.Second)
		if time.Since(start) > 48*time.Hour {
			t.Fatalf("waited in vain for: %s", what)
		}
	}
}

// receive is the application's side; what it does to the store is to note the letter.
func (h *villager) receive(ctx context.Context, tx *sql.Tx, l kith.Letter) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.refuse != nil {
		return h.refuse
	}
	r, err := h.blobs.Open(ctx, l.Payload.ID)
	if err != nil {
		return err
	}
	defer r.Close()
	body, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	if _, err := tx.ExecContext(ctx, `INSERT INTO echo_letters (id, body) VALUES (?, ?)`, l.ID[:], body); err != nil {
		return err
	}
	h.got = append(h.got, l)
	h.bodies[l.ID] = body
	return nil
}

func (h *villager) noteEnd(_ context.Context, _ *sql.Tx, s kith.LetterStatus) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ended = append(h.ended, s)
	return nil
}

func (h *villager) received() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.got)
}

// post sends a letter, durably.
func (h *villager) post(t testing.TB, to *villager, body []byte, change func(*kith.Draft)) (id kith.LetterID) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	b, err := h.blobs.Write(ctx, bytes.NewReader(body), kith.MaxLetter)
	if err != nil {
		t.Fatal(err)
	}
	d := kith.Draft{To: to.id, Payload: b}
	if change != nil {
		change(&d)
	}
	err = h.store.Update(ctx, func(tx *sql.Tx) (err error) {
		id, err = h.For("echo").Send(ctx, tx, d)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func (h *villager) state(t testing.TB, id kith.LetterID) kith.LetterStatus {
	t.Helper()
	s, err := h.Letter(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// all reports whether something is so of all letters of a host.
func (h *villager) all(t testing.TB, so func(kith.LetterStatus) bool) bool {
	t.Helper()
	list, err := h.Letters(t.Context(), "", 10000)
	if err != nil {
		t.Fatal(err)
	}
	return !slices.ContainsFunc(list, func(s kith.LetterStatus) bool { return !so(s) })
}

// many is n, or less where everything takes ten times as long.
func many(n int) int {
	if raceDetector {
		return n / 10
	}
	return n
}

// letter is a payload that tells its number.
func letter(n int) []byte {
	return bytes.Repeat(fmt.Appendf(nil, "letter %d\n", n), 1+n*n%700)
}

func TestBothAwake(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := newVillage(t, "maple", "oak")
		v.acquaint(t)
		defer v.sleepAll()
		maple, oak := v.hosts[0], v.hosts[1]
		time.Sleep(10 * time.Second)
		begun := time.Now()
		id := maple.post(t, oak, []byte("good morning"), func(d *kith.Draft) { d.Note = []byte("a greeting") })
		v.until(t, "the letter", func() bool { return oak.received() == 1 })
		v.until(t, "the receipt", func() bool { return maple.state(t, id).State == kith.LetterDelivered })
		if took := time.Since(begun); took > time.Second {
			t.Errorf("it took %v", took)
		}
		l := oak.got[0]
		if l.ID != id || l.From != maple.id || l.To != oak.id || l.App != "echo" || string(l.Note) != "a greeting" || string(oak.bodies[id]) != "good morning" {
			t.Errorf("received %+v %q", l, oak.bodies[id])
		}
		v.until(t, "the application to know", func() bool { maple.mu.Lock(); defer maple.mu.Unlock(); return len(maple.ended) == 1 })
		if note := maple.ended[0].Note; string(note) != "a greeting" {
			t.Errorf("in the end its note is %q", note)
		}
	})
}

// TestNeverTogether has sender and receiver awake at different times, and one
// third member in between.
func TestNeverTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := newVillage(t, "maple", "oak", "elm")
		v.acquaint(t)
		maple, oak, elm := v.hosts[0], v.hosts[1], v.hosts[2]
		v.sleepAll()
		n := many(1000)
		maple.wake(t)
		ids := make([]kith.LetterID, n)
		for i := range ids {
			ids[i] = maple.post(t, oak, letter(i), nil)
		}
		time.Sleep(time.Minute)
		elm.wake(t)
		v.until(t, "custody", func() bool {
			return maple.all(t, func(s kith.LetterStatus) bool { return slices.Equal(s.Held, []kith.ID{elm.id}) })
		})
		maple.sleep()
		oak.wake(t)
		v.until(t, "delivery", func() bool { return oak.received() == n })
		time.Sleep(time.Minute)
		for i, id := range ids {
			if !bytes.Equal(oak.bodies[id], letter(i)) {
				t.Errorf("letter %d is %.40q", i, oak.bodies[id])
			}
		}
		if oak.received() != n {
			t.Errorf("%d letters of %d", oak.received(), n)
		}
		elm.Post.mu.Lock()
		held := elm.stored.letters
		elm.Post.mu.Unlock()
		if held != 0 {
			t.Errorf("elm holds %d letters", held)
		}
		oak.sleep()
		maple.wake(t) // elm tells it
		v.until(t, "receipts", func() bool {
			return maple.all(t, func(s kith.LetterStatus) bool { return s.State == kith.LetterDelivered })
		})
		v.sleepAll()
	})
}
