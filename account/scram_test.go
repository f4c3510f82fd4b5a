package account

import (
	"bytes"
	"crypto/pbkdf2"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"testing"

	"kith.alt/kith"
)

// TestSCRAMExample follows the example of RFC 7677 3.
func TestSCRAMExample(t *testing.T) {
	const (
		nonce       = "rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
		salt        = "W22ZaJ0SNY7soEsUEjb6gQ=="
		authMessage = "n=user,r=rOprNGfwEbeRWgbNEkqO,r=" + nonce + ",s=" + salt + ",i=4096,c=biws,r=" + nonce
		proof       = "dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
		signature   = "6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="
	)
	made, err := deriveKeys("pencil", decode(t, salt), 4096)
	if err != nil {
		t.Fatal(err)
	}
	if got := encodeKey(mac(made.serverKey, authMessage)); got != signature {
		t.Errorf("server signature %s, want %s", got, signature)
	}
	// RFC 5802 3: ClientKey = ClientProof XOR HMAC(StoredKey, AuthMessage).
	clientKey := make([]byte, sha256.Size)
	subtle.XORBytes(clientKey, decode(t, proof), mac(made.storedKey, authMessage))
	if sum := sha256.Sum256(clientKey); string(sum[:]) != string(made.storedKey) {
		t.Error("the client's proof does not match the stored key")
	}
}

// prove returns what a SCRAM client with a secret sends as its proof, and the
// answer that it expects.
func prove(t *testing.T, a *Accounts, account, secret, message string) (proof, signature []byte) {
	t.Helper()
	salt, iterations := a.Salt(account)
	salted, err := pbkdf2.Key(sha256.New, secret, salt, iterations, sha256.Size)
	if err != nil {
		t.Fatal(err)
	}
	clientKey := mac(salted, "Client Key")
	stored := sha256.Sum256(clientKey)
	proof = mac(stored[:], message)
	subtle.XORBytes(proof, proof, clientKey)
	return proof, mac(mac(salted, "Server Key"), message)
}

func TestCheckProof(t *testing.T) {
	a := open(t)
	ctx := t.Context()
	phone, secret, err := a.AddAppPassword(ctx, "ada", "phone")
	if err != nil {
		t.Fatal(err)
	}
	laptop, other, err := a.AddAppPassword(ctx, "ada", "laptop")
	if err != nil {
		t.Fatal(err)
	}
	const message = "n=ada,r=x,r=xy,s=z,i=4096,c=biws,r=xy"
	for _, c := range []struct {
		name, account, secret, said string
		id                          string
	}{
		{"one app password", "ada", secret, message, phone},
		{"another", "ada", other, message, laptop},
		{"a wrong one", "ada", secret + "x", message, ""},
		{"of another conversation", "ada", secret, message + "x", ""},
		{"of another account", "ben", secret, message, ""},
		{"of nobody", "nobody", secret, message, ""},
	} {
		proof, signature := prove(t, a, c.account, c.secret, c.said)
		id, got, err := a.CheckProof(ctx, c.account, message, proof, "here")
		if c.id == "" {
			wantKind(t, c.name, err, kith.Denied)
		} else if err != nil || id != c.id || !bytes.Equal(got, signature) {
			t.Errorf("%s: %q, %x, %v; want %q, %x", c.name, id, got, err, c.id, signature)
		}
	}
	for _, proof := range [][]byte{nil, {}, make([]byte, 31), make([]byte, 33)} {
		_, _, err := a.CheckProof(ctx, "ada", message, proof, "here")
		wantKind(t, "a proof of another length", err, kith.Denied)
	}
	list, err := a.List(ctx)
	if err != nil || list[0].AppPasswords[0].LastUsed.IsZero() {
		t.Errorf("list: %+v, %v; want the use noted", list, err)
	}
	for range 30 {
		if _, _, err = a.CheckProof(ctx, "ada", message, make([]byte, 32), "here"); err != nil && !errors.Is(err, kith.Denied) {
			break
		}
	}
	wantKind(t, "too many wrong proofs", err, kith.Quota)
}

// TestSaltOfNobody checks that an account that does not exist looks like one that
// does.
func TestSaltOfNobody(t *testing.T) {
	a := open(t)
	for _, name := range []string{"ada", "nobody", "ada@elsewhere", ""} {
		first, iterations := a.Salt(name)
		second, _ := a.Salt(name)
		if len(first) != scramSalt || !bytes.Equal(first, second) || iterations != 4096 {
			t.Errorf("%s: salts %x and %x, %d iterations", name, first, second, iterations)
		}
	}
	if bytes.Equal(a.salt("ada"), a.salt("ben")) {
		t.Error("two accounts have one salt")
	}
}

func decode(t *testing.T, text string) []byte {
	t.Helper()
	data, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	return data
}
