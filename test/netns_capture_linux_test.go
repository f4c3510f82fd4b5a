package test

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

// A capture counts the packets that a computer sends, before any router has
// touched them.
type capture struct {
	raw   syscall.RawConn
	mu    sync.Mutex
	count map[destination]int
}

// A destination is where a packet goes. The port of a protocol other than UDP
// and TCP is 0.
type destination struct {
	protocol byte // of IP
	to       netip.AddrPort
}

func (d destination) String() string {
	switch d.protocol {
	case unix.IPPROTO_UDP:
		return "udp " + d.to.String()
	case unix.IPPROTO_TCP:
		return "tcp " + d.to.String()
	}
	return fmt.Sprintf("protocol %d to %v", d.protocol, d.to.Addr())
}

// capture records what the computer sends on all devices but loopback, from now
// to the end of the test.
func (c *computer) capture() *capture {
	c.t.Helper()
	p := &capture{count: make(map[destination]int)}
	var socket *os.File
	c.inside(func() error {
		every := binary.NativeEndian.Uint16(binary.BigEndian.AppendUint16(nil, unix.ETH_P_ALL))
		fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, int(every))
		if err != nil {
			return fmt.Errorf("open packet socket: %w", err)
		}
		socket = os.NewFile(uintptr(fd), "capture on "+c.name)
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
func (p *capture) read(fd int) error {
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

// sent returns how many packets went where so far.
func (p *capture) sent() map[destination]int {
	p.raw.Control(func(fd uintptr) { p.read(int(fd)) })
	p.mu.Lock()
	defer p.mu.Unlock()
	return maps.Clone(p.count)
}

// parseDestination reads the headers of an IP packet, and reports false for
// anything else, such as ARP. IPv6 extension headers are not skipped.
func parseDestination(packet []byte) (d destination, ok bool) {
	var to netip.Addr
	var payload []byte
	switch {
	case len(packet) >= 20 && packet[0]>>4 == 4:
		d.protocol, to = packet[9], netip.AddrFrom4([4]byte(packet[16:20]))
		payload = packet[min(len(packet), int(packet[0]&15)*4):]
	case len(packet) >= 40 && packet[0]>>4 == 6:
		d.protocol, to = packet[6], netip.AddrFrom16([16]byte(packet[24:40]))
		payload = packet[40:]
	default:
		return d, false
	}
	var port uint16
	if (d.protocol == unix.IPPROTO_UDP || d.protocol == unix.IPPROTO_TCP) && len(payload) >= 4 {
		port = binary.BigEndian.Uint16(payload[2:])
	}
	d.to = netip.AddrPortFrom(to, port)
	return d, true
}
