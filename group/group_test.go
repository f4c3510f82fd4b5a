package group

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"kith.alt/kith"
)

func found(t testing.TB, host string) *Group {
	t.Helper()
	g, err := Found(testKey(host), kith.Name{Host: host, Group: "home"})
	if err != nil {
		t.Fatal(err)
	}
	return g
}

var exporter = bytes.Repeat([]byte{7}, 32)

// join has host redeem ticket at server and returns its still empty group.
func join(t testing.TB, server *Group, ticket Ticket, host string) (*Group, error) {
	t.Helper()
	parsed, err := ParseTicket(ticket.String())
	if err != nil {
		t.Fatal(err)
	}
	j, err := NewJoin(parsed, testKey(host), host)
	if err != nil {
		return nil, err
	}
	request, err := j.Request(server.ID(), exporter)
	if err != nil {
		t.Fatal(err)
	}
	reply, err := server.Redeem(context.Background(), testID(host), exporter, request)
	if err != nil {
		return nil, err
	}
	if err := j.Reply(server.ID(), reply); err != nil {
		t.Fatal(err)
	}
	return j.Group(), nil
}

// enlarge has host join through server as an admin and waits until it has.
func enlarge(t testing.TB, server *Group, host string) *Group {
	t.Helper()
	ticket, err := server.Invite(t.Context(), InviteRequest{Admin: true}, nil)
	if err != nil {
		t.Fatal(err)
	}
	g, err := join(t, server, ticket, host)
	if err != nil {
		t.Fatal(err)
	}
	stop := connect(t, server, g)
	if err := g.AwaitJoined(t.Context()); err != nil {
		t.Fatal(err)
	}
	stop()
	return g
}

// connect has two groups shake hands and sync until the returned function is
// called or the test ends.
func connect(t testing.TB, a, b *Group) (stop func()) {
	a.Admit(b.ID(), b.Proof())
	b.Admit(a.ID(), a.Proof())
	ctx, cancel := context.WithCancel(t.Context())
	left, right := newPipe()
	var running sync.WaitGroup
	running.Go(func() { a.Sync(ctx, left, b.ID()) })
	running.Go(func() { b.Sync(ctx, right, a.ID()) })
	stop = func() { cancel(); running.Wait() }
	t.Cleanup(stop)
	return stop
}

// newPipe returns the two ends of a connection with unbounded buffers.
func newPipe() (net.Conn, net.Conn) {
	ab, ba := newQueue(), newQueue()
	return &pipe{in: ba, out: ab}, &pipe{in: ab, out: ba}
}

type pipe struct{ in, out *queue }

type queue struct {
	mu       sync.Mutex
	more     *sync.Cond
	data     []byte
	total    int
	closed   bool
	deadline *time.Timer
	late     bool
}

func newQueue() *queue {
	q := &queue{}
	q.more = sync.NewCond(&q.mu)
	return q
}

func (q *queue) close() {
	q.mu.Lock()
	q.closed = true
	if q.deadline != nil {
		q.deadline.Stop()
	}
	q.mu.Unlock()
	q.more.Broadcast()
}

func (p *pipe) Read(b []byte) (int, error) {
	q := p.in
	q.mu.Lock()
	defer q.mu.Unlock()
	for len(q.data) == 0 {
		switch {
		case q.late:
			return 0, context.DeadlineExceeded
		case q.closed:
			return 0, io.EOF
		}
		q.more.Wait()
	}
	n := copy(b, q.data)
	q.data = q.data[n:]
	return n, nil
}

func (p *pipe) Write(b []byte) (int, error) {
	q := p.out
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return 0, io.ErrClosedPipe
	}
	q.data = append(q.data, b...)
	q.total += len(b)
	q.more.Broadcast()
	return len(b), nil
}

func (p *pipe) SetReadDeadline(at time.Time) error {
	q := p.in
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.deadline != nil {
		q.deadline.Stop()
	}
	if q.late = false; !at.IsZero() && !q.closed {
		q.deadline = time.AfterFunc(time.Until(at), func() {
			q.mu.Lock()
			defer q.mu.Unlock()
			q.late = true
			q.more.Broadcast()
		})
	}
	return nil
}

func (p *pipe) Close() error                     { p.in.close(); p.out.close(); return nil }
func (p *pipe) LocalAddr() net.Addr              { return kith.Address{} }
func (p *pipe) RemoteAddr() net.Addr             { return kith.Address{} }
func (p *pipe) SetDeadline(t time.Time) error    { return p.SetReadDeadline(t) }
func (p *pipe) SetWriteDeadline(time.Time) error { return nil }

func TestJoin(t *testing.T) {
	maple := found(t, "maple")
	if maple.InvitationOpen() {
		t.Error("an invitation is open before there is one")
	}
	ticket, err := maple.Invite(t.Context(), InviteRequest{Admin: true}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if !maple.InvitationOpen() {
		t.Error("no invitation is open")
	}
	oak, err := join(t, maple, ticket, "oak")
	if err != nil {
		t.Fatal(err)
	}
	if err := oak.Joined(); !errors.Is(err, kith.Temporary) {
		t.Errorf("joined before the roster came: %v", err)
	}
	if err := oak.Admit(maple.ID(), nil); err != nil {
		t.Errorf("the joiner does not admit its server: %v", err)
	}
	connect(t, maple, oak)
	if err := oak.AwaitJoined(t.Context()); err != nil {
		t.Fatal(err)
	}
	wantMembers(t, oak.Roster(), "maple* oak*")
	wantMembers(t, maple.Roster(), "maple* oak*")
	if oak.Name().String() != "oak.home.kith.alt" {
		t.Errorf("oak is %s", oak.Name())
	}
	if maple.InvitationOpen() {
		t.Error("a used ticket leaves the invitation open")
	}
	// The same host again, as after a lost reply; then another.
	if _, err := join(t, maple, ticket, "oak"); err != nil {
		t.Errorf("again: %v", err)
	}
	if _, err := join(t, maple, ticket, "elm"); !errors.Is(err, kith.Denied) {
		t.Errorf("a used ticket: %v", err)
	}
}

func TestRefusals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		maple := found(t, "maple")
		invite := func(request InviteRequest) Ticket {
			ticket, err := maple.Invite(t.Context(), request, nil)
			if err != nil {
				t.Fatal(err)
			}
			return ticket
		}
		refused := func(what string, ticket Ticket, host string, want kith.Kind) {
			t.Helper()
			if _, err := join(t, maple, ticket, host); !errors.Is(err, want) {
				t.Errorf("%s: %v, want %v", what, err, want)
			}
		}
		forged := invite(InviteRequest{})
		forged.Secret[0]++
		refused("forged", forged, "oak", kith.Denied)
		other := invite(InviteRequest{})
		other.Genesis[0]++
		refused("other group", other, "oak", kith.Denied)
		refused("hyphen", invite(InviteRequest{}), "ma-ple", kith.Exists)
		refused("look-alike", invite(InviteRequest{}), "rnap1e", kith.Exists)
		refused("reserved", invite(InviteRequest{}), "localhost", kith.Invalid)

		ticket := invite(InviteRequest{Expires: time.Hour})
		time.Sleep(time.Hour + 9*time.Minute)
		if _, err := join(t, maple, ticket, "ash"); err != nil {
			t.Errorf("within the tolerance: %v", err)
		}
		ticket = invite(InviteRequest{Expires: time.Hour})
		j, err := NewJoin(ticket, testKey("oak"), "oak")
		if err != nil {
			t.Fatal(err)
		}
		request, _ := j.Request(maple.ID(), exporter)
		time.Sleep(time.Hour + 11*time.Minute)
		refused("expired", ticket, "oak", kith.Expired)
		if _, err := maple.Redeem(t.Context(), testID("oak"), exporter, request); !errors.Is(err, kith.Expired) {
			t.Errorf("expired: %v", err)
		}

		// A request is good for its joiner and connection only.
		j, _ = NewJoin(invite(InviteRequest{}), testKey("oak"), "oak")
		request, _ = j.Request(maple.ID(), exporter)
		if _, err := maple.Redeem(t.Context(), testID("thief"), exporter, request); !errors.Is(err, kith.Denied) {
			t.Errorf("stolen request: %v", err)
		}
		if _, err := maple.Redeem(t.Context(), testID("oak"), make([]byte, 32), request); !errors.Is(err, kith.Denied) {
			t.Errorf("replayed request: %v", err)
		}
		if _, err := maple.Redeem(t.Context(), testID("oak"), exporter, []byte("{")); !errors.Is(err, kith.Invalid) {
			t.Errorf("nonsense: %v", err)
		}
		for range redemptionsPerMinute {
			_, err = maple.Redeem(t.Context(), testID("oak"), exporter, nil)
		}
		if !errors.Is(err, kith.Quota) {
			t.Errorf("hammering: %v", err)
		}
	})
}

func TestReturnNeedsNewTicket(t *testing.T) {
	maple := found(t, "maple")
	old, err := maple.Invite(t.Context(), InviteRequest{Uses: 5, Admin: true}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := join(t, maple, old, "oak"); err != nil {
		t.Fatal(err)
	}
	if err := maple.Revoke(t.Context(), testID("oak")); err != nil {
		t.Fatal(err)
	}
	for _, host := range []string{"oak", "fresh"} {
		if _, err := join(t, maple, old, host); !errors.Is(err, kith.Denied) {
			t.Errorf("%s with the old ticket: %v", host, err)
		}
	}
	enlarge(t, maple, "oak")
	wantMembers(t, maple.Roster(), "maple* oak*")
}

func TestRestingName(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		maple := found(t, "maple")
		enlarge(t, maple, "oak")
		if err := maple.Revoke(t.Context(), testID("oak")); err != nil {
			t.Fatal(err)
		}
		if err := maple.Rename(t.Context(), kith.Name{Host: "oak"}); !errors.Is(err, kith.Exists) {
			t.Errorf("a name that rests: %v", err)
		}
		time.Sleep(nameRest)
		if err := maple.Rename(t.Context(), kith.Name{Host: "oak", Group: "lab"}); err != nil {
			t.Error(err)
		}
		for _, name := range []string{"oak", "OAK.lab.kith.alt.", "maple", "maple.home.kith.alt", maple.ID().String(), maple.ID().String() + ".kith.alt"} {
			if id, err := maple.Resolve(name); err != nil || id != maple.ID() {
				t.Errorf("resolve %s: %v, %v", name, id, err)
			}
		}
		for _, name := range []string{"elm", "oak.other.kith.alt", "oak.example.org", ""} {
			if _, err := maple.Resolve(name); err == nil {
				t.Errorf("resolve %s: no error", name)
			}
		}
	})
}

func TestLastAdminStays(t *testing.T) {
	maple := found(t, "maple")
	if err := maple.Leave(t.Context()); !errors.Is(err, kith.Invalid) {
		t.Errorf("leave a group of one: %v", err)
	}
	oak := enlarge(t, maple, "oak")
	stop := connect(t, maple, oak)
	if err := maple.SetAdmin(t.Context(), oak.ID(), false); err != nil {
		t.Fatal(err)
	}
	if err := maple.SetAdmin(t.Context(), maple.ID(), false); !errors.Is(err, kith.Denied) {
		t.Errorf("demote the last admin: %v", err)
	}
	if err := maple.Leave(t.Context()); !errors.Is(err, kith.Denied) {
		t.Errorf("the last admin leaves: %v", err)
	}
	stop()
	stop = connect(t, maple, oak)
	await(t, oak, func(r *Roster) bool { return r.Admins() == 1 })
	if _, err := oak.Invite(t.Context(), InviteRequest{}, nil); !errors.Is(err, kith.Denied) {
		t.Errorf("a member invites: %v", err)
	}
	if err := oak.Revoke(t.Context(), maple.ID()); !errors.Is(err, kith.Denied) {
		t.Errorf("a member revokes: %v", err)
	}
	if err := oak.Leave(t.Context()); err != nil {
		t.Error(err)
	}
	await(t, maple, func(r *Roster) bool { return len(r.Members()) == 1 })
	stop()
	if err := oak.Rename(t.Context(), kith.Name{Host: "elm"}); !errors.Is(err, kith.NotMember) {
		t.Errorf("a host that left renames itself: %v", err)
	}
}

// await waits until the roster of g is as wanted.
func await(t testing.TB, g *Group, wanted func(*Roster) bool) {
	t.Helper()
	timeout := time.After(20 * time.Second)
	for {
		state := g.state.Load()
		if wanted(state.roster) {
			return
		}
		select {
		case <-state.changed:
		case <-timeout:
			t.Fatalf("roster of %s stays\n%s", g.ID().Short(), describe(state.roster))
		}
	}
}

func TestProof(t *testing.T) {
	maple := found(t, "maple")
	oak := enlarge(t, maple, "oak")
	elm := enlarge(t, maple, "elm") // oak has not heard of it
	if err := oak.Admit(elm.ID(), nil); !errors.Is(err, kith.NotMember) {
		t.Errorf("stranger: %v", err)
	}
	if err := oak.Admit(elm.ID(), elm.Proof()); err != nil {
		t.Errorf("with proof: %v", err)
	}
	ash := enlarge(t, maple, "ash")
	proof := ash.Proof()
	proof[len(proof)-1]++
	if err := oak.Admit(ash.ID(), proof); !errors.Is(err, kith.NotMember) {
		t.Errorf("with a forged proof: %v", err)
	}
	if err := oak.Admit(testID("mallory"), ash.Proof()); !errors.Is(err, kith.NotMember) {
		t.Errorf("with somebody else's proof: %v", err)
	}
	if err := maple.Revoke(t.Context(), oak.ID()); err != nil {
		t.Fatal(err)
	}
	if err := maple.Admit(oak.ID(), oak.Proof()); !errors.Is(err, kith.NotMember) {
		t.Errorf("revoked: %v", err)
	}
}

func TestSyncConverges(t *testing.T) {
	maple := found(t, "maple")
	groups := []*Group{maple}
	for i := range 8 {
		groups = append(groups, enlarge(t, maple, fmt.Sprintf("host%c", 'a'+i)))
	}
	for i := range groups { // a ring
		connect(t, groups[i], groups[(i+1)%len(groups)])
	}
	for _, g := range groups {
		await(t, g, func(r *Roster) bool { return len(r.Members()) == len(groups) })
	}
	for i, g := range groups {
		if err := g.SetAddresses(t.Context(), []netip.AddrPort{netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, 2, byte(i)}), 4747)}); err != nil {
			t.Fatal(err)
		}
	}
	if err := groups[2].Revoke(t.Context(), groups[7].ID()); err != nil {
		t.Fatal(err)
	}
	if err := groups[4].Rename(t.Context(), kith.Name{Host: "walnut"}); err != nil {
		t.Fatal(err)
	}
	for _, g := range groups {
		await(t, g, func(r *Roster) bool {
			_, out := r.Removal(groups[7].ID())
			return out
		})
	}
	for _, g := range groups[:7] {
		await(t, g, func(r *Roster) bool { _, err := r.Resolve("walnut"); return err == nil })
		for _, other := range groups[:7] {
			await(t, g, func(*Roster) bool { return len(g.Addresses(other.ID())) == 1 })
		}
	}
}

func TestRevokedIsToldAndCut(t *testing.T) {
	maple := found(t, "maple")
	oak := enlarge(t, maple, "oak")
	left, right := newPipe()
	ended := make(chan error, 2)
	go func() { ended <- maple.Sync(t.Context(), left, oak.ID()) }()
	go func() { ended <- oak.Sync(t.Context(), right, maple.ID()) }()
	if err := oak.SetAddresses(t.Context(), []netip.AddrPort{netip.MustParseAddrPort("192.0.2.1:4747")}); err != nil {
		t.Fatal(err)
	}
	await(t, maple, func(*Roster) bool { return maple.Addresses(oak.ID()) != nil })
	changes := oak.Watch(t.Context())
	if err := maple.Revoke(t.Context(), oak.ID()); err != nil {
		t.Fatal(err)
	}
	for change := range changes {
		if change.Self == nil || change.Self.Why != Revoked || len(change.Removed) != 1 {
			t.Errorf("change is %+v", change)
		}
		break
	}
	if err := errors.Join(<-ended, <-ended); !errors.Is(err, kith.NotMember) {
		t.Errorf("sync ended with %v", err)
	}
	left, right = newPipe()
	defer right.Close()
	if err := maple.Sync(t.Context(), left, oak.ID()); !errors.Is(err, kith.NotMember) {
		t.Errorf("sync with a revoked peer: %v", err)
	}
}

func TestIdleSyncIsSilent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		maple := found(t, "maple")
		oak := enlarge(t, maple, "oak")
		ctx, cancel := context.WithCancel(t.Context())
		left, right := newPipe()
		var running sync.WaitGroup
		running.Go(func() { maple.Sync(ctx, left, oak.ID()) })
		running.Go(func() { oak.Sync(ctx, right, maple.ID()) })
		synctest.Wait()
		before := left.(*pipe).in.total + left.(*pipe).out.total
		if before > 1000 {
			t.Errorf("two hosts that agree exchanged %d bytes", before)
		}
		time.Sleep(24 * time.Hour)
		if after := left.(*pipe).in.total + left.(*pipe).out.total; after != before {
			t.Errorf("%d bytes in an idle day", after-before)
		}
		cancel()
		running.Wait()
	})
}

func TestSilentPeerIsLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		maple := found(t, "maple")
		oak := enlarge(t, maple, "oak")
		left, right := newPipe()
		defer right.Close()
		start := time.Now()
		maple.Sync(t.Context(), left, oak.ID())
		if took := time.Since(start); took > time.Minute {
			t.Errorf("waited %s for a hello", took)
		}
	})
}

func TestAddressRecords(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		maple := found(t, "maple")
		oak := enlarge(t, maple, "oak")
		home := []netip.AddrPort{netip.MustParseAddrPort("192.0.2.1:4747"), netip.MustParseAddrPort("[2001:db8::1]:4747")}
		if err := maple.SetAddresses(t.Context(), home); err != nil {
			t.Fatal(err)
		}
		connect(t, maple, oak)
		synctest.Wait()
		if got := oak.Addresses(maple.ID()); !slices.Equal(got, home) {
			t.Errorf("addresses are %v", got)
		}
		number := maple.state.Load().records[maple.ID()].body.Sequence
		if err := maple.SetAddresses(t.Context(), home); err != nil {
			t.Fatal(err)
		}
		if again := maple.state.Load().records[maple.ID()].body.Sequence; again != number {
			t.Error("unchanged addresses were signed anew")
		}
		time.Sleep(recordExpiry + time.Second)
		if got := oak.Addresses(maple.ID()); got != nil {
			t.Errorf("addresses of 30 days ago: %v", got)
		}
		if err := maple.SetAddresses(t.Context(), home); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if got := oak.Addresses(maple.ID()); !slices.Equal(got, home) {
			t.Errorf("renewed addresses are %v", got)
		}

		// A restored host meets a record of its own that it does not know.
		ahead, err := signRecord(testKey("maple"), recordBody{Group: maple.log.genesis, Sequence: 1 << 40})
		if err != nil {
			t.Fatal(err)
		}
		if err := oak.applyRecords(t.Context(), []*record{ahead}); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if got := oak.Addresses(maple.ID()); !slices.Equal(got, home) {
			t.Errorf("after a restore: %v", got)
		}
		if err := maple.Revoke(t.Context(), oak.ID()); err != nil {
			t.Fatal(err)
		}
		for _, bad := range []string{"0.0.0.0:1", "224.0.0.1:1", "192.0.2.1:0"} {
			if err := maple.SetAddresses(t.Context(), []netip.AddrPort{netip.MustParseAddrPort(bad)}); !errors.Is(err, kith.Invalid) {
				t.Errorf("%s: %v", bad, err)
			}
		}
		synctest.Wait()
	})
}

func TestChangesArePushedAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		maple := found(t, "maple")
		oak := enlarge(t, maple, "oak")
		stop := connect(t, maple, oak)
		synctest.Wait()
		start := time.Now()
		var changes []Change
		ctx, cancel := context.WithCancel(t.Context())
		var watching sync.WaitGroup
		watch := oak.Watch(ctx)
		watching.Go(func() {
			for change := range watch {
				changes = append(changes, change)
			}
		})
		if err := maple.SetAdmin(t.Context(), oak.ID(), false); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if err := maple.Rename(t.Context(), kith.Name{Host: "elm", Group: "lab"}); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		wantMembers(t, oak.Roster(), "elm* oak")
		if !time.Now().Equal(start) {
			t.Errorf("it took %s", time.Since(start))
		}
		enlarge(t, maple, "ash")
		synctest.Wait()
		cancel()
		watching.Wait()
		stop()
		var roles, renamed, added int
		var group string
		for _, change := range changes {
			roles, renamed, added = roles+len(change.Roles), renamed+len(change.Renamed), added+len(change.Added)
			group += change.Group
		}
		if roles != 1 || renamed != 1 || added != 1 || group != "lab" {
			t.Errorf("changes %+v", changes)
		}
	})
}
