package account

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"sync"
	"time"

	"kith.alt/kith"
)

const (
	appPasswordBytes = 15 // 120 bits: six groups of four characters
	maxAppPasswords  = 50 // of an account

	// usedStep is how exact LastUsed is: fewer writes to the disk.
	usedStep = time.Minute
)

// An AppPassword is a generated secret for one client program.
type AppPassword struct {
	ID       string
	Label    string
	Created  time.Time
	LastUsed time.Time // to a minute; zero: never
}

func listAppPasswords(ctx context.Context, tx *sql.Tx, account string) ([]AppPassword, error) {
	rows, err := tx.QueryContext(ctx, `SELECT id, label, created, used FROM account_app_passwords WHERE account = ? ORDER BY created, id`, account)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var list []AppPassword
	for rows.Next() {
		var p AppPassword
		if err := rows.Scan(&p.ID, &p.Label, (*unixTime)(&p.Created), (*unixTime)(&p.LastUsed)); err != nil {
			return nil, err
		}
		list = append(list, p)
	}
	return list, rows.Err()
}

// AddAppPassword makes an app password. The secret is in no other answer ever
// again. The label says what it is for. Kinds: Invalid (a label of more than 200
// bytes), NotFound, Quota.
func (a *Accounts) AddAppPassword(ctx context.Context, account, label string) (id, secret string, err error) {
	label = strings.ToValidUTF8(strings.TrimSpace(label), "?")
	if len(label) > maxLabel {
		return "", "", fmt.Errorf("add app password: the label has %d bytes, at most %d: %w", len(label), maxLabel, kith.Invalid)
	}
	id, secret = newToken(5), group(newToken(appPasswordBytes))
	made, err := deriveKeys(secret, a.salt(account), scramIterations)
	if err != nil {
		return "", "", err
	}
	err = a.store.Update(ctx, func(tx *sql.Tx) error {
		if err := requireAccount(ctx, tx, account); err != nil {
			return err
		}
		var count int
		if err := tx.QueryRowContext(ctx, `SELECT count(*) FROM account_app_passwords WHERE account = ?`, account).Scan(&count); err != nil {
			return err
		}
		if count >= maxAppPasswords {
			return fmt.Errorf("%s has %d: remove one: %w", account, count, kith.Quota)
		}
		_, err := tx.ExecContext(ctx, `INSERT INTO account_app_passwords (id, account, label, stored_key, server_key, created, used) VALUES (?, ?, ?, ?, ?, ?, 0)`,
			id, account, label, encodeKey(made.storedKey), encodeKey(made.serverKey), time.Now().Unix())
		return err
	})
	if err != nil {
		return "", "", fmt.Errorf("add app password: %w", err)
	}
	return id, secret, nil
}

// RemoveAppPassword ends the use of an app password. Kind: NotFound.
func (a *Accounts) RemoveAppPassword(ctx context.Context, account, id string) error {
	err := a.store.Update(ctx, func(tx *sql.Tx) error {
		result, err := tx.ExecContext(ctx, `DELETE FROM account_app_passwords WHERE account = ? AND id = ?`, account, id)
		if err != nil {
			return err
		}
		if n, err := result.RowsAffected(); err != nil || n == 0 {
			return fmt.Errorf("%.80q has no app password %.80q: %w", account, id, kith.NotFound)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("remove app password: %w", err)
	}
	a.revoked.tell(account)
	return nil
}

// Revoked returns a channel that is closed when an app password of an account is
// removed.
func (a *Accounts) Revoked(account string) <-chan struct{} { return a.revoked.await(account) }

// revocations are the accounts whose app passwords somebody awaits the removal of.
type revocations struct {
	mu      sync.Mutex
	awaited map[string]chan struct{}
}

func (r *revocations) await(account string) <-chan struct{} {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.awaited == nil {
		r.awaited = make(map[string]chan struct{})
	}
	if r.awaited[account] == nil {
		r.awaited[account] = make(chan struct{})
	}
	return r.awaited[account]
}

func (r *revocations) tell(account string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if awaited := r.awaited[account]; awaited != nil {
		close(awaited)
		delete(r.awaited, account)
	}
}

// CheckAppPassword returns which of the account's app passwords the secret is.
// It serves SASL PLAIN (RFC 4616) and the logins of FTP and HTTP; upper case,
// spaces and missing hyphens are forgiven. Source names where the attempt
// comes from. Kinds: Denied, whatever is wrong; Quota after too many attempts
// on the account or from the source. A program that repeats one wrong secret,
// as with an app password that was removed, uses up one attempt in ten minutes,
// and so does not keep the person's other programs out.
func (a *Accounts) CheckAppPassword(ctx context.Context, account, secret, source string) (id string, err error) {
	id, err = a.checkAppPassword(ctx, account, secret, source)
	if err != nil {
		return "", fmt.Errorf("check app password: %w", err)
	}
	return id, nil
}

func (a *Accounts) checkAppPassword(ctx context.Context, account, secret, source string) (string, error) {
	if len(secret) > maxPassword {
		return "", kith.Denied
	}
	secret = normalize(secret)
	guess := string(mac(a.secret, "guess of "+account+" "+secret))
	if a.wrong.spent(guess) {
		return "", kith.Denied
	}
	succeeded, err := a.attempt("app passwords of "+account, source)
	if err != nil {
		return "", err
	}
	all, err := a.keysOf(ctx, account)
	if err != nil {
		return "", err
	}
	guessed, err := deriveKeys(secret, a.salt(account), scramIterations)
	if err != nil {
		return "", err
	}
	id := find(all, guessed.storedKey)
	if id == "" {
		a.wrong.take(guess)
		return "", kith.Denied
	}
	succeeded()
	a.used(ctx, id) // on a full disk a person still signs in
	return id, nil
}

// used notes that a client has signed in with an app password.
func (a *Accounts) used(ctx context.Context, id string) error {
	now := time.Now()
	var due bool
	err := a.store.View(ctx, func(tx *sql.Tx) error {
		return tx.QueryRowContext(ctx, `SELECT count(*) > 0 FROM account_app_passwords WHERE id = ? AND used <= ?`,
			id, now.Add(-usedStep).Unix()).Scan(&due)
	})
	if err != nil || !due {
		return err
	}
	return a.store.Update(ctx, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `UPDATE account_app_passwords SET used = ? WHERE id = ?`, now.Unix(), id)
		return err
	})
}

// group puts a hyphen between groups of four characters.
func group(text string) string {
	var b strings.Builder
	for i, c := range text {
		if i > 0 && i%4 == 0 {
			b.WriteByte('-')
		}
		b.WriteRune(c)
	}
	return b.String()
}

// normalize turns what a person typed into the form that was shown.
func normalize(secret string) string {
	return group(strings.NewReplacer("-", "", " ", "").Replace(strings.ToLower(secret)))
}
