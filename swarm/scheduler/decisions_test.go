package scheduler

import (
	"slices"
	"testing"
	"time"
)

func all(blocks int) []byte {
	have := make([]byte, (blocks+7)/8)
	for i := range have {
		have[i] = 0xff
	}
	return have
}

func everybody(Peer) bool { return true }

// orders returns what a scheduler has to tell now, of some kinds.
func orders(s *Scheduler, now time.Duration, kinds ...Kind) (list []Order) {
	s.Orders(now, func(o Order) {
		if slices.Contains(kinds, o.Kind) {
			list = append(list, o)
		}
	})
	return list
}

// taker returns a scheduler that has nothing, and peers that have everything and answer.
func taker(blocks, peers int) *Scheduler {
	s := New(Config{Blocks: blocks})
	for p := range Peer(peers) {
		s.Join(0, p, Traits{})
		s.PeerHasAll(0, p)
		s.PeerChokes(0, p, false)
	}
	return s
}

// seed returns a scheduler that has everything, and takers that give it credit.
func seed(blocks, takers, credit int) *Scheduler {
	s := New(Config{Blocks: blocks, Have: all(blocks)})
	for p := range Peer(takers) {
		s.Join(0, p, Traits{Credits: true})
		s.PeerCredit(0, p, credit)
	}
	return s
}

func TestSeedSendsEveryBlockOnce(t *testing.T) {
	const blocks, takers = 1000, 7
	s := seed(blocks, takers, 1<<20)
	if got := orders(s, 0, Unchoke); len(got) > 0 {
		t.Fatalf("a seed with something fresh answers requests: %v", got)
	}
	sent, share, groups := newBitmap(blocks), make([]int, takers), make(map[[2]int]bool)
	for {
		send, ok := s.Next(0, everybody)
		if !ok {
			break
		}
		if !send.Fresh || sent.has(send.Block) {
			t.Fatalf("block %d goes to peer %d though it was sent", send.Block, send.Peer)
		}
		sent.set(send.Block)
		share[send.Peer]++
		groups[[2]int{int(send.Peer), send.Block / 32}] = true
	}
	if sent.count() != blocks || slices.Min(share) < blocks/takers || slices.Max(share) > blocks/takers+1 {
		t.Errorf("%d of %d blocks were sent, to each %v", sent.count(), blocks, share)
	}
	if len(groups) > blocks/32+5*takers {
		t.Errorf("takers got something of %d groups in all; there are %d", len(groups), blocks/32+1)
	}
	if got := orders(s, 0, Unchoke); len(got) != takers {
		t.Errorf("after everything was sent once, %d of %d may ask", len(got), takers)
	}
}

func TestFreshGoesWhereItIsPassedOn(t *testing.T) {
	s := seed(1000, 3, 1<<20)
	share := make([]int, 3)
	for range 300 {
		send, _ := s.Next(0, everybody)
		share[send.Peer]++
		if send.Peer != 0 { // which passes nothing on
			s.PeerHas(0, send.Peer, send.Block)
			s.PeerHas(0, 3-send.Peer, send.Block)
		}
	}
	if share[0] > 3 || share[1] < 140 || share[2] < 140 {
		t.Errorf("fresh blocks went %v: the first passes none on", share)
	}
}

func TestCreditIsAWindow(t *testing.T) {
	s := seed(100, 1, 3)
	var sent []int
	for {
		send, ok := s.Next(0, everybody)
		if !ok {
			break
		}
		sent = append(sent, send.Block)
	}
	if len(sent) != 3 {
		t.Fatalf("%d blocks are under way by a credit of 3", len(sent))
	}
	s.PeerHas(0, 0, sent[1])
	if _, ok := s.Next(0, everybody); !ok {
		t.Error("a block arrived, and nothing follows it")
	}
	if send, ok := s.Next(0, everybody); ok {
		t.Errorf("block %d is beyond the credit", send.Block)
	}
}

func TestWhatALeaverHadIsFreshAgain(t *testing.T) {
	s := seed(64, 2, 1<<20)
	for range 64 {
		s.Next(0, everybody)
	}
	if _, ok := s.Next(0, everybody); ok {
		t.Fatal("a block was sent twice")
	}
	s.Leave(0, 0)
	again := 0
	for {
		send, ok := s.Next(0, everybody)
		if !ok {
			break
		}
		if again++; send.Peer != 1 {
			t.Fatalf("a block went to peer %d", send.Peer)
		}
	}
	if again != 32 {
		t.Errorf("%d blocks were sent again, of 32 that went with the leaver", again)
	}
}

func TestRequestsAreOfTheRarest(t *testing.T) {
	s := New(Config{Blocks: 40})
	for p := range Peer(4) {
		s.Join(0, p, Traits{})
	}
	for block := range 40 {
		for p := range Peer(4) {
			if p == 0 || block != 7 && block != 31 {
				s.PeerHas(0, p, block)
			}
		}
	}
	s.PeerChokes(0, 0, false)
	got := orders(s, 0, Request)
	if len(got) < 2 || got[0].Block+got[1].Block != 7+31 {
		t.Errorf("asked for %v first; only one peer has blocks 7 and 31", got)
	}
}

func TestNearPeersAreAskedFirst(t *testing.T) {
	s := New(Config{Blocks: 3})
	for p := range Peer(5) {
		s.Join(0, p, Traits{Near: p == 3})
		s.PeerHasAll(0, p)
		s.PeerChokes(0, p, false)
	}
	for _, o := range orders(s, 0, Request) {
		if o.Peer != 3 {
			t.Errorf("block %d is asked of peer %d, which is far", o.Block, o.Peer)
		}
	}
}

func TestFastPeersAreAskedForMore(t *testing.T) {
	s := taker(10000, 2)
	var now time.Duration
	for range 300 { // peer 0 sends a block each millisecond, peer 1 one each 100 ms
		now += time.Millisecond
		for _, p := range s.peers {
			if len(p.asked) > 0 && (p.name == 0 || now%(100*time.Millisecond) == 0) {
				s.Arrived(now, p.name, int(p.asked[0].block))
			}
		}
		orders(s, now)
	}
	if fast, slow := s.Asked(0), s.Asked(1); fast < 200 || fast > 300 || slow < 2 || slow > 6 {
		t.Errorf("%d requests are at the fast peer, %d at the slow one", fast, slow)
	}
}

func TestStalledPeer(t *testing.T) {
	s := taker(100, 2)
	taken := make(map[int]bool)
	var reports []Order
	for now := time.Duration(0); now < 2*time.Minute; now += 50 * time.Millisecond {
		for _, o := range orders(s, now, Request, Report, Expel) {
			switch {
			case o.Kind != Request:
				reports = append(reports, o)
			case o.Peer == 1 && now < 100*time.Millisecond || o.Peer == 1 && now > time.Minute:
				taken[o.Block] = true
			}
		}
		for block := range 100 { // peer 1 answers, peer 0 does not
			if s.asked[int32(block)] != nil && s.asked[int32(block)].name == 1 && now%(500*time.Millisecond) == 0 && len(reports) > 0 {
				s.Arrived(now, 1, block)
			}
		}
		if s.Complete() {
			break
		}
	}
	if !s.Complete() {
		t.Errorf("%d blocks are missing, though one of two peers answers", s.Lacking())
	}
	if len(reports) == 0 || reports[0].Kind != Report || reports[0].Reason == "" {
		t.Errorf("reports: %v", reports)
	}
	check(t, s)
}

func TestWrongBlocks(t *testing.T) {
	s := taker(100, 2)
	orders(s, 0)
	var expelled []Order
	for len(expelled) == 0 && s.stats.Wrong < 10 {
		s.Wrong(0, 0, int(s.byName[0].asked[0].block))
		expelled = orders(s, 0, Expel)
	}
	if s.stats.Wrong != suspicious || len(expelled) != 1 || expelled[0].Peer != 0 {
		t.Errorf("after %d wrong blocks: %v", s.stats.Wrong, expelled)
	}
	if s.Asked(0) > 0 {
		t.Error("it is asked on")
	}
	check(t, s)
}

func TestRefusedBlockIsAskedOfOthers(t *testing.T) {
	s := taker(1, 2)
	first := orders(s, 0, Request)
	if len(first) != 1 {
		t.Fatalf("requests: %v", first)
	}
	s.PeerRefused(0, first[0].Peer, 0)
	if second := orders(s, 0, Request); len(second) != 1 || second[0].Peer == first[0].Peer {
		t.Errorf("after a refusal of peer %d: %v", first[0].Peer, second)
	}
}

func TestLoserIsCancelled(t *testing.T) {
	s := taker(1, 2)
	asked := orders(s, 0, Request)[0].Peer
	s.Arrived(0, 1-asked, 0)
	if got := orders(s, 0, Cancel); len(got) != 1 || got[0].Peer != asked || got[0].Block != 0 {
		t.Errorf("the block came from elsewhere: %v", got)
	}
	s.Arrived(0, asked, 0)
	if got := s.Stats(); got.Arrived != 1 || got.Duplicates != 1 {
		t.Errorf("%+v", got)
	}
}

func TestAnnouncementsGoTogether(t *testing.T) {
	s := New(Config{Blocks: 100, Have: []byte{0xff}})
	for p := range Peer(3) {
		s.Join(0, p, Traits{})
	}
	orders(s, 0)
	s.PeerWants(0, 1, 0) // the uplink has something to do
	s.PeerWants(0, 1, 1)
	s.PeerHas(0, 2, 20)
	s.Arrived(0, 2, 10)
	s.Arrived(0, 2, 20)
	if got := orders(s, 0, Have); len(got) > 0 {
		t.Errorf("announced at once: %v", got)
	}
	s.Next(0, everybody)
	if got := orders(s, 0, Have); len(got) != 2 || got[0].Peer != 1 || got[1].Peer != 1 {
		t.Errorf("along with a block to peer 1: %v", got)
	}
	at := s.Wake()
	if at != holdBusy {
		t.Errorf("the others are told at %v", at)
	}
	if got := orders(s, at, Have); len(got) != 2 || got[0].Peer != 0 || got[1].Peer != 0 {
		t.Errorf("then: %v; peer 2 has them", got)
	}
}

func TestPeersThatAskTakeTurns(t *testing.T) {
	const blocks = 4096
	s := New(Config{Blocks: blocks, Have: all(blocks)})
	for p := range Peer(4) {
		s.Join(0, p, Traits{})
		for block := range 1000 {
			s.PeerWants(0, p, block+int(p)*1000)
		}
	}
	for block := range 500 { // peer 3 asks for a hundred times as much as it needs
		s.PeerWants(0, 3, block)
	}
	share := make([]int, 4)
	for range 400 {
		send, _ := s.Next(0, everybody)
		share[send.Peer]++
	}
	if slices.Min(share) < 95 || slices.Max(share) > 105 {
		t.Errorf("of 400 blocks, each got %v", share)
	}
	if send, _ := s.Next(0, func(p Peer) bool { return p == 2 }); send.Peer != 2 {
		t.Errorf("a block goes to peer %d, which is not ready", send.Peer)
	}
}

func TestWhoLacksMoreGetsMore(t *testing.T) {
	const blocks = 4096
	s := New(Config{Blocks: blocks, Have: all(blocks)})
	for p := range Peer(2) {
		s.Join(0, p, Traits{})
	}
	for block := range blocks / 3 {
		s.PeerHas(0, 0, block)
	}
	for block := 2048; block < blocks; block++ {
		s.PeerWants(0, 0, block)
		s.PeerWants(0, 1, block)
	}
	share := make([]int, 2)
	for range 600 {
		send, _ := s.Next(0, everybody)
		share[send.Peer]++
	}
	if share[1] < 2*share[0] || share[0] < 30 {
		t.Errorf("who has a third got %d, who has nothing got %d", share[0], share[1])
	}
}

func TestTooManyRequestsAreRejected(t *testing.T) {
	s := New(Config{Blocks: 100, Have: all(64), Wants: 10})
	s.Join(0, 1, Traits{})
	for _, block := range []int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 10, 99, -1, 100} {
		s.PeerWants(0, 1, block)
	}
	var rejected []int
	for _, o := range orders(s, 0, Reject) {
		rejected = append(rejected, o.Block)
	}
	if !slices.Equal(rejected, []int{9, 10, 99, -1, 100}) || s.Waiting(1) != 10 {
		t.Errorf("rejected %v, %d wait", rejected, s.Waiting(1))
	}
}

func TestReaderComesFirst(t *testing.T) {
	s := New(Config{Blocks: 100})
	s.Join(0, 1, Traits{Credits: true})
	s.PeerHasAll(0, 1)
	if got := orders(s, 0, Request, Credit); len(got) != 1 || got[0].Kind != Credit || got[0].Count < 1 {
		t.Fatalf("a peer with everything that answers no requests is told %v", got)
	}
	s.Want(0, 50, 52, time.Second)
	s.Want(0, 20, 22, time.Second/2)
	var asked []int
	for _, o := range orders(s, 0, Request) {
		asked = append(asked, o.Block)
	}
	if !slices.Equal(asked, []int{20, 21, 50, 51}) {
		t.Errorf("readers wait for 20, 21, 50 and 51; asked for %v", asked)
	}
	if !s.Expects(1, 20) || !s.Expects(1, 80) || s.Expects(2, 20) {
		t.Error("peer 1 was asked for 20, and may send 80 of its choice")
	}
}

func TestLostBlockIsTakenAgain(t *testing.T) {
	s := New(Config{Blocks: 10, Have: all(10)})
	s.Join(0, 1, Traits{})
	s.PeerHasAll(0, 1)
	s.PeerChokes(0, 1, false)
	s.PeerWants(0, 1, 4)
	orders(s, 0)
	s.Lost(0, 4)
	got := orders(s, 0, Reject, Request)
	if len(got) != 2 || got[0].Kind != Reject || got[1].Kind != Request || s.Complete() {
		t.Errorf("block 4 was lost: %v", got)
	}
	check(t, s)
}

func TestBitmapOfTheWire(t *testing.T) {
	s := New(Config{Blocks: 70, Have: []byte{0x80, 0, 0, 0, 0, 0, 0, 0x01, 0xff, 0xff}})
	var have []int
	for block := -1; block < 80; block++ {
		if s.Has(block) {
			have = append(have, block)
		}
	}
	if !slices.Equal(have, []int{0, 63, 64, 65, 66, 67, 68, 69}) || s.Lacking() != 62 {
		t.Errorf("have %v, lacking %d", have, s.Lacking())
	}
}

func TestEmptyContent(t *testing.T) {
	s := New(Config{})
	s.Join(0, 1, Traits{Credits: true})
	s.PeerHasAll(0, 1)
	s.PeerHasBitmap(0, 1, []byte{0xff})
	if _, ok := s.Next(0, everybody); ok || !s.Complete() || s.Interested(1) {
		t.Error("there is nothing to send or take")
	}
	orders(s, 0)
	check(t, s)
}
