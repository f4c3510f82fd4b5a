package main

import (
	"context"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"kith.alt/kith/control"
)

// kith is a node on each host, all of which are members of one group.
var kith = client{
	name:  "kith",
	lacks: programs(),
	share: func(s *swarm) {
		h := s.seed()
		h.node("up", "--name", h.Name)
		var item struct{ Link string }
		if err := h.control().API(s.ctx, "share", http.MethodPut, "/shares", map[string]string{"path": s.file}, &item); err != nil {
			s.t.Fatal(err)
		}
		s.link = item.Link
	},
	prepare: func(h *host) {
		s := h.swarm
		if _, err := os.Stat(h.data()); err == nil {
			h.node("up")
			return
		}
		invitation, err := s.seed().control().Invite(s.ctx, control.InviteRequest{})
		if err != nil {
			s.t.Fatal(err)
		}
		h.node("join", invitation.Ticket, "--name", h.Name)
	},
	settle: func(s *swarm) {
		for _, h := range s.hosts {
			h.meets(len(s.hosts))
		}
	},
	take: func(h *host) func() bool {
		s := h.swarm
		p := h.run(s.bench.Kith(s.ctx, h.data(), "get", s.link, "-o", h.out()))
		return func() bool { return h.ended(p) }
	},
}

func (h *host) data() string { return filepath.Join(h.dir, "node") }

// node starts the host's node.
func (h *host) node(args ...string) {
	s := h.swarm
	cmd := s.bench.Kith(s.ctx, h.data(), args...)
	profile, err := s.bench.Profile(cmd, s.label+"-"+h.Name)
	if err != nil {
		s.t.Fatal(err)
	}
	h.profile = profile
	h.says(h.run(cmd), "ready")
}

// control speaks to the host's node until the swarm ends.
func (h *host) control() *control.Client {
	c := control.NewClient(h.data())
	h.swarm.t.Cleanup(func() { c.Close() })
	return c
}

// meets waits until the node sees so many members online, itself included.
func (h *host) meets(count int) {
	s := h.swarm
	ctx, cancel := context.WithTimeout(s.ctx, patience)
	defer cancel()
	node := h.control()
	tick := time.NewTicker(5 * poll)
	defer tick.Stop()
	for {
		status, err := node.Status(ctx)
		if err != nil {
			s.t.Fatalf("status of %s: %v", h.Name, err)
		}
		online := 0
		for _, m := range status.Members {
			if m.State == control.Online {
				online++
			}
		}
		if online == count {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			s.t.Fatalf("%s sees %d of %d members", h.Name, online, count)
		}
	}
}
