package group

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"encoding/binary"
	"encoding/json"
	"kith.alt/kith"
	"kith.alt/kith/gossip"
)

// connect has two groups shake hands and sync until the returned function is
// called or the test ends.
func connect(t testing.TB, a, b *Group) (stop func()) {
	a.Admit(b.ID(), b.Proof())
	b.Admit(a.ID(), a.Proof())
	ctx, cancel := context.WithCancel(t.Context())
	left, right := newPipe()
	var running sync.WaitGroup
	running.Go(func() { a.Sync(ctx, left, b.ID(), nil) })
	running.Go(func() { b.Sync(ctx, right, a.ID(), nil) })
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
func (p *pipe) CloseWrite() error                { p.out.close(); return nil }
func (p *pipe) LocalAddr() net.Addr              { return kith.Address{} }
func (p *pipe) RemoteAddr() net.Addr             { return kith.Address{} }
func (p *pipe) SetDeadline(t time.Time) error    { return p.SetReadDeadline(t) }
func (p *pipe) SetWriteDeadline(time.Time) error { return nil }

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
		if err := g.SetWhereabouts(t.Context(), Whereabouts{Addresses: []netip.AddrPort{netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, 2, byte(i)}), 4747)}}); err != nil {
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
			await(t, g, func(*Roster) bool { return len(g.Whereabouts(other.ID()).Addresses) == 1 })
		}
	}
}

func TestRevokedIsToldAndCut(t *testing.T) {
	maple := found(t, "maple")
	oak := enlarge(t, maple, "oak")
	left, right := newPipe()
	ended := make(chan error, 2)
	go func() { ended <- maple.Sync(t.Context(), left, oak.ID(), nil) }()
	go func() { ended <- oak.Sync(t.Context(), right, maple.ID(), nil) }()
	if err := oak.SetWhereabouts(t.Context(), Whereabouts{Addresses: []netip.AddrPort{netip.MustParseAddrPort("192.0.2.1:4747")}}); err != nil {
		t.Fatal(err)
	}
	await(t, maple, func(*Roster) bool { return maple.Whereabouts(oak.ID()).Addresses != nil })
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
	if err := maple.Sync(t.Context(), left, oak.ID(), nil); !errors.Is(err, kith.NotMember) {
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
		running.Go(func() { maple.Sync(ctx, left, oak.ID(), nil) })
		running.Go(func() { oak.Sync(ctx, right, maple.ID(), nil) })
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
		maple.Sync(t.Context(), left, oak.ID(), nil)
		if took := time.Since(start); took > time.Minute {
			t.Errorf("waited %s for a hello", took)
		}
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

// hostile has the group of maple sync with oak, which sends stream and closes.
func hostile(t testing.TB, stream []byte) error {
	maple := found(t, "maple")
	ticket, err := maple.Invite(context.Background(), InviteRequest{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := join(t, maple, ticket, "oak"); err != nil {
		t.Fatal(err)
	}
	left, right := newPipe()
	right.Write(stream)
	right.(*pipe).out.close()
	return maple.Sync(context.Background(), left, testID("oak"), nil)
}

func frame(kind frameType, payload []byte) []byte {
	return gossip.FinishFrame(append(gossip.BeginFrame(kind), payload...))
}

func validHello(t testing.TB, genesis Hash) []byte {
	payload, err := json.Marshal(hello{Version: 2, Genesis: genesis, Heads: []Hash{{1}}})
	if err != nil {
		t.Fatal(err)
	}
	return frame(frameHello, payload)
}

func TestHostilePeer(t *testing.T) {
	s := tell(t)
	entries := appendEntry(nil, s.entries[0])
	for what, stream := range map[string][]byte{
		"no hello":      frame(frameEntries, entries),
		"broken hello":  frame(frameHello, []byte("{")),
		"other group":   validHello(t, Hash{9}),
		"huge frame":    append(binary.BigEndian.AppendUint32(nil, 1<<31), byte(frameHello)),
		"empty frame":   make([]byte, 5),
		"other version": frame(frameHello, []byte(`{"v":0}`)),
	} {
		if err := hostile(t, stream); !errors.Is(err, kith.Invalid) && !errors.Is(err, kith.NotMember) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// A peer that is up to date and sends nonsense afterwards.
func TestNonsenseAfterHello(t *testing.T) {
	maple := found(t, "maple")
	oak := enlarge(t, maple, "oak")
	forged := must(sign(testKey("oak"), body{Kind: kindRename, Host: "elm", Parents: oak.state.Load().heads}))
	forged.signature[0]++
	record, err := signRecord(testKey("oak"), recordBody{Group: maple.log.genesis, Sequence: 1 << 40})
	if err != nil {
		t.Fatal(err)
	}
	record.signature[0]++
	for what, stream := range map[string][]byte{
		"second hello":  validHello(t, maple.log.genesis),
		"bad have":      frame(frameHave, []byte{7}),
		"odd have":      frame(frameHave, []byte{1, 2}),
		"bad sequences": frame(frameSequences, []byte{1}),
		"bad entries":   frame(frameEntries, []byte{1, 2, 3}),
		"forged entry":  frame(frameEntries, appendEntry(nil, forged)),
		"forged record": frame(frameRecords, appendRecord(nil, record)),
	} {
		left, right := newPipe()
		right.Write(append(validHello(t, maple.log.genesis), stream...))
		if err := maple.Sync(t.Context(), left, oak.ID(), nil); !errors.Is(err, kith.Invalid) && !errors.Is(err, kith.Denied) {
			t.Errorf("%s: %v", what, err)
		}
		right.Close()
	}
	wantMembers(t, maple.Roster(), "maple* oak*")
}

func TestUnknownFramesArePassedOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		maple := found(t, "maple")
		oak := enlarge(t, maple, "oak")
		renamed := must(sign(testKey("oak"), body{Kind: kindRename, Host: "elm", Parents: oak.state.Load().heads}))
		stream := append(validHello(t, maple.log.genesis), frame(99, []byte("later"))...)
		stream = append(stream, frame(frameEntries, appendEntry(nil, renamed))...)
		left, right := newPipe()
		right.Write(stream)
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { maple.Sync(ctx, left, oak.ID(), nil) })
		synctest.Wait()
		wantMembers(t, maple.Roster(), "elm* maple*")
		cancel()
		running.Wait()
	})
}

// A member that floods is slowed down and cannot fill the log.
func TestFloodIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		maple := found(t, "maple")
		ticket, err := maple.Invite(t.Context(), InviteRequest{}, nil)
		if err != nil {
			t.Fatal(err)
		}
		oak, err := join(t, maple, ticket, "oak")
		if err != nil {
			t.Fatal(err)
		}
		connect(t, maple, oak)()
		left, right := newPipe()
		right.Write(validHello(t, maple.log.genesis))
		parents := maple.state.Load().heads
		for i := range maxPerAuthor + 500 {
			e := must(sign(testKey("oak"), body{Kind: "noise", Host: fmt.Sprint(i), Parents: parents}))
			right.Write(frame(frameEntries, appendEntry(nil, e)))
		}
		right.(*pipe).out.close()
		start := time.Now()
		maple.Sync(t.Context(), left, oak.ID(), nil)
		if took := time.Since(start); took < time.Minute {
			t.Errorf("took %d entries in %s", len(maple.log.entries), took)
		}
		if n := len(maple.log.entries); n > maxPerAuthor+5 {
			t.Errorf("log has %d entries", n)
		}
	})
}

func TestSyncEndsWithContext(t *testing.T) {
	maple := found(t, "maple")
	oak := enlarge(t, maple, "oak")
	ctx, cancel := context.WithCancel(t.Context())
	left, right := net.Pipe() // nobody reads: the first write blocks
	defer right.Close()
	ended := make(chan error)
	go func() { ended <- maple.Sync(ctx, left, oak.ID(), nil) }()
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if _, err := io.Copy(io.Discard, right); err != nil {
		t.Error(err)
	}
}

func FuzzSync(f *testing.F) {
	s := tell(f)
	top := s.chain("ada", "oak")
	s.says("oak", body{Kind: kindRename, Host: "elm"}, top)
	var entries []byte
	for _, e := range s.entries {
		entries = appendEntry(entries, e)
	}
	f.Add(true, frame(frameEntries, entries))
	f.Add(true, frame(frameHave, []byte{0}))
	f.Add(true, frame(frameHave, append([]byte{1}, make([]byte, prefixLen)...)))
	f.Add(true, frame(frameSequences, make([]byte, 40)))
	f.Add(true, frame(frameRecords, []byte{0, 2, '{', '}'}))
	f.Add(true, frame(frameBeats, appendBeat(nil, signBeat("oak", s.genesis, 7))))
	f.Add(true, append(frame(frameSent, nil), frame(frameTaken, nil)...))
	f.Add(false, validHello(f, s.genesis))
	f.Fuzz(func(t *testing.T, greet bool, stream []byte) {
		g := newGroup(testKey("ada"), newLog(s.genesis))
		for _, e := range s.entries {
			g.log.add(e, 0, true)
		}
		g.publish(&state{roster: Merge(s.genesis, s.entries)})
		if greet {
			stream = append(validHello(t, s.genesis), stream...)
		}
		left, right := newPipe()
		right.Write(stream)
		right.(*pipe).out.close()
		levels := 0
		g.Sync(context.Background(), left, testID("oak"), func() { levels++ })
		if levels > 1 {
			t.Errorf("level was called %d times", levels)
		}
		if got := members(g.Roster()); got != "ada* elm* founder*" {
			t.Errorf("members are %q", got)
		}
	})
}

// A host that left and crashed before it could say so says so when it is back.
func TestLeaveIsToldLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		maple := found(t, "maple")
		oak := enlarge(t, maple, "oak")
		if err := oak.Leave(t.Context()); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := oak.Told(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("told nobody: %v", err)
		}
		left, right := newPipe()
		ended := make(chan error, 2)
		go func() { ended <- maple.Sync(t.Context(), left, oak.ID(), nil) }()
		go func() { ended <- oak.Sync(t.Context(), right, maple.ID(), nil) }()
		if err := errors.Join(<-ended, <-ended); !errors.Is(err, kith.NotMember) {
			t.Errorf("sync ended with %v", err)
		}
		wantMembers(t, maple.Roster(), "maple*")
		if err := oak.Told(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// Who waits for the last word hears that it arrived, at once.
func TestLeaveIsConfirmed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		maple := found(t, "maple")
		oak := enlarge(t, maple, "oak")
		elm := enlarge(t, maple, "elm")
		connect(t, maple, oak)
		deaf, _ := newPipe() // elm does not answer
		go oak.Sync(t.Context(), deaf, elm.ID(), nil)
		synctest.Wait()
		start := time.Now()
		if err := errors.Join(oak.Leave(t.Context()), oak.Told(t.Context())); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(start); took != 0 {
			t.Errorf("it took %s", took)
		}
		wantMembers(t, maple.Roster(), "elm* maple*")
		time.Sleep(time.Minute)
	})
}

// A peer that is not there when this host leaves confirms nothing.
func TestClosedPeerConfirmsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		maple := found(t, "maple")
		oak := enlarge(t, maple, "oak")
		stop := connect(t, maple, oak)
		synctest.Wait()
		deaf, _ := newPipe()
		go oak.Sync(t.Context(), deaf, maple.ID(), nil)
		stop()
		if err := oak.Leave(t.Context()); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := oak.Told(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("told: %v", err)
		}
	})
}

func TestTooManySyncs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		maple := found(t, "maple")
		oak, elm := enlarge(t, maple, "oak"), enlarge(t, maple, "elm")
		var ended []chan error
		for _, peer := range []kith.ID{elm.ID(), oak.ID(), oak.ID(), oak.ID(), oak.ID()} {
			left, right := newPipe()
			defer right.Close()
			done := make(chan error, 1)
			go func() { done <- maple.Sync(t.Context(), left, peer, nil) }()
			ended = append(ended, done)
			synctest.Wait()
		}
		for i, done := range ended {
			select {
			case err := <-done:
				if i != 1 && i != 2 || !errors.Is(err, kith.Quota) {
					t.Errorf("exchange %d ended: %v", i, err)
				}
			default:
				if i == 1 || i == 2 {
					t.Errorf("exchange %d goes on", i)
				}
			}
		}
		time.Sleep(time.Minute) // the others are silent
		synctest.Wait()
		if n := len(maple.syncs.with); n != 0 {
			t.Errorf("exchanges with %d hosts are left", n)
		}
	})
}
