package backup

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/klauspost/compress/zstd"

	"kith.alt/kith"
)

// Save makes a file (0600) of a stream of so many bytes, and compares all of it with the
// manifest on the way. The file appears when it is whole and on the disk. Where
// there is one already that is an error of kind Exists, unless replace is set.
// progress may be nil.
func Save(ctx context.Context, path string, replace bool, stream io.Reader, size int64, progress func(done, total int64)) (m Manifest, err error) {
	if err := mayMake(path, replace); err != nil {
		return m, err
	}
	if err := removeAll(quoteGlob(path) + partialInfix + "*"); err != nil {
		return m, err
	}
	file, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+partialInfix+"*") // with mode 0600
	if err != nil {
		return m, err
	}
	defer func() {
		if err != nil {
			file.Close()
			err = errors.Join(explain(err), os.Remove(file.Name()))
		}
	}()
	packed, err := zstd.NewWriter(file)
	if err != nil {
		return m, err
	}
	defer packed.Close()
	counted := &meter{r: untilDone{ctx, stream}, total: size, progress: progress}
	if m, err = read(io.TeeReader(counted, packed), skip()); err != nil {
		return m, err
	}
	if err := errors.Join(packed.Close(), file.Sync(), file.Close()); err != nil {
		return m, err
	}
	if err := mayMake(path, replace); err != nil {
		return m, err
	}
	if err := os.Rename(file.Name(), path); err != nil {
		return m, err
	}
	return m, syncDir(filepath.Dir(path))
}

// partialInfix is in the names of files and directories that are not finished.
const partialInfix = ".partial-"

func mayMake(path string, replace bool) error {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case !info.Mode().IsRegular():
		return fmt.Errorf("%s is not a file: %w", path, kith.Invalid)
	case !replace:
		return fmt.Errorf("%s exists already: %w", path, kith.Exists)
	}
	return nil
}

// skip is a visitor that looks at nothing.
func skip() visitor {
	return visitor{
		part: func(string, io.Reader) error { return nil },
		blob: func(kith.Blob, io.Reader) error { return nil },
	}
}

// untilDone reads until a context ends.
type untilDone struct {
	ctx context.Context
	r   io.Reader
}

func (u untilDone) Read(p []byte) (int, error) {
	if err := u.ctx.Err(); err != nil {
		return 0, err
	}
	return u.r.Read(p)
}

// explain adds the kind to an error of a full disk.
func explain(err error) error {
	if isFull(err) && !errors.Is(err, kith.Quota) {
		return fmt.Errorf("the disk is full: make room: %w (%w)", kith.Quota, err)
	}
	return err
}

// quoteGlob makes a pattern that matches path alone.
func quoteGlob(path string) string {
	var quoted strings.Builder
	for _, r := range path {
		if strings.ContainsRune("*?[", r) {
			fmt.Fprintf(&quoted, "[%c]", r)
		} else {
			quoted.WriteRune(r)
		}
	}
	return quoted.String()
}
