package main

import (
	"fmt"
	"strconv"
	"strings"
)

// processors reads from the text of /proc/stat how long, in ticks, the processors
// have been busy and in all.
func processors(text string) (busy, all uint64, err error) {
	first, _, _ := strings.Cut(text, "\n")
	fields := strings.Fields(first)
	if len(fields) < 9 || fields[0] != "cpu" {
		return 0, 0, fmt.Errorf("processors: %q", first)
	}
	for i, field := range fields[1:9] { // user, nice, system, idle, waiting for a disk, interrupts, stolen
		n, err := strconv.ParseUint(field, 10, 64)
		if err != nil {
			return 0, 0, err
		}
		all += n
		if i != 3 && i != 4 {
			busy += n
		}
	}
	return busy, all, nil
}
