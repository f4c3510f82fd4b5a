package watch

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"kith.alt/kith"
)

// MaxFiles is how many files a folder may have to be watched.
const MaxFiles = 1 << 17

// A Mark says how a file or folder looks: two that differ mean a change. It is
// good for this computer only; it may be stored.
type Mark [16]byte

// Look returns how a target looks now; a path where nothing is has a mark, too.
// It fails with kind Denied where a person may not look, and with kind Quota where
// there are more than [MaxFiles] files.
func Look(ctx context.Context, t Target) (Mark, error) { return look(ctx, t, nil) }

// look is Look; it notes the mark of each file in files, which may be nil.
func look(ctx context.Context, t Target, files map[string]Mark) (Mark, error) {
	all := sha256.New()
	count := 0
	note := func(path string, info fs.FileInfo) error {
		if count++; count > MaxFiles {
			return fmt.Errorf("%s has more than %d files: %w", t.Path, MaxFiles, kith.Quota)
		}
		mark := markOf(path, info)
		all.Write(mark[:])
		if files != nil {
			files[path] = mark
		}
		return ctx.Err()
	}
	info, err := os.Stat(t.Path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		err = note("", nil)
	case errors.Is(err, fs.ErrPermission):
		err = fmt.Errorf("%s cannot be read: %w", t.Path, kith.Denied)
	case err != nil:
		err = fmt.Errorf("look at %s: %w", t.Path, err)
	case !info.IsDir():
		err = note("", info)
	default:
		err = walk(ctx, t, note)
	}
	if err != nil {
		return Mark{}, err
	}
	return Mark(all.Sum(nil)[:len(Mark{})]), nil
}

// walk notes the regular files and links of a folder in the order of their names. What
// cannot be read, or goes meanwhile, is noted as such.
func walk(ctx context.Context, t Target, note func(string, fs.FileInfo) error) error {
	return fs.WalkDir(os.DirFS(t.Path), ".", func(path string, entry fs.DirEntry, err error) error {
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil:
			return note(path, nil)
		case path != "." && t.Skip != nil && t.Skip(entry):
			if entry.IsDir() {
				return fs.SkipDir
			}
			return nil
		case !entry.Type().IsRegular() && entry.Type() != fs.ModeSymlink:
			return nil
		}
		info, err := entry.Info()
		if err != nil {
			info = nil
		}
		return note(path, info)
	})
}

// markOf is the mark of one file; info is nil where it cannot be seen.
func markOf(path string, info fs.FileInfo) Mark {
	buf := binary.BigEndian.AppendUint64(nil, uint64(len(path)))
	buf = append(buf, path...)
	if info != nil {
		buf = binary.BigEndian.AppendUint64(buf, uint64(info.Size()))
		buf = binary.BigEndian.AppendUint64(buf, uint64(info.ModTime().UnixNano()))
		buf = binary.BigEndian.AppendUint64(buf, inode(info))
		buf = binary.BigEndian.AppendUint32(buf, uint32(info.Mode().Type()))
	}
	sum := sha256.Sum256(buf)
	return Mark(sum[:len(Mark{})])
}
