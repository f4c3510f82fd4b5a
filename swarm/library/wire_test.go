package library

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"net"
	"testing"
	"time"

	"kith.alt/kith"
	"kith.alt/kith/gossip"
)

func TestWants(t *testing.T) {
	wants := []want{
		{host: testID("maple"), holdings: 7},
		{host: testID("oak"), entries: true},
		{host: testID("ash"), entries: true, has: []version{{title: mark{1}, record: mark{2}, number: 3}, {title: mark{4}}}},
	}
	var buf []byte
	for _, w := range wants {
		before := len(buf)
		if buf = w.appendTo(buf); len(buf)-before != w.size() {
			t.Errorf("want has %d bytes, says %d", len(buf)-before, w.size())
		}
	}
	if err := checkWants(buf); err != nil {
		t.Fatal(err)
	}
	for name, bad := range map[string][]byte{
		"a host twice":   append(bytes.Clone(buf), wants[0].appendTo(nil)...),
		"half a head":    buf[:wantHead/2],
		"half a version": buf[:len(buf)-1],
		"a long list":    want{host: testID("elm"), has: make([]version, MaxEntries+1)}.appendTo(nil),
	} {
		if err := checkWants(bad); !errors.Is(err, kith.Invalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestFramesFit has the largest of everything go into a frame.
func TestFramesFit(t *testing.T) {
	if n := gossip.FrameHead + maxSummaries*summarySize; n > gossip.MaxFrame {
		t.Errorf("summaries of %d bytes", n)
	}
	if n := gossip.FrameHead + (want{has: make([]version, MaxEntries)}).size(); n > gossip.MaxFrame {
		t.Errorf("a want of %d bytes", n)
	}
	if n := batch + gossip.FrameHead + 3 + maxHoldBody + ed25519.SignatureSize; n > gossip.MaxFrame {
		t.Errorf("records of %d bytes", n)
	}
	contents := make([]uint64, MaxHoldings)
	for i := range contents {
		contents[i] = uint64(i)
	}
	if _, err := signHoldings(testKey("maple"), [32]byte{}, testID("maple"), contents, MaxVersion, time.Now()); err != nil {
		t.Error(err)
	}
}

func FuzzWants(f *testing.F) {
	f.Add(want{host: testID("maple"), entries: true, has: []version{{number: 3}}}.appendTo(nil))
	f.Fuzz(func(t *testing.T, buf []byte) {
		if checkWants(buf) != nil {
			return
		}
		var again []byte
		for rest := buf; len(rest) > 0; {
			var w want
			var err error
			if w, rest, err = parseWant(rest); err != nil {
				t.Fatal(err)
			}
			again = w.appendTo(again)
		}
		if len(again) != len(buf) {
			t.Errorf("%x was read as %x", buf, again)
		}
	})
}

func FuzzSummaries(f *testing.F) {
	f.Add(summary{host: testID("maple"), entries: digest{1}, holdings: 2}.appendTo(nil))
	f.Fuzz(func(t *testing.T, buf []byte) {
		list, err := parseSummaries(buf)
		if err != nil {
			return
		}
		var again []byte
		for _, s := range list {
			again = s.appendTo(again)
		}
		if !bytes.Equal(again, buf) {
			t.Errorf("%x was read as %x", buf, again)
		}
	})
}

func FuzzRecords(f *testing.F) {
	f.Add(entryOf(f, "maple", nil).appendTo(nil))
	f.Add(entryOf(f, "maple", nil).appendTo(entryOf(f, "oak", nil).appendTo(nil)))
	f.Fuzz(func(t *testing.T, buf []byte) {
		records, err := parseRecords(buf)
		if err != nil && !errors.Is(err, kith.Invalid) {
			t.Error(err)
		}
		for _, r := range records {
			if !bytes.Contains(buf, r.appendTo(nil)) {
				t.Errorf("record %q is not what came", r.raw)
			}
		}
	})
}

func FuzzHello(f *testing.F) {
	f.Add([]byte(`{"v":2,"digest":"00000000000000000000000000000000"}`))
	f.Fuzz(func(t *testing.T, payload []byte) {
		if _, err := parseHello(payload); err != nil && !errors.Is(err, kith.Invalid) {
			t.Error(err)
		}
	})
}

// FuzzSync has a member say anything, before and after its hello.
func FuzzSync(f *testing.F) {
	frame := func(kind frameType, payload []byte) []byte {
		return gossip.FinishFrame(append(gossip.BeginFrame(kind), payload...))
	}
	good, err := helloFrame(digest{1})
	if err != nil {
		f.Fatal(err)
	}
	gossip.FinishFrame(good)
	f.Add(false, good)
	f.Add(true, frame(frameAsk, nil))
	f.Add(true, frame(frameDigest, make([]byte, 16)))
	f.Add(true, append(frame(frameAsk, nil), frame(frameSummaries, summary{host: testID("oak"), entries: digest{1}}.appendTo(nil))...))
	f.Add(true, frame(frameOffer, summary{host: testID("oak"), holdings: 9}.appendTo(nil)))
	f.Add(true, frame(frameWant, want{host: testID("maple"), entries: true}.appendTo(nil)))
	f.Add(true, append(frame(frameNews, entryOf(f, "oak", nil).appendTo(nil)), frame(frameDone, nil)...))
	f.Fuzz(func(t *testing.T, greet bool, said []byte) {
		maple := newHost(t, "maple", nil)
		maple.publish(t, "a", "a")
		left, right := net.Pipe()
		done := make(chan error, 1)
		go func() { done <- maple.Sync(t.Context(), left, testID("oak")) }()
		go func() {
			var buf []byte
			for {
				if _, _, err := gossip.ReadFrame[frameType](right, &buf); err != nil {
					return
				}
			}
		}()
		if greet {
			right.Write(good)
		}
		right.Write(said)
		right.Close()
		<-done
		for _, e := range maple.Entries() {
			if e.Host != testID("oak") && e.Host != maple.id {
				t.Errorf("%q made the entry %+v", said, e)
			}
		}
	})
}
