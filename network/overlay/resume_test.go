package overlay

import (
	"bytes"
	"errors"
	"flag"
	"math/rand/v2"
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
	verified    int // bytes of read that were compared
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

// A chance draws numbers from 0 to below n.
type chance func(n int) int

// A failure is what a model reports its faults to.
type failure interface {
	Fatalf(format string, args ...any)
}

// A model is two machines that talk over streams that are cut and replaced at
// random, with acknowledgements that are late, lost or in disorder. Each reader
// has a prefix of what was written at all times, the end only after all of it,
// and everything once the last stream is left in peace.
type model struct {
	failure
	draw       chance
	ends       [2]*half // the dialler's and the acceptor's
	generation uint32
	next       byte
}

func newModel(f failure, draw chance) *model {
	m := &model{failure: f, draw: draw, ends: [2]*half{newHalf(), newHalf()}}
	m.resume()
	return m
}

func (m *model) check() {
	for i, h := range m.ends {
		far := m.ends[1-i]
		if !bytes.HasPrefix(far.wrote[h.verified:], h.read[h.verified:]) {
			m.Fatalf("end %d read what was not written", i)
		}
		h.verified = len(h.read)
		if h.machine.eof && (!far.machine.ended || len(h.read) != len(far.wrote)) {
			m.Fatalf("end %d read the end after %d of %d bytes", i, len(h.read), len(far.wrote))
		}
		kept := &h.machine.kept
		if held := kept.end - kept.base; uint64(len(h.wrote)) != kept.end || held > maxUnacknowledged {
			m.Fatalf("end %d keeps %d bytes of %d", i, held, len(h.wrote))
		}
		if taken, have := kept.budget.taken.Load(), kept.memory(); taken != int64(have) {
			m.Fatalf("end %d: the budget counts %d bytes, chunks have %d", i, taken, have)
		}
	}
}

func (m *model) cut() {
	for _, h := range m.ends {
		h.in, h.out = nil, nil
	}
}

func (m *model) resume() {
	m.cut()
	m.generation++
	dialler, acceptor := &m.ends[0].machine, &m.ends[1].machine
	if acceptor.fence(m.generation) != nil || dialler.fence(m.generation) != nil {
		m.Fatalf("a new generation is refused")
	}
	if old := uint32(m.draw(int(m.generation) + 1)); !errors.Is(acceptor.fence(old), errGeneration) {
		m.Fatalf("generation %d is accepted after %d", old, m.generation)
	}
	there := dialler.position()
	if err := acceptor.rewind(there); err != nil {
		m.Fatalf("acceptor: %v", err)
	}
	one, two := new(wire), new(wire)
	m.ends[1].out, m.ends[1].in = two, one
	if m.draw(6) == 0 { // the answer is lost; what the acceptor sent, too
		m.ends[1].pump(m.draw(largeChunk))
		m.cut()
		return
	}
	if err := dialler.rewind(acceptor.position()); err != nil {
		m.Fatalf("dialler: %v", err)
	}
	m.ends[0].out, m.ends[0].in = one, two
}

func pick[T any](draw chance, of ...T) T { return of[draw(len(of))] }

func (m *model) step() {
	i := m.draw(2)
	h, far := m.ends[i], m.ends[1-i]
	switch m.draw(12) {
	case 0, 1:
		if h.machine.ended {
			return
		}
		p := make([]byte, pick(m.draw, 1, 10, 100, smallChunk, smallChunk+1, largeChunk+10))
		for i := range p {
			p[i] = m.next
			m.next++
		}
		n := h.machine.write(p, uint64(pick(m.draw, 100, minUnacknowledged, maxUnacknowledged)), m.draw(2) == 0)
		h.wrote = append(h.wrote, p[:n]...)
		m.next -= byte(len(p) - n)
	case 2, 3:
		h.pump(pick(m.draw, 1, 1000, largeChunk))
	case 4: // a Write whose deadline passed
		if h.out == nil || h.machine.ended || h.machine.sent == h.machine.kept.end {
			return
		}
		h.machine.takeBack()
		m.next -= byte(uint64(len(h.wrote)) - h.machine.kept.end)
		h.wrote = h.wrote[:h.machine.kept.end]
	case 5, 6:
		h.take(pick(m.draw, 1, 1000, 1<<20))
	case 7:
		far.notices = append(far.notices, h.machine.position())
	case 8, 9:
		if len(h.notices) == 0 {
			return
		}
		i := m.draw(len(h.notices))
		if err := h.machine.acknowledge(h.notices[i]); err != nil {
			m.Fatalf("acknowledgement: %v", err)
		}
		if m.draw(4) > 0 { // else it comes again
			h.notices = append(h.notices[:i], h.notices[i+1:]...)
		}
	case 10:
		if m.draw(10) == 0 {
			h.machine.ended = true
		}
	case 11:
		if m.draw(2) == 0 {
			m.cut()
		} else {
			m.resume()
		}
	}
	m.check()
}

// finish leaves the streams in peace: everything arrives.
func (m *model) finish() {
	for m.ends[0].out == nil {
		m.resume()
	}
	for _, h := range m.ends {
		h.machine.ended = true
	}
	for i := 0; i < 2; {
		h, far := m.ends[i], m.ends[1-i]
		h.pump(1 << 20)
		far.take(1 << 20)
		if far.machine.eof {
			i++
		}
		if err := h.machine.acknowledge(far.machine.position()); err != nil {
			m.Fatalf("acknowledgement: %v", err)
		}
		m.check()
	}
	for i, h := range m.ends {
		if len(h.read) != len(m.ends[1-i].wrote) || !h.machine.delivered() || len(h.machine.kept.chunks) != 0 {
			m.Fatalf("end %d: read %d bytes of %d, delivered %t, keeps %d chunks", i,
				len(h.read), len(m.ends[1-i].wrote), h.machine.delivered(), len(h.machine.kept.chunks))
		}
	}
}

// TestResumable looks for short ways to a fault.
func TestResumable(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		draw := func(n int) int { return rapid.IntRange(0, n-1).Draw(t, "draw") }
		m := newModel(t, draw)
		for range draw(200) {
			m.step()
		}
		m.finish()
	})
}

var (
	machineSteps = flag.Int("machine.steps", 2_000_000/slower, "steps of TestResumableAtLength")
	socketSteps  = flag.Int("socket.steps", 100_000/slower, "steps of TestSocketsAtLength")
	randomSeed   = flag.Uint64("random.seed", rand.Uint64(), "of both")
)

// TestResumableAtLength takes as many steps as it is told to.
func TestResumableAtLength(t *testing.T) {
	t.Logf("-random.seed %d", *randomSeed)
	random := rand.New(rand.NewPCG(*randomSeed, 0))
	for step := 0; step < *machineSteps; {
		m := newModel(t, random.IntN)
		for range 500 {
			m.step()
			step++
		}
		m.finish()
	}
}

// TestResumableRefuses checks what only a lying peer says.
func TestResumableRefuses(t *testing.T) {
	h := newHalf()
	r := &h.machine
	r.write(make([]byte, 100), maxUnacknowledged, false)
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
	r.write(bytes.Repeat([]byte("a"), 100), maxUnacknowledged, false)
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
