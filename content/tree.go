package content

import (
	"encoding/binary"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// A treeFile is a .tree file:
//
//	"kithtree"           8 bytes
//	version              8 bytes, little-endian: 1
//	size of the file     8 bytes, little-endian
//	root                32 bytes
//	bitmap of blocks written, bitmap of blocks that reached the disk
//	the layers of the tree from the leaves to below the root, without padding;
//	zeros are hashes that are not known
//
// Its length follows from the size. The zero descriptor means that it is not made yet.
type treeFile struct {
	shape
	file *os.File
}

const (
	treeMagic   = "kithtree"
	treeVersion = 1
	treeHeader  = 24 + int64(len(Root{}))
)

var errDamaged = errors.New("the side file is damaged")

func encodeHeader(root Root, size int64) []byte {
	b := append(make([]byte, 0, treeHeader), treeMagic...)
	b = binary.LittleEndian.AppendUint64(b, treeVersion)
	b = binary.LittleEndian.AppendUint64(b, uint64(size))
	return append(b, root[:]...)
}

// open opens the file at path. It fails with fs.ErrNotExist, and with
// errDamaged when it is not a tree of that root and size.
func (t *treeFile) open(path string, root Root, size int64) error {
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	header := make([]byte, treeHeader)
	_, err = file.ReadAt(header, 0)
	switch info, statErr := file.Stat(); {
	case statErr != nil:
		err = statErr
	case err != nil && !errors.Is(err, io.EOF):
	case string(header) != string(encodeHeader(root, size)), info.Size() != t.length():
		err = errDamaged
	default:
		err = nil
	}
	if err != nil {
		file.Close()
		return err
	}
	t.file = file
	return nil
}

// create makes an empty tree at path in place of what is there.
func (t *treeFile) create(path string, root Root, size int64) error {
	file, err := createIn(path, os.O_TRUNC)
	if err != nil {
		return err
	}
	if _, err = file.WriteAt(encodeHeader(root, size), 0); err == nil {
		err = file.Truncate(t.length())
	}
	if err != nil {
		file.Close()
		os.Remove(path)
		return err
	}
	t.file = file
	return nil
}

// close closes it; it can be opened again.
func (t *treeFile) close() error {
	if t.file == nil {
		return nil
	}
	err := t.file.Close()
	t.file = nil
	return err
}

func (t *treeFile) length() int64 { return t.offset(t.height, 0) }

// offset returns where a node lies; the root would lie at the end.
func (t *treeFile) offset(layer, index int) int64 {
	return treeHeader + 2*int64(bitmapLength(t.blocks)) + (t.stored(layer)+int64(index))*int64(len(Root{}))
}

// The two bitmaps, by their order.
const (
	writtenBits = iota
	durableBits
)

// bitmap reads a bitmap.
func (t *treeFile) bitmap(which int) (Bitmap, error) {
	b := NewBitmap(t.blocks)
	if t.file == nil {
		return b, nil
	}
	if _, err := t.file.ReadAt(b, treeHeader+int64(which*len(b))); err != nil {
		return nil, err
	}
	b.trim(t.blocks)
	return b, nil
}

// saveBitmap writes the bytes from first to last of a bitmap.
func (t *treeFile) saveBitmap(which int, b Bitmap, first, last int) error {
	_, err := t.file.WriteAt(b[first:last+1], treeHeader+int64(which*len(b)+first))
	return err
}

// nodes reads nodes of a layer, padding filled in. Those that are not known are
// zero, as is all of it when it cannot be read.
func (t *treeFile) nodes(into []Root, layer, index int) {
	clear(into)
	inside := min(len(into), max(0, t.count(layer)-index))
	for i := inside; i < len(into); i++ {
		into[i] = padding[layer]
	}
	if t.file == nil || inside == 0 {
		return
	}
	buf := make([]byte, inside*len(Root{}))
	if _, err := t.file.ReadAt(buf, t.offset(layer, index)); err != nil {
		return
	}
	for i := range into[:inside] {
		copy(into[i][:], buf[i*len(Root{}):])
	}
}

// node returns a node, and false when it is not known.
func (t *treeFile) node(layer, index int) (Root, bool) {
	var one [1]Root
	t.nodes(one[:], layer, index)
	return one[0], !one[0].IsZero() || index >= t.count(layer)
}

// saveNodes writes nodes of a layer; padding is left out.
func (t *treeFile) saveNodes(nodes []Root, layer, index int) error {
	nodes = nodes[:min(len(nodes), max(0, t.count(layer)-index))]
	buf := make([]byte, 0, len(nodes)*len(Root{}))
	for i := range nodes {
		buf = append(buf, nodes[i][:]...)
	}
	_, err := t.file.WriteAt(buf, t.offset(layer, index))
	return err
}

// saveAll writes the whole tree above leaves.
func (t *treeFile) saveAll(leaves []Root) error {
	_, err := eachLayer(leaves, func(layer int, nodes []Root) error {
		for at := 0; at < len(nodes); at += MaxHashes {
			if err := t.saveNodes(nodes[at:min(at+MaxHashes, len(nodes))], layer, at); err != nil {
				return err
			}
		}
		return nil
	})
	return err
}

// createIn opens a private file for writing, and makes its directory when it is
// missing.
func createIn(path string, flag int) (*os.File, error) {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|flag, 0o600)
	if errors.Is(err, fs.ErrNotExist) {
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			return nil, err
		}
		file, err = os.OpenFile(path, os.O_RDWR|os.O_CREATE|flag, 0o600)
	}
	return file, err
}
