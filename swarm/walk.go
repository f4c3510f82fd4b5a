package swarm

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"kith.alt/kith"
	"kith.alt/kith/folders"
	"kith.alt/kith/proto/bittorrent"
)

const (
	maxFiles    = 100_000 // and folders
	maxSymlinks = 5_000   // that are followed
)

// A foundFile is a regular file to publish. Its name is below what is published.
type foundFile struct {
	path string
	name []string
	info fs.FileInfo
	size int64
}

// walk lists what is to be published: regular files, in the order of their names.
// Links are left out, as they may lead anywhere. Of a site it is what its host
// serves: no hidden files, and what links lead to that stay inside.
func (s *Swarm) walk(p kith.Publication) ([]foundFile, error) {
	info, err := os.Stat(p.Path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("there is no file or folder %s: %w", p.Path, kith.NotFound)
	case errors.Is(err, fs.ErrPermission):
		return nil, fmt.Errorf("%s cannot be read; make it readable for you: %w", p.Path, kith.Denied)
	case err != nil:
		return nil, fmt.Errorf("%s: %v: %w", p.Path, err, kith.Invalid)
	case info.Mode().IsRegular():
		return []foundFile{{path: p.Path, info: info, size: info.Size()}}, nil
	case !info.IsDir():
		return nil, fmt.Errorf("%s is neither a file nor a folder: %w", p.Path, kith.Invalid)
	}
	root, err := os.OpenRoot(p.Path)
	if err != nil {
		return nil, fmt.Errorf("open folder: %w", err)
	}
	defer root.Close()
	w := walker{kind: p.Kind, root: root}
	if err := w.folder(p.Path, nil, []fs.FileInfo{info}); err != nil {
		return nil, fmt.Errorf("read folder %s: %w", p.Path, err)
	}
	if w.odd != "" {
		s.log.Warn("copies of a site do without files whose names not every system takes", "count", w.oddCount, "first", w.odd)
	}
	if len(w.found) == 0 {
		return nil, fmt.Errorf("%s has no files to share: %w", p.Path, kith.Invalid)
	}
	return w.found, nil
}

// A walker looks for files in a folder.
type walker struct {
	kind     string
	root     *os.Root
	entries  int // files and folders
	links    int
	found    []foundFile
	odd      string // of a site: the first file that copies do without
	oddCount int
}

// folder adds what is in the folder at path, which has that name below the root.
// above are the folders that it is in, and itself.
func (w *walker) folder(path string, name []string, above []fs.FileInfo) error {
	entries, err := os.ReadDir(path)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		if err := w.entry(filepath.Join(path, entry.Name()), append(slices.Clip(name), entry.Name()), entry, above); err != nil {
			return err
		}
	}
	return nil
}

func (w *walker) entry(path string, name []string, entry fs.DirEntry, above []fs.FileInfo) error {
	if skips(w.kind, entry.Name()) || entry.Name() == folders.WellKnown && w.kind == kith.EntrySite && len(name) > 1 {
		return nil
	}
	info, err := entry.Info()
	if err != nil {
		return err
	}
	if info.Mode().Type() == fs.ModeSymlink && w.kind == kith.EntrySite {
		if w.links++; w.links > maxSymlinks {
			return fmt.Errorf("more than %d links; they may lead to each other: %w", maxSymlinks, kith.Quota)
		}
		var ok bool
		if path, info, ok = w.follow(name); !ok || holds(above, info) {
			return nil
		}
	}
	if !info.IsDir() && !info.Mode().IsRegular() {
		return nil
	}
	if w.entries++; w.entries > maxFiles {
		return fmt.Errorf("more than %d files and folders; share folders inside it: %w", maxFiles, kith.Quota)
	}
	switch {
	case w.kind == kith.EntrySite && bittorrent.CheckName(entry.Name()) != nil:
		w.oddCount++
		if w.odd == "" {
			w.odd = strings.Join(name, "/")
		}
	case info.IsDir():
		return w.folder(path, name, append(slices.Clip(above), info))
	default:
		w.found = append(w.found, foundFile{path: path, name: name, info: info, size: info.Size()})
	}
	return nil
}

// follow returns where a link leads, if that is inside the root, as [os.Root] has
// it.
func (w *walker) follow(name []string) (path string, info fs.FileInfo, ok bool) {
	link := filepath.Join(name...)
	info, err := w.root.Stat(link)
	if err != nil {
		return "", nil, false
	}
	if path, err = filepath.EvalSymlinks(filepath.Join(w.root.Name(), link)); err != nil {
		return "", nil, false
	}
	real, err := os.Lstat(path) // the link may have changed in between
	return path, info, err == nil && os.SameFile(info, real)
}

// holds reports whether a folder is one of those that are walked: a link to it
// would never end.
func holds(above []fs.FileInfo, info fs.FileInfo) bool {
	return slices.ContainsFunc(above, func(other fs.FileInfo) bool { return os.SameFile(other, info) })
}

// skips reports whether what is called name is no part of what is published: what
// a site does not serve, and what is still being taken.
func skips(kind, name string) bool {
	return kind == kith.EntrySite && folders.Hidden(name) && name != folders.WellKnown || strings.HasSuffix(name, partSuffix)
}
