package account

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"database/sql"
	"encoding/base64"
	"errors"
	"fmt"
	"runtime/debug"
	"strings"
	"unicode/utf8"

	"golang.org/x/crypto/argon2"
	"golang.org/x/text/secure/precis"

	"kith.alt/kith"
)

const (
	minPassword = 10   // characters
	maxPassword = 1024 // bytes
	maxHashing  = 2    // passwords hashed at a time

	argonMemory = 19 << 10 // KiB
	argonPasses = 2
	argonSalt   = 16 // bytes
	argonHash   = 32
)

// SetPassword gives an account a password for the dashboard, or takes it away
// when password is empty. Sessions go on; see [Accounts.EndSessions]. Kinds:
// Invalid (fewer than 10 characters, more than 1 KiB), NotFound.
func (a *Accounts) SetPassword(ctx context.Context, name, password string) error {
	hash, err := a.newHash(ctx, password)
	if err != nil {
		return fmt.Errorf("set password: %w", err)
	}
	err = a.store.Update(ctx, func(tx *sql.Tx) error {
		if err := requireAccount(ctx, tx, name); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, `UPDATE account_people SET password = ? WHERE name = ?`, hash, name)
		return err
	})
	if err != nil {
		return fmt.Errorf("set password: %w", err)
	}
	return nil
}

// newHash returns what is stored of a new password.
func (a *Accounts) newHash(ctx context.Context, password string) (string, error) {
	if password == "" {
		return "", nil
	}
	if len(password) > maxPassword {
		return "", fmt.Errorf("the password has %d bytes, at most %d: %w", len(password), maxPassword, kith.Invalid)
	}
	prepared, err := precis.OpaqueString.String(password)
	if err != nil || !utf8.ValidString(password) {
		return "", fmt.Errorf("the password has characters that cannot be typed everywhere: %w", kith.Invalid)
	}
	if n := utf8.RuneCountInString(prepared); n < minPassword {
		return "", fmt.Errorf("the password has %d characters, at least %d: %w", n, minPassword, kith.Invalid)
	}
	salt := make([]byte, argonSalt)
	rand.Read(salt)
	hash, err := a.hash(ctx, prepared, salt)
	if err != nil {
		return "", err
	}
	return formatHash(salt, hash), nil
}

// CheckPassword fails unless password is the account's for the dashboard.
// Source names where the attempt comes from. Kinds: Denied, whatever is wrong;
// Quota after too many attempts on the account or from the source.
func (a *Accounts) CheckPassword(ctx context.Context, name, password, source string) error {
	if err := a.checkPassword(ctx, name, password, source); err != nil {
		return fmt.Errorf("check password: %w", err)
	}
	return nil
}

func (a *Accounts) checkPassword(ctx context.Context, name, password, source string) error {
	if len(password) > maxPassword {
		return kith.Denied
	}
	succeeded, err := a.attempt("password of "+name, source)
	if err != nil {
		return err
	}
	var stored string
	err = a.store.View(ctx, func(tx *sql.Tx) error {
		return tx.QueryRowContext(ctx, `SELECT password FROM account_people WHERE name = ?`, name).Scan(&stored)
	})
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return err
	}
	salt, want, err := parseHash(stored)
	if err != nil {
		return fmt.Errorf("account %s: %w", name, err)
	}
	prepared, err := precis.OpaqueString.String(password)
	if err != nil {
		prepared = "" // nobody's, and hashed all the same
	}
	got, err := a.hash(ctx, prepared, salt)
	if err != nil {
		return err
	}
	if subtle.ConstantTimeCompare(got, want) != 1 {
		return kith.Denied
	}
	succeeded()
	return nil
}

// hash computes Argon2id (RFC 9106 3). It waits for a slot.
func (a *Accounts) hash(ctx context.Context, password string, salt []byte) ([]byte, error) {
	select {
	case a.hashing <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	hash := argon2.IDKey([]byte(password), salt, argonPasses, argonMemory, 1, argonHash)
	if len(a.hashing) == 1 {
		// The last one out gives the memory back. It costs a collection, less
		// than the hash did; attempts are limited, and a node is small.
		debug.FreeOSMemory()
	}
	<-a.hashing
	return hash, nil
}

// hashPrefix begins the PHC string of a hash with our parameters. Others come
// with a migration.
var hashPrefix = fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=1$", argon2.Version, argonMemory, argonPasses)

func formatHash(salt, hash []byte) string {
	encode := base64.RawStdEncoding.EncodeToString
	return hashPrefix + encode(salt) + "$" + encode(hash)
}

// parseHash reads what formatHash wrote. For no hash it returns a salt, so
// that checking takes as long, and a hash that nothing equals.
func parseHash(text string) (salt, hash []byte, err error) {
	if text == "" {
		return make([]byte, argonSalt), nil, nil
	}
	rest, ok := strings.CutPrefix(text, hashPrefix)
	saltText, hashText, ok2 := strings.Cut(rest, "$")
	salt, err1 := base64.RawStdEncoding.DecodeString(saltText)
	hash, err2 := base64.RawStdEncoding.DecodeString(hashText)
	if !ok || !ok2 || err1 != nil || err2 != nil || len(salt) != argonSalt || len(hash) != argonHash {
		return nil, nil, errors.New("the stored password is not readable: set it again")
	}
	return salt, hash, nil
}
