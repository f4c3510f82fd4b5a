package gossip

import (
	"bytes"
	"errors"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"kith.alt/kith"
)

type kind byte

func TestFrame(t *testing.T) {
	var wire bytes.Buffer
	for _, payload := range []string{"", "one", "the second one"} {
		wire.Write(FinishFrame(append(BeginFrame(kind(7)), payload...)))
	}
	var buf []byte
	for _, want := range []string{"", "one", "the second one"} {
		got, payload, err := ReadFrame[kind](&wire, &buf)
		if got != 7 || string(payload) != want || err != nil {
			t.Errorf("%d %q, %v, want %q", got, payload, err, want)
		}
	}
	if _, _, err := ReadFrame[kind](&wire, &buf); err != io.EOF {
		t.Errorf("at the end: %v", err)
	}
	for wire, want := range map[string]error{
		"\x00\x00\x00\x00\x01":        kith.Invalid, // no type
		"\x00\x01\x00\x01\x01":        kith.Invalid, // longer than MaxFrame
		"\xff\xff\xff\xff\x01":        kith.Invalid,
		"\x00\x00\x00":                io.ErrUnexpectedEOF,
		"\x00\x00\x00\x03\x01":        io.ErrUnexpectedEOF,
		"\x00\x00\x00\x03\x01a":       io.ErrUnexpectedEOF,
		"\x00\x00\x00\x02\x01a extra": nil,
	} {
		if _, _, err := ReadFrame[kind](bytes.NewReader([]byte(wire)), &buf); !errors.Is(err, want) {
			t.Errorf("%q: %v, want %v", wire, err, want)
		}
	}
}

func FuzzFrame(f *testing.F) {
	f.Add(FinishFrame(append(BeginFrame(kind(1)), "payload"...)))
	f.Fuzz(func(t *testing.T, wire []byte) {
		var buf []byte
		k, payload, err := ReadFrame[kind](bytes.NewReader(wire), &buf)
		if err == nil && !bytes.HasPrefix(wire, FinishFrame(append(BeginFrame(k), payload...))) {
			t.Errorf("%q is read as %d %q", wire, k, payload)
		}
	})
}

func TestPace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := Pace{Burst: 3, Every: time.Second}
		for i, want := range []time.Duration{0, 0, 0, time.Second, time.Second} {
			rest := max(0, p.Rest())
			if rest != want {
				t.Errorf("number %d waits %v, want %v", i, rest, want)
			}
			time.Sleep(rest)
			p.Spend()
		}
		time.Sleep(time.Hour) // no more than a burst is saved up
		for range 3 {
			p.Spend()
		}
		if rest := p.Rest(); rest != time.Second {
			t.Errorf("after a burst it rests %v", rest)
		}
	})
}

func TestDecodeExact(t *testing.T) {
	for text, ok := range map[string]bool{
		`{"name":"a"}`: true, `{"name":"a","later":{"Name":1}}`: true, `{}`: true,
		`{"name":"a","name":"b"}`: false, `{"Name":"a"}`: false, `{"later":1,"later":2}`: false,
		`[]`: false, `null`: false, `{"name":1}`: false, `{"name":"a"} {}`: false, ``: false,
	} {
		var v struct {
			Name string `json:"name"`
		}
		if err := DecodeExact([]byte(text), &v, []string{"name"}); ok != (err == nil) || err != nil && !errors.Is(err, kith.Invalid) {
			t.Errorf("%s: %v", text, err)
		}
	}
}
