package pop

import (
	"bufio"
	"context"
	"net"
	"os"
	"runtime"
	"strings"
	"testing"

	"kith.alt/kith"
	"kith.alt/kith/app/mail/mailbox"
	"kith.alt/kith/kithtest/apptest"
)

// A pipes is a listener whose connections need no file descriptors.
type pipes struct{ conns chan net.Conn }

func (p pipes) Accept() (net.Conn, error) {
	if conn, ok := <-p.conns; ok {
		return conn, nil
	}
	return nil, net.ErrClosed
}
func (p pipes) Close() error   { return nil }
func (p pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipe"} }

// TestManyConnections has 5,000 clients call: those within the limit cost little, and the others are told.
func TestManyConnections(t *testing.T) {
	host := apptest.NewHost(t, kith.App{Name: "mail", Migrations: os.DirFS("../migrations")})
	boxes := mailbox.New(mailbox.Config{Store: host.Store(), Blobs: host.Blobs(), Log: host.Log()})
	server := New(Config{
		Mailboxes: boxes, Accounts: host.Accounts(), TLS: host.TLS, Trusted: func(net.Conn) bool { return true }, Log: host.Log(), Metrics: host.Metrics(),
	})
	p := pipes{make(chan net.Conn)}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- server.Serve(ctx, p, false) }()
	dial := func() (net.Conn, string) {
		near, far := net.Pipe()
		p.conns <- far
		greeting, err := bufio.NewReaderSize(near, 64).ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		return near, greeting
	}
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	var first net.Conn
	for i := range 5000 {
		conn, greeting := dial()
		defer conn.Close()
		if i == 0 {
			first = conn
		}
		if want := map[bool]string{true: "+OK ", false: "-ERR [SYS/TEMP] too many connections"}[i < maxConnections]; !strings.HasPrefix(greeting, want) {
			t.Fatalf("number %d hears %q", i, greeting)
		}
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	if each := int(after.HeapInuse+after.StackInuse-before.HeapInuse-before.StackInuse) / maxConnections; each > 40<<10 {
		t.Errorf("a connection costs %d bytes", each)
	}
	c := &client{t, first, bufio.NewReader(first)}
	c.signIn("+OK 0 messages")
	c.want("QUIT", "+OK")
	cancel()
	close(p.conns)
	if err := <-done; err != nil {
		t.Error(err)
	}
}
