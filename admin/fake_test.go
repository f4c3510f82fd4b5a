package admin

import (
	"context"
	"crypto/sha256"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"kith.alt/kith"
	"kith.alt/kith/control"
)

// fakeNode is a node whose answers a test sets. It does what it is asked to
// its own fields and keeps a list of what that was.
type fakeNode struct {
	kith.PacketNetwork // nil: no screen has datagrams

	mu       sync.Mutex
	status   control.Status
	findings []control.Finding
	events   []control.Event
	sockets  []control.Socket
	accounts []control.Account
	calls    []string
	err      error // of every request that changes something
}

func (n *fakeNode) did(format string, args ...any) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.calls = append(n.calls, fmt.Sprintf(format, args...))
	return n.err
}

func (n *fakeNode) asked() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return strings.Join(n.calls, "; ")
}

func (n *fakeNode) Dial(context.Context, kith.Address) (net.Conn, error) { return nil, kith.Refused }
func (n *fakeNode) Listen(context.Context, kith.Address) (net.Listener, error) {
	return nil, kith.InUse
}

func (n *fakeNode) Status(context.Context) (control.Status, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	status := n.status
	status.Members = slices.Clone(status.Members)
	return status, nil
}

func (n *fakeNode) Doctor(context.Context) ([]control.Finding, error) { return n.findings, nil }

func (n *fakeNode) Events(context.Context) ([]control.Event, error) { return n.events, nil }

func (n *fakeNode) Sockets(context.Context) ([]control.Socket, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for i := range n.sockets {
		n.sockets[i].Sent += 4096
		n.sockets[i].Received += 70_000
	}
	return slices.Clone(n.sockets), nil
}

func (n *fakeNode) Ping(context.Context, string) (control.Ping, error)   { return control.Ping{}, nil }
func (n *fakeNode) Trace(context.Context, string) (control.Trace, error) { return control.Trace{}, nil }
func (n *fakeNode) Diagnose(context.Context, string) ([]control.Finding, error) {
	return n.findings, nil
}

func (n *fakeNode) Configure(_ context.Context, s control.Settings) error {
	return n.did("configure %+v", *s.Relay)
}

func (n *fakeNode) Open(_ context.Context, app, to string) error { return n.did("open %s %q", app, to) }

func (n *fakeNode) Stop(context.Context) error { return n.did("stop") }

func (n *fakeNode) Invite(_ context.Context, request control.InviteRequest) (control.Invitation, error) {
	return control.Invitation{
		Ticket: "kith1" + strings.Repeat("qpzry9x8gf2tvdw0s3jn54khce6mua7l", 5), Uses: request.Uses,
		Expires: time.Now().Add(request.Expires), Role: request.Role,
	}, n.did("invite %d %v %s", request.Uses, request.Expires, request.Role)
}

func (n *fakeNode) Join(_ context.Context, ticket string) error { return n.did("join %s", ticket) }

func (n *fakeNode) Trust(_ context.Context, host string) error { return n.did("trust %s", host) }

func (n *fakeNode) Revoke(_ context.Context, host string) error {
	if err := n.did("revoke %s", host); err != nil {
		return err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	for i, m := range n.status.Members {
		if m.Host == host {
			n.status.Members[i].State = control.Revoked
		}
	}
	return nil
}

func (n *fakeNode) SetAdmin(_ context.Context, host string, admin bool) error {
	return n.did("admin %s %v", host, admin)
}

func (n *fakeNode) Leave(context.Context) error { return n.did("leave") }

func (n *fakeNode) Rename(_ context.Context, request control.RenameRequest) error {
	return n.did("rename %q %q", request.Host, request.Group)
}

func (n *fakeNode) Accounts(context.Context) ([]control.Account, error) { return n.accounts, nil }

func (n *fakeNode) AddAccount(_ context.Context, name string) error { return n.did("account %s", name) }

func (n *fakeNode) AddAppPassword(_ context.Context, account, label string) (control.AppPassword, error) {
	return control.AppPassword{ID: "9", Label: label, Secret: "amber-finch-7412-quiet-orchard-0983", Created: time.Now()}, n.did("app password %s %s", account, label)
}

func (n *fakeNode) RemoveAppPassword(_ context.Context, account, id string) error {
	return n.did("remove app password %s %s", account, id)
}

func (n *fakeNode) SetPassword(_ context.Context, account, password string) error {
	return n.did("password %s %d", account, len(password))
}

func (n *fakeNode) SignInLink(context.Context, string) (string, error) { return "", nil }

func (n *fakeNode) Certificate(context.Context) (control.Certificate, error) {
	return control.Certificate{
		PEM: "-----BEGIN CERTIFICATE-----\nTUFQTEU=\n-----END CERTIFICATE-----\n", Fingerprint: strings.TrimSuffix(strings.Repeat("7B:", 32), ":"),
		Title: "kith on maple (3fk2pa)", Names: []string{"localhost", "maple.home.kith.alt", idOf("maple").String() + ".kith.alt", "127.0.0.0/8", "::1"}, Expires: time.Now().AddDate(10, 0, 0),
	}, nil
}

func (n *fakeNode) Backup(context.Context) (control.Backup, error) {
	return control.Backup{}, kith.Denied
}

// fakeAccounts knows one account with one link, one password and any number of
// sessions.
type fakeAccounts struct {
	mu       sync.Mutex
	used     bool
	sessions map[string]string
}

const (
	goodToken    = "good-token"
	goodPassword = "correct horse battery"
)

func (a *fakeAccounts) SignIn(_ context.Context, token string) (string, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if token != goodToken || a.used {
		return "", kith.Expired
	}
	a.used = true
	return "ada", nil
}

func (a *fakeAccounts) CheckPassword(_ context.Context, account, password, _ string) error {
	if account != "ada" || password != goodPassword {
		return kith.Denied
	}
	return nil
}

func (a *fakeAccounts) NewSession(_ context.Context, account string) (string, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	token := fmt.Sprintf("session-%d", len(a.sessions))
	if a.sessions == nil {
		a.sessions = make(map[string]string)
	}
	a.sessions[token] = account
	return token, nil
}

func (a *fakeAccounts) Session(_ context.Context, token string) (string, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if account := a.sessions[token]; account != "" {
		return account, nil
	}
	return "", kith.NotFound
}

func (a *fakeAccounts) EndSession(_ context.Context, token string) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.sessions[token] = ""
	return nil
}

func (a *fakeAccounts) EndSessions(_ context.Context, account, exceptToken string) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	for token, of := range a.sessions {
		if of == account && token != exceptToken {
			a.sessions[token] = ""
		}
	}
	return nil
}

var treeNames = []string{
	"maple", "alder", "birch", "cedar", "elm", "linden", "oak",
	"ash", "aspen", "beech", "box", "chestnut", "cherry", "cypress", "ebony", "fir", "ginkgo", "hawthorn", "hazel", "hickory",
	"holly", "hornbeam", "juniper", "larch", "laurel", "magnolia", "mulberry", "olive", "pear", "pine", "plane", "plum", "poplar",
	"quince", "rowan", "spruce", "sycamore", "walnut", "willow", "the-old-laptop-in-the-kitchen-next-to-the-window",
}

func idOf(name string) kith.ID { return kith.ID(sha256.Sum256([]byte(name))) }

func siteOf(host string) string { return "http://" + host + "--home.localhost:8080/" }

// newFake is a node in a group of size, rich in content.
func newFake(size int) *fakeNode {
	now := time.Now()
	n := &fakeNode{status: control.Status{
		ID: idOf("maple"), Host: "maple", Group: "home", Name: "maple.home.kith.alt",
		Listeners: []control.Listener{
			{App: control.AppGateway, Protocol: control.ProtocolHTTP, Address: "127.0.0.1:8080"},
			{App: control.AppGateway, Protocol: control.ProtocolProxy, Address: "127.0.0.1:1080"},
			{App: "web", Protocol: "http", Address: "overlay:80"},
		},
		Version: "0.1.0", Started: now.Add(-3*time.Hour - 20*time.Minute), Data: "/home/ada/.local/share/kith",
		Dashboard: "http://localhost:8080/", Site: siteOf("maple"),
		Reach:    control.Reach{PortMapping: true},
		Relaying: control.Relaying{Limits: control.RelayLimits{BytesPerSecond: 2 << 20, BytesPerDay: 10 << 30, Streams: 64}},
	}}
	for i, name := range treeNames[:size] {
		m := control.Member{
			Host: name, ID: idOf(name), Admin: i%3 == 0, Site: siteOf(name), State: control.Online, LastSeen: now,
			Path: control.PathLAN, Carrier: "quic", RTT: 0.7 + float64(i)*0.3, Address: fmt.Sprintf("192.168.1.%d:4747", 20+i),
			Sent: uint64(i) * 1_234_567, Received: uint64(i*i) * 7_654_321,
		}
		switch {
		case i == 0:
			m.Path, m.Carrier, m.RTT, m.Address, m.Admin = control.PathSelf, "", 0, "", true
		case i%7 == 2:
			m.Path, m.RTT, m.Address = control.PathDirect, 18.4+float64(i), fmt.Sprintf("203.0.113.%d:4747", i)
		case i%7 == 5:
			m.Path, m.Via, m.RTT, m.Carrier, m.Address = control.PathRelayed, "birch", 41.2+float64(i), "tls", ""
		case i%7 == 3, i%7 == 6:
			m.State, m.Path, m.Carrier, m.RTT, m.Address = control.Offline, control.PathNone, "", 0, ""
			m.LastSeen = now.Add(-time.Duration(i*i+2) * time.Hour)
		}
		if m.Path != control.PathSelf && m.State == control.Online {
			m.Since = now.Add(-time.Duration(i*i+3) * time.Minute)
			m.Why = []string{"the first path", "the first path", "the path before was lost", "punched through"}[i%4]
		}
		m.NAT = []string{"cone", "open", "symmetric", ""}[i%4]
		m.Moved = name == "oak"
		n.status.Members = append(n.status.Members, m)
	}
	n.findings = []control.Finding{
		{Level: control.Good, What: "Every listener accepts."},
		{Level: control.Good, What: "The name maple.home.kith.alt is this computer's own."},
		{Level: control.Good, What: "The disk has room."},
	}
	n.accounts = []control.Account{{Name: "ada"}}
	if size == 1 {
		return n
	}
	n.status.Reach = control.Reach{
		Open: true, By: control.ByMapping, NAT: "cone", PortMapping: true, Introduce: size > 20,
		Addresses: []string{"203.0.113.7:4747", "192.168.1.20:4747"}, Outside: []string{"203.0.113.7:4747"},
		Mappings: []control.Mapping{{Protocol: "udp", Address: "203.0.113.7:4747", By: "nat-pmp"}, {Protocol: "tcp", Address: "203.0.113.7:4747", By: "nat-pmp"}},
	}
	if size > 2 {
		n.status.Reach.Relays = []string{"birch", "alder"}
	} else {
		n.status.Reach = control.Reach{NAT: "symmetric", PortMapping: true, Addresses: []string{"192.168.1.20:4747"}, Outside: []string{"203.0.113.7:40123"},
			Unmapped: "gateway 192.168.1.1: pcp: no answer; nat-pmp: no answer; upnp: no answer"}
	}
	n.status.Relaying.Streams, n.status.Relaying.Today = 3, 87_654_321
	n.status.Listeners = append(n.status.Listeners,
		control.Listener{App: "mail", Protocol: "submission", Address: "127.0.0.1:1587"},
		control.Listener{App: "mail", Protocol: "submissions", Address: "127.0.0.1:1465"},
		control.Listener{App: "mail", Protocol: "imap", Address: "127.0.0.1:1143"},
		control.Listener{App: "mail", Protocol: "imaps", Address: "127.0.0.1:1993"},
		control.Listener{App: "mail", Protocol: "pop3s", Address: "127.0.0.1:1995", Error: "port 1995 is taken"})
	n.status.Doors = []control.Door{{App: "mail"}}
	if size > 5 {
		n.status.Doors[0] = control.Door{App: "mail", Open: kith.OpenLAN, Name: "maple--home.local", Addresses: []string{"192.168.1.20"}, Problems: []string{"Port 1465 at 10.1.1.7 is taken by another program."}}
		n.status.Listeners = append(n.status.Listeners,
			control.Listener{App: "mail", Protocol: "imaps", Address: "192.168.1.20:1993"}, control.Listener{App: "mail", Protocol: "submissions", Address: "192.168.1.20:1465"})
	}
	n.status.Listeners = append(n.status.Listeners,
		control.Listener{App: control.AppOverlay, Protocol: "udp", Address: "[::]:4747"},
		control.Listener{App: control.AppOverlay, Protocol: "tcp", Address: "[::]:4747", Error: "another program has the port"})
	n.findings = slices.Concat([]control.Finding{
		{Level: control.Problem, What: "overlay (tcp) does not listen on [::]:4747", Cause: "another program has the port",
			Remedy: "End the other program and start kith again, or start kith with --port-base N to move all its ports."},
		{Level: control.Notice, What: "This computer has no public address: members on other networks cannot dial it.",
			Cause:  "It is behind a router. Its addresses: 192.168.1.20 and fd12:3456:789a::20.",
			Remedy: "Forward UDP and TCP port 4747 on the router to this computer, or let a member with a public address join: it can be dialled by all."},
		{Level: control.Notice, What: "cedar, oak: no connection.",
			Cause: "Switched off, asleep, or no path: on another network, without an address that can be dialled.", Remedy: "Wake it, or bring both to one network once."},
	}, n.findings[1:])
	n.events = []control.Event{
		{Time: now.Add(-2 * time.Minute), Text: "elm is awake."},
		{Time: now.Add(-48 * time.Minute), Text: "oak is asleep, or cannot be reached."},
		{Time: now.Add(-2 * time.Hour), Text: "oak joined the group; maple let it in."},
		{Time: now.Add(-2*time.Hour - time.Minute), Text: "A ticket for one computer was made."},
		{Time: now.Add(-3 * time.Hour), Text: "birch is an admin now."},
		{Time: now.Add(-3*time.Hour - 20*time.Minute), Text: "Port 1080 is taken by another program; gateway uses 1081 instead."},
	}
	n.sockets = []control.Socket{
		{Peer: "linden", Port: 1, By: "members", Opened: now.Add(-3 * time.Hour), Sent: 48_000, Received: 51_000},
		{Peer: "cedar", Port: 1, Inbound: true, By: "members", Opened: now.Add(-3 * time.Hour), Sent: 48_000, Received: 51_000},
		{Peer: "elm", Port: 80, By: "web", Opened: now.Add(-40 * time.Second), Sent: 12_400, Received: 8_400_000},
		{Peer: "birch", Port: 80, Inbound: true, By: "web", Opened: now.Add(-4 * time.Minute), Sent: 3_900_000, Received: 22_000},
		{Peer: "alder", Port: 22, By: "program", Opened: now.Add(-55 * time.Minute), Suspended: now.Add(-7 * time.Minute), Sent: 180_000, Received: 640_000},
	}
	n.status.Sockets = len(n.sockets)
	n.accounts = []control.Account{
		{Name: "ada", Password: true, AppPasswords: []control.AppPassword{
			{ID: "1", Label: "mail on the phone", Created: now.Add(-40 * 24 * time.Hour)},
			{ID: "2", Label: "news reader", Created: now.Add(-2 * time.Hour)},
		}},
		{Name: "grace"},
	}
	if size > 20 {
		for range 50 {
			n.events = append(n.events, control.Event{Time: now.Add(-100 * time.Hour), Text: strings.Repeat("a-very-long-name-without-a-break", 6)})
		}
		n.events = slices.Concat(n.events[len(n.events)-2:], n.events)
		n.status.Members = append(n.status.Members, control.Member{Host: "yew", ID: idOf("yew"), State: control.Revoked, Path: control.PathNone})
	}
	return n
}
