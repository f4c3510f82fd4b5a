package test

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"kith.alt/kith/kithtest/netlab"
	"kith.alt/kith/kithtest/require"
)

// TestShareKilled kills a seed and its takers at random while they share, and starts them again.
// Everybody gets each file, nobody ever has a wrong byte under its name, and what
// a taker had checked before it was killed is not sent to it again.
func TestShareKilled(t *testing.T) {
	t.Parallel()
	rounds := *kills
	switch {
	case rounds > 0:
	case require.Everything():
		rounds = 50
	default:
		rounds = 6
	}
	half := func(rounds int) func(*testing.T) { return func(t *testing.T) { shareKilled(t, rounds) } }
	together(t, map[string]func(*testing.T){"some": half(rounds / 2), "others": half(rounds - rounds/2)})
}

func shareKilled(t *testing.T, rounds int) {
	const (
		takers = 3
		size   = 6 << 20
		// What a kill may cost at most: what was on its way to the host that was killed, or from it and
		// not yet a whole block; and the greetings of its members after that.
		perKill = 512 << 10
		// All headers of TCP, and acknowledgements of what was given to others.
		headers = (1514.0 + 33) / 1448
	)
	l := netlab.New(t)
	l.InMemory()
	hub := l.Switch("switch")
	rates := netlab.Rates{Up: 10 * netlab.Mbit, Down: 50 * netlab.Mbit}
	var computers []*netlab.Computer
	for _, name := range []string{"seed", "oak", "elm", "ash"} {
		computers = append(computers, hub.Host(name, rates))
	}
	members := l.Group(computers...)
	for _, m := range members {
		m.Meets(len(members))
	}
	received := func() (bytes int64) {
		for _, c := range computers[1:] {
			bytes += hub.Traffic(c).Received
		}
		return bytes
	}
	before, began := received(), time.Now()
	files, killed := 0, 0
	for killed < rounds {
		files++
		s := newSharing(t, members, fmt.Sprint("file", files), size)
		for !s.done() {
			if killed < rounds {
				<-time.After(time.Duration(rand.IntN(1000)) * time.Millisecond)
				s.kill(rand.IntN(len(members)))
				killed++
			}
			s.again()
		}
		s.check()
	}
	total, least := float64(received()-before), float64(files)*takers*size*headers
	t.Logf("%d kills in %v, %d files of %d MiB for %d takers: %.1f MB received, at least %.1f: %.0f kB for each kill",
		killed, time.Since(began).Round(time.Second), files, size>>20, takers, total/1e6, least/1e6, (total-least)/float64(killed)/1e3)
	if total > least+float64(killed)*perKill {
		t.Errorf("takers received %.1f MB, where %.1f are needed: what they had was sent again", total/1e6, least/1e6)
	}
}

// A sharing is one file on its way to all.
type sharing struct {
	t       *testing.T
	members []*netlab.Member // the first is the seed
	name    string
	file    netlab.File
	gets    []*netlab.Getting
	began   time.Time
}

func newSharing(t *testing.T, members []*netlab.Member, name string, size int64) *sharing {
	t.Helper()
	s := &sharing{t: t, members: members, name: name, file: members[0].Share(name, size), gets: make([]*netlab.Getting, len(members)), began: time.Now()}
	for i, m := range members[1:] {
		s.gets[i+1] = m.Get(s.file, "got-"+name)
	}
	return s
}

// kill kills a member, looks at what it left, and starts it again.
func (s *sharing) kill(number int) {
	s.t.Helper()
	m := s.members[number]
	m.Node.Kill()
	if number > 0 {
		if err := s.gets[number].Check(); err != nil && !errors.Is(err, fs.ErrNotExist) {
			s.t.Errorf("%s was killed: %v", m.Name, err)
		}
	}
	<-time.After(time.Duration(rand.IntN(300)) * time.Millisecond)
	m.Up("")
}

// again has takers whose command ended with the node do it once more.
func (s *sharing) again() {
	s.t.Helper()
	if time.Since(s.began) > 10*patience {
		s.t.Fatalf("%s does not reach everybody", s.name)
	}
	for i, m := range s.members[1:] {
		select {
		case <-s.gets[i+1].Done():
			if s.gets[i+1].Err != nil {
				s.gets[i+1] = m.Get(s.file, "got-"+s.name)
			}
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// done reports whether all have the file.
func (s *sharing) done() bool {
	for _, g := range s.gets[1:] {
		select {
		case <-g.Done():
			if g.Err != nil {
				return false
			}
		default:
			return false
		}
	}
	return true
}

// check compares what everybody has, and makes room.
func (s *sharing) check() {
	s.t.Helper()
	for i, g := range s.gets[1:] {
		if err := g.Check(); err != nil {
			s.t.Fatalf("%s: %v", s.members[i+1].Name, err)
		}
	}
	for _, m := range s.members {
		if _, err := m.Output("kith share stop "+s.name, m.Home); err != nil {
			s.t.Log(err)
		}
	}
	for _, g := range s.gets[1:] {
		os.Remove(g.Path)
	}
	os.Remove(filepath.Join(s.members[0].Home, s.name))
}
