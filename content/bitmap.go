package content

import "math/bits"

// A bitmap has a bit for each block, the first in the highest bit of the first
// byte, as in BEP 3.
type bitmap []byte

func bitmapLength(blocks int) int { return (blocks + 7) / 8 }

func newBitmap(blocks int) bitmap { return make(bitmap, bitmapLength(blocks)) }

func (b bitmap) has(i int) bool { return b[i>>3]&(0x80>>(i&7)) != 0 }
func (b bitmap) set(i int)      { b[i>>3] |= 0x80 >> (i & 7) }
func (b bitmap) clear(i int)    { b[i>>3] &^= 0x80 >> (i & 7) }

// fill sets the bits of so many blocks.
func (b bitmap) fill(blocks int) {
	for i := range b {
		b[i] = 0xff
	}
	b.trim(blocks)
}

// trim clears the spare bits at the end.
func (b bitmap) trim(blocks int) {
	if spare := len(b)*8 - blocks; spare > 0 {
		b[len(b)-1] &= 0xff << spare
	}
}

func (b bitmap) count() (n int) {
	for _, eight := range b {
		n += bits.OnesCount8(eight)
	}
	return n
}

// without returns how many bits are set that are not set in other.
func (b bitmap) without(other bitmap) (n int) {
	for i, eight := range b {
		n += bits.OnesCount8(eight &^ other[i])
	}
	return n
}
