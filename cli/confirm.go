package cli

import (
	"bufio"
	"fmt"
	"strings"
)

// confirm asks the person at the terminal; without one the answer is yes.
func (e *env) confirm(question string, args ...any) bool {
	if !isTerminal(e.stdin) {
		return true
	}
	fmt.Fprintf(e.stderr, question+" [y/N] ", args...)
	answer, _ := bufio.NewReader(e.stdin).ReadString('\n')
	switch strings.ToLower(strings.TrimSpace(answer)) {
	case "y", "yes":
		return true
	}
	return false
}
