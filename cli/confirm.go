package cli

import (
	"bufio"
	"fmt"
	"strings"

	"kith.alt/kith/terminal"
)

// confirm asks the person at the terminal; without one the answer is yes.
func (e *env) confirm(question string, args ...any) bool {
	if !terminal.Is(e.Stdin) {
		return true
	}
	fmt.Fprintf(e.Stderr, question+" [y/N] ", args...)
	answer, _ := bufio.NewReader(e.Stdin).ReadString('\n')
	switch strings.ToLower(strings.TrimSpace(answer)) {
	case "y", "yes":
		return true
	}
	return false
}
