package certificate

import (
	"crypto/ecdsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"kith.alt/kith"
)

const (
	authorityFile = "authority"
	localhostFile = "localhost"

	keyBlock         = "PRIVATE KEY" // RFC 7468 10
	certificateBlock = "CERTIFICATE" // RFC 7468 5
)

// readPair reads what writePair wrote. It fails with kind Invalid where the file holds
// anything else.
func readPair(path string) (pair, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return pair{}, err
	}
	p, err := parsePair(text)
	if err != nil {
		return pair{}, fmt.Errorf("%s is damaged (%w); remove it to have a new one made: %w", path, err, kith.Invalid)
	}
	return p, nil
}

func parsePair(text []byte) (p pair, err error) {
	first, rest := pem.Decode(text)
	if first == nil || first.Type != keyBlock {
		return pair{}, errors.New("no private key")
	}
	second, _ := pem.Decode(rest)
	if second == nil || second.Type != certificateBlock {
		return pair{}, errors.New("no certificate")
	}
	key, err := x509.ParsePKCS8PrivateKey(first.Bytes)
	if err != nil {
		return pair{}, errors.New("the private key is not readable") // err might quote it
	}
	p.key, _ = key.(*ecdsa.PrivateKey)
	if p.certificate, err = x509.ParseCertificate(second.Bytes); err != nil {
		return pair{}, err
	}
	if p.key == nil || !p.key.PublicKey.Equal(p.certificate.PublicKey) {
		return pair{}, errors.New("the key is not the certificate's")
	}
	return p, nil
}

// writePair replaces the file: all of it, or nothing.
func writePair(path string, p pair) (err error) {
	key, err := x509.MarshalPKCS8PrivateKey(p.key)
	if err != nil {
		return err
	}
	text := append(pem.EncodeToMemory(&pem.Block{Type: keyBlock, Bytes: key}),
		pem.EncodeToMemory(&pem.Block{Type: certificateBlock, Bytes: p.certificate.Raw})...)
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*") // with mode 0600
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(f.Name()))
		}
	}()
	_, err = f.Write(text)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err = os.Rename(f.Name(), path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

func syncDir(path string) error {
	if runtime.GOOS == "windows" { // writes folders by itself
		return nil
	}
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// sweep removes what a killed process had begun to write.
func sweep(dir string) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return // what matters in it cannot be read either, and says so
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), authorityFile+".") || strings.HasPrefix(e.Name(), localhostFile+".") {
			os.Remove(filepath.Join(dir, e.Name()))
		}
	}
}
