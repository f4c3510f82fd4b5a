package underlay

import (
	"net/netip"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"kith.alt/kith/kithtest/require"
)

// TestKernelTells adds an interface and an address to a network of its own, and
// takes them away.
func TestKernelTells(t *testing.T) {
	require.Root(t)
	ip := require.Tool(t, "ip")
	runtime.LockOSThread() // and never unlock it: the thread dies with the namespace
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		t.Fatal(err)
	}
	changes := System().Changes(t.Context())
	address := netip.MustParsePrefix("192.0.2.1/24")
	for _, step := range []struct {
		args string
		has  bool
	}{
		{"link add probe type bridge", false},
		{"link set probe up", false},
		{"address add 192.0.2.1/24 dev probe", true},
		{"route add default via 192.0.2.9", true},
		{"route del default", true},
		{"link set probe down", false},
		{"link set probe up", true},
		{"address del 192.0.2.1/24 dev probe", false},
	} {
		drain(changes)
		cmd := exec.Command(ip, strings.Fields(step.args)...)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("ip %s: %v\n%s", step.args, err, out)
		}
		select {
		case <-changes:
		case <-time.After(10 * time.Second):
			t.Fatalf("no message after ip %s", step.args)
		}
		if all := System().Interfaces(); slices.Contains(all, address) != step.has {
			t.Errorf("after ip %s: interfaces %v", step.args, all)
		}
	}
}

// drain waits until nothing has come for longer than messages are merged for.
func drain(changes <-chan struct{}) {
	for {
		select {
		case <-changes:
		case <-time.After(3 * mergeWithin):
			return
		}
	}
}
