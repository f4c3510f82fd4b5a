package overlay

import (
	"bytes"
	"errors"
	"testing"

	"pgregory.net/rapid"
)

// A wire carries bytes one way, in order, until it is cut: a model of one
// direction of a stream.
type wire struct {
	bytes []byte
	end   bool
}

// A half is one end of a socket in the model: the machine, and what the
// application wrote and read.
type half struct {
	machine     resumable
	wrote, read []byte
	notices     []uint64
	out         *wire // nil while suspended
	in          *wire
}

func newHalf() *half {
	h := new(half)
	h.machine.kept.budget = new(budget)
	return h
}

// pump moves up to most bytes to the stream.
func (h *half) pump(most int) {
	if h.out == nil {
		return
	}
	if p := h.machine.unsent(); len(p) > 0 {
		p = p[:min(len(p), most)]
		start := h.machine.sent
		h.machine.offer(len(p))
		h.out.bytes = append(h.out.bytes, p...)
		if err := h.machine.advance(start + uint64(len(p))); err != nil {
			panic(err)
		}
	}
	if h.machine.endDue() {
		h.machine.endOut = true
		h.out.end = true
	}
}

// take has the application read up to most bytes.
func (h *half) take(most int) {
	if h.in == nil || h.machine.eof {
		return
	}
	n := min(most, len(h.in.bytes))
	h.read = append(h.read, h.in.bytes[:n]...)
	h.in.bytes = h.in.bytes[n:]
	h.machine.receive(n)
	if n == 0 && h.in.end {
		h.machine.receiveEnd()
	}
}

// TestResumable has two machines talk over streams that are cut and replaced
// at random, with acknowledgements that are late, lost or in disorder. Each
// reader has a prefix of what was written at all times, the end only after all
// of it, and everything once the last stream is left in peace.
func TestResumable(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		dialler, acceptor := newHalf(), newHalf()
		ends := []*half{dialler, acceptor}
		generation := uint32(0)
		var next byte
		check := func() {
			for i, h := range ends {
				far := ends[1-i]
				if !bytes.HasPrefix(far.wrote, h.read) {
					t.Fatalf("end %d read what was not written", i)
				}
				if h.machine.eof && (!far.machine.ended || len(h.read) != len(far.wrote)) {
					t.Fatalf("end %d read the end after %d of %d bytes", i, len(h.read), len(far.wrote))
				}
				if held := h.machine.kept.end - h.machine.kept.base; uint64(len(h.wrote)) != h.machine.kept.end || held > maxUnacknowledged {
					t.Fatalf("end %d keeps %d bytes of %d", i, held, len(h.wrote))
				}
				if taken, have := h.machine.kept.budget.taken.Load(), h.machine.kept.memory(); taken != int64(have) {
					t.Fatalf("end %d: the budget counts %d bytes, chunks have %d", i, taken, have)
				}
			}
		}
		cut := func() {
			for _, h := range ends {
				h.in, h.out = nil, nil
			}
		}
		resume := func() {
			cut()
			generation++
			if acceptor.machine.fence(generation) != nil || dialler.machine.fence(generation) != nil {
				t.Fatal("a new generation is refused")
			}
			if old := rapid.Uint32Range(0, generation).Draw(t, "old"); !errors.Is(acceptor.machine.fence(old), errGeneration) {
				t.Fatalf("generation %d is accepted after %d", old, generation)
			}
			there := dialler.machine.position()
			if err := acceptor.machine.rewind(there); err != nil {
				t.Fatal(err)
			}
			if rapid.IntRange(0, 5).Draw(t, "answer lost") == 0 {
				return
			}
			if err := dialler.machine.rewind(acceptor.machine.position()); err != nil {
				t.Fatal(err)
			}
			one, two := new(wire), new(wire)
			dialler.out, acceptor.in = one, one
			acceptor.out, dialler.in = two, two
		}
		resume()
		any := func() (*half, *half) {
			i := rapid.IntRange(0, 1).Draw(t, "end")
			return ends[i], ends[1-i]
		}
		t.Repeat(map[string]func(*rapid.T){
			"": func(*rapid.T) { check() },
			"write": func(t *rapid.T) {
				h, _ := any()
				if h.machine.ended {
					return
				}
				p := make([]byte, rapid.SampledFrom([]int{1, 10, smallChunk, smallChunk + 1, largeChunk, 3 * largeChunk}).Draw(t, "size"))
				for i := range p {
					p[i] = next
					next++
				}
				n := h.machine.write(p, rapid.Bool().Draw(t, "suspended"))
				h.wrote = append(h.wrote, p[:n]...)
				next -= byte(len(p) - n)
			},
			"send": func(t *rapid.T) {
				h, _ := any()
				h.pump(rapid.SampledFrom([]int{1, 1000, largeChunk}).Draw(t, "most"))
			},
			"take back": func(*rapid.T) { // a Write whose deadline passed
				h, _ := any()
				if h.out == nil || h.machine.ended || h.machine.sent == h.machine.kept.end {
					return
				}
				h.machine.takeBack()
				next -= byte(uint64(len(h.wrote)) - h.machine.kept.end)
				h.wrote = h.wrote[:h.machine.kept.end]
			},
			"read": func(t *rapid.T) {
				h, _ := any()
				h.take(rapid.SampledFrom([]int{1, 1000, 1 << 20}).Draw(t, "most"))
			},
			"tell": func(*rapid.T) {
				h, far := any()
				far.notices = append(far.notices, h.machine.position())
			},
			"hear": func(t *rapid.T) {
				h, _ := any()
				if len(h.notices) == 0 {
					return
				}
				i := rapid.IntRange(0, len(h.notices)-1).Draw(t, "which")
				if err := h.machine.acknowledge(h.notices[i]); err != nil {
					t.Fatal(err)
				}
				h.notices = append(h.notices[:i], h.notices[i+1:]...)
			},
			"end": func(*rapid.T) {
				h, _ := any()
				h.machine.ended = true
			},
			"cut":    func(*rapid.T) { cut() },
			"resume": func(*rapid.T) { resume() },
		})

		for dialler.out == nil {
			resume()
		}
		for _, h := range ends {
			h.machine.ended = true
		}
		for i := 0; i < 2; {
			h, far := ends[i], ends[1-i]
			h.pump(1 << 20)
			far.take(1 << 20)
			if far.machine.eof {
				i++
			}
			if err := h.machine.acknowledge(far.machine.position()); err != nil {
				t.Fatal(err)
			}
			check()
		}
		for i, h := range ends {
			if len(h.read) != len(ends[1-i].wrote) || !h.machine.delivered() || len(h.machine.kept.chunks) != 0 {
				t.Fatalf("end %d: read %d bytes of %d, delivered %t, keeps %d chunks", i,
					len(h.read), len(ends[1-i].wrote), h.machine.delivered(), len(h.machine.kept.chunks))
			}
		}
	})
}

// TestResumableRefuses checks what only a lying peer says.
func TestResumableRefuses(t *testing.T) {
	h := newHalf()
	r := &h.machine
	r.write(make([]byte, 100), false)
	if err := r.acknowledge(1); !errors.Is(err, errPosition) {
		t.Errorf("acknowledgement of what was not sent: %v", err)
	}
	r.offer(60)
	if err := r.acknowledge(61); !errors.Is(err, errPosition) {
		t.Errorf("acknowledgement beyond what is being sent: %v", err)
	}
	if err := r.acknowledge(20); err != nil {
		t.Errorf("acknowledgement of what is being sent: %v", err)
	}
	if err := r.advance(19); !errors.Is(err, errPosition) {
		t.Errorf("acknowledgement of more than the stream took: %v", err)
	}
	if err := r.advance(60); err != nil {
		t.Errorf("stream takes all: %v", err)
	}
	if err := r.rewind(50); err != nil {
		t.Errorf("rewind to the middle: %v", err)
	}
	if err := r.acknowledge(51); !errors.Is(err, errPosition) {
		t.Errorf("acknowledgement of what only an earlier stream had: %v", err)
	}
	if err := r.rewind(49); !errors.Is(err, errPosition) {
		t.Errorf("rewind to what was acknowledged and is gone: %v", err)
	}
	if err := r.rewind(100); !errors.Is(err, errPosition) {
		t.Errorf("rewind to what was not sent: %v", err)
	}
	r.offer(50)
	r.advance(100)
	r.ended = true
	if err := r.acknowledge(101); !errors.Is(err, errPosition) {
		t.Errorf("acknowledgement of the end that was not sent: %v", err)
	}
	r.endOut = true
	if err := r.rewind(101); err != nil || !r.delivered() || r.endDue() {
		t.Errorf("rewind to the end: %v", err)
	}
}

// TestLentChunk drops a chunk while a stream is being handed it: it must not
// be used for other bytes meanwhile.
func TestLentChunk(t *testing.T) {
	h := newHalf()
	r := &h.machine
	r.write(bytes.Repeat([]byte("a"), 100), false)
	lent := r.unsent()
	r.kept.lent = true
	r.discard()
	other := buffer{budget: r.kept.budget}
	for range 10 {
		other.append(bytes.Repeat([]byte("b"), 100), false)
	}
	if !bytes.Equal(lent, bytes.Repeat([]byte("a"), 100)) {
		t.Errorf("the stream sends %q", lent[:10])
	}
}
