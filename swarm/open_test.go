package swarm

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"kith.alt/kith"
	"kith.alt/kith/proto/bittorrent"
	"kith.alt/kith/swarm/torrent"
)

// remotes are where clients may come from.
var remotes = []struct {
	address string
	ours    bool // this computer
	local   bool
}{
	{"127.0.0.1:5000", true, true}, {"[::1]:5000", true, true}, {"[::ffff:127.0.0.1]:5000", true, true}, {"127.8.8.8:5000", true, true},
	{"192.168.1.9:5000", false, true}, {"[::ffff:192.168.1.9]:5000", false, true}, {"[fd00:7::9]:5000", false, true}, {"[fe80::9%eth0]:5000", false, true},
	{"203.0.113.9:5000", false, false}, {"[2001:db8::1]:5000", false, false}, {"[::ffff:203.0.113.9]:5000", false, false},
	{"192.168.1.7:5000", false, true}, // this computer by its other address
	{"garbage", false, false}, {"", false, false}, {"127.0.0.1", false, false}, {"127.0.0.1:x", false, false}, {"localhost:5000", false, false},
}

// answers returns what a client at remote gets for each way to ask for content by a
// name.
func (h *villager) answers(t *testing.T, remote string, hash [20]byte) map[string]string {
	t.Helper()
	query := url.Values{"info_hash": {string(hash[:])}, "peer_id": {"-XX0000-0123456789ab"}, "port": {"7000"}, "left": {"1"}}.Encode()
	http := func(path string) string { return "GET " + path + " HTTP/1.1\r\nHost: 192.168.1.7:6881\r\n\r\n" }
	shake := func(v2 bool) string {
		return string(bittorrent.AppendHandshake(nil, bittorrent.Handshake{Fast: true, Extended: true, V2: v2, InfoHash: hash, PeerID: [20]byte([]byte("-XX0000-0123456789ab"))}))
	}
	got := make(map[string]string)
	for way, say := range map[string]string{
		"handshake of version 1": shake(false), "handshake of version 2": shake(true),
		"announce": http("/announce?" + query), "scrape": http("/scrape?" + url.Values{"info_hash": {string(hash[:])}}.Encode()),
	} {
		conn := h.street.call(t, atHome, remote)
		if conn == nil {
			t.Fatalf("nobody listens at %s", atHome)
		}
		go io.WriteString(conn, say)
		if strings.HasPrefix(way, "handshake") {
			answer := make([]byte, bittorrent.HandshakeSize)
			n, _ := io.ReadFull(conn, answer)
			got[way] = string(answer[:n])
		} else {
			answer, _ := io.ReadAll(conn)
			got[way] = string(answer)
		}
		conn.Close()
	}
	return got
}

// TestWhoMayTake compares, for clients from everywhere, what is not marked with what is
// not there.
func TestWhoMayTake(t *testing.T) {
	t.Parallel()
	v := newVillage(t, "maple", "oak")
	maple, oak := v.host("maple"), v.host("oak")
	path, _ := maple.write(t, "marked", 100_000)
	entry, err := maple.Publish(t.Context(), kith.Publication{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	marked := entry.Content
	path, _ = maple.write(t, "unmarked", 100_001)
	if entry, err = maple.Publish(t.Context(), kith.Publication{Path: path}); err != nil {
		t.Fatal(err)
	}
	unmarked := entry.Content
	if err := maple.MakePublic(t.Context(), marked, true); err != nil {
		t.Fatal(err)
	}
	for _, to := range []string{kith.OpenAny, kith.OpenLAN, atHome.String()} {
		for _, h := range []*villager{maple, oak} {
			h.clientPort(t)
			if err := h.SetTorrentDoor(t.Context(), to); err != nil {
				t.Fatal(err)
			}
		}
		for _, remote := range remotes {
			for i := range 3 {
				may := remote.ours || remote.local || to != kith.OpenLAN
				check := func(what string, id kith.ContentID, may bool) {
					hash := maple.hash(t, id, i)
					got, none := maple.answers(t, remote.address, hash), oak.answers(t, remote.address, hash)
					for way := range got {
						if may == (got[way] == none[way]) {
							t.Errorf("to %s, from %q, %s, %s of name %d: %q; where there is none %q", to, remote.address, what, way, i, got[way], none[way])
						}
					}
				}
				check("marked", marked, may)
				check("unmarked", unmarked, remote.ours)
			}
		}
	}
	maple.mu.Lock()
	defer maple.mu.Unlock()
	if x := maple.holdings[unmarked].exchange; x != nil && len(x.clients) > 0 {
		t.Errorf("%d clients still take part", len(x.clients))
	}
}

// hash is a name by which clients call content.
func (h *villager) hash(t *testing.T, id kith.ContentID, i int) [20]byte {
	t.Helper()
	d, err := h.described(id)
	if err != nil {
		t.Fatal(err)
	}
	return d.InfoHashes()[i]
}

// TestUnmarkedIsNotLookedAt asks for what is not marked: no exchange is made.
func TestUnmarkedIsNotLookedAt(t *testing.T) {
	t.Parallel()
	v := newVillage(t, "maple")
	maple := v.host("maple")
	id, _, _ := openTo(t, maple, kith.OpenAny)
	if err := maple.MakePublic(t.Context(), id, false); err != nil {
		t.Fatal(err)
	}
	maple.answers(t, "203.0.113.9:5000", maple.hash(t, id, 0))
	maple.mu.Lock()
	opened := maple.holdings[id].exchange != nil
	maple.mu.Unlock()
	if opened {
		t.Error("a stranger has an exchange made of what is not marked")
	}
}

// openTo has a host publish a file, mark it, and open the door.
func openTo(t *testing.T, h *villager, to string) (id kith.ContentID, path string, data []byte) {
	t.Helper()
	path, data = h.write(t, "film", 200_000)
	entry, err := h.Publish(t.Context(), kith.Publication{Path: path, Title: "film"})
	if err != nil {
		t.Fatal(err)
	}
	if err := h.MakePublic(t.Context(), entry.Content, true); err != nil {
		t.Fatal(err)
	}
	h.clientPort(t)
	if err := h.SetTorrentDoor(t.Context(), to); err != nil {
		t.Fatal(err)
	}
	return entry.Content, path, data
}

// converse opens a conversation; it fails where there is none.
func (h *villager) conversation(t *testing.T, at netip.Addr, remote string, id kith.ContentID) (net.Conn, error) {
	t.Helper()
	conn := h.street.call(t, at, remote)
	if conn == nil {
		return nil, fmt.Errorf("nobody listens at %s", at)
	}
	go conn.Write(bittorrent.AppendHandshake(nil, bittorrent.Handshake{Fast: true, InfoHash: h.hash(t, id, 1), PeerID: [20]byte([]byte(fmt.Sprintf("-XX0000-%-12.12s", remote)))}))
	if _, err := bittorrent.ReadHandshake(conn); err != nil {
		conn.Close()
		return nil, err
	}
	return conn, nil
}

// ends waits until a conversation has ended.
func ends(t *testing.T, what string, conn net.Conn) {
	t.Helper()
	if _, err := io.Copy(io.Discard, conn); errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("%s: the conversation goes on", what)
	}
}

// TestClosing ends conversations: of what is private again, of all when the door is closed,
// and of those whom another opening would not let in. Those of this computer go on.
func TestClosing(t *testing.T) {
	t.Parallel()
	v := newVillage(t, "maple")
	maple := v.host("maple")
	id, _, _ := openTo(t, maple, kith.OpenAny)
	begin := func(at netip.Addr, remote string) net.Conn {
		t.Helper()
		conn, err := maple.conversation(t, at, remote, id)
		if err != nil {
			t.Fatal(err)
		}
		return conn
	}
	ours, theirs := begin(atHome, "127.0.0.1:1"), begin(abroad, "203.0.113.9:1")
	maple.until(t, "in conversation", func() bool { return len(maple.holdingOf(t, id).Peers) == 2 })
	for _, p := range maple.holdingOf(t, id).Peers {
		if p.Client == "" {
			t.Errorf("%+v", p)
		}
	}
	if peers := maple.holdingOf(t, id).Peers; peers[0].Near == peers[1].Near {
		t.Errorf("one of them is on this computer: %+v", peers)
	}
	if err := maple.MakePublic(t.Context(), id, false); err != nil {
		t.Fatal(err)
	}
	ends(t, "private again", theirs)
	if _, err := maple.conversation(t, abroad, "203.0.113.9:2", id); err == nil {
		t.Error("served though it is private again")
	}
	maple.until(t, "left", func() bool { return len(maple.holdingOf(t, id).Peers) == 1 })
	ours.Close()
	if err := maple.MakePublic(t.Context(), id, true); err != nil {
		t.Fatal(err)
	}
	theirs, near := begin(abroad, "203.0.113.9:3"), begin(atHome, "192.168.1.9:3")
	if err := maple.SetTorrentDoor(t.Context(), kith.OpenLAN); err != nil {
		t.Fatal(err)
	}
	ends(t, "from any to lan", theirs)
	ends(t, "from any to lan", near)
	if _, err := maple.conversation(t, abroad, "203.0.113.9:4", id); err == nil {
		t.Error("served at an address that is closed")
	}
	if _, err := maple.conversation(t, atHome, "203.0.113.9:5", id); err == nil {
		t.Error("a stranger is let in to the local network")
	}
	near = begin(atHome, "192.168.1.9:6")
	maple.until(t, "in conversation again", func() bool { return len(maple.holdingOf(t, id).Peers) == 1 })
	if err := maple.SetTorrentDoor(t.Context(), kith.OpenLAN); err != nil { // as it is
		t.Fatal(err)
	}
	if peers := maple.holdingOf(t, id).Peers; len(peers) == 0 {
		t.Error("what stays open ends conversations")
	}
	if err := maple.SetTorrentDoor(t.Context(), ""); err != nil {
		t.Fatal(err)
	}
	ends(t, "closed", near)
	if conn := maple.street.call(t, atHome, "192.168.1.9:7"); conn != nil {
		t.Error("somebody listens though the door is closed")
	}
	if door := maple.TorrentDoor(); door.Open != "" || len(door.Addresses)+len(door.Problems) > 0 {
		t.Errorf("closed: %+v", door)
	}
}

// TestPrivateMeanwhile makes content private between the handshake of a client and its part
// in the content.
func TestPrivateMeanwhile(t *testing.T) {
	t.Parallel()
	v := newVillage(t, "maple")
	maple := v.host("maple")
	id, _, _ := openTo(t, maple, kith.OpenLAN)
	server := torrent.New(torrent.Config{
		Content: func(remote netip.Addr, name [20]byte) (torrent.Content, error) {
			c, err := maple.contentOfClient(remote, name)
			if err := maple.MakePublic(t.Context(), id, false); err != nil {
				t.Error(err)
			}
			return c, err
		},
		Log: maple.log(t), Metrics: new(kith.Metrics),
	})
	at := netip.MustParseAddr("10.0.0.1")
	ln, err := maple.street.listen(t.Context(), at.String(), 6881)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- server.Serve(ctx, ln) }()
	conn, err := maple.conversation(t, at, "192.168.1.9:1", id)
	if err != nil {
		t.Fatal(err)
	}
	if rest, err := io.ReadAll(conn); len(rest) > 0 || err != nil {
		t.Errorf("told %q, %v", rest, err)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// TestDoor opens what cannot be opened, and follows the addresses of the computer.
func TestDoor(t *testing.T) {
	t.Parallel()
	v := newVillage(t, "maple")
	maple := v.host("maple")
	port := maple.clientPort(t)
	at := func(addresses ...netip.Addr) (list []netip.AddrPort) {
		for _, a := range addresses {
			list = append(list, netip.AddrPortFrom(a, port))
		}
		return list
	}
	is := func(what, to string, addresses []netip.AddrPort, problems ...string) {
		t.Helper()
		if d := maple.TorrentDoor(); d.Open != to || !slices.Equal(d.Addresses, addresses) || !slices.Equal(d.Problems, problems) {
			t.Errorf("%s: %+v", what, d)
		}
	}
	is("at first", "", nil)
	if err := maple.SetTorrentDoor(t.Context(), "10.9.9.9"); !errors.Is(err, kith.NotFound) || !strings.Contains(err.Error(), "it has 192.168.1.7, fd00:7::7, 203.0.113.7") {
		t.Error(err)
	}
	if err := maple.SetTorrentDoor(t.Context(), "everybody"); !errors.Is(err, kith.Invalid) {
		t.Error(err)
	}
	maple.street.take(atHome, true)
	if err := maple.SetTorrentDoor(t.Context(), atHome.String()); !errors.Is(err, kith.InUse) {
		t.Error(err)
	}
	is("taken", "", nil)
	if err := maple.SetTorrentDoor(t.Context(), kith.OpenLAN); err != nil {
		t.Error(err)
	}
	is("one is taken", kith.OpenLAN, at(inside), fmt.Sprintf("Port %d at 192.168.1.7 is taken by another program.", port))
	maple.street.take(atHome, false)
	settled := func(what string, addresses []netip.AddrPort, problems ...string) {
		t.Helper()
		maple.until(t, what, func() bool {
			d := maple.TorrentDoor()
			return slices.Equal(d.Addresses, addresses) && slices.Equal(d.Problems, problems)
		})
	}
	maple.street.move(netip.PrefixFrom(atHome, 24), netip.PrefixFrom(abroad, 24))
	settled("at the address that was taken", at(atHome))
	maple.street.move()
	settled("on no network", nil, "This computer is on no such network now.")
	other := netip.MustParseAddr("10.0.0.3")
	maple.street.move(netip.PrefixFrom(other, 8))
	settled("on another network", at(other))

	maple.stop()
	maple.start(t)
	port = maple.clientPort(t) // another one
	settled("open after a restart", at(other))
	maple.street.move(netip.PrefixFrom(other, 8), netip.PrefixFrom(abroad, 24))
	if err := maple.SetTorrentDoor(t.Context(), abroad.String()); err != nil {
		t.Fatal(err)
	}
	maple.street.move()
	settled("without its address", nil, "This computer does not have the address 203.0.113.7 now.")
}

// clientPort waits until clients are served, and returns where.
func (h *villager) clientPort(t *testing.T) uint16 {
	t.Helper()
	var ports []uint16
	h.until(t, "serving clients", func() bool {
		ports = h.door.Ports()
		return len(ports) > 0
	})
	return ports[0]
}

// TestMark follows a mark: it outlives a restart and goes over to the next version of what
// this host publishes. What is stopped, or comes from another, has to be marked anew.
func TestMark(t *testing.T) {
	t.Parallel()
	v := newVillage(t, "maple", "oak")
	maple, oak := v.host("maple"), v.host("oak")
	id, path, data := openTo(t, maple, kith.OpenLAN)
	if !maple.holdingOf(t, id).Public || oak.MakePublic(t.Context(), id, true) == nil {
		t.Error("marked where it is not, or not where it is")
	}
	target := filepath.Join(oak.files, "film")
	oak.until(t, "aware of it", func() bool { return len(oak.Library()) == 1 })
	if _, err := oak.Take(t.Context(), kith.Taking{Content: id, Path: target, Entry: oak.Library()[0], Follow: true}); err != nil {
		t.Fatal(err)
	}
	oak.untilComplete(t, id, target, data)
	if oak.holdingOf(t, id).Public {
		t.Error("a mark travels to others")
	}
	if err := oak.MakePublic(t.Context(), id, true); err != nil {
		t.Fatal(err)
	}
	maple.stop()
	maple.start(t)
	if !maple.holdingOf(t, id).Public {
		t.Error("the mark is gone after a restart")
	}

	next := append(bytes.Clone(data), "more"...)
	if err := os.WriteFile(path, next, 0o600); err != nil {
		t.Fatal(err)
	}
	entry, err := maple.Publish(t.Context(), kith.Publication{Path: path, Title: "film"})
	if err != nil || entry.Content == id {
		t.Fatal(entry, err)
	}
	if !maple.holdingOf(t, entry.Content).Public {
		t.Error("the next version is not marked")
	}
	oak.untilComplete(t, entry.Content, target, next)
	if oak.holdingOf(t, entry.Content).Public {
		t.Error("what another made of it is marked")
	}
	if err := maple.Withdraw(t.Context(), "film"); err != nil {
		t.Fatal(err)
	}
	if entry, err = maple.Publish(t.Context(), kith.Publication{Path: path, Title: "film"}); err != nil || maple.holdingOf(t, entry.Content).Public {
		t.Error("what was stopped is marked when it is shared again", err)
	}
}

// TestTorrentNamesDoor has the .torrent and the magnet link name what is open.
func TestTorrentNamesDoor(t *testing.T) {
	t.Parallel()
	v := newVillage(t, "maple")
	maple := v.host("maple")
	id, _, _ := openTo(t, maple, kith.OpenAny)
	port := maple.clientPort(t)
	at := func(hosts ...string) (trackers, peers []string) {
		for _, host := range hosts {
			peer := fmt.Sprintf("%s:%d", host, port)
			trackers, peers = append(trackers, "http://"+peer+"/announce"), append(peers, peer)
		}
		return trackers, peers
	}
	check := func(hosts ...string) {
		t.Helper()
		trackers, peers := at(hosts...)
		file, link, err := maple.Torrent(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		got, err := bittorrent.ParseTorrent(file)
		if err != nil || !slices.Equal(got.Trackers, trackers) || !bytes.Contains(file, []byte("7:privatei1e")) {
			t.Errorf("%+v, %v, want %v", got, err, trackers)
		}
		magnet, err := bittorrent.ParseMagnet(link)
		if err != nil || !slices.Equal(magnet.Trackers, trackers) || !slices.Equal(magnet.Peers, peers) {
			t.Errorf("%s, %v", link, err)
		}
	}
	check("127.0.0.1", "192.168.1.7", "203.0.113.7", "[fd00:7::7]")
	if err := maple.MakePublic(t.Context(), id, false); err != nil {
		t.Fatal(err)
	}
	check("127.0.0.1")
}
