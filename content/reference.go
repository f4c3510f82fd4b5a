package content

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"kith.alt/kith"
)

// A reference is a person's file that had all the bytes.
type reference struct {
	Path     string `json:"path"`
	Modified int64  `json:"modified"` // nanoseconds since 1970
	Inode    uint64 `json:"inode"`    // or what the system has in its place
}

// maxReferences is how many files of persons are remembered for one file; the
// newest stay.
const maxReferences = 8

// A person is a reference whose file is open for reading.
type person struct {
	reference
	file *os.File
}

// openShared opens a person's file for reading. It does not wait, as opening a
// pipe would.
func openShared(path string) (*os.File, error) {
	if info, err := os.Stat(path); err != nil {
		return nil, err
	} else if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a file: %w", path, kith.Invalid)
	}
	file, err := os.OpenFile(path, os.O_RDONLY|openAtOnce, 0)
	if err != nil {
		return nil, err
	}
	if info, err := file.Stat(); err != nil || !info.Mode().IsRegular() { // something else came meanwhile
		file.Close()
		return nil, fmt.Errorf("%s is not a file: %w", path, kith.Invalid)
	}
	return file, nil
}

// referTo describes an open file of a person.
func referTo(file *os.File, path string) (reference, int64, error) {
	info, err := file.Stat()
	if err != nil {
		return reference{}, 0, err
	}
	number, err := inode(file)
	if err != nil {
		return reference{}, 0, err
	}
	return reference{path, info.ModTime().UnixNano(), number}, info.Size(), nil
}

// changed reports whether a person's file is not the one that was referred to
// any more.
func (f *File) changed(p *person) bool {
	now, size, err := referTo(p.file, p.Path)
	return err != nil || now != p.reference || size != f.size
}

// loadReferences reads which files of persons have the bytes.
func (f *File) loadReferences() []reference {
	text, err := os.ReadFile(f.path(referencesSuffix))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	var list []reference
	if err == nil {
		err = json.Unmarshal(text, &list)
	}
	if err != nil {
		f.store.log.Warn("references are damaged; a person's file is not found again by itself", "root", f.root, "err", err)
		return nil
	}
	return list[:min(len(list), maxReferences)]
}

// refer adds a reference, as the first, and saves it, not yet durably. The caller
// holds f.mu.
func (f *File) refer(r reference) error {
	list := []reference{r}
	for _, old := range f.references {
		if old.Path != r.Path && len(list) < maxReferences {
			list = append(list, old)
		}
	}
	f.references = list
	return f.saveReferences()
}

func (f *File) saveReferences() error {
	path := f.path(referencesSuffix)
	if len(f.references) == 0 {
		return os.Remove(path)
	}
	text, err := json.Marshal(f.references)
	if err != nil {
		return err
	}
	file, err := createIn(path+newSuffix, os.O_TRUNC)
	if err != nil {
		return err
	}
	_, err = file.Write(text)
	if err = errors.Join(err, file.Close()); err == nil {
		err = os.Rename(path+newSuffix, path)
	}
	if err != nil {
		os.Remove(path + newSuffix)
	}
	return err
}

// openPerson opens the first reference whose file is as it was. One whose
// file has changed is forgotten; one whose file is not there, such as on a disk that
// is not plugged in, stays. The caller holds f.mu.
func (f *File) openPerson() {
	var kept []reference
	for i, r := range f.references {
		file, err := openShared(r.Path)
		if err != nil {
			f.store.log.Debug("a shared file cannot be opened", "root", f.root, "path", r.Path, "err", err)
			kept = append(kept, r)
			continue
		}
		p := &person{r, file}
		if !f.changed(p) {
			f.person = p
			kept = append(kept, f.references[i:]...)
			break
		}
		file.Close()
		f.store.log.Info("a shared file has changed; its blocks count as missing", "root", f.root, "path", r.Path)
	}
	if len(kept) != len(f.references) {
		f.references = kept
		if err := f.saveReferences(); err != nil {
			f.store.log.Error("references not saved", "root", f.root, "err", err)
		}
	}
}

func (f *File) closePerson() {
	if f.person != nil {
		f.person.file.Close()
		f.person = nil
	}
}

// doubt is called when a block read from a person's file was wrong. It reports
// whether the block is worth another try, from elsewhere.
func (f *File) doubt(p *person, block int) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case f.person != p:
	case f.changed(p):
		f.closePerson()
		f.openPerson() // finds that it has changed, or the next
		f.recount()
	default:
		if !f.written.Has(block) {
			f.miss(block, p.Path)
		}
	}
	return f.have.Has(block)
}

// Moved tells that a person's file that has the bytes was renamed: it is used
// under its new name from then on.
func (f *File) Moved(from, to string) error {
	if f.blocks == 0 {
		return nil
	}
	if err := f.open(); err != nil {
		return fmt.Errorf("note a new name: %w", err)
	}
	defer f.use.RUnlock()
	f.mu.Lock()
	defer f.mu.Unlock()
	for i, r := range f.references {
		if r.Path == from {
			f.references[i].Path = to
			f.closePerson()
			f.openPerson()
			f.recount()
			if err := f.saveReferences(); err != nil {
				return fmt.Errorf("note a new name: %w", f.store.explain(err))
			}
			return nil
		}
	}
	return nil
}
