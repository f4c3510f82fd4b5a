package netlab

import (
	"fmt"
	"time"
)

// A Swarm is a scenario: a seed shares a file, and takers on links of their own
// get it. The least time that takes, in whatever way, is known from the rates.
type Swarm struct {
	Name        string
	Seed, Taker Rates // of the seed's link, and of each taker's
	Takers      int
	Size        int64 // of the file, in bytes

	Late    int           // so many of the takers begin
	LateBy  time.Duration // so long after the others
	Absence time.Duration // the first taker leaves for so long, once it has half of the file
}

// Bound is the least time until the last taker has the file, max{F/u_s, F/d_min,
// N·F/(u_s+Σu_i)} (Kumar and Ross, "Peer-assisted file distribution: the minimum
// distribution time", 2006). Uplinks of takers who are not there are missing from it.
func (s Swarm) Bound() time.Duration {
	bits, takers := float64(s.Size*8), float64(s.Takers)
	seed, up, down := float64(s.Seed.Up), float64(s.Taker.Up), float64(s.Taker.Down)
	late, absence := s.LateBy.Seconds(), s.Absence.Seconds()
	missing := up * (float64(s.Late)*late + absence)
	bound := max(bits/seed, absence+bits/down, (takers*bits+missing)/(seed+takers*up))
	if s.Late > 0 {
		bound = max(bound, late+bits/down)
	}
	return time.Duration(bound * float64(time.Second))
}

// A Distribution is how a scenario went.
type Distribution struct {
	Took     time.Duration // until the last taker had the file
	Ratio    float64       // of that to the bound
	Copies   float64       // of the file that the seed sent, in full frames
	Overhead float64       // what all sent beyond the files, as a share of these
}

// What a full frame of TCP carries, and its size.
const (
	segment = 1448
	frame   = 1514
)

// Run makes a lab for the scenario and plays it. All hosts are members of one
// group and connected before the clock starts. A file that arrives wrong ends the
// test, and so does what takes five times the bound.
func (s Swarm) Run(t T) Distribution {
	t.Helper()
	l := New(t)
	l.InMemory()
	hub := l.Switch("switch")
	computers := []*Computer{hub.Host("seed", s.Seed)}
	for i := range s.Takers {
		computers = append(computers, hub.Host(fmt.Sprintf("taker%d", i+1), s.Taker))
	}
	members := l.Group(computers...)
	for _, m := range members {
		m.Meets(len(members))
	}
	p := play{Swarm: s, t: t, hub: hub, file: members[0].Share("file", s.Size), takers: members[1:], gets: make([]*Getting, s.Takers)}

	all, seed := p.sent(computers), p.sent(computers[:1])
	began := time.Now()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !p.advance(time.Since(began)) {
		if time.Since(began) > 5*s.Bound()+patience {
			t.Fatalf("%s: not done %v after the clock started; the bound is %v", s.Name, time.Since(began), s.Bound())
		}
		<-tick.C
	}
	all, seed = p.sent(computers)-all, p.sent(computers[:1])-seed

	var d Distribution
	for _, g := range p.gets {
		if err := g.Check(); err != nil {
			t.Fatal(err)
		}
		d.Took = max(d.Took, g.Ended.Sub(began))
	}
	files := float64(s.Size) * float64(s.Takers)
	d.Ratio = d.Took.Seconds() / s.Bound().Seconds()
	d.Copies = float64(seed) / (float64(s.Size) * frame / segment)
	d.Overhead = float64(all)/files - 1
	return d
}

// A play is a scenario under way.
type play struct {
	Swarm
	t      T
	hub    *Switch
	file   File
	takers []*Member
	gets   []*Getting // of each taker, nil before it begins and while it is absent

	left time.Duration // since the start, when the absent one left; 0 before
	back bool
}

// sent is what these have sent so far.
func (p *play) sent(computers []*Computer) (bytes int64) {
	for _, c := range computers {
		bytes += p.hub.Traffic(c).Sent
	}
	return bytes
}

// advance does what is due so long after the start, and reports whether all have
// the file.
func (p *play) advance(now time.Duration) (done bool) {
	p.t.Helper()
	if p.Absence > 0 && !p.back {
		p.absent(now)
	}
	done = true
	for i, m := range p.takers {
		leaving := i == 0 && p.left > 0 && !p.back
		if p.gets[i] == nil && !leaving && (i < p.Takers-p.Late || now >= p.LateBy) {
			p.gets[i] = m.Get(p.file, "file")
		}
		if p.gets[i] == nil {
			done = false
			continue
		}
		select {
		case <-p.gets[i].Done():
			if err := p.gets[i].Err; err != nil {
				p.t.Fatal(err)
			}
		default:
			done = false
		}
	}
	return done
}

// absent has the first taker leave, and come back with what it has.
func (p *play) absent(now time.Duration) {
	p.t.Helper()
	first := p.takers[0]
	switch {
	case p.left == 0 && p.gets[0] != nil && p.hub.Traffic(first.Computer).Received >= p.Size/2:
		p.gets[0].Kill()
		first.Node.Stop()
		p.gets[0], p.left = nil, now
	case p.left > 0 && now-p.left >= p.Absence:
		first.Up("")
		p.back = true
	}
}
