package overlay

import (
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"kith.alt/kith"
)

// A stage is two overlays with sockets between them whose carriers are cut,
// held back, slowed down and replaced while the sockets are used at random.
type stage struct {
	*testing.T
	a, b  *Overlay
	steps atomic.Int64

	mu    sync.Mutex
	hoses []*hose
}

func (st *stage) newCarrier() {
	from, to := st.a, st.b
	if rand.IntN(2) == 0 {
		from, to = to, from
	}
	h := newHose(st.T, from, to)
	h.delay.Store(int64(rand.N(30 * time.Millisecond)))
	st.mu.Lock()
	defer st.mu.Unlock()
	st.hoses = append(st.hoses, h)
	if len(st.hoses) > maxLinks {
		st.hoses = st.hoses[1:]
	}
}

// disturb changes the path at random until stop is closed.
func (st *stage) disturb(stop chan struct{}) {
	for {
		timer := time.NewTimer(rand.N(rand.N(3*time.Second) + 1))
		select {
		case <-timer.C:
		case <-stop:
			return
		}
		st.mu.Lock()
		h := st.hoses[rand.IntN(len(st.hoses))]
		st.mu.Unlock()
		switch rand.IntN(8) {
		case 0, 1:
			st.newCarrier()
		case 2:
			h.cut()
		case 3:
			cut(st.a, st.b)
		case 4:
			cut(st.b, st.a)
		case 5:
			h.held.Store(!h.held.Load())
		case 6:
			h.rate.Store(pick(rand.IntN, 0, int64(10<<10), int64(1<<20)))
		case 7:
			pick(rand.IntN, st.a, st.b).Moved()
		}
		st.steps.Add(1)
		st.repeatNotices()
	}
}

// repeatNotices has positions arrive again that are long past.
func (st *stage) repeatNotices() {
	for _, o := range []*Overlay{st.a, st.b} {
		for _, s := range o.socketsOf(nil) {
			s.mu.Lock()
			past := rand.Uint64N(s.state.acked + 1)
			s.mu.Unlock()
			s.acknowledged(past)
		}
	}
}

// A direction is what one end has written, and how that ended.
type direction struct {
	key     byte
	written atomic.Int64 // bytes that Write has taken
	over    atomic.Bool  // written is final, and the end was sent
	closed  atomic.Bool  // the reader has closed its end: the rest is refused
}

func (d *direction) at(i int64) byte { return byte(i*7+i>>8) + d.key }

// write writes total bytes or fewer, in pieces of any size, with deadlines.
func (st *stage) write(conn net.Conn, d *direction, total int64) {
	buf := make([]byte, 64<<10)
	for d.written.Load() < total {
		st.steps.Add(1)
		if rand.IntN(10) == 0 {
			time.Sleep(rand.N(time.Second))
		}
		if rand.IntN(8) == 0 {
			conn.SetWriteDeadline(time.Now().Add(rand.N(time.Second) - 100*time.Millisecond))
		}
		p := buf[:1+rand.Int64N(min(total-d.written.Load(), pick(rand.IntN, int64(100), int64(len(buf)))))]
		start := d.written.Load()
		for i := range p {
			p[i] = d.at(start + int64(i))
		}
		n, err := conn.Write(p)
		d.written.Add(int64(n))
		switch {
		case err == nil:
		case errors.Is(err, os.ErrDeadlineExceeded):
			conn.SetWriteDeadline(time.Time{})
		case d.closed.Load() && errors.Is(err, syscall.ECONNRESET):
			return
		default:
			st.Errorf("write after %d bytes: %v", d.written.Load(), err)
			return
		}
	}
}

// read reads up to most bytes, or to the end, and compares.
func (st *stage) read(conn net.Conn, d *direction, most int64) {
	buf := make([]byte, 64<<10)
	for read := int64(0); read < most; {
		st.steps.Add(1)
		if rand.IntN(10) == 0 {
			time.Sleep(rand.N(time.Second))
		}
		if rand.IntN(8) == 0 {
			conn.SetReadDeadline(time.Now().Add(rand.N(time.Second) - 100*time.Millisecond))
		}
		n, err := conn.Read(buf[:1+rand.IntN(pick(rand.IntN, 100, len(buf)))])
		for i, c := range buf[:n] {
			if c != d.at(read+int64(i)) {
				st.Errorf("byte %d is wrong", read+int64(i))
				return
			}
		}
		read += int64(n)
		switch {
		case err == nil:
		case errors.Is(err, os.ErrDeadlineExceeded):
			conn.SetReadDeadline(time.Time{})
		case err == io.EOF && d.over.Load() && read == d.written.Load():
			return
		default:
			st.Errorf("read %d of %d bytes, all %t: %v", read, d.written.Load(), d.over.Load(), err)
			return
		}
	}
}

// use has both ends of a socket write and read at random, and close in one of
// the ways that there are.
func (st *stage) use(dialed, accepted net.Conn) {
	var wg sync.WaitGroup
	ways := [2]direction{{key: 1}, {key: 99}}
	leaves := rand.IntN(12) // the end that closes before it has read everything, if it is one
	for i, conn := range []net.Conn{dialed, accepted} {
		out, in := &ways[i], &ways[1-i]
		early := i == leaves
		wg.Go(func() {
			var end sync.WaitGroup
			end.Go(func() {
				st.write(conn, out, rand.Int64N(pick(rand.IntN, int64(1), int64(1000), int64(400<<10)))+1)
				out.over.Store(true)
				if !early {
					kith.CloseWrite(conn)
				}
			})
			end.Go(func() {
				most := int64(1 << 40)
				if early {
					most = rand.Int64N(200 << 10)
				}
				st.read(conn, in, most)
			})
			end.Wait()
			in.closed.Store(true)
			conn.Close()
		})
	}
	wg.Wait()
}

func (st *stage) dump() {
	for _, o := range []*Overlay{st.a, st.b} {
		for _, s := range o.socketsOf(nil) {
			s.mu.Lock()
			st.Logf("%s inbound %t, suspended %v, end %v, attached %+v\n%+v", o.id.Short(), s.inbound, s.since, s.end.Load(), s.on, s.state)
			s.mu.Unlock()
		}
		for l := range o.links {
			st.Logf("%s link %p stalled %t, retired %t, %d sockets", o.id.Short(), l, l.vigil.stalled.Load(), l.retired, len(l.sockets))
		}
	}
}

// TestSocketsAtLength uses sockets at random on a path that is disturbed at
// random. Streams of bytes arrive identical and ended, but for what the reader
// refused by closing.
func TestSocketsAtLength(t *testing.T) {
	for total := int64(0); total < int64(*socketSteps); {
		synctest.Test(t, func(t *testing.T) {
			st := &stage{T: t}
			st.a, st.b = pair(t)
			st.newCarrier()
			l, err := st.b.Listen(t.Context(), kith.Address{})
			if err != nil {
				t.Fatal(err)
			}
			m, err := st.a.Listen(t.Context(), kith.Address{})
			if err != nil {
				t.Fatal(err)
			}
			stop := make(chan struct{})
			var disturbing, using sync.WaitGroup
			var pairs [][2]net.Conn
			for i := range 6 {
				from, to := st.a, l
				if i%2 == 1 {
					from, to = st.b, m
				}
				dialed, err := from.Dial(t.Context(), to.Addr().(kith.Address))
				if err != nil {
					t.Fatal(err)
				}
				accepted, err := to.Accept()
				if err != nil {
					t.Fatal(err)
				}
				pairs = append(pairs, [2]net.Conn{dialed, accepted})
			}
			disturbing.Go(func() { st.disturb(stop) })
			for _, p := range pairs {
				using.Go(func() { st.use(p[0], p[1]) })
			}
			stuck := time.AfterFunc(24*time.Hour, func() {
				st.dump()
				panic("stuck")
			})
			using.Wait()
			stuck.Stop()
			close(stop)
			disturbing.Wait()
			for range 20 { // a new carrier may give way to an older one that is dead
				st.newCarrier()
				time.Sleep(time.Minute)
			}
			if n := st.a.held() + st.b.held(); n != 0 {
				t.Errorf("%d sockets are left", n)
				st.dump()
			}
			total += st.steps.Load()
			for _, h := range st.hoses {
				h.cut()
			}
		})
		if t.Failed() {
			return
		}
	}
}
