package netlab

import (
	"encoding/binary"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// A Capture counts the packets that a computer sends, before any router has
// touched them.
type Capture struct {
	raw   syscall.RawConn
	mu    sync.Mutex
	count map[Destination]int
}

// A Destination is where a packet goes. The port of a protocol other than UDP
// and TCP is 0.
type Destination struct {
	Protocol byte // of IP
	To       netip.AddrPort
}

func (d Destination) String() string {
	switch d.Protocol {
	case unix.IPPROTO_UDP:
		return "udp " + d.To.String()
	case unix.IPPROTO_TCP:
		return "tcp " + d.To.String()
	}
	return fmt.Sprintf("protocol %d to %v", d.Protocol, d.To.Addr())
}

// Capture records what the computer sends on all devices but loopback, from now
// to the end of the test.
func (c *Computer) Capture() *Capture {
	c.t.Helper()
	p := &Capture{count: make(map[Destination]int)}
	var socket *os.File
	c.Inside(func() error {
		every := binary.NativeEndian.Uint16(binary.BigEndian.AppendUint16(nil, unix.ETH_P_ALL))
		fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, int(every))
		if err != nil {
			return fmt.Errorf("open packet socket: %w", err)
		}
		socket = os.NewFile(uintptr(fd), "capture on "+c.Name)
		return nil
	})
	var err error
	if p.raw, err = socket.SyscallConn(); err != nil {
		c.t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		p.raw.Read(func(fd uintptr) bool { return p.read(int(fd)) != syscall.EAGAIN })
	}()
	c.t.Cleanup(func() {
		socket.Close()
		<-done
	})
	return p
}

// read records packets until there is none. Loopback has number 1 everywhere.
func (p *Capture) read(fd int) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	buf := make([]byte, 128)
	for {
		n, from, err := unix.Recvfrom(fd, buf, 0)
		if err != nil {
			return err
		}
		link, ok := from.(*unix.SockaddrLinklayer)
		if !ok || link.Pkttype != unix.PACKET_OUTGOING || link.Ifindex == 1 {
			continue
		}
		if d, ok := parseDestination(buf[:n]); ok {
			p.count[d]++
		}
	}
}

// Sent returns how many packets went where so far.
func (p *Capture) Sent() map[Destination]int {
	p.raw.Control(func(fd uintptr) { p.read(int(fd)) })
	p.mu.Lock()
	defer p.mu.Unlock()
	return maps.Clone(p.count)
}

// parseDestination reads the headers of an IP packet, and reports false for
// anything else, such as ARP. IPv6 extension headers are not skipped.
func parseDestination(packet []byte) (d Destination, ok bool) {
	var to netip.Addr
	var payload []byte
	switch {
	case len(packet) >= 20 && packet[0]>>4 == 4:
		d.Protocol, to = packet[9], netip.AddrFrom4([4]byte(packet[16:20]))
		payload = packet[min(len(packet), int(packet[0]&15)*4):]
	case len(packet) >= 40 && packet[0]>>4 == 6:
		d.Protocol, to = packet[6], netip.AddrFrom16([16]byte(packet[24:40]))
		payload = packet[40:]
	default:
		return d, false
	}
	var port uint16
	if (d.Protocol == unix.IPPROTO_UDP || d.Protocol == unix.IPPROTO_TCP) && len(payload) >= 4 {
		port = binary.BigEndian.Uint16(payload[2:])
	}
	d.To = netip.AddrPortFrom(to, port)
	return d, true
}
