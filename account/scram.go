package account

import (
	"context"
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/sha256"
	"crypto/subtle"
	"database/sql"
	"encoding/base64"
	"fmt"
)

const (
	// scramIterations is the least that RFC 7677 4 allows. More would slow
	// clients and gain nothing: app passwords have 120 bits.
	scramIterations = 4096
	scramSalt       = 16 // bytes
)

// A Verifier is what a SCRAM-SHA-256 server needs to know of an account (RFC
// 5802 3). A client's proof is good when it is so for one of the Keys.
type Verifier struct {
	Salt       []byte
	Iterations int
	Keys       []Keys // none when the account has no app password, or is none
}

// Keys are what is stored of one app password.
type Keys struct {
	ID        string // of the app password
	StoredKey []byte
	ServerKey []byte
}

// SCRAM returns the verifier of an account. For one that does not exist it
// looks the same and has no keys. Servers report a success with
// [Accounts.Used].
func (a *Accounts) SCRAM(ctx context.Context, account string) (Verifier, error) {
	v := Verifier{Salt: a.salt(account), Iterations: scramIterations}
	err := a.store.View(ctx, func(tx *sql.Tx) error {
		rows, err := tx.QueryContext(ctx, `SELECT id, stored_key, server_key FROM account_app_passwords WHERE account = ?`, account)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var id, stored, server string
			if err := rows.Scan(&id, &stored, &server); err != nil {
				return err
			}
			k := Keys{ID: id}
			if k.StoredKey, err = base64.StdEncoding.DecodeString(stored); err != nil {
				return err
			}
			if k.ServerKey, err = base64.StdEncoding.DecodeString(server); err != nil {
				return err
			}
			v.Keys = append(v.Keys, k)
		}
		return rows.Err()
	})
	if err != nil {
		return Verifier{}, fmt.Errorf("app passwords of %.80q: %w", account, err)
	}
	return v, nil
}

// find returns the ID of the app password that has keys, or "".
func (v Verifier) find(keys Keys) string {
	id := ""
	for _, k := range v.Keys {
		if subtle.ConstantTimeCompare(k.StoredKey, keys.StoredKey) == 1 {
			id = k.ID
		}
	}
	return id
}

// salt follows from the account's name, whether or not it exists.
func (a *Accounts) salt(account string) []byte {
	return mac(a.secret, "salt of "+account)[:scramSalt]
}

// deriveKeys computes what is stored of a password (RFC 5802 3).
func deriveKeys(password string, salt []byte, iterations int) (Keys, error) {
	salted, err := pbkdf2.Key(sha256.New, password, salt, iterations, sha256.Size)
	if err != nil {
		return Keys{}, err
	}
	stored := sha256.Sum256(mac(salted, "Client Key"))
	return Keys{StoredKey: stored[:], ServerKey: mac(salted, "Server Key")}, nil
}

func mac(key []byte, text string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(text))
	return h.Sum(nil)
}

func encodeKey(key []byte) string { return base64.StdEncoding.EncodeToString(key) }
