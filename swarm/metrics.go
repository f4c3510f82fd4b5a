package swarm

import "kith.alt/kith"

type metrics struct {
	banned *kith.Counter
}

func newMetrics(m *kith.Metrics, s *Swarm) *metrics {
	m.Gauge("kith_swarm_holdings", "Contents that this host has or takes.", func() float64 {
		s.mu.Lock()
		defer s.mu.Unlock()
		return float64(len(s.holdings))
	})
	m.Gauge("kith_swarm_exchanges", "Contents that are exchanged now.", func() float64 {
		s.mu.Lock()
		defer s.mu.Unlock()
		return float64(len(s.active))
	})
	return &metrics{banned: m.Counter("kith_swarm_banned_total", "Members blocked because they sent what is wrong.")}
}
