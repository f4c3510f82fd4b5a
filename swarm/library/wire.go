package library

import (
	"bytes"
	"crypto/ed25519"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"

	"kith.alt/kith"
	"kith.alt/kith/gossip"
)

const (
	batch = 32 << 10 // bytes of a frame of records after which the next one is begun

	maxSummaries = 1000 // hosts of a library that others are told of

	wireVersion = 2 // 1 had records that named no group
)

// A frameType is of the frames of [Library.Sync]; see package gossip.
type frameType byte

const (
	frameHello     frameType = 1 // JSON: hello
	frameDigest    frameType = 2 // of what we have now
	frameAsk       frameType = 3 // nothing: tell me the summaries of all hosts
	frameSummaries frameType = 4 // the answer
	frameOffer     frameType = 5 // summaries: these hosts have new holdings
	frameWant      frameType = 6 // wants: send what I lack of these hosts. One at a time
	frameAnswer    frameType = 7 // records that you want
	frameDone      frameType = 8 // nothing: that was all that you want
	frameNews      frameType = 9 // records
)

// hello is the first frame in each direction.
type hello struct {
	Version int    `json:"v"`
	Digest  string `json:"digest"` // hexadecimal
}

func parseHello(payload []byte) (d digest, err error) {
	var h hello
	if err := json.Unmarshal(payload, &h); err != nil {
		return d, fmt.Errorf("hello: %w: %w", err, kith.Invalid)
	}
	sum, err := hex.DecodeString(h.Digest)
	if h.Version < wireVersion {
		return d, fmt.Errorf("hello of version %d, of an older release whose entries named no group: %w", h.Version, kith.Invalid)
	}
	if err != nil || len(sum) != len(d) {
		return d, fmt.Errorf("hello of version %d with the digest %.40q: %w", h.Version, h.Digest, kith.Invalid)
	}
	return digest(sum), nil
}

func helloFrame(d digest) ([]byte, error) {
	payload, err := json.Marshal(hello{Version: wireVersion, Digest: hex.EncodeToString(d[:])})
	return append(gossip.BeginFrame(frameHello), payload...), err
}

// parseSummaries reads what summary.appendTo wrote, any number of times.
func parseSummaries(buf []byte) ([]summary, error) {
	if len(buf)%summarySize != 0 {
		return nil, fmt.Errorf("summaries of %d bytes: %w", len(buf), kith.Invalid)
	}
	list := make([]summary, 0, len(buf)/summarySize)
	for item := range slices.Chunk(buf, summarySize) {
		list = append(list, parseSummary(item))
	}
	return list, nil
}

// A want says what its sender has of a host: the version of its holdings, and
// where it lacks entries (or has others) all versions of these. On the wire it is
// the host, the version of the holdings (8 bytes), what is wanted (1), the number
// of entries (2), and these.
type want struct {
	host     kith.ID
	holdings uint64
	entries  bool
	has      []version
}

const (
	wantHead    = len(kith.ID{}) + 8 + 1 + 2
	wantEntries = 1 // a bit: entries, too
)

func (w want) size() int { return wantHead + len(w.has)*versionSize }

func (w want) appendTo(buf []byte) []byte {
	buf = append(buf, w.host[:]...)
	buf = binary.BigEndian.AppendUint64(buf, w.holdings)
	var what byte
	if w.entries {
		what = wantEntries
	}
	buf = append(buf, what)
	buf = binary.BigEndian.AppendUint16(buf, uint16(len(w.has)))
	for _, v := range w.has {
		buf = v.appendTo(buf)
	}
	return buf
}

// parseWant reads the first want of buf and returns what follows.
func parseWant(buf []byte) (w want, rest []byte, err error) {
	if len(buf) < wantHead {
		return w, nil, fmt.Errorf("want of %d bytes: %w", len(buf), kith.Invalid)
	}
	head := buf[copy(w.host[:], buf):]
	w.holdings = binary.BigEndian.Uint64(head)
	w.entries = head[8]&wantEntries != 0
	n := int(binary.BigEndian.Uint16(head[9:]))
	if buf = buf[wantHead:]; len(buf) < n*versionSize {
		return w, nil, fmt.Errorf("want ends early: %w", kith.Invalid)
	}
	w.has = make([]version, 0, n)
	for item := range slices.Chunk(buf[:n*versionSize], versionSize) {
		w.has = append(w.has, parseVersion(item))
	}
	return w, buf[n*versionSize:], nil
}

// checkWants says whether buf is wants, each of another host.
func checkWants(buf []byte) error {
	seen := make(map[kith.ID]bool)
	for len(buf) > 0 {
		w, rest, err := parseWant(buf)
		if err != nil {
			return err
		}
		if seen[w.host] || len(w.has) > MaxEntries {
			return fmt.Errorf("want names host %s twice, or %d entries: %w", w.host.Short(), len(w.has), kith.Invalid)
		}
		seen[w.host] = true
		buf = rest
	}
	return nil
}

func (r *record) appendTo(buf []byte) []byte {
	buf = append(buf, byte(r.kind))
	buf = binary.BigEndian.AppendUint16(buf, uint16(len(r.raw)))
	buf = append(buf, r.raw...)
	return append(buf, r.signature...)
}

// parseRecords reads what record.appendTo wrote, any number of times. A record
// that this release cannot read, or would not sign, is passed over: a peer of
// another release may have taken it in good faith. Signatures are not checked.
func parseRecords(buf []byte) ([]*record, error) {
	var records []*record
	for len(buf) > 0 {
		if len(buf) < 3 || len(buf) < 3+int(binary.BigEndian.Uint16(buf[1:]))+ed25519.SignatureSize {
			return nil, fmt.Errorf("library records end early: %w", kith.Invalid)
		}
		n := 3 + int(binary.BigEndian.Uint16(buf[1:]))
		end := n + ed25519.SignatureSize
		if r, err := parseRecord(recordKind(buf[0]), bytes.Clone(buf[3:n]), bytes.Clone(buf[n:end])); err == nil {
			records = append(records, r)
		}
		buf = buf[end:]
	}
	return records, nil
}
