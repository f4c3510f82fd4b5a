package content

import "kith.alt/kith"

type metrics struct {
	read, written, wrong, refused *kith.Counter
}

func newMetrics(m *kith.Metrics, s *Store) *metrics {
	if m == nil {
		m = new(kith.Metrics)
	}
	m.Gauge("kith_content_bytes", "Bytes of disk that kept content takes.", func() float64 { return float64(s.Usage()) })
	m.Gauge("kith_content_open_files", "Files of content with state in memory.", func() float64 {
		s.mu.Lock()
		defer s.mu.Unlock()
		return float64(len(s.loaded))
	})
	return &metrics{
		read:    m.Counter("kith_content_read_bytes_total", "Bytes of blocks read from disk and found right."),
		written: m.Counter("kith_content_written_bytes_total", "Bytes of blocks that were checked and written to disk."),
		wrong:   m.Counter("kith_content_wrong_blocks_total", "Blocks on disk that were found wrong."),
		refused: m.Counter("kith_content_refused_blocks_total", "Blocks offered that were wrong."),
	}
}
