package config

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"

	"kith.alt/kith"
)

const (
	lockFile   = "lock"
	keyFile    = "key"
	configFile = "config.json"

	dirMode  fs.FileMode = 0o700
	fileMode fs.FileMode = 0o600
)

// Dir is an open data directory. The zero value is not usable: call [Open].
type Dir struct {
	path string
	log  *slog.Logger
	lock *os.File
	made bool // by Open

	mu   sync.Mutex
	node Node
}

// Open locks the data directory at path, making it where it is missing, and
// reads its configuration. It fails with kind InUse when another node runs on
// the directory and with kind Invalid when the configuration cannot be read or
// is a newer program's. Permissions that let others in are repaired and logged.
// The caller closes the Dir.
func Open(path string, log *slog.Logger) (_ *Dir, err error) {
	path, err = filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("data directory: %w", err)
	}
	d := &Dir{path: path, log: log}
	_, err = os.Stat(path)
	d.made = errors.Is(err, fs.ErrNotExist)
	if err := os.MkdirAll(path, dirMode); err != nil {
		return nil, fmt.Errorf("make data directory: %w", err)
	}
	if err := d.secure(path, dirMode); err != nil {
		return nil, err
	}
	if d.lock, err = os.OpenFile(d.File(lockFile), os.O_RDWR|os.O_CREATE, fileMode); err != nil {
		return nil, fmt.Errorf("open lock: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, d.lock.Close())
		}
	}()
	if err := lock(d.lock); err != nil {
		return nil, fmt.Errorf("lock data directory %s: %w", path, err)
	}
	d.sweep()
	if d.node, err = Read(path); err != nil {
		return nil, err
	}
	return d, nil
}

// sweep removes what a killed process had begun to write, perhaps a key.
func (d *Dir) sweep() {
	entries, err := os.ReadDir(d.path)
	if err != nil {
		return // what matters in it cannot be read either, and says so
	}
	for _, e := range entries {
		if name := e.Name(); strings.HasPrefix(name, keyFile+".") || strings.HasPrefix(name, configFile+".") {
			if err := os.Remove(d.File(name)); err != nil {
				d.log.Warn("remove what was left half-written", "path", d.File(name), "err", err)
			}
		}
	}
}

// Exists reports whether a host's key is in the data directory at path, that
// is, whether a node has been made there.
func Exists(path string) bool {
	info, err := os.Stat(filepath.Join(path, keyFile))
	return err == nil && info.Mode().IsRegular()
}

// Path returns the directory's absolute path.
func (d *Dir) Path() string { return d.path }

// File returns the path of the file of that name in the directory.
func (d *Dir) File(name string) string { return filepath.Join(d.path, name) }

// Close releases the lock.
func (d *Dir) Close() error { return d.lock.Close() }

// Discard closes the Dir and, where Open made the directory, removes it with
// everything in it: a first start that did not succeed leaves nothing behind.
func (d *Dir) Discard() error {
	err := d.Close()
	if d.made {
		err = errors.Join(err, os.RemoveAll(d.path))
	}
	return err
}

// secure takes from others the permissions they should not have on path.
func (d *Dir) secure(path string, mode fs.FileMode) error {
	if runtime.GOOS == "windows" { // has access lists, inherited from the profile
		return nil
	}
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	if info.Mode().Perm()&^mode == 0 {
		return nil
	}
	if err := os.Chmod(path, mode); err != nil {
		return fmt.Errorf("other users may read %s: %w", path, err)
	}
	d.log.Warn("other users could open this; repaired", "path", path, "mode", info.Mode().Perm(), "now", mode)
	return nil
}

// write puts content into the file of that name: all of it, or nothing.
func (d *Dir) write(name string, content []byte) (err error) {
	f, err := os.CreateTemp(d.path, name+".*") // with mode 0600
	if err != nil {
		return fmt.Errorf("write %s: %w", name, diskError(err))
	}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("write %s: %w", name, diskError(err)), os.Remove(f.Name()))
		}
	}()
	_, err = f.Write(content)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err = os.Rename(f.Name(), d.File(name)); err != nil {
		return err
	}
	return syncDir(d.path)
}

// diskError gives a full disk its kind.
func diskError(err error) error {
	if isDiskFull(err) {
		return fmt.Errorf("%w: %w", err, kith.Quota)
	}
	return err
}
