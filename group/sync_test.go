package group

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"kith.alt/kith"
)

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
	return maple.Sync(context.Background(), left, testID("oak"))
}

func frame(kind frameType, payload []byte) []byte {
	return finishFrame(append(beginFrame(kind), payload...))
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
		if err := maple.Sync(t.Context(), left, oak.ID()); !errors.Is(err, kith.Invalid) && !errors.Is(err, kith.Denied) {
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
		running.Go(func() { maple.Sync(ctx, left, oak.ID()) })
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
		maple.Sync(t.Context(), left, oak.ID())
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
	go func() { ended <- maple.Sync(ctx, left, oak.ID()) }()
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
		g.Sync(context.Background(), left, testID("oak"))
		if got := members(g.Roster()); got != "ada* elm* founder*" {
			t.Errorf("members are %q", got)
		}
	})
}
