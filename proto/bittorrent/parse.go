package bittorrent

import (
	"bytes"
	"crypto/sha1"
	"fmt"
	"slices"
	"strings"
)

// info is what an info dictionary has that matters here, each still bencoded;
// nil where it is not there.
type info struct {
	fileTree, files, length, metaVersion, name, pieceLength, pieces []byte
}

// ParseDescription reads an info dictionary of version 2 (BEP 52), hybrid or not.
// It is strict: names that lead elsewhere, collide or cannot be kept on every
// system, sizes and counts beyond the limits, and a version 1 half that
// does not describe the same files are refused with an error that wraps
// [ErrInvalid] and names what is wrong. Keys that it does not know are passed over.
// Raw is a copy of raw.
func ParseDescription(raw []byte) (*Description, error) {
	if len(raw) > MaxDescription {
		return nil, fmt.Errorf("description of %d bytes, at most %d: %w", len(raw), MaxDescription, ErrInvalid)
	}
	d := &Description{Raw: bytes.Clone(raw)}
	if err := d.parse(); err != nil {
		return nil, err
	}
	d.identify()
	return d, nil
}

func (d *Description) parse() error {
	info, err := parseInfo(d.Raw)
	if err != nil {
		return err
	}
	if err := checkVersion(info); err != nil {
		return err
	}
	if err := field(info.name, "name", func(r *decoder) error {
		name, err := r.text()
		d.Name = string(name)
		if err != nil {
			return err
		}
		return CheckName(d.Name)
	}); err != nil {
		return err
	}
	if err := field(info.pieceLength, "piece length", func(r *decoder) (err error) {
		d.PieceLength, err = r.integer()
		return err
	}); err != nil {
		return err
	}
	if err := field(info.fileTree, "file tree", func(r *decoder) error { return d.parseTree(r, nil, 0) }); err != nil {
		return err
	}
	if len(d.Files) == 0 {
		return fmt.Errorf("no files: %w", ErrInvalid)
	}
	if err := d.number(); err != nil {
		return err
	}
	if info.pieces == nil && info.files == nil && info.length == nil {
		d.single(true)
		return nil
	}
	d.Hybrid = true
	if err := d.parseV1(info); err != nil {
		return fmt.Errorf("version 1: %w", err)
	}
	return nil
}

func parseInfo(raw []byte) (info info, err error) {
	err = decode(raw, func(r *decoder) error {
		return r.dictionary(func(key []byte) error {
			value, err := r.raw()
			if err != nil {
				return at(key, err)
			}
			switch string(key) {
			case "file tree":
				info.fileTree = value
			case "files":
				info.files = value
			case "length":
				info.length = value
			case "meta version":
				info.metaVersion = value
			case "name":
				info.name = value
			case "piece length":
				info.pieceLength = value
			case "pieces":
				info.pieces = value
			}
			return nil
		})
	})
	return info, err
}

func checkVersion(info info) error {
	if info.metaVersion == nil && info.pieces != nil {
		return ErrVersion1
	}
	return field(info.metaVersion, "meta version", func(r *decoder) error {
		version, err := r.integer()
		if err == nil && version != 2 {
			err = fmt.Errorf("BitTorrent of version %d, not 2: %w", version, ErrInvalid)
		}
		return err
	})
}

// field reads an entry that has to be there.
func field(raw []byte, key string, value func(*decoder) error) error {
	if raw == nil {
		return fmt.Errorf("%s is missing: %w", key, ErrInvalid)
	}
	return at(key, decode(raw, value))
}

// parseTree reads a folder of the file tree.
func (d *Description) parseTree(r *decoder, path []string, length int) error {
	names := make(folder)
	empty := true
	err := r.dictionary(func(key []byte) error {
		name := string(key)
		if err := CheckName(name); err != nil {
			return err
		}
		if err := names.add(name); err != nil {
			return err
		}
		if len(path) >= maxFolders {
			return fmt.Errorf("folders nested deeper than %d: %w", maxFolders, ErrInvalid)
		}
		if length := length + len(name) + 1; length > maxPath {
			return fmt.Errorf("path of %d bytes, at most %d: %w", length, maxPath, ErrInvalid)
		}
		empty = false
		path := append(slices.Clip(path), name)
		if bytes.HasPrefix(r.rest, []byte("d0:")) {
			return at(strings.Join(path, "/"), d.parseFile(r, path))
		}
		return d.parseTree(r, path, length+len(name)+1)
	})
	if err == nil && empty {
		err = fmt.Errorf("folder %.80q is empty: %w", strings.Join(path, "/"), ErrInvalid)
	}
	return err
}

// parseFile reads the dictionary of a file, whose only key is "".
func (d *Description) parseFile(r *decoder, path []string) error {
	f := File{Path: path, Size: -1}
	rooted := false
	first := true
	err := r.dictionary(func(key []byte) error {
		if !first {
			return fmt.Errorf("it is a file and a folder: %w", ErrInvalid)
		}
		first = false
		return r.dictionary(func(key []byte) (err error) {
			switch string(key) {
			case "length":
				f.Size, err = r.within(0, MaxSize)
			case "pieces root":
				rooted = true
				f.Root, err = hash(r)
			case "symlink path":
				err = fmt.Errorf("symbolic links are not taken: %w", ErrInvalid)
			default:
				err = r.skip()
			}
			return at(key, err)
		})
	})
	switch {
	case err != nil:
		return err
	case f.Size < 0:
		return fmt.Errorf("length is missing: %w", ErrInvalid)
	case rooted != (f.Size > 0):
		return fmt.Errorf("%d bytes, and pieces root is there: %t: %w", f.Size, rooted, ErrInvalid)
	case rooted && f.Root == [32]byte{}:
		return fmt.Errorf("pieces root is zero: %w", ErrInvalid)
	case len(d.Files) == MaxFiles:
		return fmt.Errorf("more than %d files: %w", MaxFiles, ErrInvalid)
	}
	d.Files = append(d.Files, f)
	return nil
}

func hash(r *decoder) (h [32]byte, err error) {
	text, err := r.text()
	if err == nil && len(text) != len(h) {
		err = fmt.Errorf("hash of %d bytes, not %d: %w", len(text), len(h), ErrInvalid)
	}
	if err == nil {
		h = [32]byte(text)
	}
	return h, err
}

// single notes that the content is one file, if it is.
func (d *Description) single(single bool) bool {
	if !single || len(d.Files) != 1 || len(d.Files[0].Path) != 1 || d.Files[0].Path[0] != d.Name {
		return false
	}
	d.Single, d.Files[0].Path = true, nil
	return true
}

// parseV1 compares the half of version 1 with the file tree.
func (d *Description) parseV1(info info) error {
	switch {
	case info.files != nil && info.length != nil:
		return fmt.Errorf("it is a file and a folder: %w", ErrInvalid)
	case info.files != nil:
		if err := d.parseFiles(info.files); err != nil {
			return err
		}
	default:
		err := field(info.length, "length", func(r *decoder) (err error) {
			d.sizeV1, err = r.integer()
			return err
		})
		if err != nil {
			return err
		}
		if !d.single(true) || d.sizeV1 != d.size {
			return fmt.Errorf("one file of %d bytes, which is not what the file tree has: %w", d.sizeV1, ErrInvalid)
		}
	}
	return field(info.pieces, "pieces", func(r *decoder) (err error) {
		d.Pieces, err = r.text()
		if want := d.PieceCount() * sha1.Size; err == nil && len(d.Pieces) != want {
			err = fmt.Errorf("%d bytes, %d expected: %w", len(d.Pieces), want, ErrInvalid)
		}
		return err
	})
}

// parseFiles reads the files of version 1 beside those of the file tree: the same
// in the same order, with pad files between them so that each begins with a
// piece.
func (d *Description) parseFiles(raw []byte) error {
	file := 0
	return at("files", decode(raw, func(r *decoder) error {
		if err := r.list(func() error {
			entry, err := parseEntry(r)
			if err != nil {
				return err
			}
			if entry.pad {
				// As much as fills the piece, where something is in it.
				if entry.length != pad(d.sizeV1, d.PieceLength) {
					return fmt.Errorf("pad file of %d bytes after %d: %w", entry.length, d.sizeV1, ErrInvalid)
				}
				d.sizeV1 += entry.length
				return nil
			}
			if file == len(d.Files) {
				return fmt.Errorf("more files than in the file tree: %w", ErrInvalid)
			}
			want := d.Files[file]
			file++
			switch {
			case !entry.names(want.Path):
				return fmt.Errorf("another file where the file tree has %.80q: %w", strings.Join(want.Path, "/"), ErrInvalid)
			case entry.length != want.Size:
				return fmt.Errorf("%.80q of %d bytes, %d in the file tree: %w", strings.Join(want.Path, "/"), entry.length, want.Size, ErrInvalid)
			case want.Size > 0 && d.sizeV1%d.PieceLength != 0:
				return fmt.Errorf("%.80q does not begin with a piece: %w", strings.Join(want.Path, "/"), ErrInvalid)
			}
			d.sizeV1 += entry.length
			return nil
		}); err != nil {
			return err
		}
		if file != len(d.Files) {
			return fmt.Errorf("%d files, %d in the file tree: %w", file, len(d.Files), ErrInvalid)
		}
		return nil
	}))
}

// An entry is a line of the list of files of version 1.
type entry struct {
	length int64
	path   []byte // bencoded list
	pad    bool
}

func parseEntry(r *decoder) (e entry, err error) {
	e.length = -1
	err = r.dictionary(func(key []byte) (err error) {
		switch string(key) {
		case "attr":
			var attributes []byte
			attributes, err = r.text()
			e.pad = bytes.IndexByte(attributes, 'p') >= 0
		case "length":
			e.length, err = r.within(0, MaxSize)
		case "path":
			e.path, err = r.raw()
		case "symlink path":
			err = fmt.Errorf("symbolic links are not taken: %w", ErrInvalid)
		default:
			err = r.skip()
		}
		return at(key, err)
	})
	if err == nil && e.length < 0 {
		err = fmt.Errorf("length is missing: %w", ErrInvalid)
	}
	return e, err
}

// names reports whether the entry has that path.
func (e entry) names(path []string) bool {
	same := e.path != nil
	i := 0
	err := decode(e.path, func(r *decoder) error {
		return r.list(func() error {
			name, err := r.text()
			same = same && i < len(path) && string(name) == path[i]
			i++
			return err
		})
	})
	return err == nil && same && i == len(path)
}
