package swarm

import (
	"fmt"
	"path/filepath"
	"testing"

	"kith.alt/kith"
)

// BenchmarkShare brings a file from one host to some others, without limits of
// the network: what it costs is the processor's time.
func BenchmarkShare(b *testing.B) {
	for _, takers := range []int{1, 4} {
		b.Run(fmt.Sprint(takers), func(b *testing.B) {
			names := []string{"maple"}
			for i := range takers {
				names = append(names, fmt.Sprint("taker", i))
			}
			const size = 64 << 20
			b.SetBytes(int64(takers) * size)
			for i := 0; b.Loop(); i++ {
				v := newVillage(b, names...)
				path, want := v.hosts[0].write(b, "file", size)
				entry, err := v.hosts[0].Publish(b.Context(), kith.Publication{Path: path})
				if err != nil {
					b.Fatal(err)
				}
				for _, h := range v.hosts[1:] {
					if _, err := h.Take(b.Context(), kith.Taking{Content: entry.Content, Path: filepath.Join(h.files, "taken")}); err != nil {
						b.Fatal(err)
					}
				}
				for _, h := range v.hosts[1:] {
					h.untilComplete(b, entry.Content, filepath.Join(h.files, "taken"), want)
				}
				for _, h := range v.hosts {
					h.stop()
				}
			}
		})
	}
}
