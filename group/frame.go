package group

import (
	"encoding/binary"
	"fmt"
	"io"

	"kith.alt/kith"
)

// Frames of [Group.Sync]: length of type and payload (4 bytes, big-endian),
// type (1), payload. Types that this release does not know are passed over.
const (
	maxFrame  = 64 << 10 // of type and payload
	frameHead = 5        // bytes of length and type
)

type frameType byte

const (
	frameHello     frameType = 1 // JSON: hello
	frameHave      frameType = 2 // 0: all of the heads in your hello; 1 and prefixes: these entries
	frameEntries   frameType = 3 // entries, parents first
	frameSequences frameType = 4 // ID and sequence number of each record
	frameRecords   frameType = 5 // records
	frameSent      frameType = 6 // nothing: the entries that we had at our hello are sent
	frameTaken     frameType = 7 // nothing: the entries that you had at your hello are here
	frameBeats     frameType = 8 // heartbeats
)

// beginFrame starts a frame in a buffer that finishFrame completes.
func beginFrame(kind frameType) []byte { return []byte{0, 0, 0, 0, byte(kind)} }

func finishFrame(frame []byte) []byte {
	binary.BigEndian.PutUint32(frame, uint32(len(frame)-4))
	return frame
}

// readFrame reads a frame into buf, which it may replace by a larger one. The
// payload is good until the next call.
func readFrame(r io.Reader, buf *[]byte) (frameType, []byte, error) {
	var head [frameHead]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return 0, nil, err
	}
	n := binary.BigEndian.Uint32(head[:])
	if n < 1 || n > maxFrame {
		return 0, nil, fmt.Errorf("frame of %d bytes, at most %d: %w", n, maxFrame, kith.Invalid)
	}
	n--
	if int(n) > cap(*buf) {
		*buf = make([]byte, n)
	}
	payload := (*buf)[:n]
	if _, err := io.ReadFull(r, payload); err != nil {
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		return 0, nil, err
	}
	return frameType(head[4]), payload, nil
}
