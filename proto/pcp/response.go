package pcp

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"time"
)

// A Response is what a router answers. Fields that the kind of answer does not
// have are zero, and after a failure those of a mapping mean nothing but which
// request failed.
type Response struct {
	Version  byte          // VersionPCP or VersionNATPMP
	Result   Result        // zero is success
	Mapping  bool          // about a mapping, and not NAT-PMP's outside address alone
	Lifetime time.Duration // granted; after a failure of PCP, for how long it will not be different

	Nonce    Nonce // PCP alone
	Protocol byte  // TCP or UDP
	Internal uint16
	External netip.AddrPort // NAT-PMP: the port when Mapping, else the address, without the other
}

// ErrPacket is what Parse returns for what is not an answer.
var ErrPacket = errors.New("not an answer of PCP or NAT-PMP")

// Parse reads a router's answer of either version (RFC 6887 7.2, 11.1, RFC 6886
// 3.2, 3.3). It fails with ErrPacket.
func Parse(p []byte) (Response, error) {
	if len(p) < 8 || p[1]&response == 0 {
		return Response{}, ErrPacket
	}
	switch p[0] {
	case VersionPCP:
		return parsePCP(p)
	case VersionNATPMP:
		return parseNATPMP(p)
	}
	return Response{}, fmt.Errorf("version %d: %w", p[0], ErrPacket)
}

func parsePCP(p []byte) (Response, error) {
	const maxSize = 1100 // RFC 6887 7
	if len(p) < headerSize || len(p) > maxSize || len(p)%4 != 0 {
		return Response{}, ErrPacket
	}
	r := Response{
		Version:  VersionPCP,
		Result:   Result{VersionPCP, uint16(p[3])},
		Lifetime: time.Duration(binary.BigEndian.Uint32(p[4:])) * time.Second,
	}
	if p[1]&^response != opMap || len(p) < headerSize+mapSize {
		if !r.Result.Failed() {
			return Response{}, ErrPacket
		}
		return r, nil // such as "unsupported version", cut short
	}
	m := p[headerSize:]
	r.Mapping = true
	copy(r.Nonce[:], m)
	r.Protocol = m[12]
	r.Internal = binary.BigEndian.Uint16(m[16:])
	address := netip.AddrFrom16([16]byte(m[20:36])).Unmap()
	r.External = netip.AddrPortFrom(address, binary.BigEndian.Uint16(m[18:]))
	return r, nil
}

func parseNATPMP(p []byte) (Response, error) {
	r := Response{Version: VersionNATPMP, Result: Result{VersionNATPMP, binary.BigEndian.Uint16(p[2:])}}
	switch p[1] &^ response {
	case opAddress:
		if len(p) >= 12 {
			r.External = netip.AddrPortFrom(netip.AddrFrom4([4]byte(p[8:12])), 0)
			return r, nil
		}
	case opMapUDP, opMapTCP:
		if len(p) >= 16 {
			r.Mapping = true
			r.Protocol = UDP
			if p[1]&^response == opMapTCP {
				r.Protocol = TCP
			}
			r.Internal = binary.BigEndian.Uint16(p[8:])
			r.External = netip.AddrPortFrom(netip.Addr{}, binary.BigEndian.Uint16(p[10:]))
			r.Lifetime = time.Duration(binary.BigEndian.Uint32(p[12:])) * time.Second
			return r, nil
		}
	}
	if !r.Result.Failed() {
		return Response{}, ErrPacket
	}
	return r, nil // such as "unsupported version", cut short (RFC 6886 3.5)
}

// A Result says how a request went; the codes of the versions differ. As an
// error it is the reason in words.
type Result struct {
	Version byte
	Code    uint16
}

// Failed reports whether the request was not granted.
func (r Result) Failed() bool { return r.Code != 0 }

func (r Result) Error() string {
	names := resultsPCP
	if r.Version == VersionNATPMP {
		names = resultsNATPMP
	}
	if int(r.Code) < len(names) {
		return names[r.Code]
	}
	return fmt.Sprintf("result %d", r.Code)
}

var (
	// RFC 6887 7.4.
	resultsPCP = []string{"success", "unsupported version", "not authorized", "malformed request", "unsupported opcode",
		"unsupported option", "malformed option", "network failure", "no resources", "unsupported protocol",
		"quota exceeded", "the outside port cannot be given", "address mismatch", "too many remote peers"}
	// RFC 6886 3.5.
	resultsNATPMP = []string{"success", "unsupported version", "not authorized", "network failure", "no resources", "unsupported opcode"}
)
