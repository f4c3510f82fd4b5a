package account

import (
	"testing"
	"unicode/utf8"
)

// FuzzParseHash checks that what is read as a stored password is what would be
// stored.
func FuzzParseHash(f *testing.F) {
	f.Add("")
	f.Add("$argon2id$v=19$m=65536,t=3,p=4$c2FsdA$aGFzaA")
	f.Add(formatHash(make([]byte, argonSalt), make([]byte, argonHash)))
	f.Fuzz(func(t *testing.T, text string) {
		salt, hash, err := parseHash(text)
		if err != nil || text == "" {
			return
		}
		if again, hash2, err := parseHash(formatHash(salt, hash)); err != nil || string(again) != string(salt) || string(hash2) != string(hash) {
			t.Errorf("%q does not survive", text)
		}
	})
}

// FuzzSecrets checks that whatever a client sends as a secret or a name is
// shortened and shaped without harm.
func FuzzSecrets(f *testing.F) {
	f.Add("abcd-efgh", 4)
	f.Add("AB CD\xff é", 3)
	f.Fuzz(func(t *testing.T, text string, n int) {
		once := normalize(text)
		if twice := normalize(once); utf8.ValidString(text) && once != twice {
			t.Errorf("%q becomes %q and then %q", text, once, twice)
		}
		if n = max(n, 0) % 1000; !utf8.ValidString(clip(text, n)) || utf8.ValidString(text) && len(clip(text, n)) > n {
			t.Errorf("%q clipped to %d bytes is %q", text, n, clip(text, n))
		}
	})
}
