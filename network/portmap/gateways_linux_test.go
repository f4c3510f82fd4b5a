package portmap

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
)

const header = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n"

// line writes a route as the kernel of this machine does.
func line(destination, gateway, mask string, flags, metric int) string {
	number := func(text string) uint32 {
		return binary.NativeEndian.Uint32(netip.MustParseAddr(text).AsSlice())
	}
	return fmt.Sprintf("eth0\t%08X\t%08X\t%04X\t0\t0\t%d\t%08X\t0\t0\t0\n", number(destination), number(gateway), flags, metric, number(mask))
}

func TestRoutes(t *testing.T) {
	const zero = "0.0.0.0"
	for _, test := range []struct {
		name, table string
		want        []string
	}{
		{"none", header, nil},
		{"empty", "", nil},
		{"one", header + line(zero, "192.168.1.1", zero, 3, 0) + line("192.168.1.0", zero, "255.255.255.0", 1, 0), []string{"192.168.1.1"}},
		{"cable and wireless", header + line(zero, "192.168.1.1", zero, 3, 600) + line(zero, "10.0.0.1", zero, 3, 100), []string{"10.0.0.1", "192.168.1.1"}},
		{"twice", header + line(zero, "192.168.1.1", zero, 3, 1) + line(zero, "192.168.1.1", zero, 3, 2), []string{"192.168.1.1"}},
		{"half of everything", header + line(zero, "10.8.0.1", "128.0.0.0", 3, 0), nil},
		{"a link", header + line(zero, zero, zero, 1, 0), nil},
		{"down", header + line(zero, "192.168.1.1", zero, 2, 0), nil},
		{"nonsense", "a b c\n\n00000000 00000000 zz 0003 0 0 0 00000000\n", nil},
	} {
		var got []string
		for _, a := range parseRoutes(strings.NewReader(test.table)) {
			got = append(got, a.String())
		}
		if !slices.Equal(got, test.want) {
			t.Errorf("%s: %v, want %v", test.name, got, test.want)
		}
	}
}

func FuzzRoutes(f *testing.F) {
	f.Add(header + line("0.0.0.0", "192.168.1.1", "0.0.0.0", 3, 0))
	f.Fuzz(func(t *testing.T, table string) {
		for _, a := range parseRoutes(strings.NewReader(table)) {
			if !a.Is4() {
				t.Errorf("%v", a)
			}
		}
	})
}
