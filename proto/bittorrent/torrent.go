package bittorrent

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"maps"
	"slices"
)

// maxTorrent is how large a .torrent file may be. Layers have 32 bytes for
// each piece.
const maxTorrent = 4 * MaxDescription

// maxAnnounce is how many trackers of a .torrent file or magnet link are read.
const maxAnnounce = 64

// A Torrent is a .torrent file: a description, and the hashes with which clients
// of version 2 check pieces.
type Torrent struct {
	Description *Description
	Layers      map[[32]byte][]byte // by pieces root: hashes of the pieces, one after another, of files of more than one piece
	Trackers    []string            // URLs
}

// EncodeTorrent returns a .torrent file. Layers are as in [Torrent]; those that
// are not of the description are left out, and it fails where one is missing.
// Trackers are URLs, which clients try in this order: several are a list with one
// in each tier (BEP 12).
func EncodeTorrent(d *Description, layers map[[32]byte][]byte, trackers ...string) ([]byte, error) {
	b := []byte{'d'}
	if len(trackers) > 0 {
		b = appendTextEntry(b, "announce", trackers[0])
	}
	if len(trackers) > 1 {
		b = append(appendText(b, "announce-list"), 'l')
		for _, url := range trackers {
			b = append(appendText(append(b, 'l'), url), 'e')
		}
		b = append(b, 'e')
	}
	b = append(appendText(b, "info"), d.Raw...)
	b = append(appendText(b, "piece layers"), 'd')
	roots := d.layered()
	for _, root := range slices.SortedFunc(maps.Keys(roots), func(a, b [32]byte) int { return bytes.Compare(a[:], b[:]) }) {
		if err := checkLayer(root, layers[root], roots[root], d.PieceLength); err != nil {
			return nil, err
		}
		b = appendText(appendText(b, root[:]), layers[root])
	}
	return append(b, 'e', 'e'), nil
}

// ParseTorrent reads a .torrent file of version 2, hybrid or not, as strictly as
// [ParseDescription]. Layers are checked against the files' roots; all of them
// are there.
func ParseTorrent(text []byte) (*Torrent, error) {
	if len(text) > maxTorrent {
		return nil, fmt.Errorf("torrent of %d bytes, at most %d: %w", len(text), maxTorrent, ErrInvalid)
	}
	var announce, trackers, info, layers []byte
	if err := decode(text, func(r *decoder) error {
		return r.dictionary(func(key []byte) error {
			value, err := r.raw()
			switch string(key) {
			case "announce":
				announce = value
			case "announce-list":
				trackers = value
			case "info":
				info = value
			case "piece layers":
				layers = value
			}
			return at(key, err)
		})
	}); err != nil {
		return nil, err
	}
	if info == nil {
		return nil, fmt.Errorf("info is missing: %w", ErrInvalid)
	}
	d, err := ParseDescription(info)
	if err != nil {
		return nil, fmt.Errorf("info: %w", err)
	}
	t := &Torrent{Description: d}
	if err := t.parseLayers(layers); err != nil {
		return nil, at("piece layers", err)
	}
	if err := t.parseTrackers(announce, trackers); err != nil {
		return nil, err
	}
	return t, nil
}

// parseTrackers reads the lists of lists of BEP 12, or the only one of BEP 3.
func (t *Torrent) parseTrackers(announce, list []byte) error {
	add := func(r *decoder) error {
		url, err := r.text()
		if err == nil && len(t.Trackers) < maxAnnounce && !slices.Contains(t.Trackers, string(url)) {
			t.Trackers = append(t.Trackers, string(url))
		}
		return err
	}
	if announce != nil {
		if err := decode(announce, add); err != nil {
			return at("announce", err)
		}
	}
	if list == nil {
		return nil
	}
	return at("announce-list", decode(list, func(r *decoder) error {
		return r.list(func() error {
			return r.list(func() error { return add(r) })
		})
	}))
}

func (t *Torrent) parseLayers(layers []byte) error {
	roots := t.Description.layered()
	t.Layers = make(map[[32]byte][]byte, len(roots))
	if layers == nil && len(roots) == 0 {
		return nil
	}
	if err := field(layers, "dictionary", func(r *decoder) error {
		return r.dictionary(func(key []byte) error {
			layer, err := r.text()
			if err != nil {
				return err
			}
			if len(key) != sha256.Size || roots[[32]byte(key)] == 0 {
				return fmt.Errorf("hashes of no file, %x: %w", key[:min(len(key), 4)], ErrInvalid)
			}
			t.Layers[[32]byte(key)] = slices.Clone(layer)
			return nil
		})
	}); err != nil {
		return err
	}
	for root, pieces := range roots {
		if err := checkLayer(root, t.Layers[root], pieces, t.Description.PieceLength); err != nil {
			return err
		}
	}
	return nil
}

// layered are the roots of the files that have more than one piece, with how
// many.
func (d *Description) layered() map[[32]byte]int {
	roots := make(map[[32]byte]int)
	for _, f := range d.Files {
		if f.Size > d.PieceLength {
			roots[f.Root] = parts(f.Size, d.PieceLength)
		}
	}
	return roots
}

// checkLayer compares the hashes of a file's pieces with its root (BEP 52): what
// a whole tree has beyond them is hashed from blocks of zero hashes.
func checkLayer(root [32]byte, layer []byte, pieces int, pieceLength int64) error {
	if len(layer) != pieces*sha256.Size {
		return fmt.Errorf("hashes of %d pieces of %x in %d bytes: %w", pieces, root[:4], len(layer), ErrInvalid)
	}
	var beyond [32]byte
	for length := int64(BlockSize); length < pieceLength; length *= 2 {
		beyond = parent(beyond[:], beyond[:])
	}
	hashes := slices.Clone(layer)
	for len(hashes) > sha256.Size {
		if len(hashes)%(2*sha256.Size) != 0 {
			hashes = append(hashes, beyond[:]...)
		}
		above := hashes[:0]
		for i := 0; i < len(hashes); i += 2 * sha256.Size {
			h := parent(hashes[i:i+sha256.Size], hashes[i+sha256.Size:i+2*sha256.Size])
			above = append(above, h[:]...)
		}
		hashes, beyond = above, parent(beyond[:], beyond[:])
	}
	if [32]byte(hashes) != root {
		return fmt.Errorf("hashes of pieces do not belong to %x: %w", root[:4], ErrInvalid)
	}
	return nil
}

func parent(left, right []byte) [32]byte {
	var both [2 * sha256.Size]byte
	copy(both[copy(both[:], left):], right)
	return sha256.Sum256(both[:])
}
