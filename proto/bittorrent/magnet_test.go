package bittorrent

import (
	"encoding/base32"
	"encoding/hex"
	"errors"
	"reflect"
	"strings"
	"testing"
)

const (
	hexV1 = "0123456789abcdef0123456789abcdef01234567"
	hexV2 = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
)

func magnetIDs() (v1 [20]byte, v2 [32]byte) {
	hex.Decode(v1[:], []byte(hexV1))
	hex.Decode(v2[:], []byte(hexV2))
	return v1, v2
}

func TestMagnet(t *testing.T) {
	v1, v2 := magnetIDs()
	for _, test := range []struct {
		magnet Magnet
		text   string
	}{
		{Magnet{IDv1: v1}, "magnet:?xt=urn:btih:" + hexV1},
		{Magnet{ID: v2}, "magnet:?xt=urn:btmh:1220" + hexV2},
		{
			Magnet{ID: v2, IDv1: v1, Name: "a b&c+d=é.txt", Trackers: []string{"http://127.0.0.1:6881/announce", "b"}, Peers: []string{"127.0.0.1:6881", "[::1]:6881"}},
			"magnet:?xt=urn:btih:" + hexV1 + "&xt=urn:btmh:1220" + hexV2 + "&dn=a%20b%26c%2Bd%3D%C3%A9.txt&tr=http%3A%2F%2F127.0.0.1%3A6881%2Fannounce&tr=b&x.pe=127.0.0.1:6881&x.pe=[::1]:6881",
		},
	} {
		if got := test.magnet.String(); got != test.text {
			t.Errorf("%s, want %s", got, test.text)
		}
		if got, err := ParseMagnet(test.text); !reflect.DeepEqual(got, test.magnet) || err != nil {
			t.Errorf("%s: %+v, %v", test.text, got, err)
		}
	}
}

func TestParseMagnet(t *testing.T) {
	v1, v2 := magnetIDs()
	for in, want := range map[string]Magnet{
		"MAGNET:?xt=URN:BTIH:" + strings.ToUpper(hexV1):                        {IDv1: v1},
		"magnet:?xt=urn:btih:" + base32.StdEncoding.EncodeToString(v1[:]):      {IDv1: v1},
		"magnet:?xt=urn%3Abtih%3A" + hexV1:                                     {IDv1: v1},
		"magnet:?xt.1=urn:btih:" + hexV1 + "&tr.1=a&tr.2=b":                    {IDv1: v1, Trackers: []string{"a", "b"}},
		"magnet:?dn=a+b&xt=urn:btmh:1220" + hexV2 + "&so=0-2&ws=x&&xl=7&x.y=z": {ID: v2, Name: "a b"},
		"magnet:?xt=urn:sha1:abc&xt=urn:btih:" + hexV1:                         {IDv1: v1},
	} {
		if got, err := ParseMagnet(in); !reflect.DeepEqual(got, want) || err != nil {
			t.Errorf("%s: %+v, %v", in, got, err)
		}
	}
	for _, in := range []string{
		"", "magnet:", "magnet:?", "http://x", "magnet:?dn=a", "magnet:?xt=urn:sha1:abc", "magnet:?xt=urn:btih:", "magnet:?xt=urn:btih:" + hexV1[1:],
		"magnet:?xt=urn:btih:" + strings.Repeat("!", 32), "magnet:?xt=urn:btmh:1220" + hexV2[2:], "magnet:?xt=urn:btmh:1220" + hexV2 + "00", "magnet:?xt=%zz",
		"magnet:?xt=urn:btih:" + hexV1 + "&dn=" + strings.Repeat("x", maxMagnet),
	} {
		if got, err := ParseMagnet(in); !errors.Is(err, ErrInvalid) {
			t.Errorf("%.60s: %+v, %v", in, got, err)
		}
	}
}

func FuzzParseMagnet(f *testing.F) {
	f.Add("magnet:?xt=urn:btih:" + hexV1 + "&xt=urn:btmh:1220" + hexV2 + "&dn=a%20b&tr=x&x.pe=127.0.0.1:1")
	f.Fuzz(func(t *testing.T, in string) {
		m, err := ParseMagnet(in)
		if err != nil {
			if !errors.Is(err, ErrInvalid) {
				t.Fatal(err)
			}
			return
		}
		if again, err := ParseMagnet(m.String()); len(m.String()) <= maxMagnet && (err != nil || !reflect.DeepEqual(again, m)) {
			t.Fatalf("%s: %+v, %v; want %+v", m, again, err, m)
		}
	})
}
