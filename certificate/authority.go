package certificate

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

// Config is what an [Authority] depends on. All of it is required.
type Config struct {
	Dir string // the folder of the two files; made where it is missing

	// Title is what people find in their lists of authorities. Later titles are
	// ignored, as the subject ties old and new certificates together.
	Title string

	// Names are the DNS names and IP addresses of this host beside localhost, the
	// most important one first; they may change.
	Names func() []string

	Event func(text string) // tells the owner
	Log   *slog.Logger
}

// An Authority signs this host's certificates, and nobody else's. It is safe for
// concurrent use after Open.
type Authority struct {
	cfg Config

	mu     sync.Mutex
	ca     pair
	server *ecdsa.PrivateKey
	leaves map[string]*tls.Certificate // by server name
}

// A pair is a key with its certificate.
type pair struct {
	key         *ecdsa.PrivateKey
	certificate *x509.Certificate
}

// New makes an authority. It opens nothing.
func New(cfg Config) *Authority {
	return &Authority{cfg: cfg, leaves: make(map[string]*tls.Certificate)}
}

// Open reads what is stored, or makes it. It fails with kind Invalid where the
// authority's file is damaged.
func (a *Authority) Open(ctx context.Context) error {
	if err := a.open(ctx); err != nil {
		return fmt.Errorf("open certificate authority: %w", err)
	}
	return nil
}

func (a *Authority) open(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := os.MkdirAll(a.cfg.Dir, 0o700); err != nil {
		return err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	sweep(a.cfg.Dir)
	var err error
	if a.ca, err = readPair(a.path(authorityFile)); errors.Is(err, fs.ErrNotExist) {
		if a.ca.key, err = newKey(); err != nil {
			return err
		}
	}
	if err != nil {
		return err
	}
	if err := a.renew(); err != nil {
		return err
	}
	stored, err := readPair(a.path(localhostFile))
	if err == nil {
		a.server = stored.key
		if stored.certificate.CheckSignatureFrom(a.ca.certificate) == nil && slices.Equal(stored.certificate.DNSNames, []string{localhost}) {
			a.leaves[localhost] = &tls.Certificate{Certificate: [][]byte{stored.certificate.Raw}, PrivateKey: stored.key, Leaf: stored.certificate}
		}
	} else if a.server, err = newKey(); err != nil { // missing or damaged: there is nothing in it to be lost
		return err
	}
	_, err = a.leaf(localhost)
	return err
}

func (a *Authority) path(file string) string { return filepath.Join(a.cfg.Dir, file) }

// Update has the authority permit the names of now. It is called when they may have
// changed, after Open.
func (a *Authority) Update() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.renew()
}

// renew makes the authority's certificate where there is none, where it does not
// permit all names, and in the last year of its life.
func (a *Authority) renew() error {
	old, names := a.ca.certificate, a.cfg.Names()
	if old != nil && permits(old, names) && time.Until(old.NotAfter) > authorityEarly {
		return nil
	}
	subject := authoritySubject(a.cfg.Title)
	if old != nil {
		subject = old.Subject
	}
	renewed, err := newAuthority(a.ca.key, subject, names)
	if err != nil {
		return err
	}
	if err := writePair(a.path(authorityFile), renewed); err != nil {
		return err
	}
	a.ca = renewed
	a.cfg.Log.Info("made a certificate of the authority", "names", names, "fingerprint", fingerprint(renewed.certificate))
	switch {
	case old == nil: // nobody has installed one yet
	case permits(old, names):
		a.cfg.Event(fmt.Sprintf("There is a new certificate of this computer for programs that use TLS. They need it before %s: kith ca", old.NotAfter.Format("2 January 2006")))
	default:
		a.cfg.Event("There is a new certificate of this computer, as its names changed. Programs that use TLS with a new name need it: kith ca. Those that use localhost go on as before.")
	}
	return nil
}

// TLS returns a configuration for a listener: TLS 1.2 and later, with the
// certificate that suits each client's question. It names no protocols (ALPN). The
// caller may change it.
func (a *Authority) TLS() *tls.Config {
	return &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: a.answer}
}

func (a *Authority) answer(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	name := strings.ToLower(hello.ServerName)
	if name == "" { // an address is none (RFC 6066 3)
		if local, err := netip.ParseAddrPort(hello.Conn.LocalAddr().String()); err == nil && !local.Addr().Unmap().IsLoopback() {
			name = local.Addr().Unmap().WithZone("").String()
		}
	}
	if !a.serves(name) {
		name = localhost
	}
	return a.leaf(name)
}

// serves reports whether a server's name is the host's: one of those that the
// authority was made for, or a site's below localhost.
func (a *Authority) serves(name string) bool {
	if label, ok := strings.CutSuffix(name, "."+localhost); ok {
		return isLabel(label)
	}
	if ip := parseIP(name); ip != nil {
		return slices.ContainsFunc(a.ca.certificate.PermittedIPRanges, func(r *net.IPNet) bool { return isOne(r) && r.IP.Equal(ip) })
	}
	return slices.Contains(a.ca.certificate.PermittedDNSDomains, name)
}

// leaf returns a certificate for the name, with a good part of its life before
// it.
func (a *Authority) leaf(name string) (*tls.Certificate, error) {
	if known := a.leaves[name]; known != nil && time.Until(known.Leaf.NotAfter) > leafEarly && time.Now().After(known.Leaf.NotBefore) {
		return known, nil
	}
	if err := a.renew(); err != nil {
		a.cfg.Log.Warn("the authority's certificate was not renewed", "err", err) // on a full disk clients still come in
	}
	made, err := newLeaf(a.ca, a.server, name)
	if err != nil {
		return nil, err
	}
	if name == localhost {
		if err := writePair(a.path(localhostFile), pair{a.server, made.Leaf}); err != nil {
			a.cfg.Log.Warn("a certificate was not stored", "name", name, "err", err)
		}
	}
	if len(a.leaves) >= maxLeaves { // somebody asks for one name after the other
		clear(a.leaves)
	}
	a.leaves[name] = made
	return made, nil
}

// A Certificate is the authority's, as people install it.
type Certificate struct {
	PEM         []byte
	Fingerprint string // SHA-256, in upper-case hexadecimal with colons
	Title       string
	Names       []string // that it permits: DNS names and IP addresses
	Expires     time.Time
}

// Certificate returns the authority's certificate. It holds no secret.
func (a *Authority) Certificate() Certificate {
	a.mu.Lock()
	defer a.mu.Unlock()
	c := a.ca.certificate
	return Certificate{
		PEM:         pem.EncodeToMemory(&pem.Block{Type: certificateBlock, Bytes: c.Raw}),
		Fingerprint: fingerprint(c),
		Title:       c.Subject.CommonName,
		Names:       permitted(c),
		Expires:     c.NotAfter,
	}
}

func fingerprint(c *x509.Certificate) string {
	sum := sha256.Sum256(c.Raw)
	return strings.ReplaceAll(fmt.Sprintf("% X", sum), " ", ":")
}

func newKey() (*ecdsa.PrivateKey, error) { return ecdsa.GenerateKey(elliptic.P256(), rand.Reader) }
