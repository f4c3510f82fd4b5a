package content

import (
	"errors"
	"io/fs"
	"os"

	"golang.org/x/sys/windows"
)

// openAtOnce has no meaning here.
const openAtOnce = 0

// inode returns what tells a file from another that takes its place.
func inode(file *os.File) (uint64, error) {
	var info windows.ByHandleFileInformation
	if err := windows.GetFileInformationByHandle(windows.Handle(file.Fd()), &info); err != nil {
		return 0, err
	}
	return uint64(info.FileIndexHigh)<<32 | uint64(info.FileIndexLow), nil
}

// allocated returns the bytes of a file, at most what of the disk it takes.
func allocated(info fs.FileInfo) int64 { return info.Size() }

func isFull(err error) bool {
	return errors.Is(err, windows.ERROR_DISK_FULL) || errors.Is(err, windows.ERROR_HANDLE_DISK_FULL) ||
		errors.Is(err, windows.ERROR_DISK_QUOTA_EXCEEDED)
}

func otherDevice(err error) bool { return errors.Is(err, windows.ERROR_NOT_SAME_DEVICE) }

// makeSparse lets a file have holes. Where the file system cannot, it takes all of its
// size at once.
func makeSparse(file *os.File) {
	var n uint32
	windows.DeviceIoControl(windows.Handle(file.Fd()), windows.FSCTL_SET_SPARSE, nil, 0, nil, 0, &n, nil)
}

// syncDir has nothing to do: renames are in the journal.
func syncDir(string) error { return nil }
