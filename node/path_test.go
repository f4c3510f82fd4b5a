package node

import (
	"slices"
	"testing"

	"kith.alt/kith/control"
)

func TestTries(t *testing.T) {
	for text, want := range map[string][]control.Try{
		"no address of oak to try: no path": {},
		"oak: quic 192.0.2.1:4747: timeout: no recent network activity; tls [2001:db8::1]:4747: dial tcp [2001:db8::1]:4747: connect: connection refused; oak: through elm: no connection to oak here: no path": {
			{Way: "quic 192.0.2.1:4747", Why: "no answer"},
			{Way: "tls [2001:db8::1]:4747", Why: "connection refused"},
			{Way: "through elm", Why: "no connection to oak here"},
		},
		"oak: tls 192.0.2.1:4747: dial tcp 192.0.2.1:4747: i/o timeout; 3 more: no path": {{Way: "tls 192.0.2.1:4747", Why: "no answer"}},
	} {
		if got := tries(text); !slices.Equal(got, want) {
			t.Errorf("%s: %+v, want %+v", text, got, want)
		}
	}
}
