package socks

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strconv"
)

// Version is the first byte of every message.
const Version = 5

const (
	methodNone         = 0x00 // no authentication required
	methodUnacceptable = 0xff

	typeIPv4 = 0x01
	typeName = 0x03
	typeIPv6 = 0x04

	maxName = 255 // a length in one byte
)

// ErrProtocol is wrapped by errors about bytes that are not SOCKS 5, or that
// ask for something the handshake cannot give.
var ErrProtocol = errors.New("not a SOCKS 5 conversation that we can have")

// A Command is what the client asks for (RFC 1928 4).
type Command byte

const (
	CommandConnect   Command = 1
	CommandBind      Command = 2
	CommandAssociate Command = 3 // UDP
)

// A Reply is how the server answers a request (RFC 1928 6). Each except
// Succeeded is also an error, as [Connect] returns it.
type Reply byte

const (
	Succeeded          Reply = 0
	GeneralFailure     Reply = 1
	NotAllowed         Reply = 2 // by the server's rules
	NetworkUnreachable Reply = 3
	HostUnreachable    Reply = 4
	ConnectionRefused  Reply = 5
	TTLExpired         Reply = 6 // in practice: the attempt timed out
	CommandUnsupported Reply = 7
	AddressUnsupported Reply = 8
)

var replyTexts = [...]string{
	Succeeded:          "succeeded",
	GeneralFailure:     "general failure",
	NotAllowed:         "not allowed by the proxy's rules",
	NetworkUnreachable: "network unreachable",
	HostUnreachable:    "host unreachable",
	ConnectionRefused:  "connection refused",
	TTLExpired:         "timed out",
	CommandUnsupported: "command not supported",
	AddressUnsupported: "address type not supported",
}

// Error returns the reply in the words of RFC 1928 6.
func (r Reply) Error() string {
	if int(r) < len(replyTexts) {
		return replyTexts[r]
	}
	return fmt.Sprintf("reply %#02x", byte(r))
}

// A Request names the target that a client wants. Either Name or IP is set.
type Request struct {
	Command Command
	Name    string     // 1 to 255 bytes as they came: the server checks them
	IP      netip.Addr // IPv4 or IPv6
	Port    uint16
}

// Target returns the target as HOST:PORT.
func (r Request) Target() string {
	host := r.Name
	if host == "" {
		host = r.IP.String()
	}
	return net.JoinHostPort(host, strconv.Itoa(int(r.Port)))
}

// appendAddress appends address type, address and port (RFC 1928 5).
func (r Request) appendAddress(b []byte) []byte {
	switch {
	case r.Name != "":
		b = append(b, typeName, byte(len(r.Name)))
		b = append(b, r.Name...)
	case r.IP.Is4() || r.IP.Is4In6():
		ip := r.IP.As4()
		b = append(append(b, typeIPv4), ip[:]...)
	case r.IP.Is6():
		ip := r.IP.As16()
		b = append(append(b, typeIPv6), ip[:]...)
	default: // no address: RFC 1928 has no form for it, so servers write 0.0.0.0
		b = append(b, typeIPv4, 0, 0, 0, 0)
	}
	return binary.BigEndian.AppendUint16(b, r.Port)
}

// readAddress reads what appendAddress appends. The error is a [Reply] where
// the type of address is unknown.
func (r *Request) readAddress(from io.Reader) error {
	var buf [maxName + 2]byte
	if _, err := io.ReadFull(from, buf[:1]); err != nil {
		return err
	}
	kind, size := buf[0], 0
	switch kind {
	case typeIPv4:
		size = 4
	case typeIPv6:
		size = 16
	case typeName:
		if _, err := io.ReadFull(from, buf[:1]); err != nil {
			return err
		}
		if size = int(buf[0]); size == 0 {
			return fmt.Errorf("empty name: %w", ErrProtocol)
		}
	default:
		return AddressUnsupported
	}
	address := buf[:size+2]
	if _, err := io.ReadFull(from, address); err != nil {
		return err
	}
	if kind == typeName {
		r.Name = string(address[:size])
	} else {
		r.IP, _ = netip.AddrFromSlice(address[:size])
	}
	r.Port = binary.BigEndian.Uint16(address[size:])
	return nil
}
