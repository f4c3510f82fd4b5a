package overlay

import (
	"net/netip"
	"testing"
	"testing/synctest"
	"time"
)

func TestContactsRest(t *testing.T) {
	a := netip.MustParseAddrPort("192.0.2.1:4747")
	for name, c := range map[string]struct {
		known  bool
		pauses []time.Duration
	}{
		"known":   {true, []time.Duration{2, 4, 8, 16, 32, 60, 60}},
		"unknown": {false, []time.Duration{60, 120, 240, 480}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				contacts := newContacts()
				if c.known {
					contacts.succeeded(a)
				}
				for _, pause := range c.pauses {
					if !contacts.begin(a, false) {
						t.Fatal("rests already")
					}
					contacts.allow(a)
					contacts.failed(a)
					contacts.failed(a) // by another attempt, at the same time
					time.Sleep(pause*time.Second - 1)
					if contacts.begin(a, false) {
						t.Fatalf("rests for less than %d s", pause)
					}
					time.Sleep(time.Nanosecond)
					if contacts.rests(a) {
						t.Fatalf("rests for more than %d s", pause)
					}
				}
				contacts.succeeded(a)
				contacts.begin(a, false)
				contacts.failed(a)
				time.Sleep(restKnown)
				if contacts.rests(a) {
					t.Error("success did not reset the pause")
				}
			})
		})
	}
}

// TestContactsPackets counts what may be sent to an address that does not
// answer, whoever tries it and how often.
func TestContactsPackets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		contacts := newContacts()
		a := netip.MustParseAddrPort("192.0.2.1:4747")
		other := netip.MustParseAddrPort("192.0.2.2:4747")
		sent := func(a netip.AddrPort) (n int) {
			for range 10 {
				if contacts.allow(a) {
					n++
				}
			}
			return n
		}
		contacts.begin(a, false)
		contacts.begin(a, false)
		if n := sent(a); n != unanswered {
			t.Errorf("%d packets were sent, want %d", n, unanswered)
		}
		if n := sent(other); n != 10 {
			t.Errorf("%d packets of 10 went to an address that is not tried", n)
		}
		contacts.failed(a)
		if n := sent(a); n != 0 {
			t.Errorf("%d packets were sent while it rests", n)
		}
		if contacts.wake(a) {
			t.Error("an address that never answered was woken")
		}
		time.Sleep(restUnknown)
		contacts.begin(a, false)
		if n := sent(a); n != unanswered {
			t.Errorf("%d packets were sent the second time, want %d", n, unanswered)
		}
		contacts.answered(a)
		if n := sent(a); n != 10 {
			t.Errorf("%d packets of 10 were sent once it had answered", n)
		}
	})
}

func TestContactsMemory(t *testing.T) {
	contacts := newContacts()
	for i := range 3 * maxContacts {
		a := netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), 1)
		contacts.begin(a, false)
		if i%2 == 0 {
			contacts.failed(a)
		}
	}
	silent := 0
	for _, k := range contacts.list {
		if k.silent {
			silent++
		}
	}
	if len(contacts.list) > maxContacts || int(contacts.silent.Load()) != silent {
		t.Errorf("%d addresses are remembered, %d of them silent, counted as %d", len(contacts.list), silent, contacts.silent.Load())
	}
}

// TestContactsPorts tries one port after the other of a computer that does not
// answer, for an hour.
func TestContactsPorts(t *testing.T) {
	for name, c := range map[string]struct {
		ports, hour int
		met         bool
	}{
		"one":              {1, 6 * unanswered, false}, // at once, and after 1, 3, 7, 15 and 31 minutes
		"all":              {1 << 16, 6 * unansweredHost, false},
		"all, of a member": {1 << 16, 3600 * unanswered, true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				contacts := newContacts()
				if c.met {
					contacts.met(netip.MustParseAddr("192.0.2.1"))
				}
				sent := 0
				for i := range 3600 {
					a := netip.AddrPortFrom(netip.MustParseAddr("192.0.2.1"), uint16(i%c.ports))
					if contacts.begin(a, false) {
						for contacts.allow(a) {
							sent++
						}
						contacts.failed(a)
					}
					time.Sleep(time.Second)
				}
				if sent != c.hour {
					t.Errorf("%d packets in an hour, want %d", sent, c.hour)
				}
			})
		})
	}
}

// TestContactsUnsent: what there was no route for does not count.
func TestContactsUnsent(t *testing.T) {
	contacts := newContacts()
	a := netip.MustParseAddrPort("192.0.2.1:4747")
	contacts.begin(a, true)
	for range 100 {
		if contacts.allow(a) {
			contacts.unsent(a)
		}
	}
	contacts.failed(a)
	if !contacts.wake(a) || !contacts.begin(a, false) || !contacts.allow(a) {
		t.Error("an address to which nothing was sent rests")
	}
}
