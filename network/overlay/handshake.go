package overlay

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"time"

	"kith.alt/kith"
)

const (
	alpnKith = "kith/1"
	alpnJoin = "kith-join/1"

	handshakePatience = 10 * time.Second // TLS and hello, or TLS and join, together
)

// errOtherHost says that the address belongs to another key by now.
var errOtherHost = errors.New("another host answers there")

// newCertificate wraps the key in the certificate that TLS wants. It names
// nobody and never expires: peers look at the key alone.
func newCertificate(key ed25519.PrivateKey) (tls.Certificate, error) {
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		NotBefore:    time.Unix(0, 0),
		NotAfter:     time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC), // RFC 5280 4.1.2.5
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("make certificate: %w", err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, nil
}

// baseConfig accepts any Ed25519 key: TLS proves that the peer holds it, and
// who may do what with which key is decided afterwards, or by VerifyConnection.
func baseConfig(certificate tls.Certificate, protocols ...string) *tls.Config {
	return &tls.Config{
		Certificates:           []tls.Certificate{certificate},
		MinVersion:             tls.VersionTLS13,
		NextProtos:             protocols,
		ClientAuth:             tls.RequireAnyClientCert,
		InsecureSkipVerify:     true, // no authority: VerifyConnection looks at the key
		SessionTicketsDisabled: true,
		VerifyConnection: func(state tls.ConnectionState) error {
			if !slices.Contains(protocols, state.NegotiatedProtocol) { // TLS lets peers pass that name none
				return errors.New("peer speaks no protocol of ours")
			}
			_, err := peerOf(state)
			return err
		},
	}
}

// diallerConfig accepts the one peer, and nobody else in its place.
func (o *Overlay) diallerConfig(peer kith.ID) (*tls.Config, error) {
	certificate, err := o.certificate()
	if err != nil {
		return nil, err
	}
	config := baseConfig(certificate, alpnKith)
	verify := config.VerifyConnection
	config.VerifyConnection = func(state tls.ConnectionState) error {
		if err := verify(state); err != nil {
			return err
		}
		if id, _ := peerOf(state); id != peer {
			return errOtherHost
		}
		return nil
	}
	return config, nil
}

// acceptorConfig offers joining only while an invitation is open.
func (o *Overlay) acceptorConfig() (*tls.Config, error) {
	certificate, err := o.certificate()
	if err != nil {
		return nil, err
	}
	closed := baseConfig(certificate, alpnKith)
	open := baseConfig(certificate, alpnKith, alpnJoin)
	config := baseConfig(certificate, alpnKith)
	config.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) {
		if o.cfg.JoinOpen != nil && o.cfg.Join != nil && o.cfg.JoinOpen() {
			return open, nil
		}
		return closed, nil
	}
	return config, nil
}

// peerOf returns the key that the peer presented. That it holds the key is
// proved when the handshake is complete, not before.
func peerOf(state tls.ConnectionState) (kith.ID, error) {
	if len(state.PeerCertificates) != 1 {
		return kith.ID{}, errors.New("peer sent no single certificate")
	}
	key, ok := state.PeerCertificates[0].PublicKey.(ed25519.PublicKey)
	if !ok {
		return kith.ID{}, errors.New("peer's key is not Ed25519")
	}
	return kith.IDOf(key), nil
}
