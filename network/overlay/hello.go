package overlay

import (
	"encoding/binary"
	"fmt"
	"io"
	"net/netip"

	"kith.alt/kith"
)

// A hello is what each side says of itself before a carrier counts as up:
//
//	version (1) | verdict (1) | length (2) | fields
//
// Fields are type (1), length (2) and value; unknown types and whatever a
// newer version adds are skipped.
type hello struct {
	verdict  verdict
	reason   string   // why not
	instance instance // of the sender's process
	proof    []byte   // the signed entries that admit the sender

	observed   netip.AddrPort   // where the sender sees the receiver; invalid through a relay
	candidates []netip.AddrPort // where the sender may be dialled by UDP
	digest     []byte           // of the roster that the sender has
	confirmed  bool             // the dialler has nothing else to choose: the carrier is up with the acceptor's hello
}

// An instance tells two runs of a host apart, so that a carrier to the run
// before a restart gives way at once.
type instance [8]byte

const (
	helloVersion    = 1
	helloMaxBody    = 20 << 10
	maxProof        = 16 << 10
	fieldInstance   = 1
	fieldProof      = 2
	fieldReason     = 3
	fieldObserved   = 4
	fieldCandidates = 5
	fieldDigest     = 6
	fieldConfirmed  = 7
)

func (h hello) append(b []byte) []byte {
	var body []byte
	field := func(kind byte, value []byte) {
		if len(value) > 0 {
			body = binary.BigEndian.AppendUint16(append(body, kind), uint16(len(value)))
			body = append(body, value...)
		}
	}
	field(fieldInstance, h.instance[:])
	field(fieldProof, h.proof)
	field(fieldReason, []byte(h.reason))
	if h.observed.IsValid() {
		field(fieldObserved, appendAddresses(nil, []netip.AddrPort{h.observed}))
	}
	if len(h.candidates) > 0 {
		field(fieldCandidates, appendAddresses(nil, h.candidates))
	}
	field(fieldDigest, h.digest)
	if h.confirmed {
		field(fieldConfirmed, []byte{1})
	}
	b = append(b, helloVersion, byte(h.verdict))
	return append(binary.BigEndian.AppendUint16(b, uint16(len(body))), body...)
}

func readHello(r io.Reader) (hello, error) {
	var h hello
	var head [4]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return h, fmt.Errorf("read hello: %w", err)
	}
	if head[0] == 0 {
		return h, fmt.Errorf("hello has version 0: %w", kith.Invalid)
	}
	h.verdict = verdict(head[1])
	size := int(binary.BigEndian.Uint16(head[2:]))
	if size > helloMaxBody {
		return h, fmt.Errorf("hello has %d bytes, at most %d: %w", size, helloMaxBody, kith.Invalid)
	}
	body := make([]byte, size)
	if _, err := io.ReadFull(r, body); err != nil {
		return h, fmt.Errorf("read hello: %w", err)
	}
	for len(body) > 0 {
		if len(body) < 3 {
			return h, fmt.Errorf("hello ends within a field: %w", kith.Invalid)
		}
		kind, length := body[0], int(binary.BigEndian.Uint16(body[1:]))
		if body = body[3:]; length > len(body) {
			return h, fmt.Errorf("hello ends within a field: %w", kith.Invalid)
		}
		value := body[:length]
		body = body[length:]
		switch kind {
		case fieldInstance:
			copy(h.instance[:], value)
		case fieldProof:
			if length > maxProof {
				return h, fmt.Errorf("proof has %d bytes, at most %d: %w", length, maxProof, kith.Quota)
			}
			h.proof = value
		case fieldReason:
			h.reason = cleanReason(string(value))
		case fieldObserved, fieldCandidates:
			if length == 0 {
				continue
			}
			list, err := parseAddresses(value)
			if err != nil {
				return h, fmt.Errorf("hello: %w", err)
			}
			if kind == fieldCandidates {
				h.candidates = list
			} else if len(list) > 0 {
				h.observed = list[0]
			}
		case fieldDigest:
			h.digest = value
		case fieldConfirmed:
			h.confirmed = true
		}
	}
	return h, nil
}

// greetAsDialler runs the dialler's side of the hello exchange on rw and
// returns the acceptor's hello. remote is where the acceptor is, if that is an
// address. An error of kind NotMember is either side's verdict. Only when the
// dialler confirms does the acceptor count the carrier as up, so a dialler that
// loses interest just closes. One that has nothing else to choose confirms
// beforehand, which saves half a round trip.
func (o *Overlay) greetAsDialler(rw io.ReadWriter, peer kith.ID, remote netip.AddrPort, confirmed bool) (hello, error) {
	h := o.hello(remote)
	h.confirmed = confirmed
	if _, err := rw.Write(h.append(nil)); err != nil {
		return hello{}, fmt.Errorf("send hello: %w", err)
	}
	answer, err := readHello(rw)
	if err != nil {
		return hello{}, err
	}
	if err := answer.verdict.err(answer.reason); err != nil {
		return hello{}, fmt.Errorf("host %s answers: %w", peer.Short(), err)
	}
	if err := o.admit(peer, answer.proof); err != nil {
		v, reason := judge(err)
		rw.Write(hello{verdict: v, reason: reason}.append(nil))
		return hello{}, err
	}
	return answer, nil
}

// confirm tells the acceptor that the carrier is up.
func confirm(w io.Writer) error {
	_, err := w.Write(hello{}.append(nil))
	return err
}

// greetAsAcceptor runs the acceptor's side and returns the dialler's hello. It
// calls admitted before the dialler learns that it is.
func (o *Overlay) greetAsAcceptor(rw io.ReadWriter, peer kith.ID, remote netip.AddrPort, admitted func()) (hello, error) {
	first, err := readHello(rw)
	if err != nil {
		return hello{}, err
	}
	if err := o.admit(peer, first.proof); err != nil {
		v, reason := judge(err)
		rw.Write(hello{verdict: v, reason: reason}.append(nil))
		return hello{}, err
	}
	admitted()
	if _, err := rw.Write(o.hello(remote).append(nil)); err != nil {
		return hello{}, fmt.Errorf("send hello: %w", err)
	}
	if first.confirmed {
		return first, nil
	}
	last, err := readHello(rw)
	if err != nil {
		return hello{}, err
	}
	return first, last.verdict.err(last.reason)
}

func (o *Overlay) hello(remote netip.AddrPort) hello {
	h := hello{instance: o.instance, observed: remote, candidates: o.candidates()}
	if o.cfg.Digest != nil {
		digest := o.cfg.Digest()
		h.digest = digest[:]
	}
	if o.cfg.Proof != nil {
		h.proof = o.cfg.Proof()
	}
	if len(h.proof) > maxProof { // peers that know us already do not need it
		o.log.Error("proof of membership is too long to send", "bytes", len(h.proof), "most", maxProof)
		h.proof = nil
	}
	return h
}

func (o *Overlay) admit(peer kith.ID, proof []byte) error {
	if err := o.cfg.Admit(peer, proof); err != nil {
		return fmt.Errorf("host %s: %w", peer.Short(), err)
	}
	return nil
}
