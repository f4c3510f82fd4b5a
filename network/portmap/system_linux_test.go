package portmap

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"testing"

	"kith.alt/kith/kithtest/require"
)

// TestSystem runs with the system's gateway, sockets and multicast, in a network
// of its own where the host is its own gateway and answers by UPnP.
func TestSystem(t *testing.T) {
	const inside = "KITH_TEST_NETWORK"
	if os.Getenv(inside) == "" {
		require.Root(t)
		require.Tool(t, "ip")
		cmd := exec.Command(require.Tool(t, "unshare"), "--net", os.Args[0], "-test.run", "^"+t.Name()+"$")
		cmd.Env = append(os.Environ(), inside+"=1")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("in a network of its own: %v\n%s", err, out)
		}
		return
	}
	for _, args := range []string{
		"link set lo up",
		"link add lan type bridge",
		"address add 192.0.2.2/24 dev lan",
		"link set lan up",
		"route add default via 192.0.2.1",
		"address add 192.0.2.1/32 dev lo", // and so the packets for the gateway stay here
	} {
		if out, err := exec.Command("ip", strings.Fields(args)...).CombinedOutput(); err != nil {
			t.Fatalf("ip %s: %v\n%s", args, err, out)
		}
	}
	router := netip.MustParseAddr("192.0.2.1")
	if got := gateways(); len(got) != 1 || got[0] != router {
		t.Fatalf("gateways %v", got)
	}

	l, err := net.Listen("tcp", "192.0.2.1:0")
	if err != nil {
		t.Fatal(err)
	}
	d, _ := startDevice(t, func(*device) {})
	go http.Serve(l, d)
	d.location = fmt.Sprintf("http://%s/description.xml", l.Addr())
	lan, err := net.InterfaceByName("lan")
	if err != nil {
		t.Fatal(err)
	}
	questions, err := net.ListenMulticastUDP("udp4", lan, net.UDPAddrFromAddrPort(systemWire().group))
	if err != nil {
		t.Fatal(err)
	}
	defer questions.Close()
	answers, err := net.ListenPacket("udp4", "192.0.2.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer answers.Close()
	go d.answerSSDP(asked{questions, answers})

	m := New(Config{Port: func() uint16 { return port }, Log: quiet})
	stop := serveMapped(t, m)
	if got := describeAll(m.Mapped()); !strings.HasPrefix(got, "udp 203.0.113.9:4747 by upnp") {
		t.Errorf("mapped %q, %v", got, m.Failure())
	}
	stop()
}

// asked hears by one socket and answers by another.
type asked struct {
	net.PacketConn
	answers net.PacketConn
}

func (a asked) WriteTo(p []byte, to net.Addr) (int, error) { return a.answers.WriteTo(p, to) }
