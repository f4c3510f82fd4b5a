package main

import "testing"

func TestProcessors(t *testing.T) {
	for _, test := range []struct {
		text      string
		busy, all uint64
		ok        bool
	}{
		{"cpu  10 20 30 400 50 6 7 8 9 10\ncpu0 1 2 3 4 5 6 7 8 9 10\n", 81, 531, true},
		{"cpu  10 20 30\n", 0, 0, false},
		{"cpu0 1 2 3 4 5 6 7 8 9 10\n", 0, 0, false},
		{"cpu  10 20 x 400 50 6 7 8 9 10\n", 0, 0, false},
		{"", 0, 0, false},
	} {
		busy, all, err := processors(test.text)
		if busy != test.busy || all != test.all || (err == nil) != test.ok {
			t.Errorf("%q: %d of %d, %v", test.text, busy, all, err)
		}
	}
}
