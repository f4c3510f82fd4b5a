package group

import (
	"bytes"
	"cmp"
	"context"
	"crypto/ed25519"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"time"

	"kith.alt/kith"
)

// Limits of address records.
const (
	MaxAddresses = 8
	maxRecord    = 1 << 10 // bytes of a body and its signature

	recordVersion = 1
	recordDomain  = "kith address record 1\x00"
	recordExpiry  = 30 * 24 * time.Hour // since it was received
	recordRenewal = 7 * 24 * time.Hour  // unchanged addresses are signed anew after this
	recordPause   = time.Second         // between two of one host
)

// record is where a host says it can be reached. The newest of a host, by its
// sequence number, takes the place of older ones.
type record struct {
	raw       []byte
	signature []byte
	received  int64     // Unix seconds
	taken     time.Time // from a peer, by this process
	body      recordBody
}

type recordBody struct {
	Version   int              `json:"v"`
	Host      kith.ID          `json:"host"`
	Group     Hash             `json:"group"`
	Sequence  uint64           `json:"seq"`
	Addresses []netip.AddrPort `json:"addresses"`
}

var recordFields = []string{"v", "host", "group", "seq", "addresses"}

func signRecord(key ed25519.PrivateKey, b recordBody) (*record, error) {
	b.Version = recordVersion
	b.Host = kith.IDOf(key.Public().(ed25519.PublicKey))
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
	if err := decodeExact(raw, &r.body, recordFields); err != nil {
		return nil, fmt.Errorf("address record: %w", err)
	}
	if r.body.Version < 1 || r.body.Host.IsZero() || len(r.body.Addresses) > MaxAddresses {
		return nil, fmt.Errorf("address record of version %d with %d addresses: %w", r.body.Version, len(r.body.Addresses), kith.Invalid)
	}
	for _, address := range r.body.Addresses {
		if err := checkAddress(address); err != nil {
			return nil, err
		}
	}
	return r, nil
}

func checkAddress(address netip.AddrPort) error {
	ip := address.Addr()
	if !address.IsValid() || address.Port() == 0 || ip.IsUnspecified() || ip.IsMulticast() {
		return fmt.Errorf("address %s cannot be dialled: %w", address, kith.Invalid)
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

func parseRecords(buf []byte) ([]*record, error) {
	var records []*record
	for len(buf) > 0 {
		if len(buf) < 2 || len(buf) < 2+int(binary.BigEndian.Uint16(buf))+ed25519.SignatureSize {
			return nil, fmt.Errorf("address records end early: %w", kith.Invalid)
		}
		n := 2 + int(binary.BigEndian.Uint16(buf))
		end := n + ed25519.SignatureSize
		r, err := parseRecord(bytes.Clone(buf[2:n]), bytes.Clone(buf[n:end]))
		if err != nil {
			return nil, err
		}
		records = append(records, r)
		buf = buf[end:]
	}
	return records, nil
}

// SetAddresses tells the group where this host can be reached: at most
// [MaxAddresses]; further ones are left out. Members that sync learn it at
// once. Unchanged addresses cost nothing.
func (g *Group) SetAddresses(ctx context.Context, addresses []netip.AddrPort) error {
	addresses = slices.Clone(addresses[:min(len(addresses), MaxAddresses)])
	for _, address := range addresses {
		if err := checkAddress(address); err != nil {
			return err
		}
	}
	g.changing.Lock()
	defer g.changing.Unlock()
	g.own = addresses
	state := g.state.Load()
	old := state.records[g.id]
	if old != nil && slices.Equal(old.body.Addresses, addresses) && time.Since(time.Unix(old.received, 0)) < recordRenewal {
		return nil
	}
	return g.issueRecord(ctx, old)
}

// issueRecord signs our addresses anew, above old. The caller holds changing.
func (g *Group) issueRecord(ctx context.Context, above *record) error {
	// Numbers begin at the clock, so that a restored host does not use one twice.
	b := recordBody{Group: g.log.genesis, Sequence: uint64(time.Now().Unix()), Addresses: g.own}
	if above != nil && above.body.Sequence >= b.Sequence {
		b.Sequence = above.body.Sequence + 1
		if b.Sequence == 0 {
			return fmt.Errorf("address record: the sequence numbers are used up: %w", kith.Quota)
		}
	}
	r, err := signRecord(g.key, b)
	if err != nil {
		return err
	}
	return g.keepRecords(ctx, []*record{r})
}

// Addresses returns where the member id was last known to be reachable, by a
// record that came within the last 30 days. The caller must not change it.
func (g *Group) Addresses(id kith.ID) []netip.AddrPort {
	r := g.state.Load().records[id]
	if r == nil || time.Since(time.Unix(r.received, 0)) > recordExpiry {
		return nil
	}
	return r.body.Addresses
}

// applyRecords takes what is new in records from a peer, those of one host at
// most once a second: it waits for that. A record of our own that we do not
// know means that we were restored: we go on above it.
func (g *Group) applyRecords(ctx context.Context, records []*record) error {
	for {
		rest, err := g.tryRecords(ctx, records)
		if err != nil || rest <= 0 {
			return err
		}
		select {
		case <-time.After(rest):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// tryRecords is applyRecords for now. It returns how long some have to wait.
func (g *Group) tryRecords(ctx context.Context, records []*record) (rest time.Duration, err error) {
	g.changing.Lock()
	defer g.changing.Unlock()
	state := g.state.Load()
	newest := make(map[kith.ID]*record)
	for _, r := range records {
		id := r.body.Host
		old := state.records[id]
		if _, ok := state.roster.Member(id); !ok || r.body.Group != g.log.genesis || !r.newer(old) || !r.newer(newest[id]) {
			continue
		}
		if old != nil {
			if wait := recordPause - time.Since(old.taken); wait > 0 {
				rest = max(rest, wait)
				continue
			}
		}
		if err := r.verify(); err != nil {
			return 0, err
		}
		r.taken = time.Now()
		r.received = r.taken.Unix()
		newest[id] = r
	}
	own := newest[g.id]
	delete(newest, g.id)
	if err := g.keepRecords(ctx, slices.Collect(maps.Values(newest))); err != nil {
		return 0, err
	}
	if own != nil {
		return rest, g.issueRecord(ctx, own)
	}
	return rest, nil
}

// keepRecords makes verified records durable and visible. The caller holds
// changing.
func (g *Group) keepRecords(ctx context.Context, records []*record) error {
	if len(records) == 0 {
		return nil
	}
	if err := g.storeRecords(ctx, records); err != nil {
		return err
	}
	next := *g.state.Load()
	if next.records = maps.Clone(next.records); next.records == nil {
		next.records = make(map[kith.ID]*record)
	}
	for _, r := range records {
		next.records[r.body.Host] = r
	}
	g.publish(&next)
	return nil
}
