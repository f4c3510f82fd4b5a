package swarm

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"kith.alt/kith/proto/bittorrent"
)

// An update brings content to a path where something may stand already. What this
// host put there makes way: files of the content, and of versions before it that
// are still known. All else is a person's, such as a file that was edited since it
// was taken: it stays, under another name beside the new one.
type update struct {
	swarm *Swarm
	d     *bittorrent.Description
	path  string
	ours  map[string][]bittorrent.File // by name in the content: what this host may have put there
	kept  []string                     // names that a person's files have now
}

// update makes the file or folder of a content at path, in place of what this host
// put there before.
func (s *Swarm) update(ctx context.Context, d *bittorrent.Description, path string) error {
	u := &update{swarm: s, d: d, path: path, ours: s.oursAt(path)}
	for i, f := range d.Files {
		u.ours[contentPath(d, i)] = append(u.ours[contentPath(d, i)], f)
	}
	defer u.report()
	if err := u.run(ctx); err != nil {
		return err
	}
	for name := range u.ours {
		os.Remove(u.scratch(name))
	}
	return nil
}

// oursAt returns the files of all that was taken to path, by their names in it.
func (s *Swarm) oursAt(path string) map[string][]bittorrent.File {
	s.mu.Lock()
	var taken []*holding
	for _, h := range s.holdings {
		if h.Path == path && !h.own && h.Files > 0 {
			taken = append(taken, h)
		}
	}
	s.mu.Unlock()
	files := make(map[string][]bittorrent.File)
	for _, h := range taken {
		d, err := s.described(h.Content)
		if err != nil {
			continue
		}
		for i, f := range d.Files {
			files[contentPath(d, i)] = append(files[contentPath(d, i)], f)
		}
	}
	return files
}

func (u *update) run(ctx context.Context) error {
	if u.d.Single {
		return u.file(ctx, "", u.d.Files[0])
	}
	if err := u.clearFor(ctx, ""); err != nil {
		return err
	}
	if err := os.MkdirAll(u.path, 0o755); err != nil {
		return fmt.Errorf("make folder: %w", err)
	}
	// Names in a description are checked, and os.Root keeps what the folder
	// itself holds, such as links, from leading out of it.
	root, err := os.OpenRoot(u.path)
	if err != nil {
		return fmt.Errorf("open folder: %w", err)
	}
	defer root.Close()
	for i, f := range u.d.Files {
		for n := 1; n < len(f.Path); n++ {
			if err := u.clearFor(ctx, strings.Join(f.Path[:n], "/")); err != nil {
				return err
			}
		}
		if err := root.MkdirAll(filepath.Dir(filepath.Join(f.Path...)), 0o755); err != nil {
			return fmt.Errorf("make folder: %w", err)
		}
		if err := u.file(ctx, contentPath(u.d, i), f); err != nil {
			return err
		}
	}
	return nil
}

func (u *update) at(name string) string { return filepath.Join(u.path, filepath.FromSlash(name)) }

// file makes a file of the content.
func (u *update) file(ctx context.Context, name string, f bittorrent.File) error {
	path := u.at(name)
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		err = nil
	case err != nil:
		err = fmt.Errorf("make way: %w", err)
	case info.IsDir():
		err = u.clearFolder(ctx, name)
	case f.Size == 0 && info.Mode().IsRegular() && info.Size() == 0:
		return nil
	default:
		err = u.clearFile(ctx, name, f)
	}
	if err != nil {
		return err
	}
	return u.swarm.exportFile(ctx, f, path)
}

// clearFor makes way for a folder: no file may stand there.
func (u *update) clearFor(ctx context.Context, name string) error {
	info, err := os.Stat(u.at(name))
	switch {
	case err == nil && info.IsDir():
		return nil
	case errors.Is(err, fs.ErrNotExist):
		if _, err := os.Lstat(u.at(name)); err != nil {
			return nil
		}
		return u.keep(name) // a link to nothing
	case err != nil:
		return fmt.Errorf("make way: %w", err)
	}
	if _, ok := u.isOurs(ctx, name); ok {
		return u.setAside(ctx, name)
	}
	return u.keep(name)
}

// clearFile makes way for a file where one stands, which may be the same. What the new
// version has under another name is set aside: it may be nowhere else.
func (u *update) clearFile(ctx context.Context, name string, f bittorrent.File) error {
	was, ok := u.isOurs(ctx, name)
	switch {
	case !ok:
		return u.keep(name)
	case was.Root != f.Root && u.has(was):
		return u.setAside(ctx, name)
	}
	return nil
}

// clearFolder makes way for a file where a folder stands. A folder with something of a
// person's is kept.
func (u *update) clearFolder(ctx context.Context, name string) error {
	var folders []string
	err := filepath.WalkDir(u.at(name), func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			folders = append(folders, path)
			return nil
		}
		below, err := filepath.Rel(u.path, path)
		if err != nil {
			return err
		}
		below = filepath.ToSlash(below)
		if _, ok := u.isOurs(ctx, below); !ok {
			return nil
		}
		return u.setAside(ctx, below)
	})
	if err != nil {
		return fmt.Errorf("make way: %w", err)
	}
	for _, folder := range slices.Backward(folders) {
		os.Remove(folder) // unless something is in it
	}
	if _, err := os.Lstat(u.at(name)); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return u.keep(name)
}

// isOurs reports which file of a content stands under a name, as this host put
// it there.
func (u *update) isOurs(ctx context.Context, name string) (bittorrent.File, bool) {
	path := u.at(name)
	info, err := os.Lstat(path)
	if err != nil || !info.Mode().IsRegular() {
		return bittorrent.File{}, false
	}
	same := slices.DeleteFunc(slices.Clone(u.ours[name]), func(f bittorrent.File) bool { return f.Size != info.Size() })
	for _, f := range same {
		if f.Size == 0 || u.swarm.store.Unchanged(ctx, f.Root, f.Size, path) {
			return f, true
		}
	}
	for _, f := range same {
		if hasRoot(ctx, path, f) {
			return f, true
		}
	}
	return bittorrent.File{}, false
}

// has reports whether the content has such a file under any name.
func (u *update) has(f bittorrent.File) bool {
	return slices.ContainsFunc(u.d.Files, func(other bittorrent.File) bool { return other.Root == f.Root && other.Size == f.Size })
}

// scratch is where what is set aside lies until the update is complete: always the
// same for a name, so that what a killed process leaves is taken up.
func (u *update) scratch(name string) string {
	folder := u.path
	if u.d.Single || name == "" {
		folder = filepath.Dir(u.path)
	}
	sum := sha256.Sum256([]byte(u.at(name)))
	return filepath.Join(folder, ".kith-"+hex.EncodeToString(sum[:8])+".old")
}

// setAside has a file of ours make way, and tells the store where it is.
func (u *update) setAside(ctx context.Context, name string) error {
	from, to := u.at(name), u.scratch(name)
	if err := os.Rename(from, to); err != nil {
		return fmt.Errorf("make way: %w", err)
	}
	for _, f := range u.ours[name] {
		if f.Size == 0 {
			continue
		}
		file, err := u.swarm.store.File(ctx, f.Root, f.Size)
		if err != nil {
			return err
		}
		if err := errors.Join(file.Moved(from, to), file.Close()); err != nil {
			return err
		}
	}
	return nil
}

// keep gives what a person has where content belongs another name beside it.
func (u *update) keep(name string) error {
	path := u.at(name)
	for n := 1; ; n++ {
		to := keptName(path, time.Now(), n)
		if _, err := os.Lstat(to); err == nil {
			continue
		}
		if err := os.Rename(path, to); err != nil {
			return fmt.Errorf("%s was changed here, and cannot be kept under another name: %w", path, err)
		}
		u.kept = append(u.kept, to)
		return nil
	}
}

// keptName is the n-th name for what a person has at path.
func keptName(path string, now time.Time, n int) string {
	folder, name := filepath.Split(path)
	ending := filepath.Ext(name)
	if ending == name || len(ending) > 16 {
		ending = ""
	}
	mark := " (kept " + now.Format(time.DateOnly) + ")"
	if n > 1 {
		mark = fmt.Sprintf(" (kept %s, %d)", now.Format(time.DateOnly), n)
	}
	stem := strings.TrimSuffix(name, ending)
	for len(stem)+len(mark)+len(ending) > maxFileName {
		_, size := utf8.DecodeLastRuneInString(stem)
		stem = stem[:len(stem)-size]
	}
	return folder + stem + mark + ending
}

// maxFileName is how many bytes the name of a file has at most, on most systems.
const maxFileName = 255

// report tells the owner what was kept.
func (u *update) report() {
	for _, path := range u.kept {
		u.swarm.log.Info("kept what was changed here", "path", path)
	}
	switch n := len(u.kept); {
	case n == 1:
		u.swarm.cfg.Event(fmt.Sprintf("What you changed was not overwritten by the newer %s: it is kept as %s.", u.d.Name, u.kept[0]))
	case n > 1:
		u.swarm.cfg.Event(fmt.Sprintf("What you changed was not overwritten by the newer %s: %d files are kept, such as %s.", u.d.Name, n, u.kept[0]))
	}
}

// removeGone deletes files of an older version that the newer one does not have,
// and folders that are empty then. What the person changed since stays.
func (s *Swarm) removeGone(ctx context.Context, old, newer *holding) error {
	before, err := s.described(old.Content)
	if err != nil || before.Single {
		return err
	}
	after, err := s.described(newer.Content)
	if err != nil {
		return err
	}
	var kept []string
	for i := range after.Files {
		kept = append(kept, contentPath(after, i))
	}
	if after.Single {
		return nil // the folder made way
	}
	root, err := os.OpenRoot(old.Path)
	if err != nil {
		return fmt.Errorf("open folder: %w", err)
	}
	defer root.Close()
	slices.Sort(kept)
	for i := range before.Files {
		name := filepath.FromSlash(contentPath(before, i))
		if _, found := slices.BinarySearch(kept, contentPath(before, i)); found || !hasRoot(ctx, filepath.Join(old.Path, name), before.Files[i]) {
			continue
		}
		if err := root.Remove(name); err != nil {
			return fmt.Errorf("delete a file that is not in the newer version: %w", err)
		}
		for folder := filepath.Dir(name); folder != "."; folder = filepath.Dir(folder) {
			if root.Remove(folder) != nil { // others are in it
				break
			}
		}
	}
	return nil
}
