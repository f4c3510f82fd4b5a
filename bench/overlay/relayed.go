package main

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"kith.alt/kith"
	"kith.alt/kith/bench/measure"
	"kith.alt/kith/network/overlay"
)

// unlimited is what a relay passes on when it is to be as fast as it can.
var unlimited = overlay.RelayLimits{BytesPerSecond: 1 << 40, BytesPerDay: 1 << 50}

// limits are what a relay passes on by its owner's will, in MB/s.
var limits = []int64{2, 20, 100}

// startRelayed has two hosts that know no address of each other, and a third
// between them with carriers of one kind to both.
func startRelayed(ctx context.Context, server *measure.Server, carrier string) (measure.Way, *overlay.Overlay, error) {
	nodes, err := startNodes(ctx, 3, carrier, func(config *overlay.Config, nodes []node) {
		where := config.Addresses
		config.Addresses = func(id kith.ID) []netip.AddrPort {
			if id != nodes[2].id {
				return nil
			}
			return where(id)
		}
		config.Relays = func(kith.ID) []kith.ID { return []kith.ID{nodes[2].id} }
		config.RelayLimits = unlimited
	})
	if err != nil {
		return measure.Way{}, nil, err
	}
	for _, n := range nodes[:2] {
		if err := n.Connect(ctx, nodes[2].id); err != nil {
			return measure.Way{}, nil, err
		}
	}
	for len(nodes[2].Peers()) < 2 { // the far end of Connect is up a little later
		<-time.After(time.Millisecond)
	}
	w, err := between(ctx, server, nodes[0], nodes[1])
	if err != nil {
		return w, nil, err
	}
	w.Name, w.Beside = "relayed over "+carrier, "overlay, "+carrier
	for _, p := range nodes[0].Peers() {
		if p.ID == nodes[1].id && p.Path != "relayed" {
			return w, nil, fmt.Errorf("the path is %s, not relayed", p.Path)
		}
	}
	return w, nodes[2].Overlay, nil
}

// limited prints what gets through relays that limit it.
func limited(ctx context.Context, server *measure.Server, list []measure.Way, relays map[string]*overlay.Overlay, o measure.Options) error {
	fmt.Println("| relay | limit, MB/s | 1 stream, MB/s | 8 streams | of the limit |")
	fmt.Println("|---|---:|---:|---:|---:|")
	for _, w := range list {
		relay := relays[w.Name]
		if relay == nil {
			continue
		}
		for _, limit := range limits {
			relay.SetRelayLimits(overlay.RelayLimits{BytesPerSecond: limit * 1e6, BytesPerDay: 1 << 50})
			<-time.After(o.Time / 2) // what is under way
			one, _, err := server.Throughput(ctx, w, 1, 2*o.Time)
			if err != nil {
				return err
			}
			eight, _, err := server.Throughput(ctx, w, 8, 2*o.Time)
			if err != nil {
				return err
			}
			fmt.Printf("| %s | %d | %.1f | %.1f | %.0f %%, %.0f %% |\n", w.Name, limit, one/1e6, eight/1e6,
				one/1e4/float64(limit), eight/1e4/float64(limit))
		}
		relay.SetRelayLimits(unlimited)
	}
	return nil
}
