package post

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"kith.alt/kith"
	"kith.alt/kith/gossip"
)

// A frame's payload, by its type. Types that a release does not know are passed over.
type frameKind byte

const (
	frameHello     frameKind = iota + 1 // greeting, in JSON; the first one
	frameVector                         // how far the receipts of each receiver are here: ID and number, any number of them; an empty one is the last
	frameReceipts                       // signed receipts
	frameOffer                          // a signed header, and holders
	frameAnswer                         // key, verdict, reason, or the proof that the letter is here
	frameBegin                          // key: the body of a letter that was wanted follows
	frameBody                           // bytes of it
	frameKept                           // key and proof: the letter is durable here
	frameHolders                        // key and holders: members that have it, too, each an ID and a proof
	frameAgain                          // keys of letters that the peer had received, and has lost
	frameWithdrawn                      // key: a letter that was offered, and wanted, will not come
	frameGaps                           // pairs of numbers: receipts of the peer between them, which it may not know; before its vector
)

// A verdict answers an offer.
type verdict byte

const (
	verdictWant verdict = iota + 1
	verdictHave
	verdictBusy    // another brings it now, or too much is on its way
	verdictFull    // no room
	verdictRefused // it will not be taken
)

const (
	maxHolders   = 16 // that a frame names
	holderSize   = len(kith.ID{}) + proofSize
	maxVector    = 1 << 16 // receivers
	vectorEntry  = len(kith.ID{}) + 8
	bodyPart     = 32 << 10 // bytes of a letter in a frame
	gapSize      = 16
	vectorInOne  = 1000
	maxUnsettled = 64 // letters offered in a talk and not answered, and wanted and not come
)

type greeting struct {
	Version int   `json:"v"`
	Room    int64 `json:"room"` // bytes of letters that it takes for others
}

func helloFrame(room int64) ([]byte, error) {
	text, err := json.Marshal(greeting{wireVersion, room})
	return append(gossip.BeginFrame(frameHello), text...), err
}

func readHello(payload []byte) (greeting, error) {
	var g greeting
	err := gossip.DecodeExact(payload, &g, []string{"v", "room"})
	if err == nil && (g.Version < 1 || g.Room < 0) {
		err = fmt.Errorf("version %d, room %d: %w", g.Version, g.Room, kith.Invalid)
	}
	if err != nil {
		return g, fmt.Errorf("greeting: %w", err)
	}
	return g, nil
}

// vectorFrames tell v, and end with an empty one.
func vectorFrames(v map[kith.ID]int64) (frames [][]byte) {
	frame, n := gossip.BeginFrame(frameVector), 0
	for id, number := range v {
		frame = binary.BigEndian.AppendUint64(append(frame, id[:]...), uint64(number))
		if n++; n == vectorInOne {
			frames, frame, n = append(frames, frame), gossip.BeginFrame(frameVector), 0
		}
	}
	if n > 0 {
		frames = append(frames, frame)
	}
	return append(frames, gossip.BeginFrame(frameVector))
}

func readVector(payload []byte, into map[kith.ID]int64) error {
	if len(payload)%vectorEntry != 0 || len(into)+len(payload)/vectorEntry > maxVector {
		return fmt.Errorf("vector of %d bytes: %w", len(payload), kith.Invalid)
	}
	for ; len(payload) > 0; payload = payload[vectorEntry:] {
		into[kith.ID(payload[:len(kith.ID{})])] = int64(binary.BigEndian.Uint64(payload[len(kith.ID{}):]) &^ (1 << 63))
	}
	return nil
}

func gapsFrame(gaps []gap) []byte {
	frame := gossip.BeginFrame(frameGaps)
	for _, g := range gaps {
		frame = binary.BigEndian.AppendUint64(frame, uint64(g.after))
		frame = binary.BigEndian.AppendUint64(frame, uint64(g.before))
	}
	return frame
}

func readGaps(payload []byte) (gaps []gap, err error) {
	if len(payload)%gapSize != 0 || len(payload) > maxGaps*gapSize {
		return nil, fmt.Errorf("gaps of %d bytes: %w", len(payload), kith.Invalid)
	}
	for ; len(payload) > 0; payload = payload[gapSize:] {
		gaps = append(gaps, gap{int64(binary.BigEndian.Uint64(payload)), int64(binary.BigEndian.Uint64(payload[8:]))})
	}
	return gaps, nil
}

func readReceipts(payload []byte) (list []*receipt, err error) {
	payload = append([]byte(nil), payload...)
	for len(payload) > 0 {
		var s signed
		if s, payload, err = cutSigned(payload); err != nil {
			return nil, err
		}
		if r, err := parseReceipt(s); err == nil { // others may be of a later release
			list = append(list, r)
		}
	}
	return list, nil
}

func offerFrame(h *header, holders []holder) []byte {
	return appendHolders(h.append(gossip.BeginFrame(frameOffer)), holders)
}

func readOffer(payload []byte) (*header, []holder, error) {
	s, rest, err := cutSigned(append([]byte(nil), payload...))
	if err != nil {
		return nil, nil, err
	}
	h, err := parseHeader(s)
	if err != nil {
		return nil, nil, err
	}
	holders, err := readHolders(rest)
	return h, holders, err
}

func appendHolders(frame []byte, holders []holder) []byte {
	for _, o := range holders[:min(len(holders), maxHolders)] {
		frame = append(append(frame, o.id[:]...), o.proof...)
	}
	return frame
}

func readHolders(payload []byte) (list []holder, err error) {
	if len(payload)%holderSize != 0 || len(payload) > maxHolders*holderSize {
		return nil, fmt.Errorf("members that have a letter in %d bytes: %w", len(payload), kith.Invalid)
	}
	payload = bytes.Clone(payload)
	for ; len(payload) > 0; payload = payload[holderSize:] {
		id, word := payload[:len(kith.ID{})], payload[len(kith.ID{}):holderSize:holderSize]
		list = append(list, holder{kith.ID(id), word})
	}
	return list, nil
}

func readKept(payload []byte) (k key, word proof, err error) {
	k, rest, err := cutKey(payload)
	if err == nil && len(rest) != proofSize {
		err = fmt.Errorf("letter kept in %d bytes: %w", len(payload), kith.Invalid)
	}
	return k, bytes.Clone(rest), err
}

func keptFrame(k key, word proof) []byte { return append(keyFrame(frameKept, k), word...) }

func answerFrame(k key, v verdict, reason string) []byte {
	return append(append(k.append(gossip.BeginFrame(frameAnswer)), byte(v)), shorten(reason)...)
}

// haveFrame answers that a letter is here, or with no proof that it ended.
func haveFrame(k key, word proof) []byte {
	return append(append(k.append(gossip.BeginFrame(frameAnswer)), byte(verdictHave)), word...)
}

// answerTo puts an error into an answer.
func answerTo(k key, err error) []byte {
	switch {
	case errors.Is(err, kith.Quota):
		return answerFrame(k, verdictFull, err.Error())
	case errors.Is(err, kith.NotMember): // it may hear of an admission in a moment
		return answerFrame(k, verdictBusy, err.Error())
	case errors.Is(err, kith.Invalid), errors.Is(err, kith.NotFound), errors.Is(err, kith.Denied), errors.Is(err, kith.Expired):
		return answerFrame(k, verdictRefused, err.Error())
	}
	return faultTo(k, err)
}

// faultTo puts a fault of this host into an answer. What it says of files is nobody else's business.
func faultTo(k key, err error) []byte {
	if errors.Is(err, kith.Quota) {
		return answerFrame(k, verdictFull, "its disk is full")
	}
	return answerFrame(k, verdictBusy, "a fault of its own")
}

func readAnswer(payload []byte) (k key, v verdict, reason string, word proof, err error) {
	k, rest, err := cutKey(payload)
	if err == nil && (len(rest) < 1 || len(rest) > 1+maxReason) {
		err = fmt.Errorf("answer of %d bytes: %w", len(payload), kith.Invalid)
	}
	if err != nil {
		return k, 0, "", nil, err
	}
	switch v, rest = verdict(rest[0]), rest[1:]; {
	case v != verdictHave:
		reason = strings.ToValidUTF8(string(rest), "?")
	case len(rest) == proofSize:
		word = bytes.Clone(rest)
	case len(rest) > 0:
		err = fmt.Errorf("proof of %d bytes: %w", len(rest), kith.Invalid)
	}
	return k, v, reason, word, err
}

func keyFrame(kind frameKind, k key) []byte { return k.append(gossip.BeginFrame(kind)) }
