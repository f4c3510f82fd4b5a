package account

import (
	"context"
	"crypto/rand"
	"database/sql"
	"embed"
	"encoding/base32"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"kith.alt/kith"
)

const (
	maxAccounts = 1000
	maxLabel    = 200 // bytes of the label of an app password
)

// Accounts are the people of a host. It is safe for concurrent use.
type Accounts struct {
	store  kith.Store
	secret []byte // SCRAM salts follow from it

	adding sync.Mutex
	names  atomic.Pointer[[]string] // of all accounts, the first one added first

	hashing chan struct{} // a slot for each password that is being hashed
	links   links
	revoked revocations

	perAccount, perSource *limiter
	wrong                 *limiter // app passwords, hashed, that were wrong lately
}

// An Account is a person.
type Account struct {
	Name         string
	Password     bool // has chosen one for the dashboard
	Created      time.Time
	AppPasswords []AppPassword // the oldest first
}

//go:embed migrations/*.sql
var migrationFiles embed.FS

// Open reads the accounts in store, and makes their tables on first use.
func Open(ctx context.Context, store kith.Store) (*Accounts, error) {
	migrations, err := fs.Sub(migrationFiles, "migrations")
	if err != nil {
		return nil, err
	}
	if err := store.Migrate(ctx, "account", migrations); err != nil {
		return nil, fmt.Errorf("open accounts: %w", err)
	}
	a := &Accounts{
		store:      store,
		hashing:    make(chan struct{}, maxHashing),
		perAccount: newLimiter(20, 30*time.Second),
		perSource:  newLimiter(60, 10*time.Second),
		wrong:      newLimiter(1, 10*time.Minute),
	}
	if err := store.Update(ctx, a.loadSecret); err != nil {
		return nil, fmt.Errorf("open accounts: %w", err)
	}
	if err := a.loadNames(ctx); err != nil {
		return nil, fmt.Errorf("open accounts: %w", err)
	}
	return a, nil
}

func (a *Accounts) loadSecret(tx *sql.Tx) error {
	var text string
	err := tx.QueryRow(`SELECT secret FROM account_secret`).Scan(&text)
	if errors.Is(err, sql.ErrNoRows) {
		a.secret = make([]byte, 32)
		rand.Read(a.secret)
		_, err = tx.Exec(`INSERT INTO account_secret (secret) VALUES (?)`, base64.StdEncoding.EncodeToString(a.secret))
		return err
	}
	if err != nil {
		return err
	}
	a.secret, err = base64.StdEncoding.DecodeString(text)
	return err
}

// List returns all accounts, the first one added first.
func (a *Accounts) List(ctx context.Context) ([]Account, error) {
	var list []Account
	err := a.store.View(ctx, func(tx *sql.Tx) error {
		rows, err := tx.QueryContext(ctx, `SELECT name, password <> '', created FROM account_people ORDER BY number`)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var p Account
			if err := rows.Scan(&p.Name, &p.Password, (*unixTime)(&p.Created)); err != nil {
				return err
			}
			list = append(list, p)
		}
		if err := rows.Err(); err != nil {
			return err
		}
		for i := range list {
			if list[i].AppPasswords, err = listAppPasswords(ctx, tx, list[i].Name); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("list accounts: %w", err)
	}
	return list, nil
}

// Names returns the names of all accounts, the first one added first. They are in memory: it may be
// called within a transaction. The caller must not change them.
func (a *Accounts) Names() []string { return *a.names.Load() }

func (a *Accounts) loadNames(ctx context.Context) error {
	names := []string{}
	err := a.store.View(ctx, func(tx *sql.Tx) error {
		rows, err := tx.QueryContext(ctx, `SELECT name FROM account_people ORDER BY number`)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var name string
			if err := rows.Scan(&name); err != nil {
				return err
			}
			names = append(names, name)
		}
		return rows.Err()
	})
	if err != nil {
		return fmt.Errorf("names of accounts: %w", err)
	}
	a.names.Store(&names)
	return nil
}

// Add adds an account without a password. Kinds: Invalid, Exists, Quota.
func (a *Accounts) Add(ctx context.Context, name string) error {
	if err := kith.CheckPersonal(name); err != nil {
		return fmt.Errorf("add account: %w", err)
	}
	a.adding.Lock()
	defer a.adding.Unlock()
	err := a.store.Update(ctx, func(tx *sql.Tx) error {
		var number, count int
		err := tx.QueryRowContext(ctx, `SELECT coalesce(max(number), 0), count(*) FROM account_people`).Scan(&number, &count)
		if err != nil {
			return err
		}
		if count >= maxAccounts {
			return fmt.Errorf("there are %d, and no more are possible: %w", count, kith.Quota)
		}
		switch err := requireAccount(ctx, tx, name); {
		case err == nil:
			return fmt.Errorf("there is one already: %w", kith.Exists)
		case !errors.Is(err, kith.NotFound):
			return err
		}
		_, err = tx.ExecContext(ctx, `INSERT INTO account_people (number, name, password, created) VALUES (?, ?, '', ?)`,
			number+1, name, time.Now().Unix())
		return err
	})
	if err != nil {
		return fmt.Errorf("add account %s: %w", name, err)
	}
	names := append(slices.Clip(a.Names()), name)
	a.names.Store(&names)
	return nil
}

// requireAccount fails with kind NotFound unless there is an account name.
func requireAccount(ctx context.Context, tx *sql.Tx, name string) error {
	err := tx.QueryRowContext(ctx, `SELECT name FROM account_people WHERE name = ?`, name).Scan(&name)
	if errors.Is(err, sql.ErrNoRows) {
		return fmt.Errorf("there is no account %.80q: %w", name, kith.NotFound)
	}
	return err
}

// attempt counts an attempt on an account from a source, and fails with kind
// Quota when there were too many. The account is named with the purpose, so
// that what client programs do does not keep a person out of the dashboard.
// succeeded takes the attempt back.
func (a *Accounts) attempt(account, source string) (succeeded func(), err error) {
	account, source = clip(account, maxLabel), clip(source, maxLabel)
	wait := max(a.perAccount.take(account), a.perSource.take(source))
	if wait > 0 {
		return nil, fmt.Errorf("too many wrong attempts: wait %v: %w", wait.Round(time.Second), kith.Quota)
	}
	return func() {
		a.perAccount.giveBack(account)
		a.perSource.giveBack(source)
	}, nil
}

var tokenEncoding = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// newToken returns n random bytes in lower-case base32.
func newToken(n int) string {
	raw := make([]byte, n)
	rand.Read(raw)
	return tokenEncoding.EncodeToString(raw)
}

// clip shortens text to at most n bytes of valid UTF-8.
func clip(text string, n int) string {
	if len(text) > n {
		for n > 0 && !utf8.RuneStart(text[n]) {
			n--
		}
		text = text[:n]
	}
	return strings.ToValidUTF8(text, "?")
}

// unixTime reads a column of Unix seconds; 0 is the zero time.
type unixTime time.Time

func (t *unixTime) Scan(value any) error {
	seconds, ok := value.(int64)
	if !ok {
		return fmt.Errorf("time is a %T", value)
	}
	*t = unixTime{}
	if seconds != 0 {
		*t = unixTime(time.Unix(seconds, 0))
	}
	return nil
}
