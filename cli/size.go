package cli

import (
	"fmt"

	"kith.alt/kith"
	"kith.alt/kith/terminal"
)

// parseSize reads a number of bytes as a flag has it.
func parseSize(text string) (int64, error) {
	size, err := terminal.ParseSize(text)
	if err != nil {
		return 0, fmt.Errorf("%w: %w", err, kith.Invalid)
	}
	return size, nil
}
