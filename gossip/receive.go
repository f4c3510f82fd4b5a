package gossip

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	"kith.alt/kith"
)

// Patience is how long a peer may take for its first frame, and to read each of ours.
const Patience = 30 * time.Second

// Frames are taken at this pace once a burst is used up. The sum of the paces at
// which a conversation sends is below it.
const (
	receiveBurst = 200
	receiveEvery = 100 * time.Millisecond
)

// Receive reads the frames of a conversation until the connection ends or one of
// the functions fails, and returns that error: greet takes the first frame, take
// the others. A peer that sends none in [Patience] is an error of kind Temporary.
func Receive[T ~byte](ctx context.Context, conn net.Conn, greet, take func(kind T, payload []byte) error) error {
	if err := conn.SetReadDeadline(time.Now().Add(Patience)); err != nil {
		return err
	}
	var buf []byte
	kind, payload, err := ReadFrame[T](conn, &buf)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return fmt.Errorf("peer says nothing: %w", kith.Temporary)
	} else if err != nil {
		return err
	}
	if err := greet(kind, payload); err != nil {
		return err
	}
	if err := conn.SetReadDeadline(time.Time{}); err != nil {
		return err
	}
	frames := Pace{Burst: receiveBurst, Every: receiveEvery}
	for {
		kind, payload, err := ReadFrame[T](conn, &buf)
		if err != nil {
			return err
		}
		if rest := frames.Rest(); rest > 0 {
			select {
			case <-time.After(rest):
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		frames.Spend()
		if err := take(kind, payload); err != nil {
			return err
		}
	}
}
