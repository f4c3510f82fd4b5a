package main

import (
	"math"
	"testing"
	"time"
)

func TestScenarios(t *testing.T) {
	for _, test := range []struct {
		name, links string
		bound       float64 // seconds, for 32 MiB
		last        time.Duration
	}{
		{"equal 4", "10, 10", 26.844, 0},
		{"equal 16", "10, 10", 26.844, 0},
		{"home 8", "20, 5", 35.791, 0},
		{"home 16", "20, 5", 42.950, 0},
		{"churn 12", "10, 10; 4 come 10s late; one is away for 5s", 28.240, 10 * time.Second},
	} {
		found := false
		for _, s := range scenarios {
			if s.Name != test.name {
				continue
			}
			found = true
			s.Size = spreadSize
			if got := s.Bound().Seconds(); math.Abs(got-test.bound) > 0.001 {
				t.Errorf("%s: bound is %.3f s, not %.3f", s.Name, got, test.bound)
			}
			if got := s.links(); got != test.links {
				t.Errorf("%s: %q", s.Name, got)
			}
			if first, last := s.comes(0), s.comes(s.Takers-1); first != 0 || last != test.last {
				t.Errorf("%s: from %v to %v", s.Name, first, last)
			}
		}
		if !found {
			t.Errorf("there is no %s", test.name)
		}
	}
}

func TestChoose(t *testing.T) {
	for _, test := range []struct {
		names string
		count int
		ok    bool
	}{
		{"", len(measurements), true},
		{"lan", 1, true},
		{"spread,cost", 2, true},
		{"lan,wan", 0, false},
		{"lan,", 0, false},
	} {
		if list, err := choose(test.names); len(list) != test.count || (err == nil) != test.ok {
			t.Errorf("%q: %d, %v", test.names, len(list), err)
		}
	}
}
