package client_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strings"
	"testing"

	"kith.alt/kith"
	"kith.alt/kith/client"
	"kith.alt/kith/control"
	"kith.alt/kith/network/memory"
)

// fakeNode is a node that has sockets and nothing else.
type fakeNode struct {
	control.Node
	network *memory.Network
}

func (n fakeNode) Dial(ctx context.Context, a kith.Address) (net.Conn, error) {
	return n.network.Dial(ctx, a)
}

func (n fakeNode) Listen(ctx context.Context, a kith.Address) (net.Listener, error) {
	return n.network.Listen(ctx, a)
}

func (n fakeNode) ListenPacket(ctx context.Context, a kith.Address) (net.PacketConn, error) {
	return n.network.ListenPacket(ctx, a)
}

func (n fakeNode) DialPacket(ctx context.Context, a kith.Address) (net.Conn, error) {
	return n.network.DialPacket(ctx, a)
}

// start runs a node with that ID on a new data directory.
func start(t testing.TB, hub *memory.Hub, id kith.ID) (dir string) {
	t.Helper()
	dir = t.TempDir()
	ln, err := control.Listen(dir)
	if err != nil {
		t.Fatal(err)
	}
	server := control.NewServer(control.Config{Node: fakeNode{network: hub.Network(id)}, Log: slog.New(slog.DiscardHandler)})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- server.Serve(ctx, ln) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return dir
}

// TestUpperCase is the conversation of docs/sockets.md.
func TestUpperCase(t *testing.T) {
	hub := memory.NewHub()
	maple, oak := kith.ID{1}, kith.ID{2}
	t.Setenv("KITH_DATA", start(t, hub, maple))
	ln, err := client.Listen(t.Context(), ":7000")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	caller := make(chan kith.ID, 1)
	go func() {
		conn, err := ln.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		peer, _ := kith.PeerOf(conn)
		caller <- peer.ID
		lines := bufio.NewScanner(conn)
		for lines.Scan() {
			fmt.Fprintln(conn, strings.ToUpper(lines.Text()))
		}
	}()

	conn, err := client.At(start(t, hub, oak)).Dial(t.Context(), maple.String()+":7000")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.Write([]byte("hello\n")); err != nil {
		t.Fatal(err)
	}
	if answer, err := bufio.NewReader(conn).ReadString('\n'); err != nil || answer != "HELLO\n" {
		t.Errorf("%q, %v", answer, err)
	}
	if id := <-caller; id != oak {
		t.Errorf("the server saw %s, want oak", id)
	}
}

// TestUpperCasePackets is the conversation of docs/sockets.md in datagrams.
func TestUpperCasePackets(t *testing.T) {
	hub := memory.NewHub()
	maple, oak := kith.ID{1}, kith.ID{2}
	t.Setenv("KITH_DATA", start(t, hub, maple))
	socket, err := client.ListenPacket(t.Context(), ":7000")
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	go func() {
		buffer := make([]byte, kith.MaxDatagram)
		n, sender, err := socket.ReadFrom(buffer)
		if err != nil || sender.(kith.Sender).ID != oak {
			t.Errorf("the server saw %v, %v", sender, err)
			return
		}
		socket.WriteTo(bytes.ToUpper(buffer[:n]), sender)
	}()

	conn, err := client.At(start(t, hub, oak)).DialPacket(t.Context(), maple.String()+":7000")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.Write([]byte("hello")); err != nil {
		t.Fatal(err)
	}
	buffer := make([]byte, kith.MaxDatagram)
	if n, err := conn.Read(buffer); err != nil || string(buffer[:n]) != "HELLO" {
		t.Errorf("%q, %v", buffer[:n], err)
	}
}

func TestErrors(t *testing.T) {
	hub := memory.NewHub()
	id := kith.ID{1}
	n := client.At(start(t, hub, id))
	for _, test := range []struct {
		address string
		kind    kith.Kind
	}{
		{id.String() + ":7000", kith.Refused},
		{"maple", kith.Invalid},
		{":7000", kith.Invalid},
		{"maple:0", kith.Invalid},
		{"maple:70000", kith.Invalid},
	} {
		if _, err := n.Dial(t.Context(), test.address); !errors.Is(err, test.kind) {
			t.Errorf("dial %s: %v, want kind %q", test.address, err, test.kind)
		}
	}
	for _, address := range []string{"maple", ":7000", "maple:0", "maple:70000"} {
		if _, err := n.DialPacket(t.Context(), address); !errors.Is(err, kith.Invalid) {
			t.Errorf("dial datagrams %s: %v, want kind %q", address, err, kith.Invalid)
		}
	}
	for _, address := range []string{"7000", ":x", ":70000"} {
		if _, err := n.ListenPacket(t.Context(), address); !errors.Is(err, kith.Invalid) {
			t.Errorf("listen for datagrams %s: %v, want kind %q", address, err, kith.Invalid)
		}
		if _, err := n.Listen(t.Context(), address); !errors.Is(err, kith.Invalid) {
			t.Errorf("listen %s: %v, want kind %q", address, err, kith.Invalid)
		}
	}
	t.Setenv("KITH_DATA", t.TempDir())
	if _, err := client.Dial(t.Context(), "maple:7000"); !errors.Is(err, kith.Unreachable) {
		t.Errorf("no node: %v", err)
	}
	if _, err := client.Listen(t.Context(), ":7000"); !errors.Is(err, kith.Unreachable) {
		t.Errorf("no node: %v", err)
	}
	if _, err := client.DialPacket(t.Context(), "maple:7000"); !errors.Is(err, kith.Unreachable) {
		t.Errorf("no node: %v", err)
	}
	if _, err := client.ListenPacket(t.Context(), ":7000"); !errors.Is(err, kith.Unreachable) {
		t.Errorf("no node: %v", err)
	}
}

// TestTutorial: the programs that docs/sockets.md shows are those in
// docs/examples.
func TestTutorial(t *testing.T) {
	text, err := os.ReadFile("../docs/sockets.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{
		"sockets/server/main.go", "sockets/client/main.go", "sockets/server.py", "sockets/client.py",
		"datagrams/server/main.go", "datagrams/client/main.go", "datagrams/client.py",
	} {
		program, err := os.ReadFile("../docs/examples/" + file)
		if err != nil {
			t.Fatal(err)
		}
		language := map[bool]string{true: "go", false: "python"}[strings.HasSuffix(file, ".go")]
		if !strings.Contains(string(text), "```"+language+"\n"+string(program)+"```") {
			t.Errorf("docs/sockets.md does not show %s as it is", file)
		}
	}
}

func Example() {
	ctx := context.Background()
	conn, err := client.Dial(ctx, "maple:7000")
	if err != nil {
		fmt.Println(err) // kith.Refused: nobody listens there
		return
	}
	defer conn.Close()
	fmt.Fprintln(conn, "hello")
	answer, _ := bufio.NewReader(conn).ReadString('\n')
	fmt.Print(answer)
}
