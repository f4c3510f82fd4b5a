package config

import (
	"crypto/ed25519"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"kith.alt/kith"
)

const keyBlock = "PRIVATE KEY" // RFC 7468 10

// Key returns the host's private key. It is of kind NotFound until
// [Dir.StoreKey] stored one, and Invalid when the file is damaged.
func (d *Dir) Key() (ed25519.PrivateKey, error) {
	text, err := os.ReadFile(d.File(keyFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("there is no host key %s: %w", d.File(keyFile), kith.NotFound)
	} else if err != nil {
		return nil, fmt.Errorf("read host key: %w", err)
	}
	if err := d.secure(d.File(keyFile), fileMode); err != nil {
		return nil, err
	}
	key, err := parseKey(text)
	if err != nil {
		return nil, fmt.Errorf("host key %s: %w", d.File(keyFile), err)
	}
	return key, nil
}

// StoreKey stores the key of a new host. It fails with kind Exists where there
// is a key: the key is the host, and is never replaced.
func (d *Dir) StoreKey(key ed25519.PrivateKey) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if _, err := os.Lstat(d.File(keyFile)); err == nil {
		return fmt.Errorf("there is a host key %s already: %w", d.File(keyFile), kith.Exists)
	} else if !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("store host key: %w", err)
	}
	raw, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return fmt.Errorf("store host key: %w", err)
	}
	return d.write(keyFile, pem.EncodeToMemory(&pem.Block{Type: keyBlock, Bytes: raw}))
}

func parseKey(text []byte) (ed25519.PrivateKey, error) {
	block, _ := pem.Decode(text)
	if block == nil || block.Type != keyBlock {
		return nil, fmt.Errorf("the file holds no PEM %s: %w", keyBlock, kith.Invalid)
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("the file is damaged: %w", kith.Invalid) // err may quote the key
	}
	key, ok := parsed.(ed25519.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("the file holds a %T, want an Ed25519 key: %w", parsed, kith.Invalid)
	}
	return key, nil
}
