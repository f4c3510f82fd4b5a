//go:build !windows

package node

import "golang.org/x/sys/unix"

// diskFree returns the bytes that this user may still write below path.
func diskFree(path string) (uint64, error) {
	var s unix.Statfs_t
	if err := unix.Statfs(path, &s); err != nil {
		return 0, err
	}
	return s.Bavail * uint64(s.Bsize), nil
}
