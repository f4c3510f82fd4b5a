package netlab

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Latency is how long a packet travels between any two places on the internet,
// one way.
const Latency = 10 * time.Millisecond

// An Internet carries IP packets between the computers attached to it: a router
// of the test's own, which delays, loses and cuts as it is told, since not
// every kernel has netem. Each computer has a network of its own, 11.0.N.0/24,
// with the address N.2 and a gateway at N.1 that answers nothing.
type Internet struct {
	lab *Lab

	mu    sync.RWMutex
	last  int // number of the newest network
	ports map[netip.Addr]*port
	cuts  map[[2]*port]bool
	loss  float64 // share of the packets that vanish
}

// A port is where a computer is attached: the far end of its TUN device.
type port struct {
	computer *Computer
	device   string
	tun      *os.File
	address  netip.Addr    // guarded by Internet.mu
	delay    time.Duration // of what the computer sends
}

// A delayed packet is on its way.
type delayed struct {
	packet []byte
	due    time.Time
}

// Internet makes an internet that nobody is attached to yet.
func (l *Lab) Internet() *Internet {
	return &Internet{lab: l, ports: make(map[netip.Addr]*port), cuts: make(map[[2]*port]bool)}
}

// Host attaches a computer that everybody can reach.
func (n *Internet) Host(name string) *Computer {
	n.lab.t.Helper()
	c := n.lab.Computer(name)
	n.Attach(c, "eth0")
	return c
}

// Attach gives a computer a device on the internet, with a new address.
func (n *Internet) Attach(c *Computer, device string) netip.Addr {
	t := n.lab.t
	t.Helper()
	p := &port{computer: c, device: device, delay: Latency}
	c.Inside(func() (err error) {
		p.tun, err = openTUN(device)
		return err
	})
	sent := make(chan delayed, 4096)
	var running sync.WaitGroup
	running.Go(func() { p.receive(sent) })
	running.Go(func() { n.forward(p, sent) })
	t.Cleanup(func() {
		p.tun.Close()
		running.Wait()
	})
	c.IP("link", "set", device, "up")
	return n.number(p)
}

// Renumber moves a computer to a new address on the internet and returns it.
func (n *Internet) Renumber(c *Computer) netip.Addr {
	n.lab.t.Helper()
	return n.number(n.port(c))
}

func (n *Internet) number(p *port) netip.Addr {
	n.lab.t.Helper()
	n.mu.Lock()
	n.last++
	network := fmt.Sprintf("11.0.%d.", n.last)
	delete(n.ports, p.address)
	p.address = netip.MustParseAddr(network + "2")
	n.ports[p.address] = p
	n.mu.Unlock()
	p.computer.configure(p.device, network+"2/24", network+"1")
	return p.address
}

// Address returns a computer's address on the internet.
func (n *Internet) Address(c *Computer) netip.Addr { return n.port(c).address }

// Gateway returns the default gateway of a computer on the internet.
func (n *Internet) Gateway(c *Computer) netip.Addr { return n.port(c).address.Prev() }

// Cut stops all packets between two computers, both ways, until heal.
func (n *Internet) Cut(a, b *Computer) { n.setCut(a, b, true) }

// Heal undoes a cut.
func (n *Internet) Heal(a, b *Computer) { n.setCut(a, b, false) }

func (n *Internet) setCut(a, b *Computer, cut bool) {
	p, q := n.port(a), n.port(b)
	n.mu.Lock()
	defer n.mu.Unlock()
	n.cuts[[2]*port{p, q}], n.cuts[[2]*port{q, p}] = cut, cut
}

// Lose has this share of all packets vanish from now on.
func (n *Internet) Lose(share float64) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.loss = share
}

func (n *Internet) port(c *Computer) *port {
	n.mu.RLock()
	defer n.mu.RUnlock()
	for _, p := range n.ports {
		if p.computer == c {
			return p
		}
	}
	n.lab.t.Fatalf("%s is not on the internet", c.Name)
	return nil
}

// receive takes what the computer sends until its device is closed. What
// exceeds the queue is lost, as in any router.
func (p *port) receive(sent chan<- delayed) {
	defer close(sent)
	buf := make([]byte, 64<<10)
	for {
		size, err := p.tun.Read(buf)
		if err != nil {
			return
		}
		select {
		case sent <- delayed{append([]byte(nil), buf[:size]...), time.Now().Add(p.delay)}:
		default:
		}
	}
}

// forward delivers what the computer at p sent when it is due.
func (n *Internet) forward(p *port, sent <-chan delayed) {
	for s := range sent {
		if to := n.destination(p, s.packet); to != nil {
			time.Sleep(time.Until(s.due))
			to.tun.Write(s.packet)
		}
	}
}

// destination returns where a packet goes, nil where it is lost. Only IPv4 to a
// computer of this internet arrives anywhere.
func (n *Internet) destination(from *port, packet []byte) *port {
	if len(packet) < 20 || packet[0]>>4 != 4 {
		return nil
	}
	n.mu.RLock()
	defer n.mu.RUnlock()
	to := n.ports[netip.AddrFrom4([4]byte(packet[16:20]))]
	if to == nil || n.cuts[[2]*port{from, to}] || n.loss > 0 && rand.Float64() < n.loss {
		return nil
	}
	return to
}

// openTUN makes a device in the namespace of the calling thread. What the
// computer sends through it is read from the file, and the other way round.
func openTUN(name string) (*os.File, error) {
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("open /dev/net/tun: %w", err)
	}
	request, err := unix.NewIfreq(name)
	if err == nil {
		request.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI)
		err = unix.IoctlIfreq(fd, unix.TUNSETIFF, request)
	}
	if err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("make TUN device %s: %w", name, err)
	}
	return os.NewFile(uintptr(fd), name), nil
}
