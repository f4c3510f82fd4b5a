package measure

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

// Ratio writes a share.
func Ratio(value, of float64) string { return fmt.Sprintf("%.2f", value/of) }

// Ratios writes the median share that values have of a peer's, round by round:
// what disturbs a round disturbs both. It is "" where there is no peer.
func Ratios(values, peer []float64) string {
	if len(peer) == 0 {
		return ""
	}
	shares := make([]float64, len(values))
	for i := range values {
		shares[i] = values[i] / peer[i]
	}
	return fmt.Sprintf("%.2f", Median(shares))
}
