package overlay

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"kith.alt/kith"
)

func TestVerdicts(t *testing.T) {
	for _, c := range []struct {
		err    error
		kind   error
		reason string
	}{
		{nil, nil, ""},
		{fmt.Errorf("port 4: %w", kith.Refused), kith.Refused, "port 4: nobody listens"},
		{kith.NotMember, kith.NotMember, "not a member"},
		{errors.New("disk on fire"), kith.Temporary, "temporary failure"},
		{fmt.Errorf("\x1b[31mred\n: %w", kith.Denied), kith.Denied, "[31mred: not allowed"},
		{fmt.Errorf("%s: %w", strings.Repeat("é", 200), kith.Quota), kith.Quota, strings.Repeat("é", 127) + ": limit reached"},
	} {
		var wire bytes.Buffer
		if err := writeVerdict(&wire, c.err); err != nil {
			t.Fatal(err)
		}
		got, err := readVerdict(&wire)
		if err != nil || !errors.Is(got, c.kind) || (got != nil && got.Error() != c.reason) {
			t.Errorf("%v arrives as %v, %v; want %q", c.err, got, err, c.reason)
		}
	}
	if got, err := readVerdict(strings.NewReader("\xee\x00")); err != nil || !errors.Is(got, kith.Temporary) {
		t.Errorf("a verdict of the future: %v, %v; want kind %q", got, err, kith.Temporary)
	}
}

func TestHello(t *testing.T) {
	h := hello{verdict: notMember, reason: "who are you?", instance: instance{1, 2, 3}, proof: []byte("proof")}
	wire := h.append(nil)
	got, err := readHello(bytes.NewReader(wire))
	if err != nil || !reflect.DeepEqual(got, h) {
		t.Errorf("%+v, %v; want %+v", got, err, h)
	}
	future := append([]byte{9, 0, 0, 4 + byte(len(wire)-4)}, wire[4:]...)
	future = append(future, 200, 0, 1, 42) // a field that we do not know
	if got, err := readHello(bytes.NewReader(future)); err != nil || got.instance != h.instance {
		t.Errorf("a hello of the future: %+v, %v", got, err)
	}
	for name, bad := range map[string]string{
		"version 0":   "\x00\x00\x00\x00",
		"cut head":    "\x01\x00",
		"cut body":    "\x01\x00\x00\x05abc",
		"cut field":   "\x01\x00\x00\x04\x01\x00\x09a",
		"stub":        "\x01\x00\x00\x01\x01",
		"too large":   "\x01\x00\xff\xff",
		"large proof": "\x01\x00\x40\x04\x02\x40\x01" + strings.Repeat("x", 16385),
	} {
		if h, err := readHello(strings.NewReader(bad)); err == nil {
			t.Errorf("%s: accepted as %+v", name, h)
		}
	}
}

func FuzzStreamHeader(f *testing.F) {
	f.Add(header{kind: forSocket, port: 80}.append(nil))
	f.Add(header{kind: forSocket, port: 5269, program: true}.append(nil))
	f.Add(header{kind: forGoodbye}.append(nil))
	f.Add(header{kind: forRelaying, host: kith.ID{1}, candidates: []netip.AddrPort{netip.MustParseAddrPort("192.0.2.1:4747"), netip.MustParseAddrPort("[2001:db8::1]:4747")}}.append(nil))
	f.Add(header{kind: forPunching}.append(nil))
	f.Add(header{kind: forPing}.append(nil))
	f.Add(header{kind: forControl}.append(nil))
	f.Add(header{kind: forResuming, socket: socketID{1}, position: position{generation: 2, received: 3, dialler: instance{4}, acceptor: instance{5}}}.append(nil))
	f.Add(header{kind: forSocket, port: 22, socket: socketID{1}, suspend: time.Minute}.append(nil))
	f.Add([]byte{1, 0, 0, 80})
	f.Fuzz(func(t *testing.T, wire []byte) {
		h, err := readHeader(bytes.NewReader(wire))
		if err != nil {
			return
		}
		if again, err := readHeader(bytes.NewReader(h.append(nil))); err != nil || !reflect.DeepEqual(again, h) {
			t.Errorf("%+v becomes %+v, %v", h, again, err)
		}
		readVerdict(bytes.NewReader(wire))
	})
}

func FuzzNotice(f *testing.F) {
	f.Add(notice{kind: noticePosition, dialled: true, socket: socketID{1}, position: 1 << 40}.append(nil))
	f.Add(notice{kind: noticeQuery}.append(nil))
	f.Fuzz(func(t *testing.T, wire []byte) {
		n, err := readNotice(bytes.NewReader(wire))
		if err != nil {
			return
		}
		if again := n.append(nil); !bytes.Equal(again, wire[:noticeSize]) {
			t.Errorf("%x becomes %x", wire, again)
		}
	})
}

// FuzzAnswerToResumption feeds a dialler what an acceptor might answer.
func FuzzAnswerToResumption(f *testing.F) {
	f.Add([]byte{0, 0, 0, 0, 0, 0, 0, 1, 0})
	f.Add([]byte{8, 2, 'n', 'o'})
	f.Fuzz(func(t *testing.T, wire []byte) {
		h := newHalf()
		h.machine.write(make([]byte, 1000), maxUnacknowledged, false)
		h.machine.offer(1000)
		position, refusal, err := askToResume(readOnly{bytes.NewReader(wire)}, header{kind: forResuming})
		if err != nil || refusal != nil {
			return
		}
		if err := h.machine.rewind(position); err == nil && position > 1000 {
			t.Errorf("position %d is accepted", position)
		}
	})
}

// readOnly is a stream that takes whatever is written.
type readOnly struct{ io.Reader }

func (readOnly) Write(p []byte) (int, error)      { return len(p), nil }
func (readOnly) SetReadDeadline(time.Time) error  { return nil }
func (readOnly) SetWriteDeadline(time.Time) error { return nil }
func (readOnly) closeWrite() error                { return nil }
func (readOnly) close() error                     { return nil }
func (readOnly) reset()                           {}

func FuzzHello(f *testing.F) {
	f.Add(hello{instance: instance{1}, proof: []byte("proof")}.append(nil))
	f.Add(hello{verdict: notMember, reason: "no"}.append(nil))
	f.Add([]byte{1, 0, 0, 4, 200, 0, 1, 42})
	f.Fuzz(func(t *testing.T, wire []byte) {
		h, err := readHello(bytes.NewReader(wire))
		if err != nil {
			return
		}
		again, err := readHello(bytes.NewReader(h.append(nil)))
		if err != nil || again.verdict != h.verdict || again.instance != h.instance || again.reason != h.reason || !bytes.Equal(again.proof, h.proof) {
			t.Errorf("%+v becomes %+v, %v", h, again, err)
		}
	})
}

func FuzzJoinExchange(f *testing.F) {
	var request, reply, refusal bytes.Buffer
	writeJoinRequest(&request, joinVersion, []byte("please"))
	writeJoinReply(&reply, []byte("welcome"), nil)
	writeJoinReply(&refusal, nil, kith.Denied)
	f.Add(request.Bytes(), reply.Bytes())
	f.Add([]byte{1, 0xff, 0xff}, refusal.Bytes())
	f.Fuzz(func(t *testing.T, request, reply []byte) {
		if version, body, err := readJoinRequest(bytes.NewReader(request)); err == nil {
			var wire bytes.Buffer
			if err := writeJoinRequest(&wire, version, body); err != nil {
				t.Fatal(err)
			}
			if _, again, err := readJoinRequest(&wire); err != nil || !bytes.Equal(again, body) {
				t.Errorf("request %q becomes %q, %v", body, again, err)
			}
		}
		if body, err := readJoinReply(bytes.NewReader(reply)); err == nil && len(body) > joinMaxBody {
			t.Errorf("reply of %d bytes", len(body))
		}
	})
}

// TestRace checks order, haste after failure, and that late winners are
// discarded.
func TestRace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		spawn := func(task func()) bool { go task(); return true }
		began := time.Now()
		discarded := make(chan string, 10)
		way := func(name string, after, lasts time.Duration, err error) try[string] {
			return try[string]{name: name, after: after, run: func(context.Context) (string, error) {
				time.Sleep(lasts)
				return name, err
			}}
		}
		broken := errors.New("broken")
		got, err := race(t.Context(), spawn, []try[string]{
			way("fails", 0, time.Millisecond, broken),
			way("slow", 100*time.Millisecond, time.Second, nil),
			way("fast", 150*time.Millisecond, 10*time.Millisecond, nil),
		}, func(s string) { discarded <- s })
		if took := time.Since(began); got != "fast" || err != nil || took != 160*time.Millisecond {
			t.Errorf("%s after %v, %v; want fast after 160ms", got, took, err)
		}
		if s := <-discarded; s != "slow" {
			t.Errorf("discarded %s, want slow", s)
		}
		_, err = race(t.Context(), spawn, []try[string]{
			way("one", 0, 0, broken), way("two", time.Hour, 0, io.ErrUnexpectedEOF),
		}, nil)
		if !errors.Is(err, kith.Unreachable) || !strings.Contains(err.Error(), "one: broken; two: unexpected EOF") {
			t.Errorf("%v", err)
		}
		began = time.Now()
		_, err = race(t.Context(), spawn, []try[string]{
			way("refuses", 0, time.Second, fmt.Errorf("no: %w", kith.NotMember)), way("silent", time.Millisecond, time.Hour, nil),
		}, func(string) {})
		if !errors.Is(err, kith.NotMember) || time.Since(began) != time.Second {
			t.Errorf("%v after %v; want the refusal at once", err, time.Since(began))
		}
		time.Sleep(time.Hour) // until the silent one is through
	})
}
