package torrent

// A Peer is a client that takes part in a content.
type Peer struct {
}

// Request asks the client for a block. Like the other methods that a content calls,
// it does not wait for anything.
func (p *Peer) Request(block int) {}

// Cancel takes a request back.
func (p *Peer) Cancel(block int) {}

// Have tells the client that a block is here.
func (p *Peer) Have(block int) {}

// Retry has blocks that lacked their hashes tried again, as some have come.
func (p *Peer) Retry() {}

// Close ends the connection.
func (p *Peer) Close() {}

// Client is the client's word for itself, fit to be shown.
func (p *Peer) Client() string { return "" }

// Sent is how many bytes of content went to the client, and Received how many
// came from it.
func (p *Peer) Sent() int64     { return 0 }
func (p *Peer) Received() int64 { return 0 }
