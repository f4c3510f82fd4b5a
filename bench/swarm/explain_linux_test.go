package main

import (
	"math"
	"slices"
	"testing"
)

func TestProfile(t *testing.T) {
	for _, test := range []struct {
		name, text string
		first      []sample
		shares     map[string]float64
	}{
		{"as pprof prints it", `File: kith
Type: cpu
Duration: 13.22s, Total samples = 5.09s (38.50%)
Showing nodes accounting for 4.67s, 91.75% of 5.09s total
      flat  flat%   sum%        cum   cum%
     0.65s 12.77% 75.83%      0.65s 12.77%  crypto/internal/fips140/sha256.blockSHANI
     3.21s 63.06% 63.06%      3.21s 63.06%  internal/runtime/syscall/linux.Syscall6
     0.15s  2.95% 83.89%      0.15s  2.95%  crypto/internal/fips140/aes/gcm.gcmAesDec
     0.03s  0.59% 86.05%      0.03s  0.59%  internal/sync.(*Mutex).Unlock (inline)
         0     0% 91.75%      0.12s  2.36%  bufio.(*Reader).Peek
`, []sample{{"internal/runtime/syscall/linux.Syscall6", 63.06}, {"crypto/internal/fips140/sha256.blockSHANI", 12.77}},
			map[string]float64{"system calls": 63.06, "SHA-256 (blocks)": 12.77, "AES (TLS)": 2.95, "all else": 0.59}},
		{"a process that did nothing", "Type: cpu\nShowing nodes accounting for 0, 0% of 0 total\n      flat  flat%   sum%        cum   cum%\n", nil, nil},
		{"something else", "flat\n1 2 3 4 5 6 7\n", nil, nil},
		{"nothing", "", nil, nil},
	} {
		samples := parseTop(test.text)
		if first := samples[:min(len(samples), len(test.first))]; !slices.Equal(first, test.first) {
			t.Errorf("%s: %v first", test.name, first)
		}
		for i, share := range sumUp(samples) {
			if math.Abs(share-test.shares[works[i].name]) > 0.001 {
				t.Errorf("%s: %s is %.2f %%", test.name, works[i].name, share)
			}
		}
	}
}
