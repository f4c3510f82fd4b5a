package socks

import (
	"bytes"
	"errors"
	"net"
	"net/netip"
	"strings"
	"testing"
)

func TestParseDatagram(t *testing.T) {
	name := strings.Repeat("n", 255)
	for _, test := range []struct {
		title, in string
		far       Request
		payload   string
		err       error
	}{
		{"name", "\x00\x00\x00\x03\x05maple\x1b\x58hello", Request{Name: "maple", Port: 7000}, "hello", nil},
		{"longest name, no payload", "\x00\x00\x00\x03\xff" + name + "\x00\x01", Request{Name: name, Port: 1}, "", nil},
		{"IPv4", "\x00\x00\x00\x01\x7f\x00\x00\x01\x00\x35x", Request{IP: netip.MustParseAddr("127.0.0.1"), Port: 53}, "x", nil},
		{"IPv6", "\x00\x00\x00\x04" + strings.Repeat("\x00", 15) + "\x01\x00\x35x", Request{IP: netip.MustParseAddr("::1"), Port: 53}, "x", nil},
		{"reserved bytes are ignored", "\x07\x08\x00\x03\x01a\x00\x01x", Request{Name: "a", Port: 1}, "x", nil},

		{"nothing", "", Request{}, "", ErrProtocol},
		{"no address", "\x00\x00\x00", Request{}, "", ErrProtocol},
		{"fragment", "\x00\x00\x01\x03\x01a\x00\x01x", Request{}, "", ErrProtocol},
		{"last fragment", "\x00\x00\x82\x03\x01a\x00\x01x", Request{}, "", ErrProtocol},
		{"address type", "\x00\x00\x00\x02\x01a\x00\x01x", Request{}, "", ErrProtocol},
		{"empty name", "\x00\x00\x00\x03\x00\x00\x01x", Request{}, "", ErrProtocol},
		{"name cut off", "\x00\x00\x00\x03\x05map", Request{}, "", ErrProtocol},
		{"port cut off", "\x00\x00\x00\x01\x7f\x00\x00\x01\x00", Request{}, "", ErrProtocol},
	} {
		far, payload, err := ParseDatagram([]byte(test.in))
		if far != test.far || string(payload) != test.payload || !errors.Is(err, test.err) {
			t.Errorf("%s: %+v, %q, %v", test.title, far, payload, err)
		}
	}
}

func TestAssociate(t *testing.T) {
	for _, relay := range []string{"127.0.0.1:4000", "[::1]:65535"} {
		near, far := net.Pipe()
		got := make(chan Request, 1)
		go func() {
			r, _ := ReadRequest(far)
			WriteAssociated(far, netip.MustParseAddrPort(relay))
			got <- r
		}()
		bound, err := Associate(near)
		if r := <-got; r.Command != CommandAssociate || r.Port != 0 || bound.String() != relay || err != nil {
			t.Errorf("asked for %+v, got %s, %v; want %s", r, bound, err, relay)
		}
		near.Close()
		far.Close()
	}
	for in, want := range map[string]error{
		"\x05\x00\x05\x07\x00\x01\x00\x00\x00\x00\x00\x00": CommandUnsupported,
		"\x05\x00\x05\x00\x00\x03\x01a\x00\x01":            ErrProtocol,
	} {
		if _, err := Associate(&wire{Reader: strings.NewReader(in)}); !errors.Is(err, want) {
			t.Errorf("%q: %v, want %v", in, err, want)
		}
	}
}

func FuzzDatagram(f *testing.F) {
	f.Add([]byte("\x00\x00\x00\x03\x05maple\x1b\x58hello"))
	f.Add([]byte("\x00\x00\x00\x01\x7f\x00\x00\x01\x00\x35x"))
	f.Add([]byte("\x00\x00\x01"))
	f.Fuzz(func(t *testing.T, in []byte) {
		far, payload, err := ParseDatagram(in)
		if err != nil {
			if !errors.Is(err, ErrProtocol) {
				t.Fatal(err)
			}
			return
		}
		again, rest, err := ParseDatagram(AppendDatagram(nil, far, payload))
		if far.IP = far.IP.Unmap(); again != far || !bytes.Equal(rest, payload) || err != nil {
			t.Errorf("%+v was said again as %+v, %v", far, again, err)
		}
	})
}
