package gateway

import (
	"net/http"
	"slices"
	"testing"
)

func TestStripPrivateCookies(t *testing.T) {
	for _, test := range []struct{ in, want []string }{
		{nil, nil},
		{[]string{"a=1; b=2"}, []string{"a=1; b=2"}},
		{[]string{"a=1;b=\"x;  y\" ;c"}, []string{"a=1;b=\"x;  y\" ;c"}},
		{[]string{"kith_session=x"}, nil},
		{[]string{"kith_session=x; a=1"}, []string{"a=1"}},
		{[]string{"a=1; Kith_Session=x; b=kith_"}, []string{"a=1; b=kith_"}},
		{[]string{"a=1", "kith_a=1;  =kith_b"}, []string{"a=1"}},
		{[]string{"akith_=1; kith=2"}, []string{"akith_=1; kith=2"}},
	} {
		h := http.Header{}
		if test.in != nil {
			h["Cookie"] = slices.Clone(test.in)
		}
		stripPrivateCookies(h)
		if got := h["Cookie"]; !slices.Equal(got, test.want) {
			t.Errorf("%q became %q, want %q", test.in, got, test.want)
		}
	}
}

func TestRewriteSetCookies(t *testing.T) {
	for _, test := range []struct{ in, local, proxied string }{ // "-": dropped; "": as it came
		{"a=1", "", ""},
		{"a=1; Path=/x;HttpOnly ; SameSite=Lax; Expires=Wed, 21 Oct 2026 07:28:00 GMT; Max-Age=9", "", ""},
		{"a=domain; domain=x", "a=domain", "a=domain"},
		{"a=1; Domain=home.kith.alt; Path=/", "a=1; Path=/", "a=1; Path=/"},
		{"a=1;DOMAIN = .localhost;domain=;Domain", "a=1", "a=1"},
		{"a=1; Secure; Path=/", "a=1; Path=/", ""},
		{"a=1; secure ;SameSite=Strict", "a=1;SameSite=Strict", ""},
		{"a=1; Secure; SameSite=None", "", ""},
		{"a=1; Secure; samesite = none", "", ""},
		{"a=1; Secure; Partitioned", "", ""},
		{"__Host-a=1; Secure; Path=/", "", ""},
		{"__secure-a=1; Secure; Domain=x", "__secure-a=1; Secure", "__secure-a=1; Secure"},
		{"kith_session=x; Path=/", "-", "-"},
		{" KITH_session=x", "-", "-"},
		{"=kith_session=x", "-", "-"},
		{"a=kith_", "", ""},
		{"", "", ""},
	} {
		for local, want := range map[bool]string{true: test.local, false: test.proxied} {
			lines := []string{want}
			switch want {
			case "-":
				lines = nil
			case "":
				lines = []string{test.in}
			}
			h := http.Header{"Set-Cookie": {test.in}}
			rewriteSetCookies(h, local)
			if got := h["Set-Cookie"]; !slices.Equal(got, lines) {
				t.Errorf("local %v: %q became %q, want %q", local, test.in, got, lines)
			}
		}
	}
}

func FuzzCookies(f *testing.F) {
	f.Add("a=1; kith_b=2; Domain=x; Secure")
	f.Add("=kith_;;==; ;Domain;DOMAIN=;")
	f.Fuzz(func(t *testing.T, line string) {
		h := http.Header{"Cookie": {line}, "Set-Cookie": {line}}
		stripPrivateCookies(h)
		rewriteSetCookies(h, true)
		once := [2]string{h.Get("Cookie"), h.Get("Set-Cookie")}
		stripPrivateCookies(h)
		rewriteSetCookies(h, true)
		if again := [2]string{h.Get("Cookie"), h.Get("Set-Cookie")}; again != once {
			t.Errorf("%q became %q and then %q", line, once, again)
		}
		for _, c := range (&http.Request{Header: h}).Cookies() {
			if isPrivateCookie(c.Name) {
				t.Errorf("%q keeps the cookie %q", line, c.Name)
			}
		}
		for _, c := range (&http.Response{Header: h}).Cookies() {
			if c.Domain != "" || isPrivateCookie(c.Name) {
				t.Errorf("%q sets %v", line, c)
			}
		}
	})
}
