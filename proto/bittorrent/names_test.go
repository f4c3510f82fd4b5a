package bittorrent

import (
	"errors"
	"strings"
	"testing"
)

func TestCheckName(t *testing.T) {
	for _, name := range []string{
		"a", "...a", ".profile", " a", "a b", "console", "com", "com10", "COMA", "lpt", "nulls.txt", "x.nul", "日本語", "e\u0301", "a'b", "$RECYCLE.BIN", "~", "-rf",
		strings.Repeat("x", maxName),
	} {
		if err := CheckName(name); err != nil {
			t.Error(err)
		}
	}
	for _, name := range []string{
		"", ".", "..", "...", "/", "a/b", "/a", `a\b`, `C:\`, "c:", "a\x00", "a\x1b[31m", "a\u0085", "a\x7f", "a\n", "\xff", "\xc0\xae\xc0\xae",
		"a.", "a ", "a. .", "CON", "con", "Con.txt", "con .txt", "nul", "NUL.tar.gz", "prn", "aux.h", "com0", "com1", "COM9.log", "lpt1", "LPT³", "com¹.x", "CONIN$", "conout$",
		"a?", "a*", `a"b`, "a<b", "a>b", "a|b", strings.Repeat("x", maxName+1),
	} {
		if err := CheckName(name); !errors.Is(err, ErrInvalid) {
			t.Errorf("%q: %v", name, err)
		}
	}
}

func TestFoldersFindNamesThatCollide(t *testing.T) {
	for _, test := range []struct {
		a, b    string
		collide bool
	}{
		{"a", "A", true}, {"README", "ReadMe", true}, {"a", "b", false}, {"ä", "Ä", true},
		{"\u00e4", "a\u0308", true}, {"\u00c4", "a\u0308", true}, {"ß", "SS", true}, {"ς", "Σ", true},
		{"ä", "a", false}, {"K", "\u212a", true}, {"ﬁ", "fi", true},
		{"a", "a\u200d", true}, {"ä\ufeff", "ä", true}, {"a\u202e", "A\u200e", true}, {"a\u00ad", "a", false},
	} {
		f := make(folder)
		if err := f.add(test.a); err != nil {
			t.Fatal(err)
		}
		if err := f.add(test.b); errors.Is(err, ErrInvalid) != test.collide {
			t.Errorf("%q and %q: %v", test.a, test.b, err)
		}
	}
}
