package group

import (
	"bytes"
	"cmp"
	"crypto/ed25519"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"kith.alt/kith"
	"kith.alt/kith/gossip"
)

// Limits of address records.
const (
	MaxAddresses = 8
	MaxRelays    = 4
	maxSameIP    = 2       // addresses of a record with one IP
	maxNAT       = 16      // letters of the word for a NAT
	maxRecord    = 2 << 10 // bytes of a body and its signature; those of this release stay below it

	recordVersion = 1
	recordDomain  = "kith address record 1\x00"
)

// record is where a host says it can be reached. The newest of a host, by its
// sequence number, takes the place of older ones.
type record struct {
	raw       []byte // the body as its host wrote it
	signature []byte
	received  int64     // Unix seconds
	taken     time.Time // from a peer, by this process
	body      recordBody
}

// recordBody is the signed part of a record. Relays, NAT and what is on the host's [Card] are
// absent in records of earlier releases; fields that this release does not know stay in
// the raw bytes.
type recordBody struct {
	Version   int              `json:"v"`
	Host      kith.ID          `json:"host"`
	Group     Hash             `json:"group"`
	Sequence  uint64           `json:"seq"`
	Addresses []netip.AddrPort `json:"addresses"`
	Relays    []kith.ID        `json:"relays,omitempty"`
	NAT       string           `json:"nat,omitempty"`
	SealKey   []byte           `json:"seal,omitempty"`
	Accounts  []string         `json:"accounts,omitempty"`
	Names     []string         `json:"names,omitempty"`
	More      bool             `json:"more,omitempty"`
	Run       Run              `json:"run,omitzero"`
	Saw       RunID            `json:"saw,omitzero"` // another run of the host, as [Twin] has it
}

var recordFields = []string{"v", "host", "group", "seq", "addresses", "relays", "nat", "seal", "accounts", "names", "more", "run", "saw"}

func signRecord(key ed25519.PrivateKey, b recordBody) (*record, error) {
	b.Version = recordVersion
	b.Host = kith.IDOf(publicKey(key))
	raw, err := json.Marshal(b)
	if err != nil {
		return nil, fmt.Errorf("address record: %w", err)
	}
	r, err := parseRecord(raw, ed25519.Sign(key, append([]byte(recordDomain), raw...)))
	if err != nil {
		return nil, err
	}
	r.received = time.Now().Unix()
	return r, nil
}

// parseRecord reads a record without checking its signature.
func parseRecord(raw, signature []byte) (*record, error) {
	r := &record{raw: raw, signature: signature}
	if len(raw)+len(signature) > maxRecord || len(signature) != ed25519.SignatureSize {
		return nil, fmt.Errorf("address record of %d bytes: %w", len(raw), kith.Invalid)
	}
	if err := gossip.DecodeExact(raw, &r.body, recordFields); err != nil {
		return nil, fmt.Errorf("address record: %w", err)
	}
	b := &r.body
	if b.Version < 1 || b.Host.IsZero() {
		return nil, fmt.Errorf("address record of version %d of host %s: %w", b.Version, b.Host.Short(), kith.Invalid)
	}
	if err := checkAddresses(b.Addresses); err != nil {
		return nil, fmt.Errorf("address record: %w", err)
	}
	if err := checkRelays(b.Relays, b.Host); err != nil {
		return nil, fmt.Errorf("address record: %w", err)
	}
	if err := checkNAT(b.NAT); err != nil {
		return nil, fmt.Errorf("address record: %w", err)
	}
	if err := r.card().check(); err != nil {
		return nil, fmt.Errorf("address record: %w", err)
	}
	return r, nil
}

func checkAddresses(addresses []netip.AddrPort) error {
	if len(addresses) > MaxAddresses {
		return fmt.Errorf("%d addresses, at most %d: %w", len(addresses), MaxAddresses, kith.Invalid)
	}
	for i, address := range addresses {
		if err := checkAddress(address); err != nil {
			return err
		}
		if sameIP(addresses[:i], address) >= maxSameIP {
			return fmt.Errorf("more than %d addresses with the IP %s: %w", maxSameIP, address.Addr(), kith.Invalid)
		}
	}
	return nil
}

// checkAddress refuses what names no single host, or means another one to
// each that reads it, as a zone does.
func checkAddress(address netip.AddrPort) error {
	ip := address.Addr().Unmap()
	if !address.IsValid() || address.Port() == 0 || ip.IsUnspecified() || ip.IsMulticast() || ip == netip.AddrFrom4([4]byte{255, 255, 255, 255}) || ip.Zone() != "" {
		return fmt.Errorf("address %s cannot be dialled: %w", address, kith.Invalid)
	}
	return nil
}

// sameIP counts the addresses that have the IP of address.
func sameIP(addresses []netip.AddrPort, address netip.AddrPort) int {
	n := 0
	for _, other := range addresses {
		if other.Addr().Unmap() == address.Addr().Unmap() {
			n++
		}
	}
	return n
}

func checkRelays(relays []kith.ID, host kith.ID) error {
	if len(relays) > MaxRelays {
		return fmt.Errorf("%d relays, at most %d: %w", len(relays), MaxRelays, kith.Invalid)
	}
	for i, relay := range relays {
		if relay.IsZero() || relay == host || slices.Contains(relays[:i], relay) {
			return fmt.Errorf("relay %s is no host, the host itself, or named twice: %w", relay.Short(), kith.Invalid)
		}
	}
	return nil
}

// checkNAT takes words that later releases may have, too.
func checkNAT(word string) error {
	foreign := func(c rune) bool { return c < 'a' || c > 'z' }
	if len(word) > maxNAT || strings.ContainsFunc(word, foreign) {
		return fmt.Errorf("%.40q is no word for a NAT: %w", word, kith.Invalid)
	}
	return nil
}

func (r *record) verify() error {
	if !ed25519.Verify(r.body.Host.Key(), append([]byte(recordDomain), r.raw...), r.signature) {
		return fmt.Errorf("address record of %s is not signed by it: %w", r.body.Host.Short(), kith.Denied)
	}
	return nil
}

// newer reports whether r takes the place of old, which may be nil. Two of one
// number, as a restored host may sign, are ordered by their bytes.
func (r *record) newer(old *record) bool {
	if old == nil {
		return true
	}
	return cmp.Or(cmp.Compare(r.body.Sequence, old.body.Sequence), bytes.Compare(r.raw, old.raw)) > 0
}

func appendRecord(buf []byte, r *record) []byte {
	buf = binary.BigEndian.AppendUint16(buf, uint16(len(r.raw)))
	buf = append(buf, r.raw...)
	return append(buf, r.signature...)
}

// parseRecords reads what appendRecord wrote, any number of times. A record
// that this release cannot read, or would not sign, is passed over: a peer of
// another release may have taken it in good faith. Signatures are not checked.
func parseRecords(buf []byte) ([]*record, error) {
	var records []*record
	for len(buf) > 0 {
		if len(buf) < 2 || len(buf) < 2+int(binary.BigEndian.Uint16(buf))+ed25519.SignatureSize {
			return nil, fmt.Errorf("address records end early: %w", kith.Invalid)
		}
		n := 2 + int(binary.BigEndian.Uint16(buf))
		end := n + ed25519.SignatureSize
		if r, err := parseRecord(bytes.Clone(buf[2:n]), bytes.Clone(buf[n:end])); err == nil {
			records = append(records, r)
		}
		buf = buf[end:]
	}
	return records, nil
}
