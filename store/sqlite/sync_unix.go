//go:build unix

package sqlite

import (
	"errors"
	"os"
)

// syncDir makes names that were made in a directory durable.
func syncDir(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}
