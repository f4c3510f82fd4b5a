package loopback

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
)

// packetOwners reads the kernel's tables of UDP sockets (proc(5)) and returns
// the users of those that are bound to local, or to its port on every address.
func packetOwners(local netip.AddrPort) ([]int, error) {
	port := local.Port()
	tables := []struct {
		path   string
		mapped bool
		any    netip.Addr
	}{
		{"/proc/thread-self/net/udp", false, netip.IPv4Unspecified()},
		{"/proc/thread-self/net/udp6", true, netip.IPv6Unspecified()},
	}
	var owners []int
	read := false
	for _, table := range tables {
		if local.Addr().Is6() && !table.mapped {
			continue
		}
		file, err := os.Open(table.path)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		read = true
		found, err := findPacketOwners(file, procAddress(local, table.mapped), procAddress(netip.AddrPortFrom(table.any, port), table.mapped))
		file.Close()
		if err != nil {
			return nil, err
		}
		owners = append(owners, found...)
	}
	if !read {
		return nil, errors.ErrUnsupported
	}
	return owners, nil
}

// findPacketOwners looks for sockets in a table of the form of /proc/thread-self/net/udp.
func findPacketOwners(table io.Reader, local ...string) (owners []int, err error) {
	lines := bufio.NewScanner(table)
	for lines.Scan() {
		// sl local_address rem_address st tx_queue:rx_queue tr:tm->when retrnsmt uid timeout inode ...
		fields := strings.Fields(lines.Text())
		if len(fields) < 10 || !slices.Contains(local, fields[1]) {
			continue
		}
		uid, err := strconv.ParseUint(fields[7], 10, 32)
		if err != nil {
			return nil, fmt.Errorf("user ID in the table of sockets: %w", err)
		}
		owners = append(owners, int(uid))
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("read the table of sockets: %w", err)
	}
	return owners, nil
}
