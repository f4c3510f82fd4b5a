package swarm

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"kith.alt/kith/content"
	"kith.alt/kith/proto/bittorrent"
)

// export makes the person's file or folder of content that is complete.
func (s *Swarm) export(ctx context.Context, d *bittorrent.Description, path string, replace bool) error {
	if _, err := os.Lstat(path); err == nil && !replace {
		if s.stands(ctx, d, path) {
			return nil // as when the process was killed a moment ago
		}
		return taken(path)
	}
	if d.Single || replace {
		return s.update(ctx, d, path)
	}
	// The folder appears under its name when all of it is there.
	part := path + partSuffix
	if err := s.update(ctx, d, part); err != nil {
		return err
	}
	if err := os.Rename(part, path); err != nil {
		return fmt.Errorf("give %s its name: %w", path, err)
	}
	return s.moved(ctx, d, part, path)
}

// stands reports whether content stands at path as it should.
func (s *Swarm) stands(ctx context.Context, d *bittorrent.Description, path string) bool {
	for i, f := range d.Files {
		if !hasRoot(ctx, filepath.Join(path, filepath.FromSlash(contentPath(d, i))), f) {
			return false
		}
	}
	return true
}

// hasRoot reports whether a file on disk is a certain file of content.
func hasRoot(ctx context.Context, path string, f bittorrent.File) bool {
	file, err := os.Open(path)
	if err != nil {
		return false
	}
	defer file.Close()
	if info, err := file.Stat(); err != nil || info.Size() != f.Size {
		return false
	}
	sum, err := content.Sum(ctx, file, f.Size, 0, false, nil)
	return err == nil && sum.Root == f.Root
}

// moved has the store look for a person's files in a folder that was renamed.
func (s *Swarm) moved(ctx context.Context, d *bittorrent.Description, from, to string) error {
	for _, f := range d.Files {
		if f.Size == 0 {
			continue
		}
		file, err := s.store.File(ctx, f.Root, f.Size)
		if err != nil {
			return err
		}
		name := filepath.Join(f.Path...)
		err = file.Moved(filepath.Join(from, name), filepath.Join(to, name))
		if err = errors.Join(err, file.Close()); err != nil {
			return err
		}
	}
	return nil
}

// partSuffix ends the name of a folder that is not complete.
const partSuffix = ".kith-part"

func (s *Swarm) exportFile(ctx context.Context, f bittorrent.File, path string) error {
	if f.Size == 0 {
		os.Remove(path) // not through a link that stands there
		file, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
		if err != nil {
			return fmt.Errorf("make %s: %w", path, err)
		}
		return file.Close()
	}
	if err := s.store.Export(ctx, f.Root, f.Size, path); err != nil {
		return fmt.Errorf("make %s: %w", path, err)
	}
	return nil
}
