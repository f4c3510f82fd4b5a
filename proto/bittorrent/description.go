package bittorrent

import (
	"crypto/sha1"
	"crypto/sha256"
	"fmt"
	"math/bits"
	"path"
	"slices"
	"sort"
	"strconv"
)

// BlockSize is how many bytes of a file a leaf of its hash tree covers (BEP 52).
const BlockSize = 16 << 10

// Limits of descriptions.
const (
	MaxDescription = 16 << 20 // bytes
	MaxFiles       = 1 << 17
	MaxSize        = 1 << 44   // bytes of all files: a block's number fits into 30 bits
	MinPieceLength = BlockSize // bytes
	MaxPieceLength = 1 << 30
)

// A File is a file of content.
type File struct {
	Path []string // folders in the content's folder and the file's name; empty where the content is one file
	Size int64    // bytes
	Root [32]byte // BEP 52's pieces root; zero for an empty file
}

// A Description is an info dictionary: names, sizes and hashes of the files of
// content, whose own hash is the content's ID. [Describe] and
// [ParseDescription] make one; it is not changed afterwards.
//
// Blocks are numbered through all files, each of which begins with a new one.
// Pieces, the unit in which BitTorrent clients tell each other what they have, are
// numbered likewise: each is one or more neighbouring blocks of one file.
type Description struct {
	Name        string // of the file or folder
	PieceLength int64  // bytes; a power of two
	Files       []File // sorted by path, name by name
	Single      bool   // the content is a file, not a folder
	Hybrid      bool   // clients of version 1 (BEP 3) can take it, too
	Pieces      []byte // SHA-1 of each piece, where Hybrid
	Raw         []byte // the info dictionary, bencoded

	id          [sha256.Size]byte
	idV1        [sha1.Size]byte
	idMistaken  [sha1.Size]byte
	size        int64
	sizeV1      int64 // with pad files (BEP 47)
	firstBlocks []int // of each file, and after the last
	firstPieces []int
}

// Describe makes the description of content that both versions of BitTorrent can
// take (hybrid). Files are sorted by path, as slices.Compare of their paths has
// it; those of a folder are padded with zeros to whole pieces for version 1 (BEP
// 47), the last one too. It is private (BEP 27): clients do not tell the DHT and strangers of
// it. Pieces are the SHA-1s of the pieces, one after
// another. An error wraps [ErrInvalid] and says which name or size cannot be.
func Describe(name string, files []File, single bool, pieceLength int64, pieces []byte) (*Description, error) {
	d := &Description{Name: name, PieceLength: pieceLength, Files: files, Single: single, Hybrid: true, Pieces: pieces}
	if err := d.checkFiles(); err != nil {
		return nil, err
	}
	if err := d.number(); err != nil {
		return nil, err
	}
	d.sizeV1 = d.size
	if !single {
		d.sizeV1 = int64(d.PieceCount()) * pieceLength
	}
	if want := d.PieceCount() * sha1.Size; len(pieces) != want {
		return nil, fmt.Errorf("hashes of pieces in %d bytes, %d expected: %w", len(pieces), want, ErrInvalid)
	}
	d.Raw = d.encode()
	if len(d.Raw) > MaxDescription {
		return nil, fmt.Errorf("description of %d bytes, at most %d: %w", len(d.Raw), MaxDescription, ErrInvalid)
	}
	d.identify()
	return d, nil
}

// checkFiles finds what is wrong with files that did not come from a file tree,
// which has an order and no file where a folder is by its nature.
func (d *Description) checkFiles() error {
	if err := CheckName(d.Name); err != nil {
		return err
	}
	if d.Single && (len(d.Files) != 1 || len(d.Files[0].Path) != 0) {
		return fmt.Errorf("one file is described as %d: %w", len(d.Files), ErrInvalid)
	}
	if len(d.Files) == 0 {
		return fmt.Errorf("no files: %w", ErrInvalid)
	}
	var before []string
	var open []folder // those that the path leads through
	for i, f := range d.Files {
		if err := d.checkFile(f.Path, f.Size, f.Root); err != nil {
			return at(path.Join(f.Path...), err)
		}
		shared := sharedFolders(before, f.Path)
		if i > 0 {
			switch {
			case slices.Compare(before, f.Path) >= 0:
				return fmt.Errorf("files are not sorted at %.80q: %w", path.Join(f.Path...), ErrInvalid)
			case shared == len(before):
				return fmt.Errorf("%.80q is a file and a folder: %w", path.Join(before...), ErrInvalid)
			}
		}
		open = open[:min(len(open), shared+1)]
		for depth := shared; depth < len(f.Path); depth++ {
			if depth >= len(open) {
				open = append(open, make(folder))
			}
			if err := open[depth].add(f.Path[depth]); err != nil {
				return err
			}
		}
		before = f.Path
	}
	return nil
}

// sharedFolders is how many names two paths begin with in common.
func sharedFolders(a, b []string) int {
	n := 0
	for n < len(a) && n < len(b) && a[n] == b[n] {
		n++
	}
	return n
}

func (d *Description) checkFile(path []string, size int64, root [32]byte) error {
	if len(path) == 0 && !d.Single {
		return fmt.Errorf("a file has no name: %w", ErrInvalid)
	}
	if len(path) > maxFolders {
		return fmt.Errorf("folders nested deeper than %d: %w", maxFolders, ErrInvalid)
	}
	length := 0
	for _, name := range path {
		if err := CheckName(name); err != nil {
			return err
		}
		length += len(name) + 1
	}
	if length > maxPath {
		return fmt.Errorf("path of %d bytes, at most %d: %w", length, maxPath, ErrInvalid)
	}
	if size < 0 || size > MaxSize {
		return fmt.Errorf("size of %d bytes, at most %d: %w", size, int64(MaxSize), ErrInvalid)
	}
	if (size == 0) != (root == [32]byte{}) {
		return fmt.Errorf("%d bytes with root %x: %w", size, root[:4], ErrInvalid)
	}
	return nil
}

// number counts blocks and pieces, and checks sizes.
func (d *Description) number() error {
	if d.PieceLength < MinPieceLength || d.PieceLength > MaxPieceLength || bits.OnesCount64(uint64(d.PieceLength)) != 1 {
		return fmt.Errorf("piece length %d is not a power of two from %d to %d: %w", d.PieceLength, MinPieceLength, MaxPieceLength, ErrInvalid)
	}
	if len(d.Files) > MaxFiles {
		return fmt.Errorf("%d files, at most %d: %w", len(d.Files), MaxFiles, ErrInvalid)
	}
	sizes := make(map[[32]byte]int64, len(d.Files))
	d.firstBlocks = make([]int, 1, len(d.Files)+1)
	d.firstPieces = make([]int, 1, len(d.Files)+1)
	for i, f := range d.Files {
		if d.size += f.Size; d.size > MaxSize {
			return fmt.Errorf("files of more than %d bytes: %w", int64(MaxSize), ErrInvalid)
		}
		// A tree does not tell how high it is: 64 bytes may be a file, or two hashes.
		if other, ok := sizes[f.Root]; ok && other != f.Size {
			return fmt.Errorf("files of %d and of %d bytes have one root, %x: %w", other, f.Size, f.Root[:4], ErrInvalid)
		}
		sizes[f.Root] = f.Size
		d.firstBlocks = append(d.firstBlocks, d.firstBlocks[i]+parts(f.Size, BlockSize))
		d.firstPieces = append(d.firstPieces, d.firstPieces[i]+parts(f.Size, d.PieceLength))
	}
	return nil
}

// parts is how many parts of a length make up size.
func parts(size, length int64) int { return int((size + length - 1) / length) }

// encode returns the hybrid info dictionary.
func (d *Description) encode() []byte {
	b := append([]byte(nil), 'd')
	b = appendText(b, "file tree")
	if d.Single {
		b = append(appendText(append(b, 'd'), d.Name), 'd')
		b = append(appendFile(b, d.Files[0]), 'e', 'e')
		b = appendIntegerEntry(b, "length", d.size)
	} else {
		b = appendTree(b, d.Files, 0)
		b = append(appendText(b, "files"), 'l')
		for _, f := range d.Files {
			b = append(appendIntegerEntry(append(b, 'd'), "length", f.Size), "4:pathl"...)
			for _, name := range f.Path {
				b = appendText(b, name)
			}
			b = append(b, 'e', 'e')
			if pad := pad(f.Size, d.PieceLength); pad > 0 {
				b = append(b, "d4:attr1:p"...) // BEP 47
				b = append(appendIntegerEntry(b, "length", pad), "4:pathl4:.pad"...)
				b = append(appendText(b, strconv.FormatInt(pad, 10)), 'e', 'e')
			}
		}
		b = append(b, 'e')
	}
	b = appendIntegerEntry(b, "meta version", 2)
	b = appendTextEntry(b, "name", d.Name)
	b = appendIntegerEntry(b, "piece length", d.PieceLength)
	b = appendTextEntry(b, "pieces", d.Pieces)
	return append(appendIntegerEntry(b, "private", 1), 'e') // BEP 27
}

// pad is what a file lacks to whole pieces.
func pad(size, pieceLength int64) int64 { return -size & (pieceLength - 1) }

// appendTree appends the file tree (BEP 52) of files, the first depth names of
// whose paths are the same.
func appendTree(b []byte, files []File, depth int) []byte {
	b = append(b, 'd')
	for len(files) > 0 {
		name := files[0].Path[depth]
		n := 1
		for n < len(files) && files[n].Path[depth] == name {
			n++
		}
		b = appendText(b, name)
		if len(files[0].Path) == depth+1 {
			b = append(appendFile(append(b, 'd'), files[0]), 'e')
		} else {
			b = appendTree(b, files[:n], depth+1)
		}
		files = files[n:]
	}
	return append(b, 'e')
}

// appendFile appends what a file tree says about a file.
func appendFile(b []byte, f File) []byte {
	b = appendIntegerEntry(append(b, "0:d"...), "length", f.Size)
	if f.Size > 0 {
		b = appendTextEntry(b, "pieces root", f.Root[:])
	}
	return append(b, 'e')
}

// ID is the SHA-256 of Raw, which is the content's ID and, cut to 20 bytes,
// what clients of version 2 call it.
func (d *Description) ID() [32]byte { return d.id }

// IDv1 is the SHA-1 of Raw: what clients of version 1 call it; zero unless Hybrid.
func (d *Description) IDv1() [20]byte {
	if !d.Hybrid {
		return [20]byte{}
	}
	return d.idV1
}

// InfoHashes is what clients call the content in a handshake and to a tracker:
// the ID cut to 20 bytes and, where Hybrid, IDv1, and what IDv1 is mistaken for
// by clients that lose empty keys before they hash (aria2 up to 1.36,
// Transmission up to 3).
func (d *Description) InfoHashes() [][20]byte {
	hashes := [][20]byte{[20]byte(d.id[:])}
	if d.Hybrid {
		hashes = append(hashes, d.idV1, d.idMistaken)
	}
	return hashes
}

// identify computes the IDs. Raw is valid bencoding.
func (d *Description) identify() {
	d.id, d.idV1 = sha256.Sum256(d.Raw), sha1.Sum(d.Raw)
	if d.Hybrid {
		lossy, _ := appendWithoutEmptyKeys(nil, &decoder{rest: d.Raw})
		d.idMistaken = sha1.Sum(lossy)
	}
}

// Size is how many bytes all files have.
func (d *Description) Size() int64 { return d.size }

// Blocks is how many blocks all files have.
func (d *Description) Blocks() int { return d.firstBlocks[len(d.Files)] }

// First is the number of the first block of a file. Of an empty one it is the
// first of the next.
func (d *Description) First(file int) int { return d.firstBlocks[file] }

// Locate returns where a block is: its file, its number there, and its length
// in bytes. The block is one of Blocks().
func (d *Description) Locate(block int) (file, blockInFile, length int) {
	file = holder(d.firstBlocks, block)
	blockInFile = block - d.firstBlocks[file]
	return file, blockInFile, int(min(BlockSize, d.Files[file].Size-int64(blockInFile)*BlockSize))
}

// holder finds the file in which number n is, firsts being those of the files.
func holder(firsts []int, n int) int {
	return sort.Search(len(firsts), func(i int) bool { return firsts[i] > n }) - 1
}

// A Span is a piece, the unit in which BitTorrent clients tell what they have: neighbouring
// blocks of one file and, for version 1, the zeros of a pad file after them.
type Span struct {
	File   int   // of the description's Files
	Offset int64 // in that file, bytes
	Size   int64 // bytes of the file
	Padded int64 // bytes with the pad file's; Size where there is none
	First  int   // block of the content
	Blocks int
}

// PieceCount is how many pieces there are.
func (d *Description) PieceCount() int { return d.firstPieces[len(d.Files)] }

// Piece returns a piece, which is one of PieceCount().
func (d *Description) Piece(n int) Span {
	p := Span{File: holder(d.firstPieces, n)}
	p.Offset = int64(n-d.firstPieces[p.File]) * d.PieceLength
	p.Size = min(d.PieceLength, d.Files[p.File].Size-p.Offset)
	p.Padded = p.Size
	if d.Hybrid {
		p.Padded = min(d.PieceLength, d.sizeV1-int64(n)*d.PieceLength)
	}
	p.First = d.firstBlocks[p.File] + int(p.Offset/BlockSize)
	p.Blocks = parts(p.Size, BlockSize)
	return p
}

// PieceOf returns the piece that a block is in and where it begins there, in bytes.
func (d *Description) PieceOf(block int) (piece int, begin int64) {
	file, at, _ := d.Locate(block)
	offset := int64(at) * BlockSize
	return d.firstPieces[file] + int(offset/d.PieceLength), offset % d.PieceLength
}
