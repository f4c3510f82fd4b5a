package overlay

import (
	"net"
	"runtime"
	"testing"
)

// TestIdleSocketsCostLittle opens sockets that carry a message and then
// nothing: they have no goroutine and no buffer.
func TestIdleSocketsCostLittle(t *testing.T) {
	for _, carrier := range bothCarriers {
		t.Run(carrier, func(t *testing.T) {
			const sockets, most = 500, 8 << 10 // bytes, both ends
			c := newClub()
			a, b := c.member(t, 1, only(carrier)), c.member(t, 2, only(carrier))
			dialed, accepted := connected(t, a, b)
			exchange(t, dialed, accepted)
			idle := func() bool {
				for _, o := range []*Overlay{a, b} {
					for _, s := range o.socketsOf(nil) {
						s.mu.Lock()
						n := s.state.kept.memory()
						s.mu.Unlock()
						if n > 0 {
							return false
						}
					}
				}
				return true
			}
			measure := func() (bytes, goroutines int) {
				waitFor(t, "everything to be acknowledged", idle)
				runtime.GC()
				runtime.GC() // empties the pools, too
				var m runtime.MemStats
				runtime.ReadMemStats(&m)
				return int(m.HeapAlloc + m.StackInuse), runtime.NumGoroutine()
			}
			before, goroutines := measure()
			var open []net.Conn
			for range sockets {
				dialed, accepted := connected(t, a, b)
				exchange(t, dialed, accepted)
				open = append(open, dialed, accepted)
			}
			waitFor(t, "goroutines to end", func() bool {
				return runtime.NumGoroutine() < goroutines+20
			})
			after, _ := measure()
			each := (after - before) / sockets
			if t.Logf("%d bytes for both ends", each); each > most {
				t.Errorf("a socket takes %d bytes for both ends, want %d at most", each, most)
			}
			runtime.KeepAlive(open)
		})
	}
}
