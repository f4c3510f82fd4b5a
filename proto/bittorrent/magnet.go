package bittorrent

import (
	"encoding/base32"
	"encoding/hex"
	"fmt"
	"net/url"
	"strings"
)

// A Magnet is a magnet link (BEP 9): what content is called, and where to
// ask for it.
type Magnet struct {
	ID       [32]byte // of version 2 (btmh); zero where it is not there
	IDv1     [20]byte // of version 1 (btih); zero where it is not there
	Name     string   // dn
	Trackers []string // tr: URLs
	Peers    []string // x.pe: host:port
}

const (
	magnetScheme = "magnet:?"
	maxMagnet    = 16 << 10 // bytes

	btih = "urn:btih:"
	btmh = "urn:btmh:1220" // a multihash: SHA-256, 32 bytes
)

// String returns the link, hex digits in lower case.
func (m Magnet) String() string {
	var b strings.Builder
	b.WriteString("magnet:")
	separator := byte('?')
	add := func(key, value string) {
		b.WriteByte(separator)
		b.WriteString(key + "=" + value)
		separator = '&'
	}
	if m.IDv1 != [20]byte{} {
		add("xt", btih+hex.EncodeToString(m.IDv1[:]))
	}
	if m.ID != [32]byte{} {
		add("xt", btmh+hex.EncodeToString(m.ID[:]))
	}
	if m.Name != "" {
		add("dn", escape(m.Name))
	}
	for _, tracker := range m.Trackers {
		add("tr", escape(tracker))
	}
	for _, peer := range m.Peers {
		add("x.pe", peerEscapes.Replace(escape(peer)))
	}
	return b.String()
}

// escape leaves nothing that has a meaning in a query; not every client takes
// a plus sign for a space.
func escape(text string) string { return strings.ReplaceAll(url.QueryEscape(text), "+", "%20") }

// peerEscapes leaves the punctuation of addresses as it is, which a query may
// have: libtorrent takes it no other way.
var peerEscapes = strings.NewReplacer("%3A", ":", "%5B", "[", "%5D", "]")

// ParseMagnet reads a link. Parameters that it does not know are ignored, and so
// are other kinds of hashes. Its error wraps [ErrInvalid].
func ParseMagnet(text string) (Magnet, error) {
	var m Magnet
	if len(text) > maxMagnet {
		return m, fmt.Errorf("magnet link of %d bytes, at most %d: %w", len(text), maxMagnet, ErrInvalid)
	}
	if len(text) < len(magnetScheme) || !strings.EqualFold(text[:len(magnetScheme)], magnetScheme) {
		return m, fmt.Errorf("%.40q does not begin with %s: %w", text, magnetScheme, ErrInvalid)
	}
	for parameter := range strings.SplitSeq(text[len(magnetScheme):], "&") {
		key, value, _ := strings.Cut(parameter, "=")
		value, err := url.QueryUnescape(value)
		if err != nil {
			return Magnet{}, fmt.Errorf("%.40s in a magnet link: %v: %w", printable(parameter), err, ErrInvalid)
		}
		// Keys may be numbered: xt.1, tr.2.
		switch key, _, _ := strings.Cut(key, "."); {
		case key == "xt":
			if err := m.parseTopic(value); err != nil {
				return Magnet{}, err
			}
		case key == "dn" && m.Name == "":
			m.Name = value
		case key == "tr" && len(m.Trackers) < maxAnnounce:
			m.Trackers = append(m.Trackers, value)
		case strings.HasPrefix(parameter, "x.pe=") && len(m.Peers) < maxAnnounce:
			m.Peers = append(m.Peers, value)
		}
	}
	if m.ID == [32]byte{} && m.IDv1 == [20]byte{} {
		return Magnet{}, fmt.Errorf("magnet link names no torrent: %w", ErrInvalid)
	}
	return m, nil
}

// parseTopic reads an exact topic.
func (m *Magnet) parseTopic(topic string) error {
	if len(topic) >= len(btih) && strings.EqualFold(topic[:len(btih)], btih) {
		digits := topic[len(btih):]
		id, err := hex.DecodeString(digits)
		if len(digits) == 32 {
			id, err = base32.StdEncoding.DecodeString(strings.ToUpper(digits))
		}
		if err != nil || len(id) != len(m.IDv1) {
			return fmt.Errorf("%.80q is not 40 hex digits: %w", digits, ErrInvalid)
		}
		m.IDv1 = [20]byte(id)
	}
	if len(topic) >= len(btmh) && strings.EqualFold(topic[:len(btmh)], btmh) {
		id, err := hex.DecodeString(topic[len(btmh):])
		if err != nil || len(id) != len(m.ID) {
			return fmt.Errorf("%.80q is not 64 hex digits: %w", topic[len(btmh):], ErrInvalid)
		}
		m.ID = [32]byte(id)
	}
	return nil
}
