package swarm

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"kith.alt/kith"
	"kith.alt/kith/content"
	"kith.alt/kith/proto/bittorrent"
)

const attackSize = 40*content.BlockSize + 99

// underAttack has oak take a content while only the attacker has it, waits until
// what is to be seen is seen, and then expects that oak completes it from maple.
func underAttack(t *testing.T, prepare func(*attacker), seen func(oak *villager, a *attacker) bool) {
	t.Helper()
	v := newVillage(t, "maple", "oak")
	maple, oak := v.host("maple"), v.host("oak")
	path, data := maple.write(t, "song.ogg", attackSize)
	entry, err := maple.Publish(t.Context(), kith.Publication{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	d, err := maple.described(entry.Content)
	if err != nil {
		t.Fatal(err)
	}
	maple.stop()
	a := newAttacker(t, v, path, data, d)
	prepare(a)
	a.listen()
	target := filepath.Join(oak.files, "taken")
	if _, err := oak.Take(t.Context(), kith.Taking{Content: entry.Content, From: []kith.ID{a.id, maple.id}, Path: target}); err != nil {
		t.Fatal(err)
	}
	oak.until(t, "seen by oak", func() bool { return seen(oak, a) })
	maple.start(t)
	oak.untilComplete(t, entry.Content, target, data)
	if blocked(oak, maple.id) {
		t.Error("the honest host is blocked")
	}
	a.village.mu.Lock()
	a.online = false
	a.village.mu.Unlock()
}

// blocked reports whether a host blocked another and named it in the log.
func blocked(h *villager, other kith.ID) bool {
	return h.says(`msg="member blocked for this content"`, other)
}

// says reports whether a host's log has a message about another.
func (h *villager) says(message string, other kith.ID) bool {
	h.said.mu.Lock()
	defer h.said.mu.Unlock()
	for line := range bytes.Lines(h.said.text.Bytes()) {
		if bytes.Contains(line, []byte(message)) && bytes.Contains(line, []byte("peer="+other.Short()+" host=")) {
			return true
		}
	}
	return false
}

// together runs tests beside each other, however few processors there are: most
// of the time they wait.
func together(t *testing.T, tests map[string]func(*testing.T)) {
	var running sync.WaitGroup
	for name, test := range tests {
		running.Go(func() { t.Run(name, test) })
	}
	running.Wait()
}

// TestAttackedTaker has a taker meet members that lie, send what is wrong, stall and
// flood: they are blocked where they break the rules, and the rest comes from others.
func TestAttackedTaker(t *testing.T) {
	t.Parallel()
	tests := make(map[string]func(*testing.T))
	haveAll := bittorrent.Message{Type: bittorrent.HaveAll}
	unchoke := bittorrent.Message{Type: bittorrent.Unchoke}
	extended := func(id uint8, payload []byte) bittorrent.Message {
		return bittorrent.Message{Type: bittorrent.Extended, ExtendedID: id, Payload: payload}
	}
	offer := func(c talk) { c.say(haveAll, unchoke) }
	// says has a message said after what is usual.
	says := func(messages ...bittorrent.Message) func(*attacker) {
		return func(a *attacker) {
			a.talk = func(c talk) { offer(c); c.say(messages...) }
		}
	}
	floods := func(m bittorrent.Message) func(*attacker) {
		return func(a *attacker) {
			a.talk = func(c talk) { offer(c); c.repeat(200_000, m) }
		}
	}
	for name, prepare := range map[string]func(*attacker){
		"wrong blocks": func(a *attacker) {
			a.talk = offer
			a.hear = func(c talk, m bittorrent.Message) {
				if m.Type == bittorrent.Request {
					c.say(c.wrong(int(m.Index)))
					return
				}
				honest(c, m)
			}
		},
		"wrong hashes": func(a *attacker) {
			a.talk = offer
			a.hear = func(c talk, m bittorrent.Message) {
				if m.Type == bittorrent.HashRequest {
					answer := c.hashes(m)
					rand.Read(answer.Hashes[:32])
					c.say(answer)
				}
			}
		},
		"wrong hashes first": func(a *attacker) {
			a.talk = func(c talk) {
				answer := c.hashes(hashRequest(a.file, 0))
				rand.Read(answer.Hashes[len(answer.Hashes)-32:])
				c.say(answer, haveAll, unchoke)
			}
		},
		"hashes of another file": says(bittorrent.Message{Type: bittorrent.Hashes, Root: [32]byte{1}, HashLength: 32, Hashes: make([]byte, 32*32)}),
		"hashes of a layer far up": func(a *attacker) {
			a.talk = func(c talk) {
				offer(c)
				c.say(bittorrent.Message{Type: bittorrent.Hashes, Root: a.file.Root(), BaseLayer: 1 << 31, Index: 1<<32 - 1, HashLength: 1 << 31, ProofLayers: 1<<32 - 1})
			}
		},
		"a block beyond the end":     says(bittorrent.Message{Type: bittorrent.Piece, Index: 1<<32 - 1, Payload: make([]byte, content.BlockSize)}),
		"a block that is too short":  says(bittorrent.Message{Type: bittorrent.Piece, Payload: []byte("short")}),
		"has what is beyond the end": says(bittorrent.Message{Type: bittorrent.Have, Index: 1 << 31}),
		"says twice what it has":     says(haveAll),
		"a bitmap of another length": func(a *attacker) {
			a.talk = func(c talk) { c.say(bittorrent.Message{Type: bittorrent.Bitfield, Payload: make([]byte, 1<<16)}) }
		},
		"a message of 4 GiB": func(a *attacker) {
			a.talk = func(c talk) { c.Write([]byte{0xff, 0xff, 0xff, 0xff, 7}) }
		},
		"a credit of three bytes": says(extended(extCredit, []byte{1, 2, 3})),
		"hosts in a half ID":      says(extended(extHosts, make([]byte, 33))),
		"a ping without a number": says(extended(extPing, nil)),
		"announces for ever":      floods(bittorrent.Message{Type: bittorrent.Have, Index: 3}),
		"chokes for ever":         floods(bittorrent.Message{Type: bittorrent.Choke}),
		"pings for ever":          floods(extended(extPing, make([]byte, 8))),
		"introduces for ever":     floods(extended(extHosts, make([]byte, maxIntroduced*32))),
		"keeps alive for ever":    floods(bittorrent.Message{Type: bittorrent.KeepAlive}),
		"babbles for ever":        floods(extended(99, make([]byte, 100))),
		"asks for hashes for ever": func(a *attacker) {
			m := hashRequest(a.file, 0)
			m.Type = bittorrent.HashRequest
			a.talk = func(c talk) { offer(c); c.repeat(200_000, m) }
		},
		"refuses for ever": floods(bittorrent.Message{Type: bittorrent.Reject, Length: content.BlockSize}),
		"asks for many hashes": func(a *attacker) {
			m := hashRequest(a.file, 0)
			m.Type, m.HashLength = bittorrent.HashRequest, maxHashes
			a.talk = func(c talk) { offer(c); c.repeat(20_000, m) }
		},
		"says much at a time": func(a *attacker) {
			a.talk = func(c talk) { offer(c); c.repeat(200, extended(99, make([]byte, maxMessage-2))) }
		},
		"answers a credit with one block": func(a *attacker) {
			a.talk = func(c talk) { c.say(haveAll) }
			a.hear = func(c talk, m bittorrent.Message) {
				if m.Type == bittorrent.Extended && m.ExtendedID == extCredit {
					c.say(c.hashes(hashRequest(a.file, 0)))
					c.repeat(20_000, c.block(0))
				}
			}
		},
		"asks for blocks for ever": floods(bittorrent.Message{Type: bittorrent.Request, Length: content.BlockSize}),
		"the same block for ever": func(a *attacker) {
			a.talk = func(c talk) {
				offer(c)
				m := hashRequest(a.file, 0)
				m.Type = bittorrent.HashRequest
				c.say(c.hashes(m))
				c.repeat(20_000, c.block(0))
			}
		},
	} {
		tests[name] = func(t *testing.T) {
			underAttack(t, prepare, func(oak *villager, a *attacker) bool { return blocked(oak, a.id) })
		}
	}
	together(t, tests)
}

// TestPoorPeers has a taker meet members that do nothing wrong and nothing right:
// nobody is blocked for that, and the rest comes from others.
func TestPoorPeers(t *testing.T) {
	t.Parallel()
	tests := make(map[string]func(*testing.T))
	asked := func(kind bittorrent.Type, then func(talk, bittorrent.Message)) (func(*attacker), func(*villager, *attacker) bool) {
		var n atomic.Int64
		return func(a *attacker) {
			a.talk = func(c talk) {
				c.say(bittorrent.Message{Type: bittorrent.HaveAll}, bittorrent.Message{Type: bittorrent.Unchoke})
			}
			a.hear = func(c talk, m bittorrent.Message) {
				if m.Type == kind {
					n.Add(1)
				}
				then(c, m)
			}
		}, func(*villager, *attacker) bool { return n.Load() > 0 }
	}
	silent := func(talk, bittorrent.Message) {}
	for name, c := range map[string]struct {
		kind  bittorrent.Type
		named bool // in the log: it is asked for little
		then  func(talk, bittorrent.Message)
	}{
		"claims all and sends nothing": {bittorrent.Request, false, silent},
		"claims all and refuses": {bittorrent.Request, true, func(c talk, m bittorrent.Message) {
			if m.Type == bittorrent.Request {
				m.Type = bittorrent.Reject
				c.say(m)
			}
		}},
		"refuses and announces again": {bittorrent.Request, true, func(c talk, m bittorrent.Message) {
			if m.Type == bittorrent.Request {
				m.Type = bittorrent.Reject
				c.say(m, bittorrent.Message{Type: bittorrent.Have, Index: m.Index})
			}
		}},
		"a byte of a block a second": {bittorrent.Request, false, func(c talk, m bittorrent.Message) {
			if m.Type == bittorrent.Request {
				c.dribble(c.block(int(m.Index)))
			}
		}},
		"a byte of hashes a second": {bittorrent.HashRequest, false, func(c talk, m bittorrent.Message) {
			if m.Type == bittorrent.HashRequest {
				c.dribble(c.hashes(m))
			}
		}},
		"gives blocks without hashes": {bittorrent.HashRequest, false, func(c talk, m bittorrent.Message) {
			if m.Type == bittorrent.Request {
				c.say(c.block(int(m.Index)))
			}
		}},
		"refuses hashes": {bittorrent.HashRequest, false, func(c talk, m bittorrent.Message) {
			if m.Type == bittorrent.HashRequest {
				m.Type = bittorrent.HashReject
				c.say(m)
			}
		}},
		"goes after each block": {bittorrent.Request, false, func(c talk, m bittorrent.Message) {
			if m.Type == bittorrent.Request {
				honest(c, m)
				c.Close()
			}
		}},
	} {
		tests[name] = func(t *testing.T) {
			prepare, seen := asked(c.kind, c.then)
			underAttack(t, prepare, func(oak *villager, a *attacker) bool {
				return seen(oak, a) && (!c.named || oak.says(`msg="member is asked for little from now on"`, a.id))
			})
		}
	}
	together(t, tests)
}

// TestBadWelcome has a taker meet members that break the greeting: it does not dial
// them again at once.
func TestBadWelcome(t *testing.T) {
	t.Parallel()
	tests := make(map[string]func(*testing.T))
	write := func(text []byte) func(net.Conn) bool {
		return func(conn net.Conn) bool { conn.Write(text); return false }
	}
	for name, welcome := range map[string]func(net.Conn) bool{
		"closes":          write(nil),
		"an unknown word": write([]byte{77, 0, 0}),
		"255 hosts":       write([]byte{verdictHere, 0, 255}),
		"half a host":     write([]byte{verdictHere, 0, 1, 2, 3}),
		"here, and gone":  write(welcome{}.bytes()),
		"says nothing":    func(conn net.Conn) bool { io.Copy(io.Discard, conn); return false },
	} {
		tests[name] = func(t *testing.T) {
			begun := time.Now()
			var it *attacker
			underAttack(t, func(a *attacker) { a.welcome, it = welcome, a }, func(_ *villager, a *attacker) bool { return a.met.Load() > 0 })
			if most := 3 + int64(time.Since(begun)/time.Second); it.met.Load() > most {
				t.Errorf("dialled %d times in %v", it.met.Load(), time.Since(begun))
			}
		}
	}
	together(t, tests)
}

// TestBadDescriptions has a taker meet members that give a wrong description.
func TestBadDescriptions(t *testing.T) {
	t.Parallel()
	tests := make(map[string]func(*testing.T))
	for name, c := range map[string]struct {
		describe func(net.Conn)
		named    bool // in the log
	}{
		"another one": {func(conn net.Conn) { answerDescription(conn, []byte("d4:name4:songe")) }, true},
		"of 4 GiB": {func(conn net.Conn) {
			conn.Write([]byte{verdictHere, 0xff, 0xff, 0xff, 0xff})
			io.Copy(conn, rand.Reader)
		}, true},
		"of 16 MiB": {func(conn net.Conn) {
			conn.Write(binary.BigEndian.AppendUint32([]byte{verdictHere}, maxDescription))
			io.Copy(conn, io.LimitReader(rand.Reader, maxDescription))
		}, true},
		"half of it":  {func(conn net.Conn) { conn.Write([]byte{verdictHere, 0, 0, 1, 0, 1, 2, 3}) }, false},
		"not at all":  {func(conn net.Conn) { io.Copy(io.Discard, conn) }, false},
		"nothing":     {func(conn net.Conn) {}, false},
		"a long word": {func(conn net.Conn) { conn.Write(bytes.Repeat([]byte{9}, 100)) }, false},
	} {
		tests[name] = func(t *testing.T) {
			var asked atomic.Int64
			underAttack(t, func(a *attacker) {
				a.describe = func(conn net.Conn) { asked.Add(1); c.describe(conn) }
			}, func(oak *villager, a *attacker) bool {
				return asked.Load() > 0 && (!c.named || oak.said.has(`msg="member gave a wrong description" peer=`+a.id.Short()) || oak.said.has("member gave a wrong description"))
			})
			if c.named && asked.Load() > 1 {
				t.Errorf("asked %d times", asked.Load())
			}
		}
	}
	together(t, tests)
}

// TestUnusable takes content whose description is the one that is named, and
// breaks the rules: it ends with a reason.
func TestUnusable(t *testing.T) {
	tests := make(map[string]func(*testing.T))
	root := bytes.Repeat([]byte{7}, 32)
	file := func(size int64) string {
		return fmt.Sprintf("d0:d6:lengthi%de11:pieces root32:%see", size, root)
	}
	info := func(tree string) []byte {
		return fmt.Appendf(nil, "d9:file tree%s12:meta versioni2e4:name4:song12:piece lengthi65536ee", tree)
	}
	for name, raw := range map[string][]byte{
		"up two folders":       info("d2:..d2:..d1:x" + file(16384) + "eee"),
		"a path with slashes":  info("d7:../../x" + file(16384) + "e"),
		"an absolute path":     info("d4:/etc" + file(16384) + "e"),
		"2^63 leaves":          info("d4:song" + file(1<<62) + "e"),
		"2^50 bytes":           info("d4:song" + file(1<<50) + "e"),
		"names alike on macOS": info("d1:A" + file(16384) + "1:a" + file(16384) + "e"),
		"a device of Windows":  info("d3:con" + file(16384) + "e"),
		"no dictionary":        []byte("hello"),
		"empty":                {},
	} {
		tests[name] = func(t *testing.T) {
			v := newVillage(t, "oak")
			oak := v.host("oak")
			a := &attacker{villager: v.add(t, "attacker"), t: t}
			a.describe = func(conn net.Conn) { answerDescription(conn, append(make([]byte, 0, 1), raw...)) }
			a.listen()
			id := kith.ContentID(sha256.Sum256(raw))
			if _, err := oak.Take(t.Context(), kith.Taking{Content: id, From: []kith.ID{a.id}, Path: filepath.Join(oak.files, "x")}); err != nil {
				t.Fatal(err)
			}
			oak.until(t, "paused with a reason", func() bool {
				h, err := oak.Holding(id)
				return err == nil && h.State == kith.HoldingPaused && h.Reason != ""
			})
		}
	}
	together(t, tests)
}

// TestAttackedSeed has members dial a seed and misbehave: it goes on for others.
func TestAttackedSeed(t *testing.T) {
	t.Parallel()
	v := newVillage(t, "maple", "oak")
	maple, oak := v.host("maple"), v.host("oak")
	path, data := maple.write(t, "song.ogg", attackSize)
	entry, err := maple.Publish(t.Context(), kith.Publication{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	d, err := maple.described(entry.Content)
	if err != nil {
		t.Fatal(err)
	}
	random := make([]byte, 1000)
	rand.Read(random)
	for name, text := range map[string][]byte{
		"another version": append([]byte{9}, greeting{ask: askBlocks}.bytes()[1:]...),
		"noise":           random,
		"nothing":         {},
		"unknown ask":     greeting{ask: 77, content: entry.Content}.bytes(),
		"unknown content": greeting{ask: askBlocks, content: kith.ContentID{1}}.bytes(),
		"hashes, noise":   append(greeting{ask: askHashes, content: entry.Content}.bytes(), random...),
		"library, noise":  append(greeting{ask: askLibrary}.bytes(), random...),
	} {
		a := newAttacker(t, v, path, data, d)
		c, err := a.greet(maple, text...)
		if text == nil || err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		c.SetDeadline(time.Now().Add(time.Minute))
		if name == "nothing" {
			c.Close()
			continue
		}
		if got, err := io.ReadAll(c); err == nil || !isTimeout(err) {
			t.Logf("%s: answered with %d bytes, %v", name, len(got), err)
		} else {
			t.Errorf("%s: the socket stays open", name)
		}
	}

	flood := func(name string, words func(talk)) {
		a := newAttacker(t, v, path, data, d)
		c, err := a.greet(maple)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := readWelcome(c); err != nil {
			t.Fatal(err)
		}
		done := make(chan struct{})
		go func() { defer close(done); a.converse(c) }()
		words(c)
		maple.until(t, "rid of one that "+name, func() bool { return blocked(maple, a.id) })
		<-done
		again, err := a.greet(maple)
		if err != nil {
			t.Fatal(err)
		}
		if w, err := readWelcome(again); err == nil && w.verdict == verdictHere {
			t.Errorf("one that %s is welcome again", name)
		}
		again.Close()
	}
	flood("asks for ever", func(c talk) {
		c.repeat(100_000, bittorrent.Message{Type: bittorrent.Request, Index: 1, Length: content.BlockSize})
	})
	flood("asks for hashes for ever", func(c talk) {
		m := hashRequest(c.a.file, 0)
		m.Type = bittorrent.HashRequest
		c.repeat(100_000, m)
	})
	flood("asks beyond the end", func(c talk) { c.say(bittorrent.Message{Type: bittorrent.Request, Index: 1 << 30}) })

	// One that takes as much as it can, reads nothing and passes nothing on.
	greedy := newAttacker(t, v, path, data, d)
	c, err := greedy.greet(maple)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.say(bittorrent.Message{Type: bittorrent.HaveNone}, credit(1<<20))
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	target := filepath.Join(oak.files, "taken")
	if _, err := oak.Take(ctx, kith.Taking{Content: entry.Content, Path: target}); err != nil {
		t.Fatal(err)
	}
	oak.untilComplete(t, entry.Content, target, data)
}

func isTimeout(err error) bool {
	timeout, ok := err.(net.Error)
	return ok && timeout.Timeout()
}
