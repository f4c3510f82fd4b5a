package share

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"unicode"

	"kith.alt/kith"
	"kith.alt/kith/folders"
)

// placeFor returns the file or folder to make for content called name, from the path
// that the person typed: that itself, or name in the directory that stands there.
// known is false where the name is needed and nobody knows it yet.
func placeFor(typed, name string) (path string, known bool, err error) {
	if !filepath.IsAbs(typed) {
		return "", false, fmt.Errorf("%q is not an absolute path: %w", typed, kith.Invalid)
	}
	path = filepath.Clean(typed)
	info, err := os.Stat(path)
	switch {
	case err == nil && info.IsDir():
		if name = fileName(name); name == "" {
			return "", false, nil
		}
		return filepath.Join(path, name), true, nil
	case err == nil:
		return path, true, nil
	case !errors.Is(err, fs.ErrNotExist):
		return "", false, fmt.Errorf("%s: %v: %w", path, err, kith.Denied)
	case os.IsPathSeparator(typed[len(typed)-1]):
		return "", false, fmt.Errorf("there is no folder %s; make it first: %w", path, kith.NotFound)
	}
	if info, err := os.Stat(filepath.Dir(path)); err != nil || !info.IsDir() {
		return "", false, fmt.Errorf("there is no folder %s; make it first: %w", filepath.Dir(path), kith.NotFound)
	}
	return path, true, nil
}

// isAt reports whether the file or folder at path is a content that is complete
// here, byte for byte. What else is in the folder does not count.
func (s *share) isAt(ctx context.Context, h kith.Holding, path string) bool {
	files, err := s.swarm().Files(h.Content)
	if err != nil {
		return false
	}
	for _, f := range files {
		if !s.isFileAt(ctx, h, f, filepath.Join(path, filepath.FromSlash(f.Path))) {
			return false
		}
	}
	return true
}

func (s *share) isFileAt(ctx context.Context, h kith.Holding, f kith.ContentFile, path string) bool {
	there, err := os.Open(path)
	if err != nil {
		return false
	}
	defer there.Close()
	if info, err := there.Stat(); err != nil || !info.Mode().IsRegular() || info.Size() != f.Size {
		return false
	}
	if f.Size == 0 {
		return true
	}
	here, err := s.swarm().Open(ctx, h.Content, f.Path)
	if err != nil {
		return false
	}
	defer here.Close()
	const piece = 1 << 20
	a, b := make([]byte, piece), make([]byte, piece)
	for left := f.Size; left > 0; left -= piece {
		n := min(left, piece)
		if _, err := io.ReadFull(there, a[:n]); err != nil {
			return false
		}
		if _, err := io.ReadFull(here, b[:n]); err != nil || !bytes.Equal(a[:n], b[:n]) {
			return false
		}
	}
	return true
}

// free returns path, or a name like it that nothing has yet.
func free(path string) string {
	ext := filepath.Ext(path)
	stem := strings.TrimSuffix(path, ext)
	for n := 2; ; n++ {
		if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) || n > 10_000 {
			return path
		}
		path = fmt.Sprintf("%s (%d)%s", stem, n, ext)
	}
}

// fileName makes a name for a file of one that others chose: nothing hidden, no
// way into another folder, nothing that a system forbids or treats specially. It is "" if
// nothing is left.
func fileName(name string) string {
	const most = 200 // bytes; systems allow 255, and the name may yet grow
	name = strings.Map(func(c rune) rune {
		if unicode.IsControl(c) || unicode.In(c, unicode.Bidi_Control) || strings.ContainsRune(`/\:*?"<>|`, c) || c == unicode.ReplacementChar {
			return '_'
		}
		return c
	}, strings.ToValidUTF8(name, "_"))
	edge := func(c rune) bool { return c == '.' || unicode.IsSpace(c) }
	name = strings.TrimFunc(name, edge)
	if len(name) > most {
		ext := filepath.Ext(name)
		if len(ext) > 20 {
			ext = ""
		}
		name = strings.ToValidUTF8(name[:most-len(ext)], "") + ext
	}
	name = strings.TrimRightFunc(name, edge)
	if stem, _, _ := strings.Cut(name, "."); reserved[strings.ToUpper(strings.TrimSpace(stem))] {
		name = "_" + name
	}
	return name
}

// reserved are the names of devices on Windows, with any extension.
var reserved = func() map[string]bool {
	names := map[string]bool{"CON": true, "PRN": true, "AUX": true, "NUL": true}
	for _, digit := range "123456789" {
		names["COM"+string(digit)], names["LPT"+string(digit)] = true, true
	}
	return names
}()

// checkShared says why a file or folder cannot be shared.
func (s *share) checkShared(path string) error {
	if !filepath.IsAbs(path) {
		return fmt.Errorf("%q is not an absolute path: %w", path, kith.Invalid)
	}
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("there is no file or folder %s; check its name: %w", path, kith.NotFound)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%s cannot be opened; make it readable for you: %w", path, kith.Denied)
	case err != nil:
		return fmt.Errorf("%s: %v: %w", path, err, kith.Invalid)
	case !info.IsDir() && !info.Mode().IsRegular():
		return fmt.Errorf("%s is neither a file nor a folder: %w", path, kith.Invalid)
	}
	switch {
	case s.host.PrivateDir(path):
		return fmt.Errorf("%s is where kith keeps its key; share something else: %w", path, kith.Invalid)
	case info.IsDir() && folders.HoldsHome(path):
		return fmt.Errorf("%s holds your home folder, with everything private in it; share a folder inside: %w", path, kith.Invalid)
	}
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("%s cannot be read; make it readable for you: %w", path, kith.Denied)
	}
	return f.Close()
}
