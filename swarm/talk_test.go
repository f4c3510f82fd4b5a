package swarm

import (
	"context"
	"crypto/ed25519"
	"errors"
	"log/slog"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"kith.alt/kith"
)

// TestCallsPause has a member not answer: it is called less and less often, and at
// once when it comes back.
func TestCallsPause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var calls []time.Time
		online := true
		key := ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))
		peer := kith.ID{0: 0xff} // greater than ours
		s := New(Config{
			Self: kith.IDOf(key.Public().(ed25519.PublicKey)), Key: key,
			Dial: func(context.Context, kith.Address) (net.Conn, error) {
				calls = append(calls, time.Now())
				return nil, errors.New("no answer")
			},
			Members: func() []kith.Member { return []kith.Member{{ID: peer, Online: online}} },
			Paths:   func() map[kith.ID]Path { return nil },
			Log:     slog.New(slog.DiscardHandler), Metrics: new(kith.Metrics),
		})
		awake := make(map[kith.ID]*candidate)
		wait := func(seconds int) {
			for range seconds {
				s.talk(t.Context(), awake, time.Now())
				s.work.Wait()
				time.Sleep(time.Second)
			}
		}
		wait(20 * 60)
		if n := len(calls); n < 10 || n > 25 {
			t.Errorf("%d calls in 20 minutes", n)
		}
		if n := len(calls); calls[n-1].Sub(calls[n-2]) > longestRetry+2*time.Second {
			t.Errorf("a pause of %v", calls[n-1].Sub(calls[n-2]))
		}
		online = false
		wait(3)
		online, calls = true, nil
		back := time.Now()
		wait(5)
		if len(calls) < 2 || calls[0].Sub(back) > 2*time.Second {
			t.Errorf("calls after it came back at %v: %v", back, calls)
		}
	})
}
