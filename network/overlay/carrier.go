package overlay

import (
	"context"
	"errors"
	"net/netip"
	"time"
)

// Names of carriers, in the order in which they are preferred.
const (
	carrierTLS  = "tls"
	carrierQUIC = "quic"
	carrierSelf = "self" // this host's own end; never to another host

	carrierRelay = "relay" // a way to a peer, on which TLS is the carrier
)

const (
	keepAlive    = 25 * time.Second // a ping after so much silence
	pingPatience = 25 * time.Second // for the answer: a dead peer is noticed within a minute

	maxStreams      = 2048     // open at once, by one peer on one carrier
	maxStreamWindow = 16 << 20 // bytes one stream may buffer
	maxWindow       = 32 << 20 // bytes the streams of one carrier may buffer beyond their first windows
)

// A carrier is an authenticated connection to one peer with any number of
// streams. It is safe for concurrent use.
type carrier interface {
	kind() string
	local() netip.AddrPort  // invalid where it may change
	remote() netip.AddrPort // invalid for carrierSelf and through a relay
	rtt() time.Duration     // 0 until measured
	arrived() uint64        // bytes from the peer so far, of any kind
	wrote() time.Time       // when the last bytes went to the peer, where whatever comes is a sign of life to it; else zero
	onArrival(tell func())  // while bytes arrive and the peer does not see it, tell is called now and then

	openStream(ctx context.Context) (stream, error)
	acceptStream() (stream, error) // ends with an error once the carrier has ended; errGoodbye: the peer said so

	done() <-chan struct{}     // closed when the carrier has ended
	drain(ctx context.Context) // waits until the peer has what was written, or ctx ends
	close() error              // ends the carrier and its streams at once
}

// A datagramCarrier is a carrier that also has datagrams: packets that may be
// lost, or overtake each other.
type datagramCarrier interface {
	// sendDatagram may wait for the path's congestion to pass. It fails for
	// datagrams that are too long for the path now.
	sendDatagram(p []byte) error
	receiveDatagram() ([]byte, error) // ends with an error once the carrier has ended
}

// A stream is a flow of bytes each way. Its errors are io.EOF,
// os.ErrDeadlineExceeded, errReset, or anything else when the carrier is
// gone. Read and Write may run beside each other and beside reset; closing
// and Write exclude each other.
type stream interface {
	Read(p []byte) (int, error)
	Write(p []byte) (int, error)
	SetReadDeadline(t time.Time) error
	SetWriteDeadline(t time.Time) error

	closeWrite() error // the peer reads what was written, then io.EOF
	close() error      // closeWrite, and the peer's further writes fail
	reset()            // both directions end at once
}

// errReset says that the peer ended the stream and not the carrier.
var errReset = errors.New("reset by the peer")

// errGoodbye says that the peer's host leaves.
var errGoodbye = errors.New("the peer said goodbye")
