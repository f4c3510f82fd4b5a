package rendezvous

import (
	"context"
	"fmt"
	"math"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/anacrolix/dht/v2"
	"github.com/anacrolix/dht/v2/bep44"
	"github.com/anacrolix/dht/v2/int160"
	k_nearest_nodes "github.com/anacrolix/dht/v2/k-nearest-nodes"
	"github.com/anacrolix/dht/v2/krpc"
	"github.com/anacrolix/dht/v2/traversal"
	"github.com/anacrolix/dht/v2/types"
	"github.com/anacrolix/generics"
	"github.com/anacrolix/log"
	"golang.org/x/time/rate"

	"kith.alt/kith"
	"kith.alt/kith/network/underlay"
)

const (
	packetRate    = 20 // packets a second that go out
	packetBurst   = 20
	answerWait    = 2 * time.Second // for the answer to a packet, which is sent once
	lookupTime    = 30 * time.Second
	lookupNodes   = 64 // nodes asked in one lookup
	parallel      = 4  // questions under way in one lookup
	lookupsAtOnce = 2
	copies        = 8 // nodes that hold an item: as many as BEP 5 has in a bucket

	knownNodes    = 64
	resolveAgain  = time.Hour // the bootstrap names
	resolveWait   = 5 * time.Second
	maxBootstraps = 32 // addresses
)

// A node of the DHT that answered.
type node = types.AddrMaybeId

// A session is the DHT from one Serve to its end: the library's server on the
// shared socket, and the nodes that answered last.
type session struct {
	ctx    context.Context // ends with Serve
	server *dht.Server
	socket *socket
	config Config
	turns  chan struct{} // lookupsAtOnce places
	views  *views

	mu         sync.Mutex
	known      []node // knownNodes, the latest last
	bootstrap  []node
	resolved   time.Time
	ended      bool
	unfinished sync.WaitGroup // lookups; nothing is added after ended
}

func newSession(ctx context.Context, config Config, views *views) (*session, error) {
	s := &session{ctx: ctx, config: config, socket: newSocket(config.Conn), views: views, turns: make(chan struct{}, lookupsAtOnce)}
	quiet := log.NewLogger()
	quiet.SetHandlers(silence{})
	server, err := dht.NewServer(&dht.ServerConfig{
		Conn:             s.socket,
		Passive:          true, // BEP 43
		NoSecurity:       true, // nodes whose ID does not fit their address (BEP 42) are asked too
		QueryResendDelay: func() time.Duration { return answerWait },
		SendLimiter:      rate.NewLimiter(packetRate, packetBurst),
		Logger:           quiet,
	})
	if err != nil {
		return nil, fmt.Errorf("join the DHT: %w", err)
	}
	s.server = server
	return s, nil
}

// silence is a log handler: what the library has to say are addresses of
// strangers, and what we need to know of it is in its answers.
type silence struct{}

func (silence) Handle(log.Record) {}

// close ends the library's goroutines and waits until nothing reads from the
// shared socket. The session's context has ended.
func (s *session) close() {
	s.mu.Lock()
	s.ended = true
	s.mu.Unlock()
	s.unfinished.Wait()
	s.server.Close() // before the socket, whose error it would take for a reason to panic
	s.socket.Close()
}

// found is what a lookup brought.
type found struct {
	items   []item
	nearest []holder
	answers int // nodes that answered
}

// An item is what a node holds at a place: the signature was right.
type item struct {
	seq    int64
	sealed []byte
	from   netip.AddrPort
}

// A holder is one of the nodes nearest to a place. The token allows us to write there.
type holder struct {
	address netip.AddrPort
	token   string
}

// get asks the nodes nearest to the place what they hold. It fails with kind
// Unreachable when no node answered.
func (s *session) get(ctx context.Context, p *place) (found, error) {
	ctx, leave, err := s.enter(ctx)
	if err != nil {
		return found{}, err
	}
	defer leave()
	s.mu.Lock()
	start := slices.Concat(p.near, s.known)
	s.mu.Unlock()
	result := s.traverse(ctx, p, start)
	if result.answers == 0 && ctx.Err() == nil {
		result = s.traverse(ctx, p, s.bootstrapNodes(ctx))
	}
	if err := ctx.Err(); err != nil && result.answers == 0 {
		return found{}, err
	}
	if result.answers == 0 {
		return found{}, fmt.Errorf("no node of the DHT answers: %w", kith.Unreachable)
	}
	return result, nil
}

// enter waits for a turn. The context that it returns ends with the session, too.
func (s *session) enter(ctx context.Context) (_ context.Context, leave func(), err error) {
	select {
	case s.turns <- struct{}{}:
	case <-ctx.Done():
		return nil, nil, ctx.Err()
	case <-s.ctx.Done():
		return nil, nil, s.ctx.Err()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended {
		<-s.turns
		return nil, nil, context.Canceled
	}
	s.unfinished.Add(1)
	ctx, cancel := context.WithTimeout(ctx, lookupTime)
	stop := context.AfterFunc(s.ctx, cancel)
	return ctx, func() {
		stop()
		cancel()
		<-s.turns
		s.unfinished.Done()
	}, nil
}

// traverse asks ever nearer nodes (BEP 5), until the nearest that there are have
// answered, or ctx ends.
func (s *session) traverse(ctx context.Context, p *place, start []node) found {
	var result found
	if len(start) == 0 {
		return result
	}
	var mu sync.Mutex
	var asked atomic.Int32
	p.near = nil
	op := traversal.Start(traversal.OperationInput{
		Target: p.target,
		Alpha:  parallel,
		K:      copies,
		DoQuery: func(ctx context.Context, to krpc.NodeAddr) traversal.QueryResult {
			if asked.Add(1) > lookupNodes {
				return traversal.QueryResult{}
			}
			from := to.ToNodeAddrPort().AddrPort
			reply := s.ask(ctx, to, p.target)
			if reply.Writes == 0 { // a family that this host has no route for
				asked.Add(-1)
			}
			if reply.Err != nil || reply.Reply.R == nil {
				return traversal.QueryResult{}
			}
			r := reply.Reply.R
			answer := reply.TraversalQueryResult(to)
			answer.Nodes = nodesFrom(from.Addr(), answer.Nodes)
			answer.Nodes6 = nodesFrom(from.Addr(), answer.Nodes6)
			s.views.note(from, reply.Reply.IP)
			s.remember(node{Addr: krpc.NodeAddrPort{AddrPort: from}, Id: generics.Some(int160.FromByteArray(r.ID))})
			mu.Lock()
			defer mu.Unlock()
			result.answers++
			if item, ok := p.itemIn(r); ok {
				item.from = from
				result.items = append(result.items, item)
			}
			if token, _ := answer.ClosestData.(string); token == "" { // it will hold nothing for us
				answer.ResponseFrom = nil
			}
			return answer
		},
	})
	op.AddNodes(start)
	select {
	case <-op.Stalled():
	case <-ctx.Done():
	}
	op.Stop()
	<-op.Stopped()
	op.Closest().Range(func(e k_nearest_nodes.Elem) {
		result.nearest = append(result.nearest, holder{e.Addr.AddrPort, e.Data.(string)})
		p.near = append(p.near, node{Addr: e.Addr, Id: generics.Some(e.ID.Int160())})
	})
	return result
}

// ask asks a node what it holds at target and which nodes are nearer. Some
// routers do not know that question of BEP 44; then it is the one of BEP 5.
func (s *session) ask(ctx context.Context, to krpc.NodeAddr, target bep44.Target) dht.QueryResult {
	address := dht.NewAddr(to.UDP())
	reply := s.server.Get(ctx, address, target, nil, dht.QueryRateLimiting{})
	if reply.Err != nil || reply.Reply.Y != krpc.YError {
		return reply
	}
	return s.server.Query(ctx, address, "find_node", dht.QueryInput{MsgArgs: krpc.MsgArgs{
		Target: target, Want: []krpc.Want{krpc.WantNodes, krpc.WantNodes6},
	}})
}

// itemIn returns the item in a response when it has the form of ours and was
// signed with the place's key (BEP 44).
func (p *place) itemIn(r *krpc.Return) (item, bool) {
	if r.Seq == nil || r.K != p.public || len(r.V) != itemSize || string(r.V[:len(itemPrefix)]) != itemPrefix ||
		!bep44.Verify(p.public[:], nil, *r.Seq, r.V, r.Sig[:]) {
		return item{}, false
	}
	return item{seq: *r.Seq, sealed: r.V[len(itemPrefix):]}, true
}

// put writes a board to nodes and returns how many took it.
func (s *session) put(ctx context.Context, p *place, seq int64, sealed []byte, nodes []holder) (int, error) {
	ctx, leave, err := s.enter(ctx)
	if err != nil {
		return 0, err
	}
	defer leave()
	write := bep44.Put{V: sealed, K: &p.public, Seq: seq}
	write.Sign(p.key)
	var taken atomic.Int32
	var all sync.WaitGroup
	for _, to := range nodes {
		all.Go(func() {
			address := dht.NewAddr(net.UDPAddrFromAddrPort(to.address))
			result := s.server.Query(ctx, address, "put", dht.QueryInput{MsgArgs: krpc.MsgArgs{
				Token: to.token, V: write.V, K: p.public, Seq: &write.Seq, Sig: write.Sig,
			}})
			if result.Err == nil && result.Reply.Y == krpc.YResponse {
				taken.Add(1)
			}
		})
	}
	all.Wait()
	return int(taken.Load()), nil
}

// remember puts a node that answered last into known.
func (s *session) remember(n node) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.known = slices.DeleteFunc(s.known, func(k node) bool { return k.Addr == n.Addr })
	s.known = append(s.known, n)
	if len(s.known) > knownNodes {
		s.known = slices.Delete(s.known, 0, len(s.known)-knownNodes)
	}
}

// bootstrapNodes resolves the names in the configuration, at most once an hour
// when that brought something.
func (s *session) bootstrapNodes(ctx context.Context) []node {
	s.mu.Lock()
	nodes, resolved := s.bootstrap, s.resolved
	s.mu.Unlock()
	if len(nodes) > 0 && time.Since(resolved) < resolveAgain {
		return nodes
	}
	ctx, cancel := context.WithTimeout(ctx, resolveWait)
	defer cancel()
	var mu sync.Mutex
	var all sync.WaitGroup
	var fresh []node
	for _, name := range s.config.Bootstrap {
		all.Go(func() {
			addresses, err := s.resolve(ctx, name)
			if err != nil {
				s.config.Log.Debug("bootstrap node of the DHT", "name", name, "error", err)
			}
			mu.Lock()
			defer mu.Unlock()
			for _, a := range addresses {
				if len(fresh) < maxBootstraps && dialable(a) {
					fresh = append(fresh, node{Addr: krpc.NodeAddrPort{AddrPort: a}})
				}
			}
		})
	}
	all.Wait()
	if len(fresh) == 0 {
		return nodes
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.bootstrap, s.resolved = fresh, time.Now()
	return fresh
}

func (s *session) resolve(ctx context.Context, name string) ([]netip.AddrPort, error) {
	host, portText, err := net.SplitHostPort(name)
	if err != nil {
		return nil, err
	}
	port, err := strconv.ParseUint(portText, 10, 16)
	if err != nil {
		return nil, err
	}
	var ips []netip.Addr
	if ip, err := netip.ParseAddr(host); err == nil {
		ips = []netip.Addr{ip}
	} else if ips, err = s.config.Resolve(ctx, host); err != nil {
		return nil, err
	}
	addresses := make([]netip.AddrPort, len(ips))
	for i, ip := range ips {
		addresses[i] = netip.AddrPortFrom(ip.Unmap(), uint16(port))
	}
	return addresses, nil
}

// nodesFrom returns those nodes that the node at from may send us to: as many as
// BEP 5 has in an answer, since all could be dead ones right at the target, and
// none in a private network if from is on the Internet.
func nodesFrom(from netip.Addr, nodes []krpc.NodeInfo) []krpc.NodeInfo {
	nodes = slices.DeleteFunc(nodes, func(n krpc.NodeInfo) bool {
		a := n.Addr.ToNodeAddrPort().AddrPort
		return !dialable(a) || underlay.IsPublic(from) && !underlay.IsPublic(a.Addr())
	})
	return nodes[:min(len(nodes), copies)]
}

// newest returns the item with the highest sequence number.
func (f found) newest() item {
	top := item{seq: math.MinInt64}
	for _, i := range f.items {
		if i.seq > top.seq {
			top = i
		}
	}
	return top
}
