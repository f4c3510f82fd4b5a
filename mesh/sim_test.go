package mesh_test

import (
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"kith.alt/kith"
	"kith.alt/kith/group"
	"kith.alt/kith/kithtest/internet"
	"kith.alt/kith/mesh"
	"kith.alt/kith/network/overlay"
	"kith.alt/kith/network/underlay"
)

const overlayPort = 4747

// A town is a group of hosts on a simulated Internet. It lives in a bubble of
// testing/synctest.
type town struct {
	t     *testing.T
	net   *internet.Net
	hosts []*host
}

// A host is a computer of a town, with all of a node that the mesh touches.
type host struct {
	town *town
	name string
	at   *internet.Host
	key  ed25519.PrivateKey
	id   kith.ID

	public []netip.AddrPort // where its owner says that it is

	group *group.Group // what it knows survives that it is off
	ctx   context.Context
	over  *overlay.Overlay
	mesh  *mesh.Mesh
	off   func() // nil while it is

	mu   sync.Mutex
	told []string // to its owner
}

// tell notes what the owner is told.
func (h *host) tell(format string, args ...any) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.told = append(h.told, fmt.Sprintf(format, args...))
}

// news returns what the owner was told since it was asked last.
func (h *host) news() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	told := h.told
	h.told = nil
	return told
}

// inTown runs a test in virtual time.
func inTown(t *testing.T, test func(*town)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		town := &town{t: t, net: internet.New(internet.Config{Seed: 1})}
		defer func() {
			var all sync.WaitGroup
			for _, h := range town.hosts {
				all.Go(h.turnOff)
			}
			all.Wait()
		}()
		test(town)
	})
}

// add puts a host on a network. The first founds the group; the others are
// outside until they join.
func (w *town) add(name string, on *internet.Router) *host {
	seed := sha256.Sum256([]byte(name))
	key := ed25519.NewKeyFromSeed(seed[:])
	h := &host{town: w, name: name, at: on.Host(name), key: key, id: kith.IDOf(key.Public().(ed25519.PublicKey)), ctx: context.Background()}
	if len(w.hosts) == 0 {
		g, err := group.Found(key, kith.Name{Host: name, Group: "home"})
		if err != nil {
			w.t.Fatal(err)
		}
		h.group = g
	}
	w.hosts = append(w.hosts, h)
	return h
}

// turnOn starts the host's overlay and mesh.
func (h *host) turnOn() {
	log := slog.New(slog.DiscardHandler)
	if os.Getenv("KITH_TEST_LOG") != "" {
		log = slog.New(slog.NewTextHandler(testWriter{h.town.t, h.name}, &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	h.over = overlay.New(overlay.Config{
		Key:        h.key,
		Admit:      h.group.Admit,
		Proof:      h.group.Proof,
		JoinOpen:   h.group.InvitationOpen,
		Join:       h.group.Redeem,
		Internet:   h.at,
		Addresses:  func(id kith.ID) []netip.AddrPort { return h.mesh.AddressesOf(id) },
		NAT:        func(id kith.ID) string { return h.group.Whereabouts(id).NAT },
		Relays:     func(id kith.ID) []kith.ID { return h.mesh.RelaysOf(id) },
		Candidates: func() []netip.AddrPort { return h.mesh.OwnAddresses() },
		Digest:     h.group.Digest,
		SyncPort:   mesh.SyncPort,
		OnPeer:     func(kith.ID, bool) { h.mesh.Wake() },
		OnReach:    func() { h.mesh.Wake() },
		Log:        log,
	})
	h.mesh = mesh.New(mesh.Config{
		Key:      h.key,
		Group:    func() (*group.Group, context.Context) { return h.group, h.ctx },
		Overlay:  h.over,
		Internet: h.at,
		Port:     func() uint16 { return overlayPort },
		Public:   func() []netip.AddrPort { return h.public },
		Event:    h.tell,
		Log:      log,
	})
	ctx, cancel := context.WithCancel(context.Background())
	var serving sync.WaitGroup
	serving.Go(func() { h.over.Serve(ctx) })
	if _, err := h.over.Open(ctx, "", overlayPort); err != nil {
		h.town.t.Fatal(err)
	}
	meshing, stop := context.WithCancel(context.Background())
	served := make(chan struct{})
	go func() {
		defer close(served)
		if err := h.mesh.Serve(meshing); err != nil {
			h.town.t.Errorf("%s: %v", h.name, err)
		}
	}()
	h.off = func() { // in the order of a node
		stop()
		<-served
		cancel()
		serving.Wait()
	}
}

// turnOff stops the host as a node stops, with a goodbye.
func (h *host) turnOff() {
	if off := h.off; off != nil {
		h.off = nil
		off()
	}
}

// crash turns the host off without a goodbye.
func (h *host) crash() {
	h.at.Sleep()
	h.turnOff()
	h.at.Wake()
}

// join brings the host into the group by a ticket of another, and turns it on.
func (h *host) join(by *host) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	ticket, err := by.group.Invite(ctx, group.InviteRequest{Admin: true}, by.mesh.OwnAddresses())
	if err != nil {
		return err
	}
	return h.redeem(ctx, ticket)
}

func (h *host) redeem(ctx context.Context, ticket group.Ticket) error {
	joining, err := group.NewJoin(ticket, h.key, h.name)
	if err != nil {
		return err
	}
	over := overlay.New(overlay.Config{
		Key:       h.key,
		Internet:  h.at,
		Admit:     func(kith.ID, []byte) error { return nil },
		Addresses: func(kith.ID) []netip.AddrPort { return ticket.Addresses },
		SyncPort:  mesh.SyncPort,
	})
	serving, stop := context.WithCancel(context.Background())
	var work sync.WaitGroup
	defer work.Wait()
	defer stop()
	work.Go(func() { over.Serve(serving) })

	reply, server, err := over.Join(ctx, ticket.Inviter, ticket.Addresses, joining.Request)
	for errors.Is(err, kith.Quota) {
		time.Sleep(2 * time.Second)
		reply, server, err = over.Join(ctx, ticket.Inviter, ticket.Addresses, joining.Request)
	}
	if err != nil {
		return err
	}
	if err := joining.Reply(server, reply); err != nil {
		return err
	}
	conn, err := over.Dial(ctx, kith.Address{Host: server.String(), Port: mesh.SyncPort})
	if err != nil {
		return err
	}
	syncing, done := context.WithCancel(ctx)
	work.Go(func() { joining.Group().Sync(syncing, conn, server, nil) })
	err = joining.Group().AwaitJoined(ctx)
	done()
	if err != nil {
		return err
	}
	h.group = joining.Group()
	h.turnOn()
	h.mesh.NotePlace(server, ticket.Addresses)
	h.mesh.Wake()
	return nil
}

// settle founds the group with the first host and has the others join by it, one
// after the other.
func (w *town) settle() {
	w.t.Helper()
	w.hosts[0].turnOn()
	for _, h := range w.hosts[1:] {
		if err := h.join(w.hosts[0]); err != nil {
			w.t.Fatalf("%s joins: %v", h.name, err)
		}
	}
}

// until waits in virtual time until the condition, which returns what is
// missing, is content; it returns how long that took.
func (w *town) until(limit time.Duration, what string, missing func() string) time.Duration {
	w.t.Helper()
	start := time.Now()
	for {
		synctest.Wait()
		left := missing()
		if left == "" {
			took := time.Since(start)
			w.t.Logf("%s: %v", what, took)
			return took
		}
		if time.Since(start) >= limit {
			w.t.Fatalf("%s: not after %v: %s", what, limit, left)
		}
		time.Sleep(min(time.Second, limit/20))
	}
}

// connected reports whether all hosts that are on have carriers to each other.
func connected(hosts ...*host) func() string {
	return func() string {
		for _, h := range hosts {
			presences := h.mesh.Presences()
			for _, other := range hosts {
				if p := presences[other.id]; other != h && p.Path == "" {
					return fmt.Sprintf("%s has no carrier to %s", h.name, other.name)
				}
			}
		}
		return ""
	}
}

// direct is connected, without relays.
func direct(hosts ...*host) func() string {
	return func() string {
		for _, h := range hosts {
			presences := h.mesh.Presences()
			for _, other := range hosts {
				if p := presences[other.id]; other != h && p.Path != "lan" && p.Path != "direct" {
					return fmt.Sprintf("%s has path %q to %s", h.name, p.Path, other.name)
				}
			}
		}
		return ""
	}
}

// view reports whether everybody among hosts who is on sees exactly those
// online that are.
func view(hosts []*host) func() string {
	return func() string {
		wrong, example := 0, ""
		for _, h := range hosts {
			if h.off == nil {
				continue
			}
			presences := h.mesh.Presences()
			for _, other := range hosts {
				if other != h && presences[other.id].Online != (other.off != nil) {
					wrong++
					p := presences[other.id]
					example = fmt.Sprintf("%s sees %s online: %v (path %q since %v, seen %v)",
						h.name, other.name, p.Online, p.Path, time.Since(p.Since), time.Since(p.Seen))
				}
			}
		}
		if wrong == 0 {
			return ""
		}
		return fmt.Sprintf("%d wrong, such as: %s", wrong, example)
	}
}

// alive reports whether all of the hosts reach each other now.
func alive(hosts ...*host) func() string {
	return func() string {
		for _, h := range hosts {
			for _, other := range hosts {
				ctx, cancel := context.WithTimeout(context.Background(), time.Second)
				_, err := h.over.Ping(ctx, other.id)
				cancel()
				if err != nil {
					return fmt.Sprintf("%s does not reach %s: %v", h.name, other.name, err)
				}
			}
		}
		return ""
	}
}

type testWriter struct {
	t    *testing.T
	name string
}

func (w testWriter) Write(p []byte) (int, error) {
	w.t.Logf("%s %s: %s", time.Now().Format("04:05.000"), w.name, p[:max(0, len(p)-1)])
	return len(p), nil
}

var _ underlay.Internet = (*internet.Host)(nil)

// TestMeet: hosts behind NATs find each other, and need no relay where punching
// can work.
func TestMeet(t *testing.T) {
	for _, kind := range internet.Kinds() {
		t.Run(string(kind), func(t *testing.T) {
			inTown(t, func(w *town) {
				server := w.add("server", w.net.Public())
				oak := w.add("oak", w.net.Router(kind))
				elm := w.add("elm", w.net.Router(internet.PortRestricted))
				w.settle()
				w.until(time.Minute, "all connected", connected(server, oak, elm))
				if kind == internet.Symmetric || kind == internet.UDPBlocked {
					return // with a port-restricted router at the other end it is relayed
				}
				w.until(time.Minute, "all direct", direct(server, oak, elm))
			})
		})
	}
}

// TestMove: a member that moves is found again.
func TestMove(t *testing.T) {
	inTown(t, func(w *town) {
		server := w.add("server", w.net.Public())
		oak := w.add("oak", w.net.Router(internet.PortRestricted))
		elm := w.add("elm", w.net.Router(internet.PortRestricted))
		w.settle()
		w.until(time.Minute, "all direct", direct(server, oak, elm))
		time.Sleep(time.Minute)
		oak.at.Move(w.net.Router(internet.PortRestricted))
		w.until(15*time.Second, "all alive after a move", alive(server, oak, elm))
		w.until(time.Minute, "all direct after a move", direct(server, oak, elm))
	})
}

// TestBothMove: two members that moved while they were off find each other by
// a third that both reach.
func TestBothMove(t *testing.T) {
	inTown(t, func(w *town) {
		server := w.add("server", w.net.Public())
		oak := w.add("oak", w.net.Router(internet.PortRestricted))
		elm := w.add("elm", w.net.Router(internet.PortRestricted))
		w.settle()
		w.until(time.Minute, "all direct", direct(server, oak, elm))
		w.until(time.Minute, "records are exchanged", agree(w.hosts))
		oak.turnOff()
		elm.turnOff()
		w.until(time.Second, "the server knows at once", view(w.hosts))
		for _, h := range []*host{oak, elm} {
			h.at.Move(w.net.Router(internet.PortRestricted))
		}
		time.Sleep(8 * time.Hour)
		oak.turnOn()
		elm.turnOn()
		w.until(time.Minute, "all direct again", direct(server, oak, elm))
	})
}

// TestMorning: all were off, and one has moved meanwhile. The records of the
// evening are enough.
func TestMorning(t *testing.T) {
	inTown(t, func(w *town) {
		w.add("server", w.net.Public())
		home := w.net.Router(internet.PortRestricted)
		w.add("oak", home)
		w.add("elm", home)
		ash := w.add("ash", w.net.Router(internet.PortRestricted))
		w.settle()
		w.until(time.Minute, "all direct", direct(w.hosts...))
		w.until(time.Minute, "records are exchanged", agree(w.hosts))
		for _, h := range w.hosts {
			h.turnOff()
		}
		time.Sleep(12 * time.Hour)
		ash.at.Move(w.net.Router(internet.FullCone))
		for _, h := range w.hosts {
			h.turnOn()
			time.Sleep(10 * time.Second)
		}
		w.until(time.Minute, "all direct in the morning", direct(w.hosts...))
	})
}

// TestCrash: a host that goes without a goodbye is offline within a minute, and
// one that is cut off for some seconds is not.
func TestCrash(t *testing.T) {
	inTown(t, func(w *town) {
		server := w.add("server", w.net.Public())
		oak := w.add("oak", w.net.Router(internet.PortRestricted))
		w.settle()
		w.until(time.Minute, "connected", connected(server, oak))
		w.until(time.Minute, "records are exchanged", agree(w.hosts))
		oak.crash()
		w.until(90*time.Second, "the server knows", view(w.hosts))
		oak.turnOn()
		w.until(time.Minute, "connected again", connected(server, oak))
	})
}

// TestTold: the owner is told who wakes and who falls asleep, and not of a
// member that joins or starts again, which is gone for a moment.
func TestTold(t *testing.T) {
	inTown(t, func(w *town) {
		server := w.add("server", w.net.Public())
		oak := w.add("oak", w.net.Router(internet.PortRestricted))
		w.settle()
		w.until(time.Minute, "connected", connected(server, oak))
		told := func(when string, want ...string) {
			t.Helper()
			time.Sleep(20 * time.Second)
			if got := server.news(); !slices.Equal(got, want) {
				t.Errorf("%s the owner is told %q, want %q", when, got, want)
			}
		}
		const awake, asleep = "oak is awake.", "oak is asleep, or cannot be reached."
		told("after it joined", awake)
		oak.turnOff()
		oak.turnOn()
		told("after it started again")
		oak.turnOff()
		told("after it stopped", asleep)
		oak.turnOn()
		told("after it started", awake)
	})
}
