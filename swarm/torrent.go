package swarm

import (
	"context"
	"fmt"
	"math/bits"

	"kith.alt/kith"
	"kith.alt/kith/content"
	"kith.alt/kith/proto/bittorrent"
)

// Torrent returns content as a .torrent file and a magnet link.
func (s *Swarm) Torrent(ctx context.Context, id kith.ContentID) ([]byte, string, error) {
	d, err := s.described(id)
	if err != nil {
		return nil, "", err
	}
	layers := make(map[[32]byte][]byte)
	for _, f := range d.Files {
		if f.Size <= d.PieceLength {
			continue
		}
		layer, err := s.pieceLayer(ctx, f, d.PieceLength)
		if err != nil {
			return nil, "", fmt.Errorf("hashes of %s are not all here yet: %w", d.Name, err)
		}
		layers[f.Root] = layer
	}
	magnet := bittorrent.Magnet{ID: d.ID(), IDv1: d.IDv1(), Name: d.Name}
	magnet.Trackers, magnet.Peers = s.clientAddresses(id)
	file, err := bittorrent.EncodeTorrent(d, layers, magnet.Trackers...)
	if err != nil {
		return nil, "", fmt.Errorf("torrent of %s: %w", d.Name, err)
	}
	return file, magnet.String(), nil
}

// pieceLayer returns the hashes of the pieces of a file (BEP 52: piece layers).
func (s *Swarm) pieceLayer(ctx context.Context, f bittorrent.File, pieceLength int64) ([]byte, error) {
	file, err := s.store.File(ctx, f.Root, f.Size)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	base := bits.Len64(uint64(pieceLength/content.BlockSize)) - 1
	pieces := int((f.Size + pieceLength - 1) / pieceLength)
	width := 1 << bits.Len(uint(pieces-1))
	var layer []byte
	for index := 0; index < pieces; index += content.MaxHashes {
		length := min(content.MaxHashes, width)
		hashes, err := file.Hashes(base, index, length, 0)
		if err != nil {
			return nil, err
		}
		layer = append(layer, hashBytes(hashes[:min(length, pieces-index)])...)
	}
	return layer, nil
}
