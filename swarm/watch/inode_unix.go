//go:build unix

package watch

import (
	"io/fs"
	"syscall"
)

// inode tells a file from another that took its name; 0 where the system does
// not tell.
func inode(info fs.FileInfo) uint64 {
	if stat, ok := info.Sys().(*syscall.Stat_t); ok {
		return uint64(stat.Ino)
	}
	return 0
}
