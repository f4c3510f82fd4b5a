package cli

import "strings"

// nearest returns the verb that a person who typed word most likely meant, or
// "": one letter may be wrong, in longer words two.
func nearest(commands []command, word string) string {
	least := 2
	if len(word) > 3 {
		least = 3
	}
	var found string
	for _, c := range commands {
		verb, _, _ := strings.Cut(c.name, " ")
		if d := distance(verb, word); d < least {
			least, found = d, verb
		}
	}
	return found
}

// distance is the Levenshtein distance of a and b: how many bytes have to be
// inserted, deleted or replaced to make one the other.
func distance(a, b string) int {
	row := make([]int, len(b)+1) // distances of a's beginning to those of b
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		corner := row[0]
		row[0] = i + 1
		for j := range len(b) {
			replaced := corner
			if a[i] != b[j] {
				replaced++
			}
			corner = row[j+1]
			row[j+1] = min(replaced, row[j]+1, corner+1)
		}
	}
	return row[len(b)]
}
