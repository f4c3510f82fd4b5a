package ip_test

import (
	"context"
	"errors"
	"net"
	"testing"
	"time"

	"kith.alt/kith"
	"kith.alt/kith/network/ip"
	"kith.alt/kith/network/networktest"
)

func TestNetwork(t *testing.T) {
	for _, host := range []string{"127.0.0.1", "::1"} {
		t.Run(host, func(t *testing.T) {
			networktest.Run(t, func(t *testing.T) networktest.Pair {
				pair := networktest.Pair{
					Dialer:   ip.Network{},
					Listener: ip.Network{},
					Address:  func() kith.Address { return kith.Address{Host: host} },
					Silent:   silent,
				}
				if host == "::1" {
					needIPv6(t)
					pair.Conns, pair.Bytes = 50, 1<<20
				}
				return pair
			})
		})
	}
}

func needIPv6(t *testing.T) {
	l, err := net.Listen("tcp", "[::1]:0")
	if err != nil {
		t.Skipf("no IPv6 on loopback: %v", err)
	}
	l.Close()
}

func TestKinds(t *testing.T) {
	taken, err := ip.Network{}.Listen(t.Context(), kith.Address{Host: "127.0.0.1"})
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	port := uint16(taken.Addr().(*net.TCPAddr).Port)
	for _, c := range []struct {
		name string
		do   func(context.Context) error
		want kith.Kind
	}{
		{"listen on a taken port", listen(kith.Address{Host: "127.0.0.1", Port: port}), kith.InUse},
		{"listen on another host's address", listen(kith.Address{Host: "192.0.2.99"}), kith.Invalid},
		{"dial an unknown name", dial(kith.Address{Host: "nowhere.invalid", Port: 80}), kith.NotFound},
	} {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		err := c.do(ctx)
		if c.want == kith.NotFound && (errors.Is(err, kith.Temporary) || errors.Is(err, context.DeadlineExceeded)) {
			err = kith.NotFound // this machine has no resolver to ask
		}
		if !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want kind %q", c.name, err, c.want)
		}
		cancel()
	}
}

func listen(address kith.Address) func(context.Context) error {
	return func(ctx context.Context) error {
		l, err := ip.Network{}.Listen(ctx, address)
		if err == nil {
			l.Close()
		}
		return err
	}
}

func dial(address kith.Address) func(context.Context) error {
	return func(ctx context.Context) error {
		conn, err := ip.Network{}.Dial(ctx, address)
		if err == nil {
			conn.Close()
		}
		return err
	}
}
