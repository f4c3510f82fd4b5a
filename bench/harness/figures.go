package harness

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

// Median returns the middle one of values, of which there is at least one.
func Median[T cmp.Ordered](values []T) T { return Quantile(values, 0.5) }

// Quantile returns the value that a share of values does not exceed.
func Quantile[T cmp.Ordered](values []T, share float64) T {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[int(share*float64(len(sorted)-1))]
}

// Times writes the median and the 99th percentile.
func Times(values []time.Duration) string {
	return fmt.Sprintf("%d/%d µs", Median(values).Microseconds(), Quantile(values, 0.99).Microseconds())
}

// Ratio writes a share of a peer; "" where there is none.
func Ratio(value, peer float64) string {
	if peer == 0 {
		return ""
	}
	return fmt.Sprintf("%.2f", value/peer)
}
