package config

import (
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"runtime"
	"strings"

	"kith.alt/kith"
)

// DefaultGroup is the name of a group whose founder asked for none.
const DefaultGroup = "home"

// DefaultDir returns the data directory of a node that was given none: $KITH_DATA,
// else the user's place for a program's data. It fails where the system does
// not tell the user's home directory.
func DefaultDir() (string, error) {
	return defaultDir(runtime.GOOS, os.Getenv, os.UserHomeDir)
}

func defaultDir(goos string, env func(string) string, home func() (string, error)) (string, error) {
	if dir := env("KITH_DATA"); dir != "" {
		return filepath.Abs(dir)
	}
	switch goos {
	case "windows":
		if dir := env("LocalAppData"); dir != "" {
			return filepath.Join(dir, "kith"), nil
		}
		return "", fmt.Errorf("%%LocalAppData%% is not set, name a data directory with --data: %w", kith.NotFound)
	case "darwin":
	default:
		// The XDG specification has relative paths ignored.
		if dir := env("XDG_DATA_HOME"); filepath.IsAbs(dir) {
			return filepath.Join(dir, "kith"), nil
		}
	}
	dir, err := home()
	if err != nil {
		return "", fmt.Errorf("no home directory (%w), name a data directory with --data", err)
	}
	if goos == "darwin" {
		return filepath.Join(dir, "Library", "Application Support", "kith"), nil
	}
	return filepath.Join(dir, ".local", "share", "kith"), nil
}

// DefaultHost returns this computer's name as a valid label, or "" where that
// gives none.
func DefaultHost() string {
	name, err := os.Hostname()
	if err != nil {
		return ""
	}
	return hostLabel(name)
}

func hostLabel(name string) string {
	label := kith.MakeLabel(name, "")
	if label == "localhost" { // RFC 6761 6.3: it means every computer itself
		return ""
	}
	return label
}

// DefaultAccount returns the login name of the user as a valid label, or ""
// where that gives none.
func DefaultAccount() string {
	u, err := user.Current()
	if err != nil {
		return ""
	}
	return accountLabel(u.Username)
}

func accountLabel(name string) string {
	name = name[strings.LastIndexByte(name, '\\')+1:] // DOMAIN\ada on Windows
	return kith.MakeLabel(name, "")
}
