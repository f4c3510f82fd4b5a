package folders

import "testing"

func TestHidden(t *testing.T) {
	for name, want := range map[string]bool{
		"": true, ".": true, "..": true, ".git": true, WellKnown: true, "a\x00": true,
		"\u200c.git": true, "\ufeff.git": true, "\u202egit": true,
		"a": false, "a.git": false, "\u00e4": false, "a\u200cb": false, "~": false,
	} {
		if got := Hidden(name); got != want {
			t.Errorf("Hidden(%q) = %v", name, got)
		}
	}
}

func TestWindowsAlias(t *testing.T) {
	for name, want := range map[string]bool{
		"GIT~1": true, "a.txt::$DATA": true, `..\x`: true, "a.": true, "a ": true, "b~12.txt": true,
		"a~": false, "a~b": false, "a.txt": false, "ä": false,
	} {
		if got := windowsAlias(name); got != want {
			t.Errorf("windowsAlias(%q) = %v", name, got)
		}
	}
}
