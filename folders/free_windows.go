package folders

import (
	"math"

	"golang.org/x/sys/windows"
)

// Free returns the bytes that the person may still write below dir.
func Free(dir string) (int64, error) {
	p, err := windows.UTF16PtrFromString(dir)
	if err != nil {
		return 0, err
	}
	var free uint64
	err = windows.GetDiskFreeSpaceEx(p, &free, nil, nil)
	return int64(min(free, math.MaxInt64)), err
}
