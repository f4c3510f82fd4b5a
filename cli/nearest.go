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
		d := distance(verb, word)
		if d < least || d == least && found != "" && found[0] != word[0] && verb[0] == word[0] { // few mistype the first letter
			least, found = d, verb
		}
	}
	return found
}

// distance is how many bytes have to be inserted, deleted or replaced, or swapped with the next
// one, to make a into b: the Damerau-Levenshtein distance with optimal string alignment.
func distance(a, b string) int {
	rows := make([][]int, len(a)+1) // distances of a's beginnings to b's
	for i := range rows {
		rows[i] = make([]int, len(b)+1)
		rows[i][0] = i
	}
	for j := range rows[0] {
		rows[0][j] = j
	}
	for i := 1; i <= len(a); i++ {
		for j := 1; j <= len(b); j++ {
			replaced := rows[i-1][j-1]
			if a[i-1] != b[j-1] {
				replaced++
			}
			rows[i][j] = min(replaced, rows[i-1][j]+1, rows[i][j-1]+1)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				rows[i][j] = min(rows[i][j], rows[i-2][j-2]+1)
			}
		}
	}
	return rows[len(a)][len(b)]
}
