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

	"kith.alt/kith"
)

const (
	// scramIterations is the least that RFC 7677 4 allows. More would slow
	// clients and gain nothing: app passwords have 120 bits.
	scramIterations = 4096
	scramSalt       = 16 // bytes
)

// keys are what is stored of one app password.
type keys struct {
	id        string // of the app password
	storedKey []byte
	serverKey []byte
}

// Salt returns what a SCRAM-SHA-256 server tells a client that names an account
// (RFC 5802 5.1), whether or not there is one.
func (a *Accounts) Salt(account string) (salt []byte, iterations int) {
	return a.salt(account), scramIterations
}

// CheckProof returns which of the account's app passwords a SCRAM client proved to
// know, and the ServerSignature that answers it. Message and proof are what RFC 5802 3
// calls AuthMessage and ClientProof; source names where the attempt comes from.
// Kinds: Denied, whatever is wrong; Quota after too many attempts on the account
// or from the source.
func (a *Accounts) CheckProof(ctx context.Context, account, message string, proof []byte, source string) (id string, signature []byte, err error) {
	id, signature, err = a.checkProof(ctx, account, message, proof, source)
	if err != nil {
		return "", nil, fmt.Errorf("check proof: %w", err)
	}
	return id, signature, nil
}

func (a *Accounts) checkProof(ctx context.Context, account, message string, proof []byte, source string) (string, []byte, error) {
	succeeded, err := a.attempt("app passwords of "+account, source)
	if err != nil {
		return "", nil, err
	}
	all, err := a.keysOf(ctx, account)
	if err != nil {
		return "", nil, err
	}
	if len(all) == 0 {
		all = []keys{{storedKey: make([]byte, sha256.Size)}} // which nothing hashes to, in the same time
	}
	var proved keys
	for _, k := range all {
		// ClientKey := ClientProof XOR HMAC(StoredKey, AuthMessage)
		clientKey := mac(k.storedKey, message)
		if len(proof) != len(clientKey) {
			return "", nil, kith.Denied
		}
		subtle.XORBytes(clientKey, clientKey, proof)
		stored := sha256.Sum256(clientKey)
		if subtle.ConstantTimeCompare(stored[:], k.storedKey) == 1 {
			proved = k
		}
	}
	if proved.id == "" {
		return "", nil, kith.Denied
	}
	succeeded()
	a.used(ctx, proved.id) // on a full disk a person still signs in
	return proved.id, mac(proved.serverKey, message), nil
}

// keysOf returns the keys of an account's app passwords: none when it has none, or
// is no account.
func (a *Accounts) keysOf(ctx context.Context, account string) ([]keys, error) {
	var all []keys
	err := a.store.View(ctx, func(tx *sql.Tx) error {
		rows, err := tx.QueryContext(ctx, `SELECT id, stored_key, server_key FROM account_app_passwords WHERE account = ?`, account)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var k keys
			var stored, server string
			if err := rows.Scan(&k.id, &stored, &server); err != nil {
				return err
			}
			if k.storedKey, err = base64.StdEncoding.DecodeString(stored); err != nil {
				return err
			}
			if k.serverKey, err = base64.StdEncoding.DecodeString(server); err != nil {
				return err
			}
			all = append(all, k)
		}
		return rows.Err()
	})
	if err != nil {
		return nil, fmt.Errorf("app passwords of %.80q: %w", account, err)
	}
	return all, nil
}

// find returns the ID of the app password among all that has a stored key, or "".
func find(all []keys, storedKey []byte) string {
	id := ""
	for _, k := range all {
		if subtle.ConstantTimeCompare(k.storedKey, storedKey) == 1 {
			id = k.id
		}
	}
	return id
}

// salt follows from the account's name, whether or not it exists.
func (a *Accounts) salt(account string) []byte {
	return mac(a.secret, "salt of "+account)[:scramSalt]
}

// deriveKeys computes what is stored of a password (RFC 5802 3).
func deriveKeys(password string, salt []byte, iterations int) (keys, error) {
	salted, err := pbkdf2.Key(sha256.New, password, salt, iterations, sha256.Size)
	if err != nil {
		return keys{}, err
	}
	stored := sha256.Sum256(mac(salted, "Client Key"))
	return keys{storedKey: stored[:], serverKey: mac(salted, "Server Key")}, nil
}

func mac(key []byte, text string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(text))
	return h.Sum(nil)
}

func encodeKey(key []byte) string { return base64.StdEncoding.EncodeToString(key) }
