package group

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"encoding/binary"
	"fmt"
	"math"
	"net/netip"
	"strings"
	"time"

	"kith.alt/kith"
)

// MaxTicket is the longest ticket, in characters.
const MaxTicket = 200

const (
	ticketPrefix   = "kith"
	ticketVersion  = 1
	ticketGenesis  = 20
	ticketSecret   = 16
	ticketChecksum = 4
	ticketHead     = 2 + ticketGenesis + 32 + ticketSecret + 4
	ticketMaxBytes = (MaxTicket - len(ticketPrefix)) * 5 / 8
)

// Items after the head of a ticket, each begun by its kind.
const (
	itemIntroduce = 1 // nothing
	itemIPv4      = 4 // address, port
	itemIPv6      = 6 // address, port
)

var ticketEncoding = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// A Ticket lets a host join a group. Whoever has it can use it: its text is a
// secret until it is used up or has expired.
//
// Its text form is "kith" and lower-case base32 of: version, length in bytes,
// 20 bytes of the genesis hash, the inviter's ID, the secret, expiry in Unix
// seconds (4 bytes), a byte 1 where Introduce is set, addresses (a byte 4 or 6,
// address, port), and the first four bytes of SHA-256 over all that.
type Ticket struct {
	Genesis   [ticketGenesis]byte
	Inviter   kith.ID
	Secret    [ticketSecret]byte
	Expires   time.Time        // whole seconds
	Introduce bool             // the two may find each other by [Ticket.Meeting], where no address leads to the inviter
	Addresses []netip.AddrPort // where the inviter may be reached; those that do not fit are left out of the text
}

// String returns the text form, at most [MaxTicket] characters.
func (t Ticket) String() string {
	raw := make([]byte, 0, ticketMaxBytes)
	raw = append(raw, ticketVersion, 0)
	raw = append(raw, t.Genesis[:]...)
	raw = append(raw, t.Inviter[:]...)
	raw = append(raw, t.Secret[:]...)
	raw = binary.BigEndian.AppendUint32(raw, uint32(min(max(t.Expires.Unix(), 0), math.MaxUint32)))
	if t.Introduce {
		raw = append(raw, itemIntroduce)
	}
	for _, address := range t.Addresses {
		ip := address.Addr().Unmap().WithZone("")
		kind := byte(itemIPv4)
		if ip.Is6() {
			kind = itemIPv6
		}
		if !ip.IsValid() || len(raw)+1+ip.BitLen()/8+2+ticketChecksum > ticketMaxBytes {
			continue
		}
		raw = append(raw, kind)
		raw = append(raw, ip.AsSlice()...)
		raw = binary.BigEndian.AppendUint16(raw, address.Port())
	}
	raw[1] = byte(len(raw) + ticketChecksum)
	sum := ticketSum(raw)
	return ticketPrefix + ticketEncoding.EncodeToString(append(raw, sum[:]...))
}

// ParseTicket reads the text form; capitals and white space, as mail programs
// and QR codes make them, do not matter. Its errors are of kind Invalid and
// tell a text that is no ticket, a truncated, a mistyped and a newer ticket
// apart. An expired ticket parses.
func ParseTicket(text string) (Ticket, error) {
	var t Ticket
	if len(text) > 4*MaxTicket {
		return t, fmt.Errorf("this is no ticket: it has %d characters, at most %d: %w", len(text), MaxTicket, kith.Invalid)
	}
	text = strings.ToLower(strings.Join(strings.Fields(text), ""))
	code, ok := strings.CutPrefix(text, ticketPrefix)
	if !ok || len(code) < 2 {
		return t, fmt.Errorf("this is no ticket: a ticket begins with %q: %w", ticketPrefix, kith.Invalid)
	}
	if at := strings.IndexFunc(code, func(c rune) bool { return (c < 'a' || c > 'z') && (c < '2' || c > '7') }); at >= 0 {
		return t, fmt.Errorf("ticket is mistyped: character %d cannot be in a ticket: %w", len(ticketPrefix)+at+1, kith.Invalid)
	}
	// A text cut short may end within a byte: decode its whole bytes only.
	whole := code[:len(code)-len(code)%8]
	tail := code[len(whole):]
	switch len(tail) {
	case 1, 3, 6: // not the length of any bytes
		tail = tail[:len(tail)-1]
	}
	raw, err := ticketEncoding.DecodeString(whole + tail)
	if err != nil || len(raw) < 1 {
		return t, fmt.Errorf("ticket is truncated: %w", kith.Invalid)
	}
	if raw[0] > ticketVersion {
		return t, fmt.Errorf("ticket is mistyped, or made by a newer kith (version %d, this kith knows %d); update kith or copy it again: %w", raw[0], ticketVersion, kith.Invalid)
	}
	if len(raw) < 2 || len(raw) < int(raw[1]) || len(code) < ticketEncoding.EncodedLen(int(raw[1])) {
		return t, fmt.Errorf("ticket is truncated: copy all of it: %w", kith.Invalid)
	}
	sum := ticketSum(raw[:max(len(raw)-ticketChecksum, 0)])
	if raw[0] != ticketVersion || len(raw) != int(raw[1]) || len(raw) < ticketHead+ticketChecksum ||
		!bytes.Equal(raw[len(raw)-ticketChecksum:], sum[:]) || ticketEncoding.EncodeToString(raw) != code {
		return t, fmt.Errorf("ticket is mistyped (its checksum differs): copy it again: %w", kith.Invalid)
	}
	rest := raw[2 : len(raw)-ticketChecksum]
	rest = rest[copy(t.Genesis[:], rest):]
	rest = rest[copy(t.Inviter[:], rest):]
	rest = rest[copy(t.Secret[:], rest):]
	t.Expires = time.Unix(int64(binary.BigEndian.Uint32(rest)), 0)
	for rest = rest[4:]; len(rest) > 0; {
		if rest[0] == itemIntroduce && !t.Introduce {
			t.Introduce, rest = true, rest[1:]
			continue
		}
		size := map[byte]int{itemIPv4: 4, itemIPv6: 16}[rest[0]]
		if size == 0 || len(rest) < 1+size+2 {
			return Ticket{}, fmt.Errorf("ticket holds an address that cannot be read: %w", kith.Invalid)
		}
		ip, _ := netip.AddrFromSlice(rest[1 : 1+size])
		if ip.Is4In6() {
			return Ticket{}, fmt.Errorf("ticket holds an address that cannot be read: %w", kith.Invalid)
		}
		t.Addresses = append(t.Addresses, netip.AddrPortFrom(ip, binary.BigEndian.Uint16(rest[1+size:])))
		rest = rest[1+size+2:]
	}
	return t, nil
}

// newSecret draws a ticket's secret.
func newSecret() (secret [ticketSecret]byte) {
	rand.Read(secret[:]) // never fails
	return secret
}

// Meeting is a secret that only those know who have the ticket: for the inviter
// and the joiner to find each other by, in a public directory. It tells nothing
// of the ticket's own secret, and is of no use to join with.
func (t Ticket) Meeting() [32]byte {
	return t.derive("kith ticket meeting 1\x00")
}

// key is the key whose seed is made of the secret. Its public half is in the invite
// entry.
func (t Ticket) key() ed25519.PrivateKey {
	seed := t.derive("kith ticket key 1\x00")
	return ed25519.NewKeyFromSeed(seed[:])
}

// derive makes a secret of its own for each purpose from the ticket's.
func (t Ticket) derive(purpose string) [sha256.Size]byte {
	h := sha256.New()
	h.Write([]byte(purpose))
	h.Write(t.Genesis[:])
	h.Write(t.Secret[:])
	return [sha256.Size]byte(h.Sum(nil))
}

func ticketSum(raw []byte) [ticketChecksum]byte {
	sum := sha256.Sum256(append([]byte("kith ticket 1\x00"), raw...))
	return [ticketChecksum]byte(sum[:])
}
