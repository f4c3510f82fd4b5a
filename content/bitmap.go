package content

import "math/bits"

// A Bitmap has a bit for each block, or piece, the first in the highest bit of the
// first byte, as in BEP 3. Numbers beyond it panic.
type Bitmap []byte

func bitmapLength(blocks int) int { return (blocks + 7) / 8 }

// NewBitmap makes the bitmap of so many blocks, all clear.
func NewBitmap(blocks int) Bitmap { return make(Bitmap, bitmapLength(blocks)) }

// Has reports whether a bit is set.
func (b Bitmap) Has(i int) bool { return b[i>>3]&(0x80>>(i&7)) != 0 }

// Set sets a bit.
func (b Bitmap) Set(i int) { b[i>>3] |= 0x80 >> (i & 7) }

// Clear clears a bit.
func (b Bitmap) Clear(i int) { b[i>>3] &^= 0x80 >> (i & 7) }

// fill sets the bits of so many blocks.
func (b Bitmap) fill(blocks int) {
	for i := range b {
		b[i] = 0xff
	}
	b.trim(blocks)
}

// trim clears the spare bits at the end.
func (b Bitmap) trim(blocks int) {
	if spare := len(b)*8 - blocks; spare > 0 {
		b[len(b)-1] &= 0xff << spare
	}
}

// Count returns how many bits are set.
func (b Bitmap) Count() (n int) {
	for _, eight := range b {
		n += bits.OnesCount8(eight)
	}
	return n
}

// without returns how many bits are set that are not set in other.
func (b Bitmap) without(other Bitmap) (n int) {
	for i, eight := range b {
		n += bits.OnesCount8(eight &^ other[i])
	}
	return n
}
