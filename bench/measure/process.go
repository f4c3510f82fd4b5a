package measure

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"
)

// namespaceVariable tells a program that it is in its network namespace.
const namespaceVariable = "KITH_BENCH_NAMESPACE"

// EnterNamespace runs this program again in a network namespace of its own and
// exits as that did, so that the counters of the loopback interface count
// nothing else. It returns in there, and where there is no such thing.
func EnterNamespace() {
	if os.Getenv(namespaceVariable) != "" {
		return
	}
	self, err := os.Executable()
	if err != nil {
		return
	}
	var unshare []string
	for _, way := range [][]string{{"--net"}, {"--net", "--map-root-user"}} {
		if exec.Command("unshare", append(way, "ip", "link", "set", "lo", "up")...).Run() == nil {
			unshare = way
			break
		}
	}
	if unshare == nil {
		fmt.Fprintln(os.Stderr, "no network namespace for this user: no traffic is counted")
		return
	}
	args := append(unshare, "sh", "-c", `ip link set lo up && exec "$0" "$@"`, self)
	cmd := exec.Command("unshare", append(args, os.Args[1:]...)...)
	cmd.Env = append(os.Environ(), namespaceVariable+"=1")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	err = cmd.Run() // an interrupt reaches it, too: it is of our process group
	ended := new(exec.ExitError)
	switch {
	case errors.As(err, &ended):
		os.Exit(ended.ExitCode())
	case err != nil:
		fmt.Fprintln(os.Stderr, "enter a network namespace:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

// Traffic is what the loopback interface of the namespace has sent so far, with
// all headers, those of Ethernet included. ok is false outside of one.
func Traffic() (bytes, packets uint64, ok bool) {
	if os.Getenv(namespaceVariable) == "" {
		return 0, 0, false
	}
	text, err := os.ReadFile("/proc/net/dev")
	if err != nil {
		return 0, 0, false
	}
	for line := range strings.Lines(string(text)) {
		if name, counters, found := strings.Cut(line, ":"); found && strings.TrimSpace(name) == "lo" {
			fields := strings.Fields(counters) // eight received, eight sent; bytes and packets first
			bytes, err = strconv.ParseUint(fields[8], 10, 64)
			packets, _ = strconv.ParseUint(fields[9], 10, 64)
			return bytes, packets, err == nil
		}
	}
	return 0, 0, false
}

// ResidentMemory is VmRSS of a process, in bytes.
func ResidentMemory(pid int) (uint64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	_, rest, _ := strings.Cut(string(text), "VmRSS:")
	fields := strings.Fields(rest)
	if len(fields) == 0 {
		return 0, fmt.Errorf("process %d has no VmRSS", pid)
	}
	kilobytes, err := strconv.ParseUint(fields[0], 10, 64)
	return kilobytes << 10, err
}

// CPUTime is the processor time of a process, in user and system mode, in ticks
// of 10 ms.
func CPUTime(pid int) (time.Duration, error) {
	const tick = 10 * time.Millisecond // USER_HZ is 100 wherever Go runs
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	fields := bytes.Fields(text[bytes.LastIndexByte(text, ')')+1:]) // from the third on
	var ticks uint64
	for _, field := range fields[11:13] {
		n, err := strconv.ParseUint(string(field), 10, 64)
		if err != nil {
			return 0, err
		}
		ticks += n
	}
	return time.Duration(ticks) * tick, nil
}
