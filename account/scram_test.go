package account

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"testing"
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
	keys, err := deriveKeys("pencil", decode(t, salt), 4096)
	if err != nil {
		t.Fatal(err)
	}
	if got := encodeKey(mac(keys.ServerKey, authMessage)); got != signature {
		t.Errorf("server signature %s, want %s", got, signature)
	}
	// RFC 5802 3: ClientKey = ClientProof XOR HMAC(StoredKey, AuthMessage).
	clientKey := make([]byte, sha256.Size)
	subtle.XORBytes(clientKey, decode(t, proof), mac(keys.StoredKey, authMessage))
	if sum := sha256.Sum256(clientKey); string(sum[:]) != string(keys.StoredKey) {
		t.Error("the client's proof does not match the stored key")
	}
}

// TestSCRAMUnknown checks that an account that does not exist looks like one
// that does.
func TestSCRAMUnknown(t *testing.T) {
	a := open(t)
	if _, _, err := a.AddAppPassword(t.Context(), "ada", ""); err != nil {
		t.Fatal(err)
	}
	for name, keys := range map[string]int{"ada": 1, "ben": 0, "nobody": 0} {
		first, err := a.SCRAM(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		second, err := a.SCRAM(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		if len(first.Salt) != scramSalt || string(first.Salt) != string(second.Salt) || first.Iterations != 4096 || len(first.Keys) != keys {
			t.Errorf("%s: %+v, then %+v; want one salt, 4096 and %d keys", name, first, second, keys)
		}
	}
	if string(a.salt("ada")) == string(a.salt("ben")) {
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
