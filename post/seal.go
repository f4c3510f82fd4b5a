package post

import (
	"bytes"
	"crypto/ecdh"
	"crypto/hpke"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"io"
	"math/bits"

	"kith.alt/kith"
)

// A sealed letter is an encapsulated key (RFC 9180 4) and chunks, each sealed in its turn by
// the context of that key (RFC 9180 5.2), the last with other associated data, so that
// none can be left out. In them are the sender's signed contents, the note, the payload, and
// zeros up to a size that tells little (Padmé; Nikitin et al., PURBs, 2019).
const (
	encapsulated = 32
	chunk        = 64 << 10 // of plaintext; the last may be shorter
	overhead     = 16       // bytes that sealing adds to a chunk
	maxSealed    = kith.MaxLetter + kith.MaxLetter/8 + 1<<20
)

var (
	suiteKEM  = hpke.DHKEM(ecdh.X25519())
	suiteKDF  = hpke.HKDFSHA256()
	suiteAEAD = hpke.AES256GCM()
)

var (
	notLast = []byte{0}
	last    = []byte{1}
)

// sealInfo binds a sealed letter to its header.
func sealInfo(h *headerBody) []byte {
	info := append([]byte("kith sealed letter 1\x00"), h.Group...)
	info = append(append(info, h.From[:]...), h.To[:]...)
	return append(info, h.Letter[:]...)
}

// padded is the size to which n bytes are padded: at most an eighth more.
func padded(n int64) int64 {
	if n < 256 {
		return 256
	}
	e := bits.Len64(uint64(n)) - 1 // floor(log2 n)
	s := bits.Len64(uint64(e))     // floor(log2 e) + 1
	mask := int64(1)<<(e-s) - 1
	return (n + mask) &^ mask
}

// seal returns a reader of the letter, sealed for public.
func seal(public []byte, h *headerBody, inside signed, payload io.Reader, size int64) (io.Reader, error) {
	to, err := suiteKEM.NewPublicKey(public)
	if err != nil {
		return nil, fmt.Errorf("key of %s: %w: %w", h.To.Short(), err, kith.Invalid)
	}
	enc, sender, err := hpke.NewSender(to, suiteKDF, suiteAEAD, sealInfo(h))
	if err != nil {
		return nil, fmt.Errorf("seal: %w", err)
	}
	head := inside.append(nil)
	n := int64(len(head)) + size
	plain := io.MultiReader(bytes.NewReader(head), &exactly{r: payload, left: size}, io.LimitReader(zeros{}, padded(n)-n))
	return io.MultiReader(bytes.NewReader(enc), &chunks{r: plain, left: padded(n), in: chunk, each: sender.Seal}), nil
}

// open returns a reader of what is in a sealed letter of the given size.
func open(private hpke.PrivateKey, h *headerBody, sealed io.Reader) (io.Reader, error) {
	enc := make([]byte, encapsulated)
	if _, err := io.ReadFull(sealed, enc); err != nil {
		return nil, fmt.Errorf("sealed letter: %w: %w", err, kith.Invalid)
	}
	recipient, err := hpke.NewRecipient(enc, private, suiteKDF, suiteAEAD, sealInfo(h))
	if err != nil {
		return nil, fmt.Errorf("sealed letter: %w: %w", err, kith.Invalid)
	}
	return &chunks{r: sealed, left: h.Size - encapsulated, in: chunk + overhead, each: func(aad, ciphertext []byte) ([]byte, error) {
		plain, err := recipient.Open(aad, ciphertext)
		if err != nil {
			return nil, fmt.Errorf("sealed letter: %w: %w", err, kith.Invalid)
		}
		return plain, nil
	}}, nil
}

// chunks reads r, of which it knows the size, and gives what each makes of its chunks.
type chunks struct {
	r    io.Reader
	left int64
	in   int // bytes of a chunk that is not the last
	each func(aad, chunk []byte) ([]byte, error)
	buf  []byte
	out  []byte
}

func (c *chunks) Read(p []byte) (int, error) {
	if len(c.out) == 0 {
		if c.left <= 0 {
			return 0, io.EOF
		}
		n, aad := int64(c.in), notLast
		if c.left <= n {
			n, aad = c.left, last
		}
		if c.buf == nil {
			c.buf = make([]byte, n)
		}
		if _, err := io.ReadFull(c.r, c.buf[:n]); err != nil {
			return 0, fmt.Errorf("letter ends early: %w", err)
		}
		c.left -= n
		var err error
		if c.out, err = c.each(aad, c.buf[:n]); err != nil {
			return 0, err
		}
	}
	n := copy(p, c.out)
	c.out = c.out[n:]
	return n, nil
}

// exactly reads left bytes, and fails where there are fewer.
type exactly struct {
	r    io.Reader
	left int64
}

func (e *exactly) Read(p []byte) (int, error) {
	if e.left == 0 {
		return 0, io.EOF
	}
	n, err := e.r.Read(p[:min(int64(len(p)), e.left)])
	if e.left -= int64(n); err == io.EOF && e.left > 0 {
		err = io.ErrUnexpectedEOF
	} else if err == io.EOF {
		err = nil
	}
	return n, err
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// readInside reads the signed contents at the beginning of an opened letter.
func readInside(r io.Reader) (signed, error) {
	var size [2]byte
	if _, err := io.ReadFull(r, size[:]); err != nil {
		return signed{}, err
	}
	n := int(binary.BigEndian.Uint16(size[:]))
	if n > maxSigned {
		return signed{}, fmt.Errorf("letter with %d bytes before its payload: %w", n, kith.Invalid)
	}
	buf := make([]byte, n+64)
	if _, err := io.ReadFull(r, buf); err != nil {
		return signed{}, err
	}
	return signed{buf[:n], buf[n:]}, nil
}

// newSealKey makes a key pair that letters are sealed to.
func newSealKey() (private, public []byte, err error) {
	k, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	return k.Bytes(), k.PublicKey().Bytes(), nil
}
