package loopback

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// systemOwner returns the first way that this kernel offers, or nil. Both are
// asked for a connection that cannot be, so that the right answer is
// errNoOwner.
func systemOwner() ownerFunc {
	nobody := netip.MustParseAddrPort("127.0.0.1:0")
	for _, owner := range []ownerFunc{diagOwner, procOwner} {
		if _, err := owner(nobody, nobody); errors.Is(err, errNoOwner) {
			return owner
		}
	}
	return nil
}

// Sizes and offsets in the kernel's include/uapi/linux/inet_diag.h.
const (
	diagRequestSize = unix.NLMSG_HDRLEN + 56 // struct inet_diag_req_v2
	diagReplySize   = unix.NLMSG_HDRLEN + 72 // struct inet_diag_msg
	diagRequestID   = unix.NLMSG_HDRLEN + 8  // struct inet_diag_sockid in the request
	diagReplyID     = unix.NLMSG_HDRLEN + 4  // and in the reply
	diagAddresses   = 36                     // of which: two ports, two addresses
	diagCookie      = 40
	diagReplyUID    = unix.NLMSG_HDRLEN + 64
	diagReplyInode  = unix.NLMSG_HDRLEN + 68
)

// diagOwner asks the kernel for one socket by NETLINK_SOCK_DIAG (sock_diag(7)).
// The kernel answers within the call to send, so that reading never waits.
func diagOwner(local, remote netip.AddrPort) (int, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_SOCK_DIAG)
	if err != nil {
		return 0, fmt.Errorf("open netlink socket: %w", err)
	}
	defer unix.Close(fd)
	request := diagRequest(local, remote)
	if err := unix.Sendto(fd, request, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return 0, fmt.Errorf("ask for the owner: %w", err)
	}
	var buf [1024]byte
	n, _, err := unix.Recvfrom(fd, buf[:], unix.MSG_DONTWAIT)
	if err != nil {
		return 0, fmt.Errorf("read the owner: %w", err)
	}
	return parseDiagReply(buf[:n], request[diagRequestID:diagRequestID+diagAddresses])
}

func diagRequest(local, remote netip.AddrPort) []byte {
	b := make([]byte, diagRequestSize)
	native := binary.NativeEndian
	native.PutUint32(b[0:], diagRequestSize)
	native.PutUint16(b[4:], unix.SOCK_DIAG_BY_FAMILY)
	native.PutUint16(b[6:], unix.NLM_F_REQUEST)

	body := b[unix.NLMSG_HDRLEN:]
	body[0] = unix.AF_INET6
	if local.Addr().Is4() {
		body[0] = unix.AF_INET
	}
	body[1] = unix.IPPROTO_TCP
	native.PutUint32(body[4:], ^uint32(0)) // in any state

	id := b[diagRequestID:]
	binary.BigEndian.PutUint16(id[0:], local.Port())
	binary.BigEndian.PutUint16(id[2:], remote.Port())
	copy(id[4:20], local.Addr().AsSlice())
	copy(id[20:36], remote.Addr().AsSlice())
	native.PutUint64(id[diagCookie:], ^uint64(0)) // no cookie
	return b
}

// parseDiagReply returns the owner of the socket that has the given addresses.
func parseDiagReply(b, addresses []byte) (int, error) {
	if len(b) < unix.NLMSG_HDRLEN+4 {
		return 0, errors.New("netlink reply is short")
	}
	native := binary.NativeEndian
	switch kind := native.Uint16(b[4:]); kind {
	case unix.NLMSG_ERROR:
		if errno := unix.Errno(-int32(native.Uint32(b[unix.NLMSG_HDRLEN:]))); errno != unix.ENOENT {
			return 0, fmt.Errorf("ask for the owner: %w", errno)
		}
		return 0, errNoOwner
	case unix.SOCK_DIAG_BY_FAMILY:
	default:
		return 0, fmt.Errorf("netlink reply of type %d", kind)
	}
	if len(b) < diagReplySize {
		return 0, errors.New("netlink reply is short")
	}
	// Where there is no such connection the kernel may show a listener on the
	// port instead, and a socket that its program closed has no inode: its
	// user ID would be given as 0.
	if string(b[diagReplyID:diagReplyID+diagAddresses]) != string(addresses) || native.Uint32(b[diagReplyInode:]) == 0 {
		return 0, errNoOwner
	}
	return int(native.Uint32(b[diagReplyUID:])), nil
}

// procOwner reads the kernel's tables of TCP sockets (proc(5)).
func procOwner(local, remote netip.AddrPort) (int, error) {
	tables := []string{"/proc/net/tcp6"}
	if local.Addr().Is4() {
		tables = []string{"/proc/net/tcp", "/proc/net/tcp6"} // the second for IPv6 sockets that speak IPv4
	}
	for i, table := range tables {
		file, err := os.Open(table)
		if err != nil && i > 0 && errors.Is(err, os.ErrNotExist) {
			break // no IPv6 here
		}
		if err != nil {
			return 0, err
		}
		uid, err := findOwner(file, procAddress(local, i > 0), procAddress(remote, i > 0))
		file.Close()
		if !errors.Is(err, errNoOwner) {
			return uid, err
		}
	}
	return 0, errNoOwner
}

// findOwner looks for a connection in a table of the form of /proc/net/tcp.
func findOwner(table io.Reader, local, remote string) (int, error) {
	lines := bufio.NewScanner(table)
	for lines.Scan() {
		// sl local_address rem_address st tx_queue:rx_queue tr:tm->when retrnsmt uid timeout inode ...
		fields := strings.Fields(lines.Text())
		if len(fields) < 10 || fields[1] != local || fields[2] != remote || fields[9] == "0" {
			continue
		}
		uid, err := strconv.ParseUint(fields[7], 10, 32)
		if err != nil {
			return 0, fmt.Errorf("user ID in the table of sockets: %w", err)
		}
		return int(uid), nil
	}
	if err := lines.Err(); err != nil {
		return 0, fmt.Errorf("read the table of sockets: %w", err)
	}
	return 0, errNoOwner
}

// procAddress writes an address as the tables have it: 32-bit words in this
// machine's byte order, in hexadecimal.
func procAddress(a netip.AddrPort, mapped bool) string {
	addr := a.Addr().AsSlice()
	if mapped && a.Addr().Is4() {
		long := a.Addr().As16()
		addr = long[:]
	}
	var b strings.Builder
	for ; len(addr) >= 4; addr = addr[4:] {
		fmt.Fprintf(&b, "%08X", binary.NativeEndian.Uint32(addr))
	}
	fmt.Fprintf(&b, ":%04X", a.Port())
	return b.String()
}
