package content

import (
	"encoding/hex"
	"fmt"

	"kith.alt/kith"
)

// BlockSize is the number of bytes of a block, but for the last of a file.
const BlockSize = 16 << 10

// MaxSize is how many bytes a file may have: 4 TiB, in at most 2^28 blocks. Its
// bitmaps then take 128 MiB while it is in use.
const MaxSize = 1 << 42

// A Root names a file by its bytes: the root of its Merkle tree, "pieces root" in
// BEP 52. For a file of one block it is the SHA-256 of its bytes, for an empty one
// zero. The other hashes of a tree have the same type.
type Root [32]byte

// String returns 64 hexadecimal digits.
func (r Root) String() string { return hex.EncodeToString(r[:]) }

// IsZero reports whether the root is that of the empty file.
func (r Root) IsZero() bool { return r == Root{} }

// Blocks returns how many blocks a file of size bytes has, for sizes from 0 to
// MaxSize.
func Blocks(size int64) int { return int((size + BlockSize - 1) / BlockSize) }

// blockLength returns the bytes of a block of a file of size bytes.
func blockLength(size int64, block int) int {
	return int(min(BlockSize, size-int64(block)*BlockSize))
}

// checkSize refuses a root with a size that no file of that root can have.
func checkSize(root Root, size int64) error {
	switch {
	case size < 0 || size > MaxSize:
		return fmt.Errorf("a file of %d bytes: %w", size, kith.Invalid)
	case root.IsZero() != (size == 0):
		return fmt.Errorf("a file of %d bytes has the root %s: %w", size, root, kith.Invalid)
	}
	return nil
}
