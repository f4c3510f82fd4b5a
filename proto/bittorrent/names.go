package bittorrent

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"
)

const (
	maxName    = 255  // bytes
	maxPath    = 3000 // bytes, with a slash between names
	maxFolders = 100  // in each other
)

// CheckName reports why a file or folder of that name could not be kept on
// every system that kith runs on, or would do harm there. Its error wraps
// [ErrInvalid]. A name is one part of a path.
func CheckName(name string) error {
	if why := badName(name); why != "" {
		return fmt.Errorf("name %.80q %s: %w", name, why, ErrInvalid)
	}
	return nil
}

func badName(name string) string {
	switch {
	case name == "":
		return "is empty"
	case name == "." || name == "..":
		return "leads to another folder"
	case len(name) > maxName:
		return fmt.Sprintf("has %d bytes, at most %d", len(name), maxName)
	case !utf8.ValidString(name):
		return "is not UTF-8"
	case strings.ContainsAny(name, `/\`):
		return "has a slash in it"
	}
	for _, r := range name {
		if unicode.IsControl(r) {
			return "has a control character in it"
		}
		if strings.ContainsRune(`<>:"|?*`, r) {
			return fmt.Sprintf("has %c in it, which Windows does not allow", r)
		}
	}
	if last := name[len(name)-1]; last == '.' || last == ' ' {
		return "ends with a dot or space, which Windows does not allow"
	}
	if reservedOnWindows(name) {
		return "is reserved on Windows"
	}
	return ""
}

// reservedOnWindows reports whether a name means a device there. A device keeps its
// meaning whatever extension follows.
func reservedOnWindows(name string) bool {
	device, _, _ := strings.Cut(name, ".")
	device = strings.ToUpper(strings.TrimRight(device, " "))
	switch device {
	case "CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$":
		return true
	}
	number, ok := strings.CutPrefix(device, "COM")
	if !ok {
		number, ok = strings.CutPrefix(device, "LPT")
	}
	return ok && utf8.RuneCountInString(number) == 1 && strings.Contains("0123456789¹²³", number)
}

// folded is the same for names that Windows or macOS take for one: those that
// differ in case, in how accents are composed, or in characters that nobody sees.
func folded(name string) string {
	for i := range len(name) {
		if name[i] >= utf8.RuneSelf {
			seen := strings.Map(unseen, name)
			return norm.NFC.String(cases.Fold().String(norm.NFD.String(seen)))
		}
	}
	return strings.ToLower(name)
}

// unseen drops what HFS+ passes over when it compares names.
func unseen(r rune) rune {
	switch {
	case r >= 0x200c && r <= 0x200f, r >= 0x202a && r <= 0x202e, r >= 0x206a && r <= 0x206f, r == 0xfeff:
		return -1
	}
	return r
}

// A folder notes the names in one folder and finds those that collide.
type folder map[string]string

func (f folder) add(name string) error {
	key := folded(name)
	if other, ok := f[key]; ok {
		return fmt.Errorf("names %.80q and %.80q are one on Windows or macOS: %w", other, name, ErrInvalid)
	}
	f[key] = name
	return nil
}
