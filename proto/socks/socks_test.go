package socks

import (
	"bytes"
	"errors"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"
	"testing/iotest"
)

// A wire is one side's input and what it wrote.
type wire struct {
	io.Reader
	bytes.Buffer
}

func (w *wire) Read(b []byte) (int, error)  { return w.Reader.Read(b) }
func (w *wire) Write(b []byte) (int, error) { return w.Buffer.Write(b) }

func TestReadRequest(t *testing.T) {
	name := strings.Repeat("n", 255)
	for _, test := range []struct {
		title, in, out string
		want           Request
		rest           string // left unread
		err            error
	}{
		{"name", "\x05\x01\x00\x05\x01\x00\x03\x05maple\x01\xbbrest", "\x05\x00", Request{Command: CommandConnect, Name: "maple", Port: 443}, "rest", nil},
		{"longest", "\x05\x02\x02\x00\x05\x01\x00\x03\xff" + name + "\x00\x01", "\x05\x00", Request{Command: CommandConnect, Name: name, Port: 1}, "", nil},
		{"IPv4", "\x05\x01\x00\x05\x01\x00\x01\x7f\x00\x00\x01\x00\x50", "\x05\x00", Request{Command: CommandConnect, IP: netip.MustParseAddr("127.0.0.1"), Port: 80}, "", nil},
		{"IPv6", "\x05\x01\x00\x05\x01\x00\x04" + strings.Repeat("\x00", 15) + "\x01\x00\x50", "\x05\x00", Request{Command: CommandConnect, IP: netip.MustParseAddr("::1"), Port: 80}, "", nil},
		{"UDP", "\x05\x01\x00\x05\x03\x07\x03\x01a\x00\x00", "\x05\x00", Request{Command: CommandAssociate, Name: "a"}, "", nil},

		{"nothing", "", "", Request{}, "", io.ErrUnexpectedEOF},
		{"version 4", "\x04\x01", "", Request{}, "\x01", ErrProtocol},
		{"no methods", "\x05\x00\x05", "\x05\xff", Request{}, "\x05", ErrProtocol},
		{"password only", "\x05\x01\x02", "\x05\xff", Request{}, "", ErrProtocol},
		{"methods cut off", "\x05\x03\x00", "", Request{}, "", io.ErrUnexpectedEOF},
		{"no request", "\x05\x01\x00", "\x05\x00", Request{}, "", io.ErrUnexpectedEOF},
		{"version changes", "\x05\x01\x00\x04\x01\x00", "\x05\x00", Request{}, "", ErrProtocol},
		{"address type", "\x05\x01\x00\x05\x01\x00\x02", "\x05\x00\x05\x08\x00\x01\x00\x00\x00\x00\x00\x00", Request{}, "", ErrProtocol},
		{"empty name", "\x05\x01\x00\x05\x01\x00\x03\x00\x00\x50", "\x05\x00", Request{}, "\x00\x50", ErrProtocol},
		{"name cut off", "\x05\x01\x00\x05\x01\x00\x03\x05map", "\x05\x00", Request{}, "", io.ErrUnexpectedEOF},
		{"port cut off", "\x05\x01\x00\x05\x01\x00\x01\x7f\x00\x00\x01\x00", "\x05\x00", Request{}, "", io.ErrUnexpectedEOF},
	} {
		conn := &wire{Reader: iotest.OneByteReader(strings.NewReader(test.in))}
		got, err := ReadRequest(conn)
		rest, _ := io.ReadAll(conn.Reader)
		if got != test.want || !errors.Is(err, test.err) || conn.String() != test.out || string(rest) != test.rest {
			t.Errorf("%s: %+v, %v, wrote %q, left %q", test.title, got, err, conn.String(), rest)
		}
	}
}

func TestConnect(t *testing.T) {
	request := Request{Command: CommandConnect, Name: "maple", Port: 80}
	const sent = "\x05\x01\x00" + "\x05\x01\x00\x03\x05maple\x00\x50"
	for _, test := range []struct {
		title, in string
		err       error
		rest      string
	}{
		{"succeeds", "\x05\x00\x05\x00\x00\x01\x00\x00\x00\x00\x00\x00hello", nil, "hello"},
		{"bound to a name", "\x05\x00\x05\x00\x00\x03\x01a\x00\x00hello", nil, "hello"},
		{"refused", "\x05\x00\x05\x05\x00\x01\x00\x00\x00\x00\x00\x00", ConnectionRefused, ""},
		{"unknown reply", "\x05\x00\x05\x63\x00\x01\x00\x00\x00\x00\x00\x00", Reply(0x63), ""},
		{"wants a password", "\x05\x02", ErrProtocol, ""},
		{"another protocol", "HTTP/1.1 400 Bad Request", ErrProtocol, "TP/1.1 400 Bad Request"},
		{"silent", "", io.ErrUnexpectedEOF, ""},
		{"cut off", "\x05\x00\x05\x00\x00\x01\x00", io.ErrUnexpectedEOF, ""},
		{"version changes", "\x05\x00\x04\x00\x00", ErrProtocol, ""},
	} {
		conn := &wire{Reader: iotest.OneByteReader(strings.NewReader(test.in))}
		err := Connect(conn, request)
		rest, _ := io.ReadAll(conn.Reader)
		if !errors.Is(err, test.err) || string(rest) != test.rest || !strings.HasPrefix(sent, conn.String()) || err == nil && conn.String() != sent {
			t.Errorf("%s: %v, wrote %q, left %q", test.title, err, conn.String(), rest)
		}
	}
	if err := Connect(&wire{Reader: strings.NewReader("")}, Request{Name: strings.Repeat("n", 256)}); !errors.Is(err, ErrProtocol) {
		t.Errorf("name of 256 bytes: %v", err)
	}
}

// TestBothEnds has client and server meet.
func TestBothEnds(t *testing.T) {
	for _, request := range []Request{
		{Command: CommandConnect, Name: "maple.home.kith.alt", Port: 65535},
		{Command: CommandBind, IP: netip.MustParseAddr("192.0.2.1"), Port: 1},
		{Command: CommandAssociate, IP: netip.MustParseAddr("2001:db8::1")},
	} {
		for reply := Succeeded; reply <= AddressUnsupported; reply++ {
			near, far := net.Pipe()
			got := make(chan Request, 1)
			go func() {
				r, _ := ReadRequest(far)
				WriteReply(far, reply)
				got <- r
			}()
			err := Connect(near, request)
			if r := <-got; r != request || (err == nil) != (reply == Succeeded) || err != nil && !errors.Is(err, reply) {
				t.Errorf("%s came as %s; reply %v as %v", request.Target(), r.Target(), reply, err)
			}
			near.Close()
			far.Close()
		}
	}
}

// FuzzSOCKS has each side converse with a peer that says anything. What a
// server understands, a client can say.
func FuzzSOCKS(f *testing.F) {
	f.Add([]byte("\x05\x01\x00\x05\x01\x00\x03\x05maple\x01\xbbrest"))
	f.Add([]byte("\x05\x00\x05\x00\x00\x01\x00\x00\x00\x00\x00\x00hello"))
	f.Add([]byte("\x05\x01\x02"))
	f.Fuzz(func(t *testing.T, in []byte) {
		Connect(&wire{Reader: bytes.NewReader(in)}, Request{Command: CommandConnect, Name: "maple", Port: 80})

		reader := bytes.NewReader(in)
		request, err := ReadRequest(&wire{Reader: reader})
		if used := len(in) - reader.Len(); used > 519 {
			t.Fatalf("handshake took %d bytes", used)
		}
		if err != nil {
			return
		}
		said := &wire{Reader: strings.NewReader("\x05\x00")}
		Connect(said, request)
		again, err := ReadRequest(&wire{Reader: bytes.NewReader(said.Bytes())})
		if request.IP = request.IP.Unmap(); again != request || err != nil {
			t.Errorf("%+v was said again as %+v, %v", request, again, err)
		}
	})
}
