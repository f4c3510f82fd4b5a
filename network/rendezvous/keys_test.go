package rendezvous

import (
	"crypto/ecdh"
	"crypto/ed25519"
	"crypto/sha512"
	"errors"
	"fmt"
	"testing"
	"time"

	"kith.alt/kith"
)

func TestPairSecret(t *testing.T) {
	keys := make([]ed25519.PrivateKey, 3)
	ids := make([]kith.ID, 3)
	for i := range keys {
		public, private, err := ed25519.GenerateKey(nil)
		if err != nil {
			t.Fatal(err)
		}
		keys[i], ids[i] = private, kith.IDOf(public)
	}
	secrets := map[[32]byte]int{}
	for i := range keys {
		for j := range ids {
			secret, err := PairSecret(keys[i], ids[j])
			if (err != nil) != (i == j) || err != nil && !errors.Is(err, kith.Invalid) {
				t.Fatal(err)
			}
			secrets[secret]++
		}
	}
	if len(secrets) != 4 { // three pairs, and no secret
		t.Errorf("%d secrets", len(secrets))
	}
	for _, n := range secrets {
		if n != 2 && n != 3 {
			t.Error("the two of a pair have different secrets")
		}
	}
}

// The Montgomery form of an Ed25519 public key is the X25519 public key of its scalar.
func TestMontgomery(t *testing.T) {
	for range 100 {
		public, private, err := ed25519.GenerateKey(nil)
		if err != nil {
			t.Fatal(err)
		}
		u, err := montgomery(kith.IDOf(public))
		if err != nil {
			t.Fatal(err)
		}
		scalar := sha512.Sum512(private.Seed())
		key, err := ecdh.X25519().NewPrivateKey(scalar[:32])
		if err != nil {
			t.Fatal(err)
		}
		if [32]byte(key.PublicKey().Bytes()) != u {
			t.Fatalf("%x is %x", public, u)
		}
	}
}

func TestPairSecretOfNoKey(t *testing.T) {
	_, own, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	ones := kith.ID{}
	for i := range ones {
		ones[i] = 0xff
	}
	for name, peer := range map[string]kith.ID{
		"small order":    {},
		"neutral":        {1},
		"over the prime": ones,
	} {
		if _, err := PairSecret(own, peer); !errors.Is(err, kith.Invalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := PairSecret(own[:10], kith.ID{9}); !errors.Is(err, kith.Invalid) {
		t.Error(err)
	}
}

func TestDeriveSecret(t *testing.T) {
	material := make([]byte, minMaterial)
	a, err := DeriveSecret(material, "invitation")
	if err != nil {
		t.Fatal(err)
	}
	b, err := DeriveSecret(material, "something else")
	if err != nil || a == b {
		t.Error("two labels, one secret", err)
	}
	if _, err := DeriveSecret(material[1:], "invitation"); !errors.Is(err, kith.Invalid) {
		t.Error(err)
	}
}

// A place is a contract between releases: these values do not change.
func TestPlace(t *testing.T) {
	p, err := newPlace([32]byte{1, 2, 3}, epochOf(time.Unix(1_800_000_000, 0)))
	if err != nil {
		t.Fatal(err)
	}
	if p.epoch != 20833 {
		t.Errorf("epoch %d", p.epoch)
	}
	if got, want := fmt.Sprintf("%x", p.target), "96f3475017b35ebc4cdb4fc3b791c518c9a62010"; got != want {
		t.Errorf("target %s, want %s", got, want)
	}
}
