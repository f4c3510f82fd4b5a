package control

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"testing"
	"time"

	"kith.alt/kith"
	"kith.alt/kith/network/memory"
	"kith.alt/kith/network/networktest"
)

// TestPacketNetwork holds packet sockets through the control socket to the
// specification of every network.
func TestPacketNetwork(t *testing.T) {
	networktest.RunPacket(t, func(t *testing.T) networktest.PacketPair {
		hub := memory.NewHub()
		near, far := kith.ID{1}, kith.ID{2}
		return networktest.PacketPair{
			Near:     serve(t, &fakeNode{Network: hub.Network(near), PacketNetwork: hub.Network(near)}, nil),
			Far:      serve(t, &fakeNode{Network: hub.Network(far), PacketNetwork: hub.Network(far)}, nil),
			NearPeer: kith.Peer{ID: near}, FarPeer: kith.Peer{ID: far},
		}
	})
}

// TestPacketProcessEnds: the datagram port of a program that dies is free, and
// so is that of one that speaks nonsense.
func TestPacketProcessEnds(t *testing.T) {
	id := kith.ID{1}
	network := memory.NewHub().Network(id)
	c := serve(t, &fakeNode{PacketNetwork: network}, nil)
	for _, last := range [][]byte{nil, {0, 1, 0}, {0xff, 0xff}, {0, 4, 0, 0, 1, 255}} {
		program, _, err := c.upgrade(t.Context(), "listen-packet", addressRequest{Port: 7000})
		if err != nil {
			t.Fatal(err)
		}
		program.Write(last)
		if last == nil {
			program.Close()
		} else if _, err := io.Copy(io.Discard, program); err != nil {
			t.Errorf("after %x: %v", last, err)
		}
		for start := time.Now(); ; <-time.After(time.Millisecond) {
			s, err := network.ListenPacket(t.Context(), kith.Address{Port: 7000})
			if err == nil {
				s.Close()
				break
			}
			if time.Since(start) > 10*time.Second {
				t.Fatalf("after %x: %v", last, err)
			}
		}
		program.Close()
	}
}

// TestPacketNodeStops: packet sockets end with the node.
func TestPacketNodeStops(t *testing.T) {
	network := memory.NewHub().Network(kith.ID{1})
	c := serve(t, &fakeNode{PacketNetwork: network}, nil)
	s, err := c.ListenPacket(t.Context(), kith.Address{Port: 7000})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	held, err := network.ListenPacket(t.Context(), kith.Address{Port: 7000})
	if !errors.Is(err, kith.InUse) {
		held.Close()
		t.Fatalf("the program's port: %v", err)
	}
	s.(*packetConn).node.CloseWrite() // the node's side ends
	if _, _, err := s.ReadFrom(nil); err == nil {
		t.Error("read: no error")
	}
}

func FuzzFrame(f *testing.F) {
	f.Add(frame{address: kith.Address{Host: "maple", Port: 7000}, program: true, payload: []byte("hello")}.append(nil))
	f.Add([]byte{0, 4, 0, 0, 1, 0})
	f.Add([]byte{0, 4, 0, 0, 1, 1, 'a'})
	f.Add([]byte{0xff, 0xff})
	f.Fuzz(func(t *testing.T, in []byte) {
		r := newFrameReader(bytes.NewReader(in))
		for {
			f, size, err := peekFrame(r)
			if errors.Is(err, bufio.ErrBufferFull) {
				t.Fatal(err)
			}
			if err != nil {
				return
			}
			again, _, err := peekFrame(newFrameReader(bytes.NewReader(f.append(nil))))
			if err != nil || again.address != f.address || again.program != f.program || !bytes.Equal(again.payload, f.payload) {
				t.Fatalf("%+v was said again as %+v, %v", f, again, err)
			}
			r.Discard(size)
		}
	})
}
