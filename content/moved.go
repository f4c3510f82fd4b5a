package content

import "fmt"

// Moved tells that a person's file that has the bytes was renamed: it is used
// under its new name.
func (f *File) Moved(from, to string) error {
	if err := f.open(); err != nil {
		return fmt.Errorf("moved: %w", err)
	}
	defer f.use.RUnlock()
	f.mu.Lock()
	defer f.mu.Unlock()
	for i := range f.references {
		if f.references[i].Path == from {
			f.references[i].Path = to
			return f.saveReferences()
		}
	}
	return nil
}
