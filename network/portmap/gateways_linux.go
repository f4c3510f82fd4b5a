package portmap

import (
	"bufio"
	"encoding/binary"
	"io"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// gateways returns the default gateways by IPv4, the one in use first.
func gateways() []netip.Addr {
	f, err := os.Open("/proc/net/route")
	if err != nil {
		return nil
	}
	defer f.Close()
	return parseRoutes(f)
}

// parseRoutes reads the kernel's table: a line of names, then one per route.
func parseRoutes(r io.Reader) []netip.Addr {
	type route struct {
		gateway netip.Addr
		metric  uint64
	}
	var found []route
	for lines := bufio.NewScanner(r); lines.Scan(); {
		fields := strings.Fields(lines.Text()) // Iface Destination Gateway Flags RefCnt Use Metric Mask ...
		if len(fields) < 8 || fields[1] != "00000000" || fields[7] != "00000000" {
			continue
		}
		gateway, err1 := strconv.ParseUint(fields[2], 16, 32)
		flags, err2 := strconv.ParseUint(fields[3], 16, 32)
		metric, err3 := strconv.ParseUint(fields[6], 10, 32)
		const up = unix.RTF_UP | unix.RTF_GATEWAY
		if err1 != nil || err2 != nil || err3 != nil || flags&up != up {
			continue
		}
		var b [4]byte
		binary.NativeEndian.PutUint32(b[:], uint32(gateway)) // the kernel prints the number that these bytes are here
		found = append(found, route{netip.AddrFrom4(b), metric})
	}
	slices.SortStableFunc(found, func(a, b route) int { return int(a.metric) - int(b.metric) })
	var all []netip.Addr
	for _, r := range found {
		if !slices.Contains(all, r.gateway) {
			all = append(all, r.gateway)
		}
	}
	return all
}
