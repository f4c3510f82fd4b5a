package terminal

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Size writes a number of bytes as people say it.
func Size(bytes int64) string {
	value, unit := float64(bytes), 0
	for value >= 1023.95 && unit < 6 { // 1023.95 would be written as 1024.0
		value /= 1024
		unit++
	}
	if unit == 0 {
		return fmt.Sprintf("%d B", bytes)
	}
	return fmt.Sprintf("%.1f %ciB", value, "KMGTPE"[unit-1])
}

// ParseSize reads a number of bytes with its unit: "500KB", "2MiB", "1.5 GB".
// Without an i a unit is a power of 1000.
func ParseSize(text string) (int64, error) {
	text = strings.TrimSpace(text)
	unit := strings.TrimLeft(text, "0123456789.")
	number := text[:len(text)-len(unit)]
	base := 1000.0
	unit = strings.TrimSuffix(strings.ToUpper(strings.TrimSpace(unit)), "B")
	if short, binary := strings.CutSuffix(unit, "I"); binary {
		base, unit = 1024, short
	}
	power := 0
	if unit != "" {
		power = strings.Index("KMGT", unit) + 1
	}
	value, err := strconv.ParseFloat(number, 64)
	bytes := value * math.Pow(base, float64(power))
	if err != nil || len(unit) > 1 || unit != "" && power == 0 || unit == "" && base == 1024 || bytes < 1 || bytes >= 1<<60 {
		return 0, fmt.Errorf("%q is no size such as 500KB, 2MiB or 10GB", text)
	}
	return int64(bytes), nil
}
