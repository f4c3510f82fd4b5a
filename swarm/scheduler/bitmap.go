package scheduler

import (
	"math/bits"
)

// A bitmap is a set of blocks.
type bitmap []uint64

func newBitmap(blocks int) bitmap { return make(bitmap, (blocks+63)/64) }

func (b bitmap) has(block int) bool { return b[block>>6]>>(block&63)&1 != 0 }
func (b bitmap) set(block int)      { b[block>>6] |= 1 << (block & 63) }
func (b bitmap) clear(block int)    { b[block>>6] &^= 1 << (block & 63) }

// fromWire reads a bitmap as it travels, with the first block in the highest bit
// (BEP 3). What is beyond the last block is ignored; what is missing is zero.
func fromWire(wire []byte, blocks int) bitmap {
	b := newBitmap(blocks)
	for i, octet := range wire[:min(len(wire), (blocks+7)/8)] {
		b[i>>3] |= uint64(bits.Reverse8(octet)) << (i & 7 * 8)
	}
	if rest := blocks & 63; rest != 0 {
		b[len(b)-1] &= 1<<rest - 1
	}
	return b
}

func (b bitmap) count() int {
	n := 0
	for _, word := range b {
		n += bits.OnesCount64(word)
	}
	return n
}

// each calls f for the blocks of the set.
func (b bitmap) each(f func(block int)) {
	for i, word := range b {
		for ; word != 0; word &= word - 1 {
			f(i<<6 + bits.TrailingZeros64(word))
		}
	}
}
