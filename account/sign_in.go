package account

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"errors"
	"fmt"
	"sync"
	"time"

	"kith.alt/kith"
)

const (
	linkLife  = 10 * time.Minute
	linkBytes = 16  // 128 bits
	maxLinks  = 100 // outstanding; the oldest goes first
)

// links are the one-time links that are outstanding.
type links struct {
	mu     sync.Mutex
	byHash map[[sha256.Size]byte]link
}

type link struct {
	account string
	expires time.Time
}

// NewSignIn makes a token that signs the account in once, within ten minutes.
// "" is the first account. Kind: NotFound.
func (a *Accounts) NewSignIn(ctx context.Context, account string) (token string, err error) {
	err = a.store.View(ctx, func(tx *sql.Tx) error {
		if account != "" {
			return requireAccount(ctx, tx, account)
		}
		err := tx.QueryRowContext(ctx, `SELECT name FROM account_people ORDER BY number LIMIT 1`).Scan(&account)
		if errors.Is(err, sql.ErrNoRows) {
			return fmt.Errorf("there is no account: %w", kith.NotFound)
		}
		return err
	})
	if err != nil {
		return "", fmt.Errorf("make a sign-in link: %w", err)
	}
	token = newToken(linkBytes)
	a.links.put(sha256.Sum256([]byte(token)), link{account, time.Now().Add(linkLife)})
	return token, nil
}

// SignIn uses a token up and returns whose it is. Kinds: NotFound when it was
// used or never made, Expired.
func (a *Accounts) SignIn(ctx context.Context, token string) (account string, err error) {
	if err := ctx.Err(); err != nil {
		return "", err
	}
	l, ok := a.links.take(sha256.Sum256([]byte(token)))
	switch {
	case !ok:
		return "", fmt.Errorf("the sign-in link was used, or is not from this start of the node: ask for a new one: %w", kith.NotFound)
	case !time.Now().Before(l.expires):
		return "", fmt.Errorf("the sign-in link is older than %v: ask for a new one: %w", linkLife, kith.Expired)
	}
	return l.account, nil
}

func (l *links) put(hash [sha256.Size]byte, made link) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.byHash == nil {
		l.byHash = make(map[[sha256.Size]byte]link)
	}
	for len(l.byHash) >= maxLinks {
		var oldest [sha256.Size]byte
		first := time.Time{}
		for h, candidate := range l.byHash {
			if first.IsZero() || candidate.expires.Before(first) {
				oldest, first = h, candidate.expires
			}
		}
		delete(l.byHash, oldest)
	}
	l.byHash[hash] = made
}

func (l *links) take(hash [sha256.Size]byte) (link, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	found, ok := l.byHash[hash]
	delete(l.byHash, hash)
	return found, ok
}
