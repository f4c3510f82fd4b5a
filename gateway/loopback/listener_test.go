package loopback

import (
	"bytes"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"

	"kith.alt/kith/kithtest/require"
)

func listen(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

func TestSameUserPasses(t *testing.T) {
	l := SameUser(listen(t), slog.New(slog.DiscardHandler))
	client, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	server, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	if _, ok := server.(*net.TCPConn); !ok {
		t.Errorf("Accept returned a %T: the kernel's own copying is lost", server)
	}
	l.Close()
	if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Accept after Close: %v, want net.ErrClosed", err)
	}
}

func TestSameUserRefuses(t *testing.T) {
	failing := errors.New("out of file descriptors")
	var log bytes.Buffer
	inner := listen(t)
	answers := make(chan ownerFunc, 4)
	l := &listener{Listener: inner, user: 1000, log: slog.New(slog.NewTextHandler(&log, nil)),
		owner: func(a, b netip.AddrPort) (int, error) { return (<-answers)(a, b) }}
	say := func(uid int, err error) ownerFunc {
		return func(netip.AddrPort, netip.AddrPort) (int, error) { return uid, err }
	}
	answers <- say(1001, nil)
	answers <- say(0, nil)
	answers <- say(1000, failing)
	answers <- say(1000, nil)
	var clients []net.Conn
	for range 4 {
		c, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		clients = append(clients, c)
	}
	accepted, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer accepted.Close()
	if got, want := accepted.RemoteAddr().String(), clients[3].LocalAddr().String(); got != want {
		t.Errorf("accepted %s, want %s", got, want)
	}
	for i, c := range clients[:3] {
		if n, err := c.Read(make([]byte, 1)); err == nil {
			t.Errorf("refused client %d read %d bytes", i, n)
		}
	}
	if n := strings.Count(log.String(), "refused"); n != 1 {
		t.Errorf("%d warnings within a minute, want 1:\n%s", n, log.String())
	}
}

// TestOtherUser has a process of another user connect, also one that closes at
// once.
func TestOtherUser(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("only Linux tells who connects")
	}
	require.Root(t)
	setpriv, curl := require.Tool(t, "setpriv"), require.Tool(t, "curl")
	l := SameUser(listen(t), slog.New(slog.DiscardHandler))
	accepted := make(chan net.Conn)
	go func() {
		defer close(accepted)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			accepted <- c
		}
	}()
	other := exec.Command(setpriv, "--reuid=65534", "--regid=65534", "--clear-groups",
		curl, "--silent", "--max-time", "10", "telnet://"+l.Addr().String())
	other.Stdin = strings.NewReader("GET / HTTP/1.0\r\n\r\n")
	if out, err := other.Output(); len(out) > 0 {
		t.Errorf("another user read %q (%v)", out, err)
	}
	same, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer same.Close()
	c := <-accepted
	defer c.Close()
	if c.RemoteAddr().String() != same.LocalAddr().String() {
		t.Errorf("accepted %s, which is not the connection of user %d", c.RemoteAddr(), os.Geteuid())
	}
	go io.WriteString(c, "x")
	if _, err := io.ReadFull(same, make([]byte, 1)); err != nil {
		t.Error(err)
	}
	l.Close()
	for c := range accepted {
		t.Errorf("accepted also %s", c.RemoteAddr())
		c.Close()
	}
}
