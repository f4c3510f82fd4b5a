package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/peerstore"
)

const (
	messageSize = 8
	retryAfter  = 100 * time.Millisecond // when a stream cannot be opened
	dialTime    = 10 * time.Second
)

// A party is one of two hosts that talk, or their relay.
type party struct {
	carrier, address string
	relay            string   // multiaddr with ID, or ""
	peers            []string // those of the listener, where it is and may be later
}

func (p party) run(ctx context.Context, verb string) error {
	var options []libp2p.Option
	var relay *peer.AddrInfo
	switch {
	case verb == "relay":
		options = asRelay()
	case p.relay != "":
		var err error
		if relay, err = peer.AddrInfoFromString(p.relay); err != nil {
			return err
		}
		options = behind(*relay)
	}
	h, err := newHost(verb, p.carrier, p.address, options...)
	if err != nil {
		return err
	}
	defer h.Close()
	h.SetStreamHandler(bench, func(s network.Stream) {
		io.Copy(s, s)
		s.Close()
	})
	if relay != nil {
		if err := h.Connect(ctx, *relay); err != nil {
			return err
		}
	}
	if verb == "dial" || verb == "reply" {
		to, err := p.listener(h)
		if err != nil {
			return err
		}
		if verb == "reply" {
			return firstReply(ctx, h, to)
		}
		return pass(ctx, h, to)
	}
	list, err := addresses(h)
	if err != nil {
		return err
	}
	for _, a := range list {
		fmt.Println(a)
	}
	fmt.Println("ready")
	<-ctx.Done()
	return nil
}

// listener tells the host where the listener is.
func (p party) listener(h host.Host) (to peer.ID, err error) {
	for _, text := range p.peers {
		at, err := peer.AddrInfoFromString(text)
		if err != nil {
			return "", err
		}
		to = at.ID
		h.Peerstore().AddAddrs(at.ID, at.Addrs, peerstore.PermanentAddrTTL)
	}
	if to == "" {
		return to, errors.New("no address of the listener")
	}
	return to, nil
}

// pass writes the messages of standard input to a stream, and those of the
// stream to standard output. When the stream ends it opens another; messages on
// the way are lost with it, and those that come before there is one.
func pass(ctx context.Context, h host.Host, to peer.ID) error {
	messages := make(chan [messageSize]byte)
	go func() {
		defer close(messages)
		for {
			var m [messageSize]byte
			if _, err := io.ReadFull(os.Stdin, m[:]); err != nil {
				return
			}
			select {
			case messages <- m:
			default:
			}
		}
	}()
	for opened := 0; ctx.Err() == nil; {
		dialling, cancel := context.WithTimeout(ctx, dialTime)
		s, err := h.NewStream(network.WithAllowLimitedConn(dialling, "bench"), to, bench)
		cancel()
		if err != nil {
			<-time.After(retryAfter)
			continue
		}
		opened++
		if err := carry(s, messages); err == io.EOF {
			return nil
		} else {
			fmt.Fprintf(os.Stderr, "stream %d by %s ended: %v\n", opened, s.Conn().RemoteMultiaddr(), err)
		}
	}
	return nil
}

// carry uses one stream until it ends, or returns io.EOF after the last message.
func carry(s network.Stream, messages <-chan [messageSize]byte) error {
	defer s.Reset()
	ended := make(chan error, 1)
	var reading sync.WaitGroup
	defer reading.Wait()
	defer s.Reset()
	reading.Go(func() {
		for {
			var m [messageSize]byte
			if _, err := io.ReadFull(s, m[:]); err != nil {
				ended <- err
				return
			}
			os.Stdout.Write(m[:])
		}
	})
	for {
		select {
		case m, ok := <-messages:
			if !ok {
				return io.EOF
			}
			if _, err := s.Write(m[:]); err != nil {
				return err
			}
		case err := <-ended:
			if err == io.EOF {
				err = io.ErrUnexpectedEOF
			}
			return err
		}
	}
}

// firstReply waits for a byte of standard input and prints how long it takes
// from there to the first reply of a host that is not connected, by which path,
// and to the first direct connection.
func firstReply(ctx context.Context, h host.Host, to peer.ID) error {
	fmt.Println("ready")
	if _, err := os.Stdin.Read(make([]byte, 1)); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, dialTime)
	defer cancel()
	began := time.Now()
	s, err := h.NewStream(network.WithAllowLimitedConn(ctx, "bench"), to, bench)
	if err != nil {
		return err
	}
	if _, err := s.Write(make([]byte, 1)); err != nil {
		return err
	}
	if _, err := io.ReadFull(s, make([]byte, 1)); err != nil {
		return err
	}
	fmt.Println("reply", time.Since(began), s.Conn().RemoteMultiaddr())
	for ctx.Err() == nil {
		for _, c := range h.Network().ConnsToPeer(to) {
			if !isRelayed(c) {
				fmt.Println("direct", time.Since(began))
				return nil
			}
		}
		<-time.After(time.Millisecond)
	}
	return ctx.Err()
}
