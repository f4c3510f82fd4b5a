package echo

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"kith.alt/kith"
	"kith.alt/kith/kithtest/apptest"
)

// start runs echo on maple.
func start(t *testing.T) *apptest.Host {
	t.Helper()
	host := apptest.NewHost(t, App())
	host.Serve(t)
	return host
}

// dial reaches it as oak.
func dial(t *testing.T, host *apptest.Host) net.Conn {
	t.Helper()
	conn, err := host.Oak.Dial(t.Context(), host.Address(App().Ports[0].Overlay))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

func TestEcho(t *testing.T) {
	host := start(t)
	conn := dial(t, host)
	if _, err := io.WriteString(conn, "hello\nétude\n"); err != nil {
		t.Fatal(err)
	}
	if err := kith.CloseWrite(conn); err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(conn); err != nil || string(got) != "HELLO\nÉTUDE\n" {
		t.Errorf("got %q, %v", got, err)
	}
	// The connection's end is stored before it is closed.
	w := httptest.NewRecorder()
	host.Service.Screens[0].Handler.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", nil))
	if w.Code != http.StatusOK || !strings.Contains(w.Body.String(), "2 lines so far") {
		t.Errorf("the screen: %d\n%s", w.Code, w.Body)
	}
}

func TestLongLine(t *testing.T) {
	conn := dial(t, start(t))
	go conn.Write(bytes.Repeat([]byte("x"), 2*maxLine)) // ends with the connection
	if got, err := bufio.NewReader(conn).ReadString('\n'); err == nil {
		t.Errorf("a line of %d bytes is answered with %d", 2*maxLine, len(got))
	}
}

func TestCommand(t *testing.T) {
	host := start(t)
	if out, _, err := host.Run(t.Context(), "", "echo", "hello", "there"); err != nil || out != "HELLO THERE\n" {
		t.Errorf("it prints %q, %v", out, err)
	}
	for _, words := range [][]string{nil, {strings.Repeat("x", maxLine+1)}} {
		if _, _, err := host.Run(t.Context(), "", "echo", words...); !errors.Is(err, kith.Invalid) {
			t.Errorf("%d words: %v", len(words), err)
		}
	}
}
