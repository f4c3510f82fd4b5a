package swarm

import (
	"context"
	"errors"
	"math"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"kith.alt/kith"
	"kith.alt/kith/content"
)

// limited is a swarm of which only the limits are there.
func limited(limits kith.SwarmLimits) *Swarm {
	s := &Swarm{accounts: make(map[kith.ID]*account)}
	s.limits.Store(&limits)
	s.uplink = newUplink(s.allUp, nil, func(context.Context) (time.Duration, bool) { return 0, false })
	s.down.rate = s.allDown
	return s
}

// keepsTo checks what was moved in some time against a rate.
func keepsTo(t *testing.T, what string, bytes int64, during time.Duration, rate float64) {
	t.Helper()
	if got := float64(bytes) / during.Seconds(); math.Abs(got/rate-1) > 0.05 {
		t.Errorf("%s: %.0f bytes a second, limit %.0f", what, got, rate)
	}
}

// TestBucket has many use a bucket at a time, at rates from very low to high, and changes the
// rate meanwhile: it holds from then on.
func TestBucket(t *testing.T) {
	for _, users := range []int{1, 40} {
		for _, low := range []int64{1 << 10, 100_000, 50e6} {
			synctest.Test(t, func(t *testing.T) {
				var rate, moved atomic.Int64
				rate.Store(low)
				b := &bucket{rate: func(time.Time) int64 { return rate.Load() }}
				quit := make(chan struct{})
				var work sync.WaitGroup
				for range users {
					work.Go(func() {
						for {
							b.wait(content.BlockSize, quit)
							select {
							case <-quit:
								return
							default:
								moved.Add(content.BlockSize)
							}
						}
					})
				}
				for _, now := range []int64{low, low * 4, low / 2} {
					rate.Store(now)
					time.Sleep(time.Second)
					moved.Store(0)
					during := time.Duration(float64(200*content.BlockSize) / float64(now) * float64(time.Second))
					time.Sleep(during)
					keepsTo(t, "one of several", moved.Load(), during, float64(now))
				}
				close(quit)
				work.Wait()
			})
		}
	}
}

// sleepUntil sleeps until a minute of the day begins.
func sleepUntil(text string) {
	for time.Now().Format("15:04") != text {
		time.Sleep(time.Until(time.Now().Truncate(time.Minute).Add(time.Minute)))
	}
}

// TestHours runs through two days: what holds by day and by night begins and ends with its
// hours, over midnight, too.
func TestHours(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := limited(kith.SwarmLimits{Down: 300_000, Hours: []kith.RateHours{
			{From: "12:00", To: "13:00", Down: 0},
			{From: "22:30", To: "06:00", Down: 100_000},
			{From: "06:00", To: "08:00", Down: 200_000},
		}})
		for _, c := range []struct {
			from string
			rate float64
		}{
			{"22:29", 300_000}, {"22:30", 100_000}, {"23:59", 100_000}, {"00:00", 100_000}, {"05:59", 100_000},
			{"06:00", 200_000}, {"07:59", 200_000}, {"08:00", 300_000}, {"11:59", 300_000}, {"13:00", 300_000}, {"22:29", 300_000},
		} {
			sleepUntil(c.from)
			begun, moved := time.Now(), int64(0)
			for time.Since(begun) < time.Minute-time.Second {
				s.down.wait(content.BlockSize, nil)
				moved += content.BlockSize
			}
			keepsTo(t, c.from, moved, time.Since(begun), c.rate)
		}
		sleepUntil("12:30")
		begun := time.Now()
		s.down.wait(1<<30, nil)
		if took := time.Since(begun); took > 0 {
			t.Errorf("no limit, and %v", took)
		}
	})
}

func TestHoursOfDays(t *testing.T) {
	limits := &kith.SwarmLimits{Up: 1, Hours: []kith.RateHours{
		{Days: "mon-fri", From: "08:00", To: "18:00", Up: 2}, {Days: "fri", From: "20:00", To: "02:00", Up: 3}, {Days: "sat-sun", From: "09:00", To: "09:00", Up: 4},
	}}
	monday := time.Date(2026, 3, 2, 0, 0, 0, 0, time.Local)
	for _, c := range []struct {
		day  int // after Monday
		at   string
		want int64
	}{
		{0, "07:59", 4}, {0, "08:00", 2}, {0, "17:59", 2}, {0, "18:00", 1}, {1, "07:59", 1}, {1, "08:00", 2}, {1, "19:00", 1},
		{4, "19:59", 1}, {4, "20:00", 3}, {5, "00:00", 3}, {5, "01:59", 3}, {5, "02:00", 1}, {5, "20:00", 4}, {6, "01:00", 4}, {7, "08:30", 2},
	} {
		at, err := time.Parse("15:04", c.at)
		if err != nil {
			t.Fatal(err)
		}
		now := monday.AddDate(0, 0, c.day).Add(time.Duration(at.Hour())*time.Hour + time.Duration(at.Minute())*time.Minute)
		if up, _ := rates(limits, now); up != c.want {
			t.Errorf("%s: %d, not %d", now.Format("Mon 15:04"), up, c.want)
		}
	}
}

// TestHoursRefused has times of day that cannot be compared with others.
func TestHoursRefused(t *testing.T) {
	for from, ok := range map[string]bool{"08:00": true, "00:00": true, "23:59": true, "8:00": false, "8": false, "24:00": false, "08:60": false, "": false} {
		err := checkLimits(kith.SwarmLimits{Hours: []kith.RateHours{{From: from, To: "18:00"}}})
		if ok && err != nil || !ok && (!errors.Is(err, kith.Invalid) || !strings.Contains(err.Error(), "such as 08:00")) {
			t.Errorf("%q: %v", from, err)
		}
	}
}

// TestUplinkLimit has members and torrent clients take at a time: together they get what the
// owner allows, and each client what a member may have.
func TestUplinkLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := limited(kith.SwarmLimits{Up: 10_000})
		ctx, cancel := context.WithCancel(t.Context())
		var members, clients atomic.Int64
		s.uplink.ask = func() (int, bool) {
			members.Add(content.BlockSize)
			return content.BlockSize, true
		}
		var work sync.WaitGroup
		work.Go(func() { s.uplink.serve(ctx) })
		client := func() {
			c := &client{exchange: &exchange{swarm: s}, upCap: bucket{rate: s.memberUp}}
			for ctx.Err() == nil {
				c.Sent(content.BlockSize)
				clients.Add(content.BlockSize)
				for rest := c.Rest(); rest > 0 && ctx.Err() == nil; rest = c.Rest() {
					time.Sleep(min(rest, lookMost))
				}
			}
		}
		measure := func(what string, rate, ofClients float64) {
			const during = 10 * time.Minute
			time.Sleep(10 * time.Second)
			members.Store(0)
			clients.Store(0)
			time.Sleep(during)
			keepsTo(t, what, members.Load()+clients.Load(), during, rate)
			if ofClients > 0 {
				keepsTo(t, what+", clients", clients.Load(), during, ofClients)
			}
		}
		measure("members alone", 10_000, 0)
		for range 3 {
			work.Go(client)
		}
		measure("with clients", 10_000, 7_500)
		s.limits.Store(&kith.SwarmLimits{Up: 60_000, MemberUp: 5_000})
		measure("raised, with clients held down", 60_000, 15_000)
		s.limits.Store(&kith.SwarmLimits{Up: 4_000})
		measure("lowered", 4_000, 3_000)
		cancel()
		work.Wait()
	})
}

// TestMemberUp has the uplink told when a member may have more.
func TestMemberUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := limited(kith.SwarmLimits{MemberUp: 100_000})
		member, begun := s.accountOf(kith.ID{1}), time.Now()
		var sent int64
		for time.Since(begun) < time.Minute {
			for member.up.ready(time.Now()) {
				member.up.take(content.BlockSize)
				sent += content.BlockSize
			}
			<-s.uplink.kicks
		}
		keepsTo(t, "to the member", sent, time.Since(begun), 100_000)
	})
}
