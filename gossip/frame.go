package gossip

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"

	"kith.alt/kith"
)

// A frame is the length of type and payload (4 bytes, big-endian), type (1),
// payload. Types that a release does not know are passed over.
const (
	MaxFrame  = 64 << 10 // of type and payload
	FrameHead = 5        // bytes of length and type
)

// BeginFrame starts a frame in a buffer that [FinishFrame] completes.
func BeginFrame[T ~byte](kind T) []byte { return []byte{0, 0, 0, 0, byte(kind)} }

// FinishFrame writes the length into a frame that is complete, and returns it.
func FinishFrame(frame []byte) []byte {
	binary.BigEndian.PutUint32(frame, uint32(len(frame)-4))
	return frame
}

// ReadFrame reads a frame into buf, which it may replace by a larger one. The
// payload is good until the next call. A frame that is too long is of kind Invalid.
func ReadFrame[T ~byte](r io.Reader, buf *[]byte) (T, []byte, error) {
	var head [FrameHead]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return 0, nil, err
	}
	n := binary.BigEndian.Uint32(head[:])
	if n < 1 || n > MaxFrame {
		return 0, nil, fmt.Errorf("frame of %d bytes, at most %d: %w", n, MaxFrame, kith.Invalid)
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
	return T(head[4]), payload, nil
}

// Ended reports whether err only says that the connection or its context ended.
func Ended(err error) bool {
	return slices.ContainsFunc([]error{context.Canceled, context.DeadlineExceeded, io.EOF, net.ErrClosed, io.ErrClosedPipe},
		func(end error) bool { return errors.Is(err, end) })
}
