package sqlite

import (
	"database/sql"
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
)

// BenchmarkUpdate measures durable updates of one row of 4 KiB each, by so many
// writers at a time.
func BenchmarkUpdate(b *testing.B) {
	for _, writers := range []int{1, 8, 32} {
		b.Run(fmt.Sprintf("writers=%d", writers), func(b *testing.B) {
			s, err := Open(b.Context(), filepath.Join(b.TempDir(), "kith.db"))
			if err != nil {
				b.Fatal(err)
			}
			defer s.Close()
			if err := s.Migrate(b.Context(), "test", grow("test", 1)); err != nil {
				b.Fatal(err)
			}
			data := make([]byte, 4<<10)
			var left atomic.Int64
			left.Store(int64(b.N))
			var group sync.WaitGroup
			b.ResetTimer()
			for range writers {
				group.Go(func() {
					for left.Add(-1) >= 0 {
						if err := s.Update(b.Context(), func(tx *sql.Tx) error {
							_, err := tx.ExecContext(b.Context(), `INSERT INTO test_1 (data) VALUES (?)`, data)
							return err
						}); err != nil {
							b.Error(err)
							return
						}
					}
				})
			}
			group.Wait()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "updates/s")
		})
	}
}
