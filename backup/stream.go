package backup

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"kith.alt/kith"
	"kith.alt/kith/blob"
	"kith.alt/kith/store/sqlite"
)

// snapshotPrefix begins the names of snapshots in the data directory.
const snapshotPrefix = databaseName + ".backup-"

// A Source is the node that is put into a backup.
type Source struct {
	Dir     string // the data directory
	Store   *sqlite.Store
	Blobs   *blob.Store
	ID      kith.ID
	Name    string // full name
	Version string // of the program
}

// A Stream is a backup that is being read, not compressed. It is not safe for
// concurrent use. Its owner closes it.
type Stream struct {
	Manifest Manifest
	Size     int64 // bytes in all

	ctx      context.Context
	cancel   context.CancelFunc
	small    [][]byte // contents of the files but the database
	snapshot string   // path
	blobs    []kith.Blob
	hold     *blob.Hold
	pipe     *io.PipeReader
	writing  sync.WaitGroup
}

// Begin takes a snapshot. It needs as much room on disk as the database has; an error
// of kind Quota says that there is none. When ctx ends, so does the stream.
func Begin(ctx context.Context, source Source) (_ *Stream, err error) {
	s := &Stream{
		Manifest: Manifest{
			Version: version, Kith: source.Version, ID: source.ID, Name: source.Name, Made: time.Now().UTC().Truncate(time.Second),
		},
		hold: source.Blobs.Hold(), // from before the snapshot
	}
	s.ctx, s.cancel = context.WithCancel(ctx)
	defer func() {
		if err != nil {
			s.Close()
			err = fmt.Errorf("begin backup: %w", err)
		}
	}()
	if err := s.readSmall(source.Dir); err != nil {
		return nil, err
	}
	if err := s.takeSnapshot(source); err != nil {
		return nil, err
	}
	manifest, err := json.MarshalIndent(s.Manifest, "", "  ")
	if err != nil {
		return nil, err
	}
	s.Size = 2 * tarBlock // its end
	for _, size := range s.sizes(int64(len(manifest))) {
		s.Size += tarBlock + (size+tarBlock-1)/tarBlock*tarBlock
	}
	pipe, w := io.Pipe()
	s.pipe = pipe
	s.writing.Go(func() { w.CloseWithError(s.write(w, manifest)) })
	return s, nil
}

// tarBlock is what an archive consists of.
const tarBlock = 512

func (s *Stream) sizes(manifest int64) []int64 {
	sizes := []int64{manifest}
	for _, f := range s.Manifest.Files {
		sizes = append(sizes, f.Size)
	}
	for _, b := range s.blobs {
		sizes = append(sizes, b.Size)
	}
	return sizes
}

// Read reads the archive.
func (s *Stream) Read(p []byte) (int, error) { return s.pipe.Read(p) }

// Close ends the stream, and removes what it needed.
func (s *Stream) Close() error {
	s.cancel()
	if s.pipe != nil {
		s.pipe.Close()
		s.writing.Wait()
	}
	s.hold.Close()
	if s.snapshot == "" {
		return nil
	}
	return os.Remove(s.snapshot)
}

func (s *Stream) readSmall(dir string) error {
	for _, small := range smallFiles {
		content, err := os.ReadFile(filepath.Join(dir, filepath.FromSlash(small.name)))
		if errors.Is(err, fs.ErrNotExist) && !small.required {
			continue
		}
		if err != nil {
			return err
		}
		sum := sha256.Sum256(content)
		s.small = append(s.small, content)
		s.Manifest.Files = append(s.Manifest.Files, File{small.name, int64(len(content)), hex.EncodeToString(sum[:])})
	}
	return nil
}

func (s *Stream) takeSnapshot(source Source) error {
	file, err := os.CreateTemp(source.Dir, snapshotPrefix+"*") // with mode 0600
	if err != nil {
		return err
	}
	defer file.Close()
	s.snapshot = file.Name()
	if err := source.Store.Snapshot(s.ctx, s.snapshot, func(tx *sql.Tx) error {
		return blob.EachFile(s.ctx, tx, func(b kith.Blob) error {
			s.blobs = append(s.blobs, b)
			s.Manifest.BlobBytes += b.Size
			return nil
		})
	}); err != nil {
		return err
	}
	s.Manifest.Blobs = len(s.blobs)
	hash := sha256.New()
	size, err := io.Copy(hash, file)
	if err != nil {
		return err
	}
	s.Manifest.Files = append(s.Manifest.Files, File{databaseName, size, hex.EncodeToString(hash.Sum(nil))})
	return nil
}

// write writes the archive.
func (s *Stream) write(w io.Writer, manifest []byte) error {
	archive := tar.NewWriter(w)
	if err := s.writePart(archive, manifestName, int64(len(manifest)), bytes.NewReader(manifest)); err != nil {
		return err
	}
	for i, content := range s.small {
		if err := s.writePart(archive, s.Manifest.Files[i].Name, int64(len(content)), bytes.NewReader(content)); err != nil {
			return err
		}
	}
	database, err := os.Open(s.snapshot)
	if err != nil {
		return err
	}
	defer database.Close()
	if err := s.writePart(archive, databaseName, s.Manifest.Files[len(s.small)].Size, database); err != nil {
		return err
	}
	for _, b := range s.blobs {
		if err := s.writeBlob(archive, b); err != nil {
			return err
		}
	}
	return archive.Close()
}

func (s *Stream) writeBlob(archive *tar.Writer, b kith.Blob) error {
	r, err := s.hold.Open(b.ID)
	if err != nil {
		return err
	}
	defer r.Close()
	return s.writePart(archive, blobsName+"/"+blob.Path(b.ID), b.Size, r)
}

func (s *Stream) writePart(archive *tar.Writer, name string, size int64, r io.Reader) error {
	if err := s.ctx.Err(); err != nil {
		return err
	}
	header := &tar.Header{Format: tar.FormatGNU, Typeflag: tar.TypeReg, Name: name, Size: size, Mode: 0o600, ModTime: s.Manifest.Made}
	if err := archive.WriteHeader(header); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	n, err := io.Copy(archive, r)
	if err == nil && n < size {
		err = fmt.Errorf("it has %d bytes instead of %d: %w", n, size, kith.Invalid)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// Sweep removes what a killed process left in the data directory.
func Sweep(dir string) error {
	return removeAll(filepath.Join(quoteGlob(dir), snapshotPrefix+"*"))
}

// removeAll removes what matches a pattern.
func removeAll(pattern string) error {
	paths, err := filepath.Glob(pattern)
	for _, path := range paths {
		err = errors.Join(err, os.RemoveAll(path))
	}
	return err
}
