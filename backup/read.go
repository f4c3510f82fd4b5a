package backup

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	"github.com/klauspost/compress/zstd"

	"kith.alt/kith"
	"kith.alt/kith/blob"
)

// maxWindow bounds the memory that a file can have us take to unpack it.
const maxWindow = 32 << 20

// A visitor is shown the parts of an archive, in order. What it does not read is
// skipped. That a part is as it should be is only known after all of it was read: then
// the next one comes, or the end.
type visitor struct {
	begin func(Manifest) error
	part  func(name string, r io.Reader) error
	blob  func(b kith.Blob, r io.Reader) error
}

// unpack shows v what is in a file.
func unpack(path string, progress func(done, total int64), v visitor) (Manifest, error) {
	file, err := os.Open(path)
	if err != nil {
		return Manifest{}, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return Manifest{}, err
	}
	r, err := zstd.NewReader(&meter{r: file, total: info.Size(), progress: progress}, zstd.WithDecoderMaxWindow(maxWindow), zstd.WithDecoderConcurrency(1))
	if err != nil {
		return Manifest{}, err
	}
	defer r.Close()
	return read(r, v)
}

// read shows v what is in an archive, and compares it with its manifest.
func read(r io.Reader, v visitor) (m Manifest, err error) {
	archive := tar.NewReader(r)
	header, err := next(archive)
	if err != nil {
		return m, err
	}
	if header.Name != manifestName || header.Size > maxManifest {
		return m, fmt.Errorf("it does not begin with %s: %w", manifestName, kith.Invalid)
	}
	text, err := io.ReadAll(archive)
	if err != nil {
		return m, damaged(err)
	}
	if m, err = parseManifest(text); err != nil {
		return m, err
	}
	if v.begin != nil {
		if err := v.begin(m); err != nil {
			return m, err
		}
	}
	for _, f := range m.Files {
		header, err := next(archive)
		if err != nil {
			return m, err
		}
		if header.Name != f.Name || header.Size != f.Size {
			return m, fmt.Errorf("it has %.100q where %s should be: %w", header.Name, f.Name, kith.Invalid)
		}
		if err := compare(archive, f.Name, f.SHA256, func(r io.Reader) error { return v.part(f.Name, r) }); err != nil {
			return m, err
		}
	}
	if err := readBlobs(archive, m, v); err != nil {
		return m, err
	}
	if _, err := archive.Next(); !errors.Is(err, io.EOF) {
		return m, damaged(errors.Join(errors.New("there is more than its manifest names"), err))
	}
	if n, err := io.Copy(io.Discard, r); n > 0 || err != nil { // also compares the checksum of the packing
		return m, damaged(errors.Join(errors.New("it does not end where it should"), err))
	}
	return m, nil
}

func readBlobs(archive *tar.Reader, m Manifest, v visitor) error {
	var last kith.BlobID
	left := m.BlobBytes
	for n := range m.Blobs {
		header, err := next(archive)
		if err != nil {
			return err
		}
		name, ok := strings.CutPrefix(header.Name, blobsName+"/")
		id, err := blob.ParsePath(name)
		if !ok || err != nil || n > 0 && bytes.Compare(last[:], id[:]) >= 0 {
			return fmt.Errorf("it has %.100q where a blob should be: %w", header.Name, kith.Invalid)
		}
		last = id
		left -= header.Size
		if err := compare(archive, header.Name, hex.EncodeToString(id[:]), func(r io.Reader) error {
			return v.blob(kith.Blob{ID: id, Size: header.Size}, r)
		}); err != nil {
			return err
		}
	}
	if left != 0 {
		return fmt.Errorf("its blobs are not of the size that %s names: %w", manifestName, kith.Invalid)
	}
	return nil
}

// next returns the header of the next file.
func next(archive *tar.Reader) (*tar.Header, error) {
	header, err := archive.Next()
	if err == nil && (header.Typeflag != tar.TypeReg || header.Format != tar.FormatGNU) { // holes are PAX
		err = fmt.Errorf("%.100q is not an ordinary file", header.Name)
	}
	if err != nil {
		return nil, damaged(err)
	}
	return header, nil
}

// compare shows a part, and compares its hash.
func compare(r io.Reader, name, want string, show func(io.Reader) error) error {
	hash := sha256.New()
	hashed := io.TeeReader(&source{r: r}, hash)
	if err := show(hashed); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	if _, err := io.Copy(io.Discard, hashed); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	if hex.EncodeToString(hash.Sum(nil)) != want {
		return fmt.Errorf("%s is not what was saved: the file is damaged: %w", name, kith.Invalid)
	}
	return nil
}

// A source marks the errors of what is read as damage.
type source struct{ r io.Reader }

func (s *source) Read(p []byte) (int, error) {
	n, err := s.r.Read(p)
	if err != nil && err != io.EOF {
		err = damaged(err)
	}
	return n, err
}

// damaged says that what is read is not a whole backup, unless the error says what is
// wrong itself, as one of a node or of the disk does.
func damaged(err error) error {
	var kind kith.Kind
	if _, disk := errors.AsType[*fs.PathError](err); disk || errors.As(err, &kind) {
		return err
	}
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return fmt.Errorf("the file is damaged, or no backup (%w): %w", err, kith.Invalid)
}

// A meter tells how much was read.
type meter struct {
	r           io.Reader
	done, total int64
	progress    func(done, total int64) // may be nil
}

func (m *meter) Read(p []byte) (int, error) {
	n, err := m.r.Read(p)
	m.done += int64(n)
	if m.progress != nil {
		m.progress(m.done, m.total)
	}
	return n, err
}
