package torrent

import (
	"log/slog"
	"net/netip"
	"time"

	"kith.alt/kith"
	"kith.alt/kith/content"
	"kith.alt/kith/proto/bittorrent"
)

// Config is what a server needs of its owner.
type Config struct {
	// Content returns what a client calls by that name, one of those that
	// Description.InfoHashes lists. It fails with kind NotFound, also for what a
	// client at that address may not have: nothing else asks whether it may. It may take a
	// moment: a content that nobody asked for is opened. Remote is zero where a client
	// has no address of IP.
	Content func(remote netip.Addr, infoHash [20]byte) (Content, error)

	Client  string // what clients show: program and version
	Log     *slog.Logger
	Metrics *kith.Metrics
}

// Content is what clients take and give. All of it is safe for concurrent use.
type Content interface {
	Description() *bittorrent.Description

	// Bitmap returns what is here, the first block in the highest bit. The caller
	// may change it.
	Bitmap() content.Bitmap

	// ReadBlock reads a block into p, which has room for it, and returns its
	// length. It fails with kind NotFound when it is not here.
	ReadBlock(block int, p []byte) (int, error)

	// HashAnswer answers a hash request (BEP 52) with hashes or a hash reject.
	HashAnswer(request bittorrent.Message) bittorrent.Message

	// Join adds a client. From then on the content calls the peer's Request, Cancel
	// and Have: the last for each block that arrives from anybody. An error refuses
	// the client.
	Join(p *Peer) (Part, error)
}

// A Part is a client's part in a content. Its methods may be called by several
// goroutines at a time.
type Part interface {
	// Has tells that the client has count blocks from first on; each is told
	// once.
	Has(first, count int)

	// Chokes tells whether the client answers no requests now. It begins choked;
	// being choked takes back what it was asked for.
	Chokes(choked bool)

	// Refused tells that the client does not send a block that it was asked for.
	Refused(block int)

	// Arrived takes a block that the client was asked for; data is not kept, and its hashes
	// may come later. An error of kind Invalid is for a block that is wrong: the client is
	// let go. What else fails is the content's business.
	Arrived(block int, data []byte) error

	// HashRequest returns the request for the hashes with which a block is checked;
	// false where they are known or on their way.
	HashRequest(block int) (bittorrent.Message, bool)

	// Hashes takes the answer to a hash request: hashes or a hash reject. An error
	// of kind Invalid is for hashes that are wrong: the client is let go.
	Hashes(m bittorrent.Message) error

	// Sent counts n bytes of content that went to the client. Rest is how long, at the
	// rates that hold now, no more may go to it; 0 is not at all.
	Sent(n int)
	Rest() time.Duration

	// Received counts n bytes that came from the client, and returns when more may come.
	Received(n int)

	// Leave ends it; no method is called after it.
	Leave()
}
