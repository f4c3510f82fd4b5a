package discovery

import (
	"context"
	"fmt"
	"time"

	"github.com/libp2p/zeroconf/v2"

	"kith.alt/kith"
)

const (
	window     = 2 * time.Second // that answers have
	maxAnswers = 512             // read in a window: what floods us ends it
)

// query asks once who is there and hands the answers to each, until it wants
// no more, too many came, the window closes or ctx ends. It fails with kind
// Unreachable when there is no multicast.
func query(ctx context.Context, links []link, each func(*zeroconf.ServiceEntry) (more bool)) error {
	if len(links) == 0 {
		return fmt.Errorf("no network interface with multicast: %w", kith.Unreachable)
	}
	var err error
	for _, traffic := range []zeroconf.IPType{zeroconf.IPv4AndIPv6, zeroconf.IPv4, zeroconf.IPv6} {
		if err = queryOver(ctx, traffic, links, each); err == nil || ctx.Err() != nil {
			return nil
		}
	}
	return fmt.Errorf("%w (%w)", kith.Unreachable, err)
}

func queryOver(ctx context.Context, traffic zeroconf.IPType, links []link, each func(*zeroconf.ServiceEntry) bool) error {
	ctx, cancel := context.WithTimeout(ctx, window)
	defer cancel()
	// The library remembers what it has sent to this channel until Browse
	// returns, so the count bounds its memory too.
	entries := make(chan *zeroconf.ServiceEntry)
	done := make(chan error, 1)
	go func() {
		done <- zeroconf.Browse(ctx, service, domain, entries, zeroconf.SelectIPTraffic(traffic), zeroconf.SelectIfaces(interfaces(links)))
	}()
	for n := 0; ; {
		select {
		case err := <-done:
			return err
		case e, ok := <-entries:
			if !ok {
				return <-done
			}
			if n++; ctx.Err() == nil && (n > maxAnswers || !each(e)) {
				cancel()
			}
		}
	}
}
