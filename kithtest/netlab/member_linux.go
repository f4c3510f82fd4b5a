package netlab

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"kith.alt/kith/control"
	"kith.alt/kith/kithtest/require"
)

// A Member is a computer on which a person runs kith. The computer's name is
// the host's.
type Member struct {
	*Computer
	Home    string          // of the person; files vanish with it
	Node    *Program        // once it is up
	Control *control.Client // speaks to it
}

// Member gives a computer a person.
func (l *Lab) Member(c *Computer) *Member {
	l.t.Helper()
	home := l.home(c.Name)
	m := &Member{Computer: c, Home: home, Control: control.NewClient(dataOf(home))}
	l.t.Cleanup(func() {
		if l.t.Failed() {
			m.explain()
		}
		m.Control.Close()
	})
	return m
}

func dataOf(home string) string { return filepath.Join(home, "data", "kith") }

// Data is the node's data directory.
func (m *Member) Data() string { return dataOf(m.Home) }

// Group starts kith on each computer. The first founds the group, the others
// join by tickets of the first.
func (l *Lab) Group(computers ...*Computer) []*Member {
	l.t.Helper()
	var members []*Member
	for i, c := range computers {
		m := l.Member(c)
		if i == 0 {
			m.Up("--name " + m.Name)
		} else {
			m.Join(members[0].Invite(""))
		}
		members = append(members, m)
	}
	return members
}

// Up starts the node, and again after it was stopped.
func (m *Member) Up(flags string) {
	m.t.Helper()
	m.Node = m.Start("kith --verbose "+flags, m.Home)
}

// Publish shows the member's page.
func (m *Member) Publish() {
	m.t.Helper()
	site := m.t.TempDir()
	if err := os.WriteFile(filepath.Join(site, "index.html"), []byte(m.Page()), 0o644); err != nil {
		m.t.Fatal(err)
	}
	m.Must("kith publish "+site, m.Home)
}

// Page is what the member's page says.
func (m *Member) Page() string { return "The page of " + m.Name + "." }

// Invite makes a ticket.
func (m *Member) Invite(flags string) (ticket string) {
	m.t.Helper()
	return strings.TrimSpace(m.Must("kith invite "+flags, m.Home))
}

// Join starts the node for the first time, with a ticket; more flags may follow
// that.
func (m *Member) Join(ticket string) {
	m.t.Helper()
	m.Up("join " + ticket + " --name " + m.Name)
}

// Move takes the member's cable out of one network and puts it into another.
func (m *Member) Move(to Uplink) {
	m.t.Helper()
	m.IP("link", "delete", "eth0")
	to.Attach(m.Computer, "eth0")
}

// Status returns what the node says of another member.
func (m *Member) Status(other *Member) (control.Member, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	status, err := m.Control.Status(ctx)
	if err != nil {
		return control.Member{}, err
	}
	for _, peer := range status.Members {
		if peer.Host == other.Name {
			return peer, nil
		}
	}
	return control.Member{}, fmt.Errorf("%s does not know %s", m.Name, other.Name)
}

// Reaches waits until the node has the other one online on this path, one of
// control.PathLAN, control.PathDirect and control.PathRelayed, and returns what
// it says of it.
func (m *Member) Reaches(other *Member, path string) control.Member {
	m.t.Helper()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	start := time.Now()
	for {
		peer, err := m.Status(other)
		if err == nil && peer.State == control.Online && peer.Path == path {
			m.t.Logf("%s has %s %s after %v (%s, %.1f ms, via %q)", m.Name, other.Name, path,
				time.Since(start).Round(time.Millisecond), peer.Carrier, peer.RTT, peer.Via)
			return peer
		}
		if time.Since(start) > 2*patience {
			m.t.Fatalf("%s never has %s online and %s; last: %s, %s by %s via %q at %s, %v",
				m.Name, other.Name, path, peer.State, peer.Path, peer.Carrier, peer.Via, peer.Address, err)
		}
		<-tick.C
	}
}

// Meets waits until the node sees so many members online, itself included.
func (m *Member) Meets(count int) {
	m.t.Helper()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(2*patience + time.Duration(count)*time.Second); ; <-tick.C {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		status, err := m.Control.Status(ctx)
		cancel()
		online := 0
		for _, peer := range status.Members {
			if peer.State == control.Online {
				online++
			}
		}
		if online == count {
			return
		}
		if time.Now().After(deadline) {
			m.t.Fatalf("%s sees %d of %d members online: %v", m.Name, online, count, err)
		}
	}
}

// Reads waits until the other's page can be read in a browser on this computer.
func (m *Member) Reads(other *Member) {
	m.t.Helper()
	require.Tool(m.t, "curl")
	peer, err := m.Status(other)
	if err != nil {
		m.t.Fatal(err)
	}
	m.Eventually("curl -sS --fail --max-time 20 "+peer.Site, m.Home, "^"+other.Page()+"$")
}

// explain logs what the node knows, when a test has failed.
func (m *Member) explain() {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if status, err := m.Control.Status(ctx); err == nil {
		for _, peer := range status.Members {
			m.t.Logf("%s: %s is %s, %s by %s via %q at %s", m.Name, peer.Host, peer.State, peer.Path, peer.Carrier, peer.Via, peer.Address)
		}
	}
	if events, err := m.Control.Events(ctx); err == nil {
		for _, event := range events {
			m.t.Logf("%s: %s %s", m.Name, event.Time.Format("15:04:05.000"), event.Text)
		}
	}
}
