package loopback

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"
)

// connection returns both ends of a TCP connection over address.
func connection(t testing.TB, network, listen, dial string) (client, server net.Conn) {
	t.Helper()
	l, err := net.Listen(network, listen)
	if err != nil {
		t.Skipf("listen on %s: %v", listen, err)
	}
	defer l.Close()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	client, err = net.Dial("tcp", net.JoinHostPort(dial, port))
	if err != nil {
		t.Fatal(err)
	}
	server, err = l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close(); server.Close() })
	return client, server
}

func TestOwner(t *testing.T) {
	ways := map[string]ownerFunc{"netlink": diagOwner, "proc": procOwner}
	families := []struct{ name, network, listen, dial string }{
		{"IPv4", "tcp4", "127.0.0.1:0", "127.0.0.1"},
		{"IPv6", "tcp6", "[::1]:0", "::1"},
		{"IPv4 to an IPv6 listener", "tcp", "[::]:0", "127.0.0.1"},
	}
	for way, owner := range ways {
		for _, f := range families {
			t.Run(way+"/"+f.name, func(t *testing.T) {
				client, server := connection(t, f.network, f.listen, f.dial)
				far, near := addrPort(server.RemoteAddr().(*net.TCPAddr)), addrPort(server.LocalAddr().(*net.TCPAddr))
				uid, err := owner(far, near)
				if err != nil || uid != os.Geteuid() {
					t.Errorf("owner is %d, %v; want %d", uid, err, os.Geteuid())
				}
				if _, err := owner(far, netip.AddrPortFrom(near.Addr(), near.Port()^1)); !errors.Is(err, errNoOwner) {
					t.Errorf("owner of another connection: %v, want errNoOwner", err)
				}
				client.Close()
				if uid, err := owner(far, near); !errors.Is(err, errNoOwner) {
					t.Errorf("owner of a closed socket is %d, %v; want errNoOwner", uid, err)
				}
			})
		}
	}
}

func TestFindOwner(t *testing.T) {
	const head = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
	const local, remote = "0100007F:C6AE", "0100007F:1F90"
	tests := []struct {
		name, line string
		uid        int
		err        bool
	}{
		{"found", "   1: " + local + " " + remote + " 01 00000000:00000000 00:00000000 00000000  1000        0 624 1", 1000, false},
		{"closed by its program", "   1: " + local + " " + remote + " 05 00000000:00000000 03:00000B5D 00000000     0        0 0 3", 0, true},
		{"the other direction", "   1: " + remote + " " + local + " 01 00000000:00000000 00:00000000 00000000  1000        0 624 1", 0, true},
		{"short line", "   1: " + local + " " + remote + " 01", 0, true},
		{"not a number", "   1: " + local + " " + remote + " 01 00000000:00000000 00:00000000 00000000  x        0 624 1", 0, true},
	}
	for _, test := range tests {
		uid, err := findOwner(strings.NewReader(head+test.line+"\n"), local, remote)
		if uid != test.uid || (err != nil) != test.err {
			t.Errorf("%s: %d, %v; want %d", test.name, uid, err, test.uid)
		}
	}
}

func FuzzDiagReply(f *testing.F) {
	f.Add(make([]byte, diagReplySize), []byte("addresses"))
	f.Fuzz(func(t *testing.T, reply, addresses []byte) {
		parseDiagReply(reply, addresses)
	})
}

func BenchmarkOwner(b *testing.B) {
	_, server := connection(b, "tcp4", "127.0.0.1:0", "127.0.0.1")
	far, near := addrPort(server.RemoteAddr().(*net.TCPAddr)), addrPort(server.LocalAddr().(*net.TCPAddr))
	for name, owner := range map[string]ownerFunc{"netlink": diagOwner, "proc": procOwner} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if _, err := owner(far, near); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
