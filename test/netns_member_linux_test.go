package test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"kith.alt/kith/control"
	"kith.alt/kith/kithtest/require"
)

// together runs tests beside each other, however few processors there are: most
// of the time they wait.
func together(t *testing.T, tests map[string]func(*testing.T)) {
	var running sync.WaitGroup
	for name, test := range tests {
		running.Go(func() { t.Run(name, test) })
	}
	running.Wait()
}

// A member is a computer on which a person runs kith. The computer's name is
// the host's.
type member struct {
	*computer
	home    string
	node    *program
	control *control.Client
}

// member gives a computer a person.
func (l *lab) member(c *computer) *member {
	l.t.Helper()
	require.Tool(l.t, "curl")
	home := l.t.TempDir()
	m := &member{computer: c, home: home, control: control.NewClient(filepath.Join(home, "data", "kith"))}
	l.t.Cleanup(func() {
		if l.t.Failed() {
			m.explain()
		}
		m.control.Close()
	})
	return m
}

// group starts kith on each computer. The first founds the group, the others
// join by tickets of the first. Each has a page of its own.
func (l *lab) group(computers ...*computer) []*member {
	l.t.Helper()
	var members []*member
	for i, c := range computers {
		m := l.member(c)
		if i == 0 {
			m.up("--name " + m.name)
		} else {
			m.join(members[0].invite(""))
		}
		m.publish()
		members = append(members, m)
	}
	return members
}

// up starts the node, and again after it was stopped.
func (m *member) up(flags string) {
	m.t.Helper()
	m.node = m.launch("kith --verbose "+flags, m.home)
}

// publish shows the member's page.
func (m *member) publish() {
	m.t.Helper()
	site := m.t.TempDir()
	if err := os.WriteFile(filepath.Join(site, "index.html"), []byte(m.page()), 0o644); err != nil {
		m.t.Fatal(err)
	}
	m.must("kith publish "+site, m.home)
}

func (m *member) page() string { return "The page of " + m.name + "." }

func (m *member) invite(flags string) (ticket string) {
	m.t.Helper()
	return strings.TrimSpace(m.must("kith invite "+flags, m.home))
}

func (m *member) join(ticket string) {
	m.t.Helper()
	m.up("join " + ticket + " --name " + m.name)
}

// status returns what the node says of another member.
func (m *member) status(other *member) (control.Member, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	status, err := m.control.Status(ctx)
	if err != nil {
		return control.Member{}, err
	}
	for _, peer := range status.Members {
		if peer.Host == other.name {
			return peer, nil
		}
	}
	return control.Member{}, fmt.Errorf("%s does not know %s", m.name, other.name)
}

// reaches waits until the node has the other one online on this path, one of
// control.PathLAN, control.PathDirect and control.PathRelayed, and returns what
// it says of it.
func (m *member) reaches(other *member, path string) control.Member {
	m.t.Helper()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	start := time.Now()
	for {
		peer, err := m.status(other)
		if err == nil && peer.State == control.Online && peer.Path == path {
			m.t.Logf("%s has %s %s after %v (%s, %.1f ms, via %q)", m.name, other.name, path,
				time.Since(start).Round(time.Millisecond), peer.Carrier, peer.RTT, peer.Via)
			return peer
		}
		if time.Since(start) > 2*patience {
			m.t.Fatalf("%s never has %s online and %s; last: %s, %s by %s via %q at %s, %v",
				m.name, other.name, path, peer.State, peer.Path, peer.Carrier, peer.Via, peer.Address, err)
		}
		<-tick.C
	}
}

// reads waits until the other's page can be read in a browser on this computer.
func (m *member) reads(other *member) {
	m.t.Helper()
	peer, err := m.status(other)
	if err != nil {
		m.t.Fatal(err)
	}
	m.eventually("curl -sS --fail --max-time 20 "+peer.Site, m.home, "^"+other.page()+"$")
}

// explain logs what the node knows, when a test has failed.
func (m *member) explain() {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if status, err := m.control.Status(ctx); err == nil {
		for _, peer := range status.Members {
			m.t.Logf("%s: %s is %s, %s by %s via %q at %s", m.name, peer.Host, peer.State, peer.Path, peer.Carrier, peer.Via, peer.Address)
		}
	}
	if events, err := m.control.Events(ctx); err == nil {
		for _, event := range events {
			m.t.Logf("%s: %s %s", m.name, event.Time.Format("15:04:05.000"), event.Text)
		}
	}
}
