package test

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"kith.alt/kith/kithtest/require"
)

// A nat is what a router does with what crosses it. All have a firewall: what
// comes from outside without having been asked for is dropped without an answer.
type nat string

const (
	// fullCone keeps the source port, and passes what anybody sends to UDP
	// port 4747 on to the first host, as after a port forwarding by hand.
	fullCone nat = "full cone"
	// portRestricted keeps the source port where it is free, and lets in only
	// who was written to, from that very port.
	portRestricted nat = "port-restricted"
	// symmetric chooses a source port at random for each destination.
	symmetric nat = "symmetric"
	// udpBlocked is portRestricted for TCP and passes no UDP.
	udpBlocked nat = "UDP blocked"
)

// ruleset returns the kind as nftables rules for a router between the devices
// wan and lan.
func (kind nat) ruleset() string {
	var forward, source, destination string
	switch kind {
	case fullCone:
		destination = `iifname "wan" udp dport 4747 dnat to 192.168.1.10`
	case symmetric:
		source = "fully-random"
	case udpBlocked:
		forward = "meta l4proto udp drop"
	}
	// Without the drop in input, a packet that comes too early would take the
	// port at the router itself, and the mapping would move to another one.
	return fmt.Sprintf(`flush ruleset
table inet filter {
	chain input {
		type filter hook input priority filter
		iifname "wan" ct state != { established, related } drop
	}
	chain forward {
		type filter hook forward priority filter
		%s
		ct state { established, related } accept
		ct status dnat accept
		iifname "wan" drop
	}
}
table ip nat {
	chain prerouting {
		type nat hook prerouting priority dstnat
		%s
	}
	chain postrouting {
		type nat hook postrouting priority srcnat
		oifname "wan" masquerade %s
	}
}
`, forward, destination, source)
}

// An uplink is what a computer's device can be attached to: the internet, or a
// router's local network.
type uplink interface {
	attach(c *computer, device string) netip.Addr
}

// A router joins a local network to an uplink by NAT. A home is a router with
// hosts behind it, a carrier-grade NAT one with routers behind it.
type router struct {
	*computer
	lab      *lab
	kind     nat
	network  netip.Prefix // of the local network; the router has the first address
	attached int
}

// home makes a router with the network of most homes, 192.168.1.0/24: hosts in
// different homes have the same addresses.
func (l *lab) home(name string, up uplink, kind nat) *router {
	l.t.Helper()
	return l.router(name, up, kind, "192.168.1.0/24")
}

func (l *lab) router(name string, up uplink, kind nat, network string) *router {
	l.t.Helper()
	require.Tool(l.t, "nft")
	r := &router{computer: l.computer(name), lab: l, kind: kind, network: netip.MustParsePrefix(network)}
	r.ip("link", "add", "lan", "type", "bridge", "mcast_snooping", "0")
	r.ip("link", "set", "lan", "up")
	r.ip("address", "add", r.local(1)+"/24", "dev", "lan")
	r.inside(func() error { return os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("1"), 0) })
	r.filter()
	up.attach(r.computer, "wan")
	return r
}

// host attaches a computer to the home.
func (r *router) host(name string) *computer {
	r.t.Helper()
	c := r.lab.computer(name)
	r.attach(c, "eth0")
	return c
}

// attach gives a computer a device on the local network: the first the address
// ending in 10, and so on.
func (r *router) attach(c *computer, device string) netip.Addr {
	r.t.Helper()
	socket := fmt.Sprintf("port%d", r.attached)
	r.ip("link", "add", socket, "type", "veth", "peer", "name", device, "netns", c.ns)
	r.ip("link", "set", socket, "master", "lan", "up")
	c.ip("link", "set", device, "up")
	r.awaitForwarding(socket)
	return r.renumber(c, device)
}

// awaitForwarding waits until the switch passes frames of a socket on, which
// the kernel may delay for a second.
func (r *router) awaitForwarding(socket string) {
	r.t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); <-tick.C {
		out, err := exec.Command("ip", "-n", r.ns, "-details", "link", "show", socket).Output()
		if err == nil && strings.Contains(string(out), "state forwarding") {
			return
		}
	}
	r.t.Fatalf("%s does not forward from %s", r.name, socket)
}

// renumber gives a device on the local network the next address.
func (r *router) renumber(c *computer, device string) netip.Addr {
	r.t.Helper()
	address := r.local(10 + r.attached)
	r.attached++
	c.configure(device, address+"/24", r.local(1))
	return netip.MustParseAddr(address)
}

// local returns an address of the local network, by its last byte.
func (r *router) local(number int) string {
	a := r.network.Addr().As4()
	a[3] = byte(number)
	return netip.AddrFrom4(a).String()
}

// filter loads the router's rules.
func (r *router) filter() {
	r.t.Helper()
	cmd := exec.Command("ip", "netns", "exec", r.ns, "nft", "-f", "-")
	cmd.Stdin = strings.NewReader(r.kind.ruleset())
	if out, err := cmd.CombinedOutput(); err != nil {
		r.t.Fatalf("nft on %s: %v\n%s", r.name, err, out)
	}
}

// forget has the router lose its mappings, as after a power cut.
func (r *router) forget() {
	r.t.Helper()
	r.filter()
	r.inside(flushConntrack)
}

// flushConntrack empties the table of connections in the thread's namespace:
// the netlink request IPCTNL_MSG_CT_DELETE that names none.
func flushConntrack() error {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_NETFILTER)
	if err != nil {
		return fmt.Errorf("open netlink: %w", err)
	}
	defer unix.Close(fd)
	const size, ctnetlinkDelete = 20, 1<<8 | 2
	request := make([]byte, size) // nlmsghdr and nfgenmsg
	binary.NativeEndian.PutUint32(request[0:], size)
	binary.NativeEndian.PutUint16(request[4:], ctnetlinkDelete)
	binary.NativeEndian.PutUint16(request[6:], unix.NLM_F_REQUEST|unix.NLM_F_ACK)
	request[16] = unix.AF_UNSPEC
	if err := unix.Sendto(fd, request, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return fmt.Errorf("ask netlink: %w", err)
	}
	reply := make([]byte, 4096)
	n, _, err := unix.Recvfrom(fd, reply, 0)
	if err != nil {
		return fmt.Errorf("read netlink: %w", err)
	}
	if n < size {
		return fmt.Errorf("netlink answers %d bytes", n)
	}
	if code := int32(binary.NativeEndian.Uint32(reply[16:])); code != 0 {
		return fmt.Errorf("flush connections: %w", unix.Errno(-code))
	}
	return nil
}
