package apptest

import (
	"context"
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"slices"
	"strings"
	"sync"

	"kith.alt/kith"
)

// Ann is the account that a Host has from the start, and AppPassword what every
// account of a Host signs in with.
const (
	Ann         = "ann"
	AppPassword = "amzq-3kfh-2y7d-pw5t-xeuj-c6ro"
)

// Accounts are [kith.Accounts] in memory. All have one app password, and attempts are
// limited when a test says so. They are safe for concurrent use.
type Accounts struct {
	domains []string // of addresses

	mu      sync.Mutex
	list    []string
	locked  bool
	revoked map[string]chan struct{}
}

var _ kith.Accounts = (*Accounts)(nil)

// Add adds an account.
func (a *Accounts) Add(name string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.list = append(a.list, name)
}

// Lock has all attempts fail as if there had been too many, or no longer.
func (a *Accounts) Lock(locked bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.locked = locked
}

// Revoke tells that an app password of an account was removed.
func (a *Accounts) Revoke(account string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if awaited := a.revoked[account]; awaited != nil {
		close(awaited)
		delete(a.revoked, account)
	}
}

// The methods of kith.Accounts.

func (a *Accounts) Names(context.Context) ([]string, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.list), nil
}

func (a *Accounts) CheckAppPassword(_ context.Context, user, secret, _ string) (string, error) {
	plain := strings.NewReplacer("-", "", " ", "")
	right := plain.Replace(strings.ToLower(secret)) == plain.Replace(AppPassword)
	return a.check(user, right)
}

func (a *Accounts) Salt(user string) ([]byte, int) { return []byte("salt of sixteen."), 4096 }

func (a *Accounts) CheckProof(_ context.Context, user, message string, proof []byte, _ string) (string, []byte, error) {
	salt, iterations := a.Salt(user)
	salted, err := pbkdf2.Key(sha256.New, AppPassword, salt, iterations, sha256.Size)
	if err != nil {
		return "", nil, err
	}
	clientKey := mac(salted, "Client Key")
	stored := sha256.Sum256(clientKey)
	want := mac(stored[:], message)
	subtle.XORBytes(want, want, clientKey)
	account, err := a.check(user, hmac.Equal(want, proof))
	if err != nil {
		return "", nil, err
	}
	return account, mac(mac(salted, "Server Key"), message), nil
}

func (a *Accounts) Revoked(account string) <-chan struct{} {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.revoked == nil {
		a.revoked = make(map[string]chan struct{})
	}
	if a.revoked[account] == nil {
		a.revoked[account] = make(chan struct{})
	}
	return a.revoked[account]
}

func (a *Accounts) check(user string, right bool) (string, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	account, domain, ok := strings.Cut(strings.ToLower(user), "@")
	switch {
	case a.locked:
		return "", fmt.Errorf("too many wrong attempts: %w", kith.Quota)
	case !right, !slices.Contains(a.list, account), ok && !slices.Contains(a.domains, domain):
		return "", kith.Denied
	}
	return account, nil
}

func mac(key []byte, text string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(text))
	return h.Sum(nil)
}
