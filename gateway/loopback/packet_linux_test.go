package loopback

import (
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"kith.alt/kith/kithtest/require"
)

func TestFindPacketOwners(t *testing.T) {
	const table = `  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops
  100: 0100007F:C6AE 00000000:0000 07 00000000:00000000 00:00000000 00000000  1000        0 624 2 0000000000000000 0
  101: 00000000:C6AE 00000000:0000 07 00000000:00000000 00:00000000 00000000  1001        0 625 2 0000000000000000 0
  102: 0100007F:C6AF 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 626 2 0000000000000000 0
  103: 0100007F
`
	for _, test := range []struct {
		local []string
		want  []int
	}{
		{[]string{"0100007F:C6AE", "00000000:C6AE"}, []int{1000, 1001}},
		{[]string{"0100007F:C6AF", "00000000:C6AF"}, []int{0}},
		{[]string{"0100007F:C6B0", "00000000:C6B0"}, nil},
	} {
		owners, err := findPacketOwners(strings.NewReader(table), test.local...)
		if err != nil || !slices.Equal(owners, test.want) {
			t.Errorf("%v: %v, %v; want %v", test.local, owners, err, test.want)
		}
	}
	if _, err := findPacketOwners(strings.NewReader(strings.ReplaceAll(table, " 1000 ", " x ")), "0100007F:C6AE"); err == nil {
		t.Error("a user that is no number: no error")
	}
}

// TestOtherUserPacket has a socket of another user.
func TestOtherUserPacket(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root, to become another user")
	}
	setpriv, python := require.Tool(t, "setpriv"), require.Tool(t, "python3")
	other := exec.Command(setpriv, "--reuid=65534", "--regid=65534", "--clear-groups", python, "-c",
		"import socket; s = socket.socket(type=socket.SOCK_DGRAM); s.bind(('127.0.0.1', 0)); print(s.getsockname()[1], flush=True); input()")
	in, err := other.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := other.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := other.Start(); err != nil {
		t.Fatal(err)
	}
	defer other.Wait()
	defer in.Close()
	var port uint16
	if _, err := fmt.Fscan(out, &port); err != nil {
		t.Fatal(err)
	}
	if SameUserPacket(netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), port), slog.New(slog.DiscardHandler)) {
		t.Error("the socket of another user passes for ours")
	}
}
