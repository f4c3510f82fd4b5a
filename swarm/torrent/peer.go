package torrent

import (
	"bufio"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"kith.alt/kith/content"
	"kith.alt/kith/proto/bittorrent"
)

const (
	readBuffer  = 32 << 10
	idle        = 3 * time.Minute // clients send a keep-alive every two (BEP 3)
	keepAlive   = 90 * time.Second
	writeWithin = time.Minute

	maxRequest  = 128 << 10 // bytes of a block that is asked for
	maxMessage  = 1 << 20   // bytes of a message, a bitfield for instance
	maxRequests = 512       // that wait for their answer
	maxAnswers  = 64        // of other kinds
	maxControl  = 256 << 10 // bytes of what else is to be told
)

var (
	errWrong = errors.New("a block or a hash is wrong")
	errFlood = fmt.Errorf("more than it may ask for: %w", bittorrent.ErrInvalid)
)

// A Peer is a client that takes part in a content. Request, Cancel, Have, AskHashes, Ban
// and Close do not wait for anything, and call nobody.
type Peer struct {
	server    *Server
	content   Content
	part      Part
	d         *bittorrent.Description
	conn      net.Conn
	log       *slog.Logger
	handshake bittorrent.Handshake
	v2        bool // the content goes by its second name here
	wakes     chan struct{}
	done      chan struct{} // closed when reading ends

	sent, received atomic.Int64

	mu         sync.Mutex
	client     string
	metadataID uint8 // of messages to it (BEP 10); 0: it wants none

	have    content.Bitmap // blocks that are here
	lacking []int          // blocks of each piece; nil until the client was told what is here
	theirs  []bool         // pieces that the client has
	wanted  int            // pieces that it has and that lack something here
	wants   bool           // the client is told that something is wanted
	choking bool           // the client answers no requests
	toAsk   []int          // blocks
	asked   map[int]struct{}
	fault   error // for which it is let go

	interested bool // the client is
	unchoked   bool // the client is served
	requests   []bittorrent.Message
	hashes     []bittorrent.Message
	metadata   []int // pieces of the info dictionary
	control    []byte
}

func newPeer(s *Server, conn net.Conn, c Content, theirs bittorrent.Handshake, v2 bool) *Peer {
	d := c.Description()
	id := d.ID()
	return &Peer{
		server: s, content: c, d: d, conn: conn, handshake: theirs, v2: v2,
		log:   s.cfg.Log.With("content", fmt.Sprintf("%x", id[:4]), "remote", conn.RemoteAddr()),
		wakes: make(chan struct{}, 1), done: make(chan struct{}),
		client: clientOf(theirs.PeerID), choking: true,
		have: make([]byte, (d.Blocks()+7)/8), theirs: make([]bool, d.PieceCount()),
		asked: make(map[int]struct{}),
	}
}

// clientOf tells a client by its ID (BEP 20), until it says more.
func clientOf(id [20]byte) string {
	for _, c := range id[:8] {
		if c <= ' ' || c > '~' {
			return "unknown client"
		}
	}
	return string(id[:8])
}

// run converses until the connection ends, and says why it did.
func (p *Peer) run(r *bufio.Reader) error {
	written := make(chan error, 1)
	go func() {
		defer p.conn.Close()
		written <- p.write()
	}()
	p.greet()
	err := p.read(r)
	close(p.done)
	p.conn.Close()
	<-written
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.fault != nil {
		return p.fault
	}
	return err
}

// greet tells the client what is here, and what is understood.
func (p *Peer) greet() {
	here := p.content.Bitmap()
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := range p.have {
		p.have[i] |= here[i]
	}
	p.lacking = make([]int, p.d.PieceCount())
	bitfield := content.NewBitmap(len(p.lacking))
	complete := 0
	for i := range p.lacking {
		span := p.d.Piece(i)
		for block := span.First; block < span.First+span.Blocks; block++ {
			if !p.have.Has(block) {
				p.lacking[i]++
			}
		}
		if p.lacking[i] == 0 {
			bitfield.Set(i)
			complete++
		}
	}
	switch {
	case p.handshake.Fast && complete == len(p.lacking):
		p.tell(bittorrent.Message{Type: bittorrent.HaveAll})
	case p.handshake.Fast && complete == 0:
		p.tell(bittorrent.Message{Type: bittorrent.HaveNone})
	case complete > 0:
		p.tell(bittorrent.Message{Type: bittorrent.Bitfield, Payload: bitfield})
	}
	if p.handshake.Extended {
		p.tell(bittorrent.Message{Type: bittorrent.Extended, ExtendedID: bittorrent.HandshakeID, Payload: bittorrent.AppendExtendedHandshake(nil, bittorrent.ExtendedHandshake{
			Metadata: metadataID, MetadataSize: len(p.d.Raw), Client: p.server.cfg.Client, Queue: maxRequests,
		})})
	}
}

// metadataID is the number of messages about the info dictionary to this host.
const metadataID = 1

// tell queues a message. The caller holds p.mu.
func (p *Peer) tell(m bittorrent.Message) {
	p.control = bittorrent.AppendMessage(p.control, m)
	if len(p.control) > maxControl+len(p.have) {
		p.conn.Close() // it does not read
		p.control = nil
	}
	p.wake()
}

func (p *Peer) wake() {
	select {
	case p.wakes <- struct{}{}:
	default:
	}
}

// Request asks the client for a block.
func (p *Peer) Request(block int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, asked := p.asked[block]; asked || slices.Contains(p.toAsk, block) {
		return
	}
	p.toAsk = append(p.toAsk, block)
	p.wake()
}

// Cancel takes a request back. The block may come all the same.
func (p *Peer) Cancel(block int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if i := slices.Index(p.toAsk, block); i >= 0 {
		p.toAsk = slices.Delete(p.toAsk, i, i+1)
		return
	}
	if _, asked := p.asked[block]; !asked {
		return
	}
	p.tell(p.about(bittorrent.Cancel, block))
	if !p.handshake.Fast { // then there is an answer (BEP 6)
		delete(p.asked, block)
	}
}

// about is a message about a block.
func (p *Peer) about(kind bittorrent.Type, block int) bittorrent.Message {
	piece, begin := p.d.PieceOf(block)
	_, _, length := p.d.Locate(block)
	return bittorrent.Message{Type: kind, Index: uint32(piece), Begin: uint32(begin), Length: uint32(length)}
}

// Have tells the client that a block is here: once its piece is.
func (p *Peer) Have(block int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.have.Has(block) {
		return
	}
	p.have.Set(block)
	if p.lacking == nil {
		return
	}
	piece, _ := p.d.PieceOf(block)
	if p.lacking[piece]--; p.lacking[piece] > 0 {
		return
	}
	p.tell(bittorrent.Message{Type: bittorrent.Have, Index: uint32(piece)})
	if p.theirs[piece] {
		p.wanted--
		p.tellInterest()
	}
}

// tellInterest tells the client whether it has what is wanted, when that has
// changed. The caller holds p.mu.
func (p *Peer) tellInterest() {
	if wants := p.wanted > 0; wants != p.wants {
		p.wants = wants
		kind := bittorrent.NotInterested
		if wants {
			kind = bittorrent.Interested
		}
		p.tell(bittorrent.Message{Type: kind})
	}
}

// AskHashes asks the client for hashes, and reports whether it is one that may have
// them: of version 2.
func (p *Peer) AskHashes(request bittorrent.Message) bool {
	if !p.v2 {
		return false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	request.Type = bittorrent.HashRequest
	p.tell(request)
	return true
}

// Ban ends the connection with a client that sent what is wrong, which is not served for a
// while.
func (p *Peer) Ban(why error) {
	p.mu.Lock()
	p.fault = fmt.Errorf("%w: %w", errWrong, why)
	p.mu.Unlock()
	p.conn.Close()
}

// Close ends the connection; the part is left soon after.
func (p *Peer) Close() { p.conn.Close() }

// Client is the client's word for itself, fit to be shown.
func (p *Peer) Client() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.client
}

// Address is where the client is.
func (p *Peer) Address() net.Addr { return p.conn.RemoteAddr() }

// Outside reports whether the client is on another computer.
func (p *Peer) Outside() bool { return IsOutside(remoteOf(p.conn)) }

// Sent is how many bytes of content went to the client.
func (p *Peer) Sent() int64 { return p.sent.Load() }

// Received is how many bytes of content came from the client.
func (p *Peer) Received() int64 { return p.received.Load() }

// unchoke has an interested client served, and reports whether it was not
// before.
func (p *Peer) unchoke() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.unchoked || !p.interested {
		return false
	}
	p.unchoked = true
	p.tell(bittorrent.Message{Type: bittorrent.Unchoke})
	return true
}

// choke ends that, and reports whether it was served before. What it asked for is
// refused.
func (p *Peer) choke() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.unchoked {
		return false
	}
	p.unchoked = false
	p.tell(bittorrent.Message{Type: bittorrent.Choke})
	for _, m := range p.requests {
		p.refuse(m)
	}
	p.requests = nil
	return true
}

// refuse answers a request with a reject (BEP 6). The caller holds p.mu.
func (p *Peer) refuse(m bittorrent.Message) {
	if p.handshake.Fast {
		m.Type = bittorrent.Reject
		p.tell(m)
	}
}
