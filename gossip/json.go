package gossip

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"

	"kith.alt/kith"
)

// DecodeExact reads a JSON object so that every reader understands the same: a key
// twice, or a known key in another case, is an error of kind Invalid.
func DecodeExact(raw []byte, into any, known []string) error {
	if err := json.Unmarshal(raw, into); err != nil {
		return fmt.Errorf("%w: %w", err, kith.Invalid)
	}
	dec := json.NewDecoder(bytes.NewReader(raw))
	if open, err := dec.Token(); err != nil || open != json.Delim('{') {
		return fmt.Errorf("it is not a JSON object: %w", kith.Invalid)
	}
	seen := make(map[string]bool)
	for dec.More() {
		token, err := dec.Token()
		if err != nil {
			return fmt.Errorf("%w: %w", err, kith.Invalid)
		}
		key, _ := token.(string)
		if seen[key] {
			return fmt.Errorf("field %.40q stands twice: %w", key, kith.Invalid)
		}
		seen[key] = true
		for _, name := range known {
			if key != name && strings.EqualFold(key, name) {
				return fmt.Errorf("field %.40q is written %q: %w", key, name, kith.Invalid)
			}
		}
		var value json.RawMessage
		if err := dec.Decode(&value); err != nil {
			return fmt.Errorf("%w: %w", err, kith.Invalid)
		}
	}
	return nil
}
