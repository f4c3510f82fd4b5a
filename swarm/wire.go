package swarm

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"kith.alt/kith"
)

// Port is the overlay port on which members exchange content. It belongs to the
// node: local programs of other hosts are refused.
const Port = 2

// A socket on Port begins with the version and what is asked for.
const (
	wireVersion = 1

	askDescription = 1 // of a content; the answer is a verdict, a length and the description
	askBlocks      = 2 // of a content; the answer is a verdict, flags and hosts, and then both sides send messages
	askHashes      = 3 // of files of a content; hash requests follow, each of which is answered (BEP 52)
	askLibrary     = 4 // package library goes on
)

// Verdicts.
const (
	verdictHere = 0
	verdictGone = 1 // nothing of that content is here
	verdictBusy = 2 // too many ask for it
)

const (
	maxDescription = 16 << 20
	maxIntroduced  = 40 // hosts in an answer
	greetPatience  = 10 * time.Second
)

// A greeting is how a dialler begins.
type greeting struct {
	ask     byte
	content kith.ContentID // zero for askLibrary
	flags   byte           // of a later release
}

func (g greeting) bytes() []byte {
	return append(append([]byte{wireVersion, g.ask}, g.content[:]...), g.flags)
}

func readGreeting(r io.Reader) (g greeting, err error) {
	var head [2 + len(g.content) + 1]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return g, fmt.Errorf("read greeting: %w", err)
	}
	if head[0] != wireVersion {
		return g, fmt.Errorf("greeting of version %d: %w", head[0], kith.Invalid)
	}
	g.ask, g.flags = head[1], head[len(head)-1]
	copy(g.content[:], head[2:])
	return g, nil
}

// A welcome is the answer to askBlocks.
type welcome struct {
	verdict byte
	flags   byte      // of a later release
	hosts   []kith.ID // others that exchange this content
}

func (w welcome) bytes() []byte {
	text := []byte{w.verdict, w.flags, byte(len(w.hosts))}
	for _, host := range w.hosts {
		text = append(text, host[:]...)
	}
	return text
}

func readWelcome(r io.Reader) (w welcome, err error) {
	var head [3]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return w, fmt.Errorf("read answer: %w", err)
	}
	w.verdict, w.flags = head[0], head[1]
	if head[2] > maxIntroduced {
		return w, fmt.Errorf("answer names %d hosts, at most %d: %w", head[2], maxIntroduced, kith.Invalid)
	}
	w.hosts = make([]kith.ID, head[2])
	for i := range w.hosts {
		if _, err := io.ReadFull(r, w.hosts[i][:]); err != nil {
			return w, fmt.Errorf("read answer: %w", err)
		}
	}
	return w, nil
}

// verdictError is why a peer gives nothing, nil if it does.
func verdictError(verdict byte) error {
	switch verdict {
	case verdictHere:
		return nil
	case verdictBusy:
		return fmt.Errorf("it has enough to do: %w", kith.Temporary)
	default:
		return fmt.Errorf("it does not have this content: %w", kith.NotFound)
	}
}

// fetchDescription asks a peer for a description, which the caller compares
// with the content's ID.
func fetchDescription(ctx context.Context, conn net.Conn, content kith.ContentID) ([]byte, error) {
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	conn.SetDeadline(time.Now().Add(greetPatience))
	if _, err := conn.Write(greeting{ask: askDescription, content: content}.bytes()); err != nil {
		return nil, fmt.Errorf("ask for the description: %w", err)
	}
	var head [5]byte
	if _, err := io.ReadFull(conn, head[:]); err != nil {
		return nil, fmt.Errorf("read description: %w", err)
	}
	if err := verdictError(head[0]); err != nil {
		return nil, err
	}
	size := binary.BigEndian.Uint32(head[1:])
	if size > maxDescription {
		return nil, fmt.Errorf("description of %d bytes, at most %d: %w", size, maxDescription, kith.Invalid)
	}
	text := make([]byte, 0, min(size, 64<<10)) // grows with what arrives, not with what is said
	for len(text) < int(size) {
		n := min(int(size)-len(text), 64<<10)
		text = append(text, make([]byte, n)...)
		conn.SetDeadline(time.Now().Add(greetPatience))
		if _, err := io.ReadFull(conn, text[len(text)-n:]); err != nil {
			return nil, fmt.Errorf("read description: %w", err)
		}
	}
	return text, nil
}

// answerDescription is the other side of fetchDescription; a nil description
// is not here.
func answerDescription(conn net.Conn, description []byte) error {
	conn.SetDeadline(time.Now().Add(time.Minute))
	if description == nil {
		_, err := conn.Write([]byte{verdictGone, 0, 0, 0, 0})
		return err
	}
	head := binary.BigEndian.AppendUint32([]byte{verdictHere}, uint32(len(description)))
	w := bufio.NewWriter(conn)
	w.Write(head)
	w.Write(description)
	return w.Flush()
}

// Messages between kith hosts beyond those of BEP 3, 6 and 52: they travel as
// extended messages (BEP 10) with these numbers, without the negotiation of
// that, as the greeting's version fixes them. Unknown ones are ignored.
const (
	extCredit = 1 // 4 bytes: so many blocks of your choice may be under way to me
	extHosts  = 2 // IDs of hosts that exchange this content
	extPing   = 3 // 8 bytes that come back in a pong
	extPong   = 4 // and then 8: when the ping came, in microseconds since any fixed time
)

var errTooMany = errors.New("too many links")
