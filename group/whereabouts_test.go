package group

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"kith.alt/kith"
)

// undialable are addresses that no record may have.
var undialable = []string{"0.0.0.0:1", "224.0.0.1:1", "192.0.2.1:0", "255.255.255.255:1", "[::]:1", "[ff02::1]:1",
	"[::ffff:0.0.0.0]:1", "[::ffff:224.0.0.1]:1", "[fe80::1%eth0]:1"}

func addressList(texts ...string) (list []netip.AddrPort) {
	for _, text := range texts {
		list = append(list, netip.MustParseAddrPort(text))
	}
	return list
}

func TestWhereabouts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		maple := found(t, "maple")
		oak := enlarge(t, maple, "oak")
		home := []netip.AddrPort{netip.MustParseAddrPort("192.0.2.1:4747"), netip.MustParseAddrPort("[2001:db8::1]:4747")}
		if err := maple.SetWhereabouts(t.Context(), Whereabouts{Addresses: home}); err != nil {
			t.Fatal(err)
		}
		soon, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := oak.AwaitWhereabouts(soon, maple.ID()); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("await the record of a host that is not met: %v", err)
		}
		connect(t, maple, oak)
		if err := oak.AwaitWhereabouts(t.Context(), maple.ID()); err != nil {
			t.Error(err)
		}
		synctest.Wait()
		got := oak.Whereabouts(maple.ID())
		if !slices.Equal(got.Addresses, home) {
			t.Errorf("addresses are %v", got.Addresses)
		}
		if age := time.Since(got.Received); age < 0 || age > time.Second {
			t.Errorf("the record came %s ago", age)
		}
		number := maple.state.Load().records[maple.ID()].body.Sequence
		if err := maple.SetWhereabouts(t.Context(), Whereabouts{Addresses: home}); err != nil {
			t.Fatal(err)
		}
		if again := maple.state.Load().records[maple.ID()].body.Sequence; again != number {
			t.Error("unchanged addresses were signed anew")
		}
		time.Sleep(whereaboutsExpiry + time.Second)
		if got := oak.Whereabouts(maple.ID()).Addresses; got != nil {
			t.Errorf("addresses of 30 days ago: %v", got)
		}
		if err := maple.SetWhereabouts(t.Context(), Whereabouts{Addresses: home}); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if got := oak.Whereabouts(maple.ID()).Addresses; !slices.Equal(got, home) {
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
		time.Sleep(2 * recordPause)
		synctest.Wait()
		if got := oak.Whereabouts(maple.ID()).Addresses; !slices.Equal(got, home) {
			t.Errorf("after a restore: %v", got)
		}
		if err := maple.Revoke(t.Context(), oak.ID()); err != nil {
			t.Fatal(err)
		}
		for _, bad := range undialable {
			if err := maple.SetWhereabouts(t.Context(), Whereabouts{Addresses: []netip.AddrPort{netip.MustParseAddrPort(bad)}}); !errors.Is(err, kith.Invalid) {
				t.Errorf("%s: %v", bad, err)
			}
		}
		synctest.Wait()
	})
}

// A host's records are taken once a second, by whatever way they come.
func TestRecordsArePaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		maple := found(t, "maple")
		oak := enlarge(t, maple, "oak")
		start := time.Now()
		for i := range 10 {
			r, err := signRecord(testKey("oak"), recordBody{Group: maple.log.genesis, Sequence: 1<<40 + uint64(i)})
			if err != nil {
				t.Fatal(err)
			}
			if err := maple.applyRecords(t.Context(), []*record{r}); err != nil {
				t.Fatal(err)
			}
		}
		if took := time.Since(start); took != 9*time.Second {
			t.Errorf("took ten records of %s in %s", oak.ID().Short(), took)
		}
		if n := maple.state.Load().records[oak.ID()].body.Sequence; n != 1<<40+9 {
			t.Errorf("the last record taken is %d", n)
		}
	})
}

// What is beyond the limits stays out of our own record, and a record that has
// it is not taken.
func TestWhereaboutsAreLimited(t *testing.T) {
	maple := found(t, "maple")
	oak := enlarge(t, maple, "oak")
	var many Whereabouts
	for i := range 20 {
		many.Addresses = append(many.Addresses, netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, 2, byte(i / 4)}), uint16(1000+i)))
		many.Relays = append(many.Relays, testID(fmt.Sprint("relay", i/2)))
	}
	many.Relays[1], many.NAT = oak.ID(), "symmetric"
	if err := maple.SetWhereabouts(t.Context(), many); err != nil {
		t.Fatal(err)
	}
	own := maple.state.Load().records[maple.ID()].body
	if want := addressList("192.0.2.0:1000", "192.0.2.0:1001", "192.0.2.1:1004", "192.0.2.1:1005", "192.0.2.2:1008", "192.0.2.2:1009", "192.0.2.3:1012", "192.0.2.3:1013"); !slices.Equal(own.Addresses, want) {
		t.Errorf("addresses %v", own.Addresses)
	}
	if len(own.Relays) != MaxRelays {
		t.Errorf("relays %v", own.Relays)
	}
	// Of the relays only the member shows.
	if at := maple.Whereabouts(maple.ID()); !slices.Equal(at.Relays, []kith.ID{oak.ID()}) || at.NAT != "symmetric" {
		t.Errorf("whereabouts %+v", at)
	}
	for _, bad := range []Whereabouts{{Relays: []kith.ID{maple.ID()}}, {Relays: []kith.ID{{}}}, {NAT: "Open"}, {NAT: "averyverylongword"}} {
		if err := maple.SetWhereabouts(t.Context(), bad); !errors.Is(err, kith.Invalid) {
			t.Errorf("%+v: %v", bad, err)
		}
	}
	longest := recordBody{Group: Hash{1}, Sequence: 1<<64 - 1, NAT: "symmetricsymmetr", Saw: RunID{3}}
	for i := range MaxAddresses {
		longest.Addresses = append(longest.Addresses, netip.MustParseAddrPort(fmt.Sprintf("[2001:db8:1111:2222:3333:4444:5555:666%d]:65535", i)))
	}
	for i := range MaxRelays {
		longest.Relays = append(longest.Relays, testID(fmt.Sprint(i)))
	}
	card := Card{SealKey: bytes.Repeat([]byte{1}, MaxSealKey), Run: Run{ID: RunID{1}, After: RunID{2}, Started: 1 << 50}}
	for i := range 100 {
		card.Accounts, card.Names = append(card.Accounts, fmt.Sprintf("a%d", i)), append(card.Names, fmt.Sprintf("n%d", i))
	}
	card.fit()
	if len(card.Accounts) != 100 || len(card.Names) < 2 || len(card.Names) > 98 || !card.More {
		t.Errorf("of many names %d and %d stay", len(card.Accounts), len(card.Names))
	}
	longest.SealKey, longest.Accounts, longest.Names, longest.More, longest.Run = card.SealKey, card.Accounts, card.Names, card.More, card.Run
	if r, err := signRecord(testKey("maple"), longest); err != nil {
		t.Errorf("the longest record: %v", err)
	} else {
		t.Logf("the longest record has %d bytes of %d", len(r.raw)+len(r.signature), maxRecord)
	}
}

// badRecords are what a host may sign and no other takes.
func badRecords() map[string]recordBody {
	bad := map[string]recordBody{
		"nine addresses":        {Addresses: addressList("192.0.2.1:1", "192.0.2.2:1", "192.0.2.3:1", "192.0.2.4:1", "192.0.2.5:1", "192.0.2.6:1", "192.0.2.7:1", "192.0.2.8:1", "192.0.2.9:1")},
		"three ports of one":    {Addresses: addressList("192.0.2.1:1", "192.0.2.1:2", "192.0.2.1:3")},
		"one in three writings": {Addresses: addressList("192.0.2.1:1", "[::ffff:192.0.2.1]:2", "192.0.2.1:3")},
		"five relays":           {Relays: []kith.ID{testID("1"), testID("2"), testID("3"), testID("4"), testID("5")}},
		"itself as relay":       {Relays: []kith.ID{testID("oak")}},
		"a relay twice":         {Relays: []kith.ID{testID("1"), testID("1")}},
		"markup for a NAT":      {NAT: "<b>"},
	}
	for _, address := range undialable {
		bad[address] = recordBody{Addresses: addressList(address)}
	}
	return bad
}

// rawRecord signs a body that signRecord would refuse.
func rawRecord(t testing.TB, host string, body any) *record {
	raw, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	return &record{raw: raw, signature: ed25519.Sign(testKey(host), append([]byte(recordDomain), raw...))}
}

// A record that is not taken is passed over: the good one behind it is taken,
// and the exchange goes on.
func TestBadRecordsArePassedOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		maple := found(t, "maple")
		oak := enlarge(t, maple, "oak")
		enlarge(t, maple, "ash")
		left, right := newPipe()
		right.Write(validHello(t, maple.log.genesis))
		for what, b := range badRecords() {
			b.Version, b.Host, b.Group, b.Sequence = recordVersion, oak.ID(), maple.log.genesis, 1<<50
			bad := rawRecord(t, "oak", b)
			if _, err := parseRecord(bad.raw, bad.signature); !errors.Is(err, kith.Invalid) {
				t.Errorf("%s: %v", what, err)
			}
			right.Write(frame(frameRecords, appendRecord(nil, bad)))
		}
		good := must(signRecord(testKey("ash"), recordBody{Group: maple.log.genesis, Sequence: 5, NAT: "cone"}))
		stranger := must(signRecord(testKey("elm"), recordBody{Group: maple.log.genesis, Sequence: 5}))
		foreign := must(signRecord(testKey("oak"), recordBody{Group: Hash{1}, Sequence: 1 << 60}))
		older := must(signRecord(testKey("ash"), recordBody{Group: maple.log.genesis, Sequence: 4, NAT: "open"}))
		for _, r := range []*record{stranger, foreign, good, older, good} {
			right.Write(frame(frameRecords, appendRecord(nil, r)))
		}
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { maple.Sync(ctx, left, oak.ID(), nil) })
		time.Sleep(10 * time.Second)
		if got := maple.Whereabouts(testID("ash")).NAT; got != "cone" {
			t.Errorf("the good record says %q", got)
		}
		if n := len(maple.state.Load().records); n != 1 {
			t.Errorf("took %d records", n)
		}
		cancel()
		running.Wait()
	})
}

// A record of the release before, one of a later release, and one that this
// release would not take any more, on disk.
func TestRecordsOfOtherReleases(t *testing.T) {
	path := filepath.Join(t.TempDir(), "kith.db")
	store := openStore(t, path)
	maple := found(t, "maple")
	oak, ash := enlarge(t, maple, "oak"), enlarge(t, maple, "ash")
	if err := maple.Save(t.Context(), store); err != nil {
		t.Fatal(err)
	}
	genesis := maple.log.genesis
	old := must(signRecord(testKey("maple"), recordBody{Group: genesis, Sequence: 1_700_000_000, Addresses: addressList("192.0.2.1:4747")}))
	if want := fmt.Sprintf(`{"v":1,"host":%q,"group":%q,"seq":1700000000,"addresses":["192.0.2.1:4747"]}`, maple.ID(), genesis); string(old.raw) != want {
		t.Errorf("a record without the new fields is\n%s\nnot\n%s", old.raw, want)
	}
	later := rawRecord(t, "oak", map[string]any{"v": 2, "host": oak.ID(), "group": genesis, "seq": 7,
		"addresses": []string{"192.0.2.2:4747"}, "relays": []kith.ID{ash.ID()}, "nat": "tunnelled", "moon": "full"})
	later.body.Host = oak.ID()
	refused := rawRecord(t, "ash", recordBody{Version: 1, Host: ash.ID(), Group: genesis, Sequence: 7, Addresses: addressList("192.0.2.1:1", "192.0.2.1:2", "192.0.2.1:3")})
	refused.body.Host = ash.ID()
	later.received, refused.received = time.Now().Unix(), time.Now().Unix()
	if err := maple.storeRecords(t.Context(), []*record{old, later, refused}); err != nil {
		t.Fatal(err)
	}
	again, err := Open(t.Context(), openStore(t, path), testKey("maple"))
	if err != nil {
		t.Fatal(err)
	}
	if at := again.Whereabouts(maple.ID()); !slices.Equal(at.Addresses, old.body.Addresses) {
		t.Errorf("by the old record: %+v", at)
	}
	at := again.Whereabouts(oak.ID())
	if at.NAT != "tunnelled" || !slices.Equal(at.Relays, []kith.ID{ash.ID()}) || !bytes.Equal(again.state.Load().records[oak.ID()].raw, later.raw) {
		t.Errorf("by the later record: %+v", at)
	}
	if at := again.Whereabouts(ash.ID()); at.Addresses != nil {
		t.Errorf("by the refused record: %+v", at)
	}
	connect(t, again, ash)
	await(t, ash, func(*Roster) bool { return ash.Whereabouts(oak.ID()).NAT != "" })
	if passed := ash.state.Load().records[oak.ID()]; !bytes.Equal(passed.raw, later.raw) || !bytes.Equal(passed.signature, later.signature) {
		t.Errorf("passed on as %s", passed.raw)
	}
}

// Who waits for a second record of one host holds up nothing else.
func TestRecordsHoldUpNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		maple := found(t, "maple")
		oak := enlarge(t, maple, "oak")
		stop := connect(t, maple, oak)
		for _, nat := range []string{"open", "cone"} {
			if err := oak.SetWhereabouts(t.Context(), Whereabouts{NAT: nat}); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
		}
		start := time.Now()
		if err := oak.Rename(t.Context(), kith.Name{Host: "elm"}); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		wantMembers(t, maple.Roster(), "elm* maple*")
		if took := time.Since(start); took != 0 {
			t.Errorf("it took %s", took)
		}
		time.Sleep(2 * recordPause)
		if got := maple.Whereabouts(oak.ID()).NAT; got != "cone" {
			t.Errorf("NAT is %q", got)
		}
		stop()
	})
}

func FuzzRecords(f *testing.F) {
	good := must(signRecord(testKey("oak"), recordBody{Group: Hash{1}, Sequence: 1, Addresses: addressList("192.0.2.1:1"), Relays: []kith.ID{testID("ash")}, NAT: "cone"}))
	f.Add(appendRecord(nil, good))
	f.Add(appendRecord(appendRecord(nil, good), good)[:400])
	f.Add([]byte{0, 2, '{', '}'})
	f.Fuzz(func(t *testing.T, data []byte) {
		records, err := parseRecords(data)
		if err != nil && !errors.Is(err, kith.Invalid) {
			t.Errorf("error without kind: %v", err)
		}
		var again []byte
		for _, r := range records {
			again = appendRecord(again, r)
			if len(r.body.Addresses) > MaxAddresses || len(r.body.Relays) > MaxRelays || len(r.body.NAT) > maxNAT {
				t.Errorf("took %+v", r.body)
			}
		}
		if len(again) > len(data) {
			t.Errorf("%d bytes became %d", len(data), len(again))
		}
	})
}
