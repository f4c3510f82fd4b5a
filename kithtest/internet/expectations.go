package internet

import (
	"fmt"
	"slices"
	"strings"
)

// A Path is how two hosts are expected to reach each other.
type Path string

const (
	Direct Path = "direct"
	Relay  Path = "relay"
)

// Expectations reads the table in docs/nat.md that has a row and a column for
// each of [Kinds]: which path to expect between hosts behind two kinds. It
// fails when the table is not there, incomplete, or not symmetric.
func Expectations(markdown string) (map[[2]NAT]Path, error) {
	kinds := Kinds()
	expected := make(map[[2]NAT]Path)
	columns := false
	for line := range strings.Lines(markdown) {
		cells := tableCells(line)
		switch {
		case !columns:
			columns = len(cells) == len(kinds)+1 && cells[0] == ""
			for i, cell := range cells {
				columns = columns && (i == 0 || NAT(cell) == kinds[i-1])
			}
			continue
		case cells == nil:
			columns = false
			continue
		case strings.HasPrefix(cells[0], "-"): // the rule
			continue
		case !slices.Contains(kinds, NAT(cells[0])):
			return nil, fmt.Errorf("row %q is not one of the columns", cells[0])
		case len(cells) != len(kinds)+1:
			return nil, fmt.Errorf("row %q has %d cells instead of %d", cells[0], len(cells), len(kinds)+1)
		}
		for i, cell := range cells[1:] {
			path, _, _ := strings.Cut(cell, " ")
			if Path(path) != Direct && Path(path) != Relay {
				return nil, fmt.Errorf("row %q, column %q: %q is neither %s nor %s", cells[0], kinds[i], path, Direct, Relay)
			}
			expected[[2]NAT{NAT(cells[0]), kinds[i]}] = Path(path)
		}
	}
	if len(expected) != len(kinds)*len(kinds) {
		return nil, fmt.Errorf("%d pairs of kinds instead of %d", len(expected), len(kinds)*len(kinds))
	}
	for pair, path := range expected {
		if other := expected[[2]NAT{pair[1], pair[0]}]; other != path {
			return nil, fmt.Errorf("%s and %s: %s one way, and %s the other", pair[0], pair[1], path, other)
		}
	}
	return expected, nil
}

// tableCells splits a row of a table; nil for another line.
func tableCells(line string) []string {
	line = strings.TrimSpace(line)
	if !strings.HasPrefix(line, "|") {
		return nil
	}
	cells := strings.Split(strings.Trim(line, "|"), "|")
	for i := range cells {
		cells[i] = strings.Trim(cells[i], " *")
	}
	return cells
}
