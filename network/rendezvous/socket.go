package rendezvous

import (
	"bytes"
	"errors"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/anacrolix/dht/v2/krpc"
	"github.com/anacrolix/torrent/bencode"
)

const (
	maxPacket = 2048 // bytes: an answer with an item has about 1,500
	maxDepth  = 8    // of lists and dictionaries in each other
)

// A socket lends the shared net.PacketConn to the library. Closing it closes
// nothing; it takes the library's reader off the connection and leaves no
// deadline behind.
//
// It also stands guard. The library lets a runtime panic of its decoder take the
// process down (an "ip" of 0 bytes is enough), allocates what a length in a
// packet claims, up to 128 MiB, and keeps a counter under every name of a query.
// So it sees answers alone, which its decoder has read before here, where a
// panic is caught. Queries are not for us: we say that we are read-only (BEP 43).
type socket struct {
	net.PacketConn
	broken chan error // the connection's error that ends Serve; capacity 1

	reading sync.Mutex // held in ReadFrom of the connection
	closing chan struct{}
	close   sync.Once
}

func newSocket(conn net.PacketConn) *socket {
	return &socket{PacketConn: conn, broken: make(chan error, 1), closing: make(chan struct{})}
}

// ReadFrom returns the next answer. It fails only after Close, since the library
// panics when it fails before.
func (s *socket) ReadFrom(b []byte) (int, net.Addr, error) {
	for {
		n, from, err := s.read(b)
		switch {
		case s.closed():
			return 0, nil, net.ErrClosed
		case errors.Is(err, net.ErrClosed):
			s.broken <- err
			<-s.closing
			return 0, nil, net.ErrClosed
		case err != nil: // of one packet: some systems report what came back for an earlier one
			select {
			case <-s.closing:
			case <-time.After(10 * time.Millisecond):
			}
		case answer(b[:n]):
			if from := udpAddr(from); from != nil {
				return n, from, nil
			}
		}
	}
}

func (s *socket) read(b []byte) (int, net.Addr, error) {
	s.reading.Lock()
	defer s.reading.Unlock()
	if s.closed() {
		return 0, nil, net.ErrClosed
	}
	return s.PacketConn.ReadFrom(b)
}

func (s *socket) WriteTo(b []byte, to net.Addr) (int, error) {
	if s.closed() {
		return 0, net.ErrClosed
	}
	return s.PacketConn.WriteTo(b, to)
}

// Close returns when nothing reads from the connection any more.
func (s *socket) Close() error {
	s.close.Do(func() {
		close(s.closing)
		s.PacketConn.SetReadDeadline(time.Unix(1, 0))
		s.reading.Lock()
		defer s.reading.Unlock()
		s.PacketConn.SetReadDeadline(time.Time{})
	})
	return nil
}

func (s *socket) closed() bool {
	select {
	case <-s.closing:
		return true
	default:
		return false
	}
}

// udpAddr returns address as the type that the library knows; nil if it cannot.
func udpAddr(address net.Addr) *net.UDPAddr {
	if a, ok := address.(*net.UDPAddr); ok {
		return a
	}
	a, err := netip.ParseAddrPort(address.String())
	if err != nil {
		return nil
	}
	return net.UDPAddrFromAddrPort(a)
}

// answer reports whether packet is a response or an error of BEP 5 that the
// library can be trusted with.
func answer(packet []byte) (ok bool) {
	if len(packet) > maxPacket || len(packet) == 0 || packet[0] != 'd' {
		return false
	}
	if rest, ok := skipValue(packet, 0); !ok || len(rest) != 0 {
		return false
	}
	defer func() {
		if recover() != nil {
			ok = false
		}
	}()
	var m krpc.Msg
	return bencode.Unmarshal(packet, &m) == nil && (m.Y == krpc.YResponse || m.Y == krpc.YError)
}

// skipValue returns what follows the bencoded value (BEP 3) that b begins with.
// It is false unless all lengths are within b.
func skipValue(b []byte, depth int) (rest []byte, ok bool) {
	if len(b) == 0 || depth > maxDepth {
		return nil, false
	}
	switch c := b[0]; {
	case c == 'i':
		end := bytes.IndexByte(b, 'e')
		return b[end+1:], end > 1
	case c == 'l' || c == 'd':
		b = b[1:]
		for len(b) > 0 && b[0] != 'e' {
			if c == 'd' {
				if b, ok = skipString(b); !ok {
					return nil, false
				}
			}
			if b, ok = skipValue(b, depth+1); !ok {
				return nil, false
			}
		}
		if len(b) == 0 {
			return nil, false
		}
		return b[1:], true
	default:
		return skipString(b)
	}
}

func skipString(b []byte) (rest []byte, ok bool) {
	length, i := 0, 0
	for ; i < len(b) && i < 5 && '0' <= b[i] && b[i] <= '9'; i++ {
		length = length*10 + int(b[i]-'0')
	}
	if i == 0 || i == len(b) || b[i] != ':' || length > len(b)-i-1 {
		return nil, false
	}
	return b[i+1+length:], true
}
