package rendezvous

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdh"
	"crypto/ed25519"
	"crypto/hkdf"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"fmt"
	"math/big"
	"slices"
	"strconv"
	"time"

	"kith.alt/kith"
)

const (
	epochLength = 24 * time.Hour
	minMaterial = 16 // bytes: less can be guessed
)

// DeriveSecret makes the secret for Meet out of bytes that both hosts know and
// nobody else does, such as the secret of a ticket. The label says what they
// are, so that one secret serves two purposes without linking them. Fewer than
// 16 bytes are an error of kind Invalid. It is HKDF with SHA-256 (RFC 5869).
func DeriveSecret(material []byte, label string) (secret [32]byte, err error) {
	if len(material) < minMaterial {
		return secret, fmt.Errorf("a rendezvous needs a secret of %d bytes, not %d: %w", minMaterial, len(material), kith.Invalid)
	}
	return derive(material, "secret "+label)
}

// PairSecret makes the secret for Meet that only the hosts own and peer can
// know, without a word between them: X25519 (RFC 7748) with the Montgomery forms
// of their Ed25519 keys, and then HKDF over both IDs. To use one key for
// signatures and for this is sound, as the two never see a common input: the
// scalar is the one that Ed25519 signs with, the label is not one that anything
// signs (libsodium and age do the same). It fails with kind Invalid when peer is
// no public key, or is our own.
func PairSecret(own ed25519.PrivateKey, peer kith.ID) (secret [32]byte, err error) {
	if len(own) != ed25519.PrivateKeySize {
		return secret, fmt.Errorf("secret with a peer: the key has %d bytes: %w", len(own), kith.Invalid)
	}
	self := kith.IDOf(own.Public().(ed25519.PublicKey))
	if self == peer {
		return secret, fmt.Errorf("secret with a peer: the peer is this host: %w", kith.Invalid)
	}
	scalar := sha512.Sum512(own.Seed()) // RFC 8032 5.1.5; X25519 clamps as Ed25519 does
	private, err := ecdh.X25519().NewPrivateKey(scalar[:32])
	if err != nil {
		return secret, fmt.Errorf("secret with a peer: %w", err)
	}
	u, err := montgomery(peer)
	if err != nil {
		return secret, fmt.Errorf("secret with %s: %w", peer.Short(), err)
	}
	public, err := ecdh.X25519().NewPublicKey(u[:])
	if err != nil {
		return secret, fmt.Errorf("secret with %s: %w", peer.Short(), err)
	}
	shared, err := private.ECDH(public) // refuses points of small order
	if err != nil {
		return secret, fmt.Errorf("secret with %s: %w: %w", peer.Short(), err, kith.Invalid)
	}
	first, second := self, peer
	if bytes.Compare(first[:], second[:]) > 0 {
		first, second = second, first
	}
	return derive(shared, "pair "+string(first[:])+string(second[:]))
}

// montgomery maps an Ed25519 public key to the u-coordinate of the same point
// on Curve25519, (1+y)/(1-y) modulo 2^255-19 (RFC 7748 4.1). Nothing here is
// secret, so that math/big will do.
func montgomery(id kith.ID) (u [32]byte, err error) {
	p := new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(1), 255), big.NewInt(19))
	encoded := slices.Clone(id[:])
	encoded[31] &= 0x7f // the sign of x
	slices.Reverse(encoded)
	y := new(big.Int).SetBytes(encoded)
	if y.Cmp(p) >= 0 {
		return u, fmt.Errorf("this is no Ed25519 key: %w", kith.Invalid)
	}
	one := big.NewInt(1)
	below := new(big.Int).Sub(one, y)
	inverse := below.ModInverse(below.Mod(below, p), p)
	if inverse == nil {
		return u, fmt.Errorf("this Ed25519 key is the neutral point: %w", kith.Invalid)
	}
	quotient := inverse.Mul(inverse, new(big.Int).Add(one, y))
	quotient.Mod(quotient, p).FillBytes(u[:])
	slices.Reverse(u[:])
	return u, nil
}

// A place is where the hosts that share a secret meet for one epoch: a key of
// BEP 44 that they all can sign with, and the key that seals what they write.
type place struct {
	epoch  int64
	key    ed25519.PrivateKey
	public [ed25519.PublicKeySize]byte
	target [sha1.Size]byte // BEP 44: SHA-1 of the public key, no salt
	seal   cipher.AEAD     // AES-256-GCM with a random nonce in front
	near   []node          // the nodes nearest to target, as the last lookup found them
}

func epochOf(t time.Time) int64 { return t.Unix() / int64(epochLength/time.Second) }

func newPlace(secret [32]byte, epoch int64) (*place, error) {
	day := strconv.FormatInt(epoch, 10)
	seed, err := derive(secret[:], "item "+day)
	if err != nil {
		return nil, err
	}
	key, err := derive(secret[:], "seal "+day)
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(key[:])
	if err != nil {
		return nil, err
	}
	seal, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return nil, err
	}
	p := &place{epoch: epoch, key: ed25519.NewKeyFromSeed(seed[:]), seal: seal}
	p.public = [ed25519.PublicKeySize]byte(p.key.Public().(ed25519.PublicKey))
	p.target = sha1.Sum(p.public[:])
	return p, nil
}

// derive is HKDF; every use has an info of its own.
func derive(secret []byte, info string) (key [32]byte, err error) {
	b, err := hkdf.Key(sha256.New, secret, nil, "kith rendezvous 1 "+info, len(key))
	if err != nil {
		return key, fmt.Errorf("derive a key: %w", err)
	}
	return [32]byte(b), nil
}
