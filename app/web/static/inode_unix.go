//go:build unix

package static

import (
	"io/fs"
	"syscall"
)

// inode tells a file from one that took its name.
func inode(info fs.FileInfo) uint64 {
	if stat, ok := info.Sys().(*syscall.Stat_t); ok {
		return stat.Ino
	}
	return 0
}
