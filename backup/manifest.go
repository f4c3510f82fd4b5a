package backup

import (
	"bytes"
	"encoding/json"
	"fmt"
	"path"
	"time"

	"kith.alt/kith"
)

// version is that of the file's form.
const version = 1

// maxManifest and maxSmall bound what is read into memory, in bytes.
const (
	maxManifest = 1 << 20
	maxSmall    = 1 << 20
)

// Names in the archive.
const (
	manifestName = "manifest.json"
	databaseName = "kith.db"
	blobsName    = "blobs"
)

// smallFiles are the files of a data directory that are kept as they are.
var smallFiles = []struct {
	name     string
	required bool
}{
	{"key", true},
	{"config.json", false},
	{"certificate/authority", false},
	{"certificate/localhost", false},
}

// A Manifest says what is in a backup.
type Manifest struct {
	Version   int       `json:"version"`
	Kith      string    `json:"kith"` // the program that made it
	ID        kith.ID   `json:"id"`
	Name      string    `json:"name"` // the host's full name then
	Made      time.Time `json:"made"`
	Files     []File    `json:"files"` // all but the blobs
	Blobs     int       `json:"blobs"`
	BlobBytes int64     `json:"blob_bytes"`
}

// A File is a part of a backup.
type File struct {
	Name   string `json:"name"` // below the data directory
	Size   int64  `json:"size"`
	SHA256 string `json:"sha256"` // hexadecimal
}

// Bytes returns the size of everything, not compressed.
func (m Manifest) Bytes() int64 {
	total := m.BlobBytes
	for _, f := range m.Files {
		total += f.Size
	}
	return total
}

func parseManifest(text []byte) (m Manifest, err error) {
	var form struct {
		Version int `json:"version"`
	}
	if err := json.Unmarshal(text, &form); err != nil {
		return m, fmt.Errorf("%s: %w: %w", manifestName, err, kith.Invalid)
	}
	if form.Version != version {
		return m, fmt.Errorf("the backup is of version %d, this program knows %d: use a newer kith: %w", form.Version, version, kith.Invalid)
	}
	decoder := json.NewDecoder(bytes.NewReader(text))
	if err := decoder.Decode(&m); err != nil {
		return m, fmt.Errorf("%s: %w: %w", manifestName, err, kith.Invalid)
	}
	if m.Blobs < 0 || m.BlobBytes < 0 {
		return m, fmt.Errorf("%s names %d blobs of %d bytes: %w", manifestName, m.Blobs, m.BlobBytes, kith.Invalid)
	}
	return m, m.check()
}

// check has the manifest name known files, each once, in order, and all that a host
// cannot be without.
func (m Manifest) check() error {
	left := m.Files
	next := func(name string, limit int64) (bool, error) {
		if len(left) == 0 || left[0].Name != name {
			return false, nil
		}
		size := left[0].Size
		left = left[1:]
		if size < 0 || limit > 0 && size > limit {
			return false, fmt.Errorf("%s: %s has %d bytes: %w", manifestName, name, size, kith.Invalid)
		}
		return true, nil
	}
	for _, small := range smallFiles {
		if there, err := next(small.name, maxSmall); err != nil || !there && small.required {
			return missing(small.name, err)
		}
	}
	if there, err := next(databaseName, 0); err != nil || !there {
		return missing(databaseName, err)
	}
	if len(left) > 0 {
		return fmt.Errorf("%s names %.100q: %w", manifestName, path.Clean(left[0].Name), kith.Invalid)
	}
	return nil
}

func missing(name string, err error) error {
	if err != nil {
		return err
	}
	return fmt.Errorf("%s does not name %s: %w", manifestName, name, kith.Invalid)
}
