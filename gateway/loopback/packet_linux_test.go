package loopback

import (
	"log/slog"
	"net"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

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

// TestOtherUserPacket has a datagram come from another user.
func TestOtherUserPacket(t *testing.T) {
	require.Root(t)
	setpriv, curl := require.Tool(t, "setpriv"), require.Tool(t, "curl")
	s, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	other := exec.Command(setpriv, "--reuid=65534", "--regid=65534", "--clear-groups",
		curl, "--silent", "--max-time", "30", "tftp://"+s.LocalAddr().String()+"/x")
	if err := other.Start(); err != nil {
		t.Fatal(err)
	}
	defer other.Wait()
	defer other.Process.Kill()
	s.SetReadDeadline(time.Now().Add(30 * time.Second))
	_, from, err := s.ReadFromUDPAddrPort(make([]byte, 512))
	if err != nil {
		t.Fatal(err)
	}
	if SameUserPacket(from, slog.New(slog.DiscardHandler)) {
		t.Error("a datagram of another user passes for ours")
	}
}
