package swarm

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"kith.alt/kith"
)

// A meter measures a rate: what came in the last seconds counts, the more the
// later it came.
type meter struct {
	mu    sync.Mutex
	bytes float64
	at    time.Time
	last  time.Time // that something came
}

const (
	meterTime = 2 * time.Second
	meterRest = 4 * time.Second // without anything: the rate is none
)

func (m *meter) add(n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := time.Now()
	m.fadeLocked(now)
	m.bytes, m.last = m.bytes+float64(n), now
}

func (m *meter) fadeLocked(now time.Time) {
	m.bytes *= math.Exp(-now.Sub(m.at).Seconds() / meterTime.Seconds())
	m.at = now
}

// rate is in bytes a second.
func (m *meter) rate() float64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := time.Now()
	m.fadeLocked(now)
	if m.bytes < 1 || now.Sub(m.last) > meterRest {
		return 0
	}
	return m.bytes / meterTime.Seconds()
}

// An account is what a member gave and took, and what it may.
type account struct {
	up, down       bucket
	received, sent atomic.Int64  // bytes of content, ever
	asks           chan struct{} // has what the member asks for and is being answered

	mu    sync.Mutex
	base  time.Duration // the least difference of clocks and the way there, on the path
	based time.Time     // when it was that; zero where it is not known
	since time.Time     // of the path
}

// clockDrift is how much faster one clock may run than another.
const clockDrift = 50e-6

// late returns how much longer than the shortest one the way to the member took. Way is
// when something came, by the member's clock, less when it was sent, by ours: the two began at
// different times, so that only differences of ways mean something (RFC 6817 3.4).
func (a *account) late(way time.Duration, path Path, now time.Time) time.Duration {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !path.Since.Equal(a.since) {
		a.since, a.based = path.Since, time.Time{}
	}
	if !a.based.IsZero() {
		a.base += time.Duration(clockDrift * float64(now.Sub(a.based)))
	}
	if a.based.IsZero() || way < a.base {
		a.base = way
	}
	a.based = now
	return way - a.base
}

// accountOf returns the account of a member.
func (s *Swarm) accountOf(host kith.ID) *account {
	s.mu.Lock()
	defer s.mu.Unlock()
	a := s.accounts[host]
	if a == nil {
		a = &account{asks: make(chan struct{}, maxAsks)}
		a.up.rate, a.up.wake, a.down.rate = s.memberUp, s.uplink.kick, s.memberDown
		s.accounts[host] = a
	}
	return a
}

func (s *Swarm) memberUp(time.Time) int64   { return s.limits.Load().MemberUp }
func (s *Swarm) memberDown(time.Time) int64 { return s.limits.Load().MemberDown }

// allUp and allDown are what holds for all together now.
func (s *Swarm) allUp(now time.Time) int64 {
	up, _ := rates(s.limits.Load(), now)
	return up
}

func (s *Swarm) allDown(now time.Time) int64 {
	_, down := rates(s.limits.Load(), now)
	return down
}

// Contributions returns what members gave to this host and took from it.
func (s *Swarm) Contributions() []kith.Contribution {
	s.mu.Lock()
	defer s.mu.Unlock()
	var list []kith.Contribution
	for host, a := range s.accounts {
		if c := (kith.Contribution{Host: host, Received: a.received.Load(), Sent: a.sent.Load()}); c.Received+c.Sent > 0 {
			list = append(list, c)
		}
	}
	slices.SortFunc(list, func(a, b kith.Contribution) int { return int(min(max(b.Received-a.Received, -1), 1)) })
	return list
}

// Limits returns what sharing may use.
func (s *Swarm) Limits() kith.SwarmLimits { return *s.limits.Load() }

// SetLimits sets what sharing may use, from now on. It fails with kind Invalid.
func (s *Swarm) SetLimits(ctx context.Context, limits kith.SwarmLimits) error {
	if err := checkLimits(limits); err != nil {
		return err
	}
	text, err := json.Marshal(limits)
	if err != nil {
		return fmt.Errorf("limits: %w", err)
	}
	err = s.cfg.Store.Update(ctx, func(tx *sql.Tx) error {
		_, err := tx.Exec("INSERT INTO swarm_limits (id, limits) VALUES (1, ?) ON CONFLICT (id) DO UPDATE SET limits = excluded.limits", text)
		return err
	})
	if err != nil {
		return fmt.Errorf("store limits: %w", err)
	}
	s.limits.Store(&limits)
	s.uplink.kick()
	s.makeRoom(ctx)
	return nil
}

func (s *Swarm) loadLimits(tx *sql.Tx) error {
	var text []byte
	err := tx.QueryRow("SELECT limits FROM swarm_limits WHERE id = 1").Scan(&text)
	if errors.Is(err, sql.ErrNoRows) {
		return nil
	} else if err != nil {
		return err
	}
	limits := new(kith.SwarmLimits)
	if err := json.Unmarshal(text, limits); err != nil {
		return err
	}
	s.limits.Store(limits)
	return nil
}

func checkLimits(l kith.SwarmLimits) error {
	for _, n := range []int64{l.Up, l.Down, l.MemberUp, l.MemberDown, l.Copies, l.MemberDisk} {
		if n < 0 {
			return fmt.Errorf("a limit of %d bytes is below zero: %w", n, kith.Invalid)
		}
	}
	if len(l.Hours) > 50 {
		return fmt.Errorf("%d hours, at most 50: %w", len(l.Hours), kith.Invalid)
	}
	for _, h := range l.Hours {
		if _, err := parseDays(h.Days); err != nil {
			return err
		}
		for _, text := range []string{h.From, h.To} {
			// They are compared as texts: 8:00 would be after 18:00.
			if at, err := time.Parse("15:04", text); err != nil || at.Format("15:04") != text {
				return fmt.Errorf("%q is no time of day such as 08:00: %w", text, kith.Invalid)
			}
		}
		if h.Up < 0 || h.Down < 0 {
			return fmt.Errorf("a limit below zero: %w", kith.Invalid)
		}
	}
	return nil
}

var weekdays = []string{"sun", "mon", "tue", "wed", "thu", "fri", "sat"}

// parseDays reads "mon-fri", "sat,sun"; "" is every day.
func parseDays(text string) (days [7]bool, err error) {
	if text == "" {
		text = "sun-sat"
	}
	for part := range strings.SplitSeq(text, ",") {
		first, last, isRange := strings.Cut(strings.TrimSpace(part), "-")
		if !isRange {
			last = first
		}
		from, to := slices.Index(weekdays, first), slices.Index(weekdays, last)
		if from < 0 || to < 0 {
			return days, fmt.Errorf("%q are no days such as mon-fri: %w", text, kith.Invalid)
		}
		for day := from; ; day = (day + 1) % 7 {
			days[day] = true
			if day == to {
				break
			}
		}
	}
	return days, nil
}

// rates returns the limits that hold at a moment; 0 is none.
func rates(l *kith.SwarmLimits, now time.Time) (up, down int64) {
	for _, h := range l.Hours {
		days, err := parseDays(h.Days)
		if err == nil && contains(days, h.From, h.To, now) {
			return h.Up, h.Down
		}
	}
	return l.Up, l.Down
}

// contains reports whether now is from a time of day to another; to may be of
// the next day.
func contains(days [7]bool, from, to string, now time.Time) bool {
	at, today := now.Format("15:04"), now.Weekday()
	if from < to {
		return days[today] && from <= at && at < to
	}
	return days[today] && from <= at || days[(today+6)%7] && at < to
}
