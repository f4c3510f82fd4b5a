package netlab

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"strings"

	"golang.org/x/sys/unix"

	"kith.alt/kith/kithtest/require"
)

// A NAT is what a router does with what crosses it. All have a firewall: what
// comes from outside without having been asked for is dropped without an answer.
type NAT string

const (
	// FullCone keeps the source port, and passes what anybody sends to UDP
	// port 4747 on to the first host, as after a port forwarding by hand.
	FullCone NAT = "full cone"
	// PortRestricted keeps the source port where it is free, and lets in only
	// who was written to, from that very port.
	PortRestricted NAT = "port-restricted"
	// Symmetric chooses a source port at random for each destination.
	Symmetric NAT = "symmetric"
	// UDPBlocked is PortRestricted for TCP and passes no UDP.
	UDPBlocked NAT = "UDP blocked"
)

// ruleset returns the kind as nftables rules for a router between the devices
// wan and lan.
func (kind NAT) ruleset() string {
	var forward, source, destination string
	switch kind {
	case FullCone:
		destination = `iifname "wan" udp dport 4747 dnat to 192.168.1.10`
	case Symmetric:
		source = "fully-random"
	case UDPBlocked:
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

// An Uplink is what a computer's device can be attached to: the internet, or a
// router's local network.
type Uplink interface {
	Attach(c *Computer, device string) netip.Addr
}

// A Router joins a local network to an uplink by NAT. A home is a router with
// hosts behind it, a carrier-grade NAT one with routers behind it.
type Router struct {
	*Computer
	lab      *Lab
	lan      *Switch
	kind     NAT
	network  netip.Prefix // of the local network; the router has the first address
	attached int
}

// Home makes a router with the network of most homes, 192.168.1.0/24: hosts in
// different homes have the same addresses.
func (l *Lab) Home(name string, up Uplink, kind NAT) *Router {
	l.t.Helper()
	return l.Router(name, up, kind, "192.168.1.0/24")
}

// Router makes a router with such a network, which has 24 bits of prefix.
func (l *Lab) Router(name string, up Uplink, kind NAT, network string) *Router {
	l.t.Helper()
	require.Tool(l.t, "nft")
	r := &Router{Computer: l.Computer(name), lab: l, kind: kind, network: netip.MustParsePrefix(network)}
	r.lan = newSwitch(l, r.Computer)
	r.IP("address", "add", r.Local(1)+"/24", "dev", "lan")
	r.Inside(func() error { return os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("1"), 0) })
	r.filter()
	up.Attach(r.Computer, "wan")
	return r
}

// Host attaches a computer to the home.
func (r *Router) Host(name string) *Computer {
	r.t.Helper()
	c := r.lab.Computer(name)
	r.Attach(c, "eth0")
	return c
}

// Attach gives a computer a device on the local network: the first the address
// ending in 10, and so on.
func (r *Router) Attach(c *Computer, device string) netip.Addr {
	r.t.Helper()
	r.lan.Plug(c, device)
	return r.Renumber(c, device)
}

// Renumber gives a device on the local network the next address.
func (r *Router) Renumber(c *Computer, device string) netip.Addr {
	r.t.Helper()
	address := r.Local(10 + r.attached)
	r.attached++
	c.configure(device, address+"/24", r.Local(1))
	return netip.MustParseAddr(address)
}

// Local returns an address of the local network, by its last byte.
func (r *Router) Local(number int) string {
	a := r.network.Addr().As4()
	a[3] = byte(number)
	return netip.AddrFrom4(a).String()
}

// filter loads the router's rules.
func (r *Router) filter() {
	r.t.Helper()
	cmd := exec.Command("ip", "netns", "exec", r.ns, "nft", "-f", "-")
	cmd.Stdin = strings.NewReader(r.kind.ruleset())
	if out, err := cmd.CombinedOutput(); err != nil {
		r.t.Fatalf("nft on %s: %v\n%s", r.Name, err, out)
	}
}

// Forget has the router lose its mappings, as after a power cut.
func (r *Router) Forget() {
	r.t.Helper()
	r.filter()
	r.Inside(flushConntrack)
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
