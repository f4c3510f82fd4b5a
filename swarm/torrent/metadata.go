package torrent

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"time"

	"kith.alt/kith"
	"kith.alt/kith/proto/bittorrent"
)

const (
	metadataPatience = 30 * time.Second // for a whole info dictionary
	metadataStep     = 8 * time.Second  // for what comes next
	metadataAhead    = 8                // requests under way
	metadataChatter  = 10_000           // messages that are of no use here
)

// errUnknown is of a client that does not answer to a name.
var errUnknown = errors.New("the client does not know it by that name")

// Metadata fetches an info dictionary from a client of this computer (BEP 9) that has the
// content under one of names, tried in that order, for at most 30 seconds. It returns only what right
// approves, and asks no client outside. It fails with kind Invalid where the client
// breaks the rules or gives something else.
func (s *Server) Metadata(ctx context.Context, address netip.AddrPort, names [][20]byte, right func([]byte) bool) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, metadataPatience)
	defer cancel()
	var raw []byte
	// Not as one of version 2, who may be answered with a name that is not known yet (BEP 52).
	err := s.call(ctx, address, names, false, func(conn net.Conn, r *bufio.Reader, theirs bittorrent.Handshake) (err error) {
		raw, err = s.fetchMetadata(conn, r, theirs)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("metadata: %w", err)
	}
	if !right(raw) {
		return nil, fmt.Errorf("metadata: it has another hash: %w", kith.Invalid)
	}
	return raw, nil
}

// call dials a client of this computer and says one name after the other, until it answers
// to one.
func (s *Server) call(ctx context.Context, address netip.AddrPort, names [][20]byte, v2 bool, converse func(net.Conn, *bufio.Reader, bittorrent.Handshake) error) error {
	if IsOutside(address.Addr()) {
		return fmt.Errorf("%s is not on this computer: %w", address, kith.Denied)
	}
	err := fmt.Errorf("no name: %w", kith.Invalid)
	for _, name := range names {
		if err = s.callAs(ctx, address, name, names, v2, converse); !errors.Is(err, errUnknown) || ctx.Err() != nil {
			break
		}
	}
	return err
}

func (s *Server) callAs(ctx context.Context, address netip.AddrPort, name [20]byte, names [][20]byte, v2 bool, converse func(net.Conn, *bufio.Reader, bittorrent.Handshake) error) error {
	if !s.admit(address.Addr()) {
		return fmt.Errorf("too many connections: %w", kith.Temporary)
	}
	defer s.dismiss(address.Addr())
	dialer := net.Dialer{Timeout: greetPatience}
	conn, err := dialer.DialContext(ctx, "tcp", address.String())
	if err != nil {
		return err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	conn.SetDeadline(time.Now().Add(greetPatience))
	ours := s.handshake(name)
	ours.V2 = v2
	if _, err := conn.Write(bittorrent.AppendHandshake(nil, ours)); err != nil {
		return err
	}
	r := bufio.NewReaderSize(conn, readBuffer)
	theirs, err := bittorrent.ReadHandshake(r)
	switch {
	case errors.Is(err, bittorrent.ErrInvalid):
		return err
	case err != nil:
		return fmt.Errorf("%w: %w", errUnknown, err)
	case theirs.PeerID == s.id:
		return fmt.Errorf("it is this host itself: %w", kith.Exists)
	case !slices.Contains(names, theirs.InfoHash):
		return fmt.Errorf("asked for %x, answered with %x: %w", name[:4], theirs.InfoHash[:4], kith.Invalid)
	}
	return converse(conn, r, theirs)
}

// fetchMetadata has the conversation of BEP 9. What a client says of the size is believed as far
// as bytes come.
func (s *Server) fetchMetadata(conn net.Conn, r *bufio.Reader, theirs bittorrent.Handshake) ([]byte, error) {
	if !theirs.Extended {
		return nil, fmt.Errorf("the client does not know BEP 10: %w", kith.NotFound)
	}
	conn.SetWriteDeadline(time.Now().Add(metadataPatience))
	if _, err := conn.Write(bittorrent.AppendMessage(nil, bittorrent.Message{Type: bittorrent.Extended, ExtendedID: bittorrent.HandshakeID,
		Payload: bittorrent.AppendExtendedHandshake(nil, bittorrent.ExtendedHandshake{Metadata: metadataID, Client: s.cfg.Client})})); err != nil {
		return nil, err
	}
	f := fetching{conn: conn}
	var buffer []byte
	for range metadataChatter {
		m, err := bittorrent.ReadMessage(r, &buffer, maxMessage)
		if err != nil {
			return nil, err
		}
		if m.Type != bittorrent.Extended {
			continue
		}
		done, err := f.take(m)
		if err != nil || done {
			return f.raw, err
		}
	}
	return nil, fmt.Errorf("the client says much and gives nothing: %w", kith.Invalid)
}

// fetching is an info dictionary under way.
type fetching struct {
	conn  net.Conn
	to    uint8 // number of messages to the client
	size  int   // bytes; 0 until the client said so
	raw   []byte
	asked int // pieces
}

// take takes an extended message, and reports whether all is here. Pieces come in the order in
// which they were asked for.
func (f *fetching) take(m bittorrent.Message) (done bool, err error) {
	switch {
	case m.ExtendedID == bittorrent.HandshakeID && f.size == 0:
		h, err := bittorrent.ParseExtendedHandshake(m.Payload)
		if err != nil {
			return false, fmt.Errorf("extended handshake: %w", err)
		}
		if h.Metadata == 0 || h.MetadataSize == 0 {
			return false, fmt.Errorf("the client has no info dictionary to give: %w", kith.NotFound)
		}
		if h.MetadataSize > bittorrent.MaxDescription {
			return false, fmt.Errorf("info dictionary of %d bytes, at most %d: %w", h.MetadataSize, bittorrent.MaxDescription, kith.Invalid)
		}
		f.to, f.size = h.Metadata, h.MetadataSize
		return false, f.ask()
	case m.ExtendedID != metadataID || f.size == 0:
		return false, nil
	}
	piece, err := bittorrent.ParseMetadata(m.Payload)
	if err != nil {
		return false, err
	}
	switch piece.Kind {
	case bittorrent.MetadataReject:
		return false, fmt.Errorf("the client does not give its info dictionary: %w", kith.NotFound)
	case bittorrent.MetadataData:
		next := len(f.raw) / bittorrent.MetadataPiece
		want := min(bittorrent.MetadataPiece, f.size-len(f.raw))
		if piece.Piece != next || next >= f.asked || len(piece.Data) != want || piece.Total != f.size {
			return false, fmt.Errorf("%d bytes of %d as piece %d where %d of %d belong: %w", len(piece.Data), piece.Total, piece.Piece, want, f.size, kith.Invalid)
		}
		f.raw = append(f.raw, piece.Data...)
		if len(f.raw) == f.size {
			return true, nil
		}
		return false, f.ask()
	}
	return false, nil
}

// ask asks for what comes next.
func (f *fetching) ask() error {
	pieces := (f.size + bittorrent.MetadataPiece - 1) / bittorrent.MetadataPiece
	var out []byte
	for ; f.asked < min(pieces, len(f.raw)/bittorrent.MetadataPiece+metadataAhead); f.asked++ {
		out = bittorrent.AppendMessage(out, bittorrent.Message{Type: bittorrent.Extended, ExtendedID: f.to,
			Payload: bittorrent.AppendMetadata(nil, bittorrent.Metadata{Kind: bittorrent.MetadataRequest, Piece: f.asked})})
	}
	f.conn.SetReadDeadline(time.Now().Add(metadataStep))
	_, err := f.conn.Write(out)
	return err
}

// Visit dials a client of this computer that may have a content, by whichever name it
// knows, and has the conversation until it ends.
func (s *Server) Visit(ctx context.Context, address netip.AddrPort, c Content) error {
	d := c.Description()
	names := d.InfoHashes()
	if d.Hybrid { // a client of both versions answers with the second name
		names = append(names[1:], names[0])
	}
	return s.call(ctx, address, names, true, func(conn net.Conn, r *bufio.Reader, theirs bittorrent.Handshake) error {
		if s.connected(theirs.PeerID, d) {
			return fmt.Errorf("it is here already: %w", kith.Exists)
		}
		if err := s.check(conn, c, theirs); err != nil {
			return err
		}
		return s.converse(conn, r, c, theirs, theirs.InfoHash == shortID(d))
	})
}

// Announced returns the clients of this computer that announced one of names lately, whether or
// not the content was known then.
func (s *Server) Announced(names [][20]byte) []netip.AddrPort {
	t := s.tracker
	t.mu.Lock()
	defer t.mu.Unlock()
	now := time.Now()
	var list []netip.AddrPort
	for a, seen := range t.strangers {
		if now.Sub(seen) <= expire && slices.Contains(names, a.name) {
			list = append(list, a.address)
		}
	}
	slices.SortFunc(list, netip.AddrPort.Compare)
	return slices.Compact(list)
}

// A stranger is a client of this computer that announced what is not known here: it may be
// asked for it later.
type stranger struct {
	name    [20]byte
	address netip.AddrPort
}

const maxStrangers = 500

// note notes a stranger; where there are too many, in place of another.
func (t *tracker) note(who stranger, stopped bool, now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.strangers, who)
	if stopped {
		return
	}
	for other, seen := range t.strangers {
		if now.Sub(seen) > expire || len(t.strangers) >= maxStrangers {
			delete(t.strangers, other)
		}
	}
	t.strangers[who] = now
}
