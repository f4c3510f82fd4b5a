package bittorrent

import (
	"errors"
	"net/netip"
	"reflect"
	"strings"
	"testing"
)

func TestExtendedHandshake(t *testing.T) {
	for _, test := range []struct {
		handshake ExtendedHandshake
		text      string
	}{
		{ExtendedHandshake{}, "d1:mdee"},
		{
			ExtendedHandshake{Metadata: 1, Exchange: 2, MetadataSize: 31235, Client: "kith 0.1", Port: 6881, Queue: 256, UploadOnly: true},
			"d1:md11:ut_metadatai1e6:ut_pexi2ee13:metadata_sizei31235e1:pi6881e4:reqqi256e11:upload_onlyi1e1:v8:kith 0.1e",
		},
	} {
		if got := string(AppendExtendedHandshake(nil, test.handshake)); got != test.text {
			t.Errorf("%s, want %s", got, test.text)
		}
		if got, err := ParseExtendedHandshake([]byte(test.text)); got != test.handshake || err != nil {
			t.Errorf("%s: %+v, %v", test.text, got, err)
		}
	}
	// As libtorrent 2.0.8 says it.
	text := "d12:complete_agoi-1e1:md11:lt_donthavei7e10:share_modei8e11:upload_onlyi3e12:ut_holepunchi4e11:ut_metadatai2e6:ut_pexi1ee13:metadata_sizei1040e4:reqqi2000e11:upload_onlyi1e1:v16:libtorrent/2.0.86:yourip4:\x7f\x00\x00\x01e"
	want := ExtendedHandshake{Metadata: 2, Exchange: 1, MetadataSize: 1040, Client: "libtorrent/2.0.8", Queue: 2000, UploadOnly: true}
	if got, err := ParseExtendedHandshake([]byte(text)); got != want || err != nil {
		t.Errorf("%+v, %v", got, err)
	}
	if got, err := ParseExtendedHandshake([]byte("d1:v12:a\x1b[31m\xff\u202eée")); got.Client != "a?[31m??é" || err != nil {
		t.Errorf("%q, %v", got.Client, err)
	}
	if got, err := ParseExtendedHandshake([]byte("d1:v100:" + strings.Repeat("x", 100) + "e")); len(got.Client) != maxClient || err != nil {
		t.Errorf("%q, %v", got.Client, err)
	}
	for _, in := range []string{"", "le", "de ", "d1:mlee", "d1:md11:ut_metadatai256eee", "d1:md11:ut_metadatai-1eee", "d13:metadata_sizei-1ee", "d1:pi65536ee", "d1:vi1ee", "d1:v1:a1:mdee"} {
		if got, err := ParseExtendedHandshake([]byte(in)); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: %+v, %v", in, got, err)
		}
	}
}

func TestMetadata(t *testing.T) {
	for _, test := range []struct {
		message Metadata
		text    string
	}{
		{Metadata{Kind: MetadataRequest, Piece: 3}, "d8:msg_typei0e5:piecei3ee"},
		{Metadata{Kind: MetadataData, Piece: 0, Total: 3425, Data: []byte("xyz")}, "d8:msg_typei1e5:piecei0e10:total_sizei3425eexyz"},
		{Metadata{Kind: MetadataReject, Piece: 3}, "d8:msg_typei2e5:piecei3ee"},
	} {
		if got := string(AppendMetadata(nil, test.message)); got != test.text {
			t.Errorf("%s, want %s", got, test.text)
		}
		if got, err := ParseMetadata([]byte(test.text)); !reflect.DeepEqual(got, test.message) || err != nil {
			t.Errorf("%s: %+v, %v", test.text, got, err)
		}
	}
	for _, in := range []string{"", "de", "d8:msg_typei0ee", "d5:piecei0ee", "d8:msg_typei0e5:piecei-1ee", "d8:msg_typei0e5:piecei0eex", "d8:msg_typei0e5:piecei99999999999ee", "d8:msg_typei0e5:piecei131072ee", "d5:piecei0e8:msg_typei0ee"} {
		if got, err := ParseMetadata([]byte(in)); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: %+v, %v", in, got, err)
		}
	}
}

func TestExchange(t *testing.T) {
	peers := func(texts ...string) (peers []netip.AddrPort) {
		for _, text := range texts {
			peers = append(peers, netip.MustParseAddrPort(text))
		}
		return peers
	}
	want := Exchange{Added: peers("10.0.0.1:6881", "[2001:db8::1]:1"), Dropped: peers("10.0.0.2:65535", "[2001:db8::2]:2")}
	text := "d5:added6:\x0a\x00\x00\x01\x1a\xe17:added.f1:\x006:added618:\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01\x00\x018:added6.f1:\x00" +
		"7:dropped6:\x0a\x00\x00\x02\xff\xff8:dropped618:\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\x02e"
	if got := string(AppendExchange(nil, want)); got != text {
		t.Errorf("%q, want %q", got, text)
	}
	if got, err := ParseExchange([]byte(text)); !reflect.DeepEqual(got, want) || err != nil {
		t.Errorf("%+v, %v", got, err)
	}
	for _, in := range []string{"", "le", "d5:added5:aaaaae", "d6:added66:aaaaaae", "d5:addedi1ee", "d5:added1206:" + strings.Repeat("x", 1206) + "e"} {
		if got, err := ParseExchange([]byte(in)); !errors.Is(err, ErrInvalid) {
			t.Errorf("%.40s: %+v, %v", in, got, err)
		}
	}
}

// FuzzExtended reads a payload as each of the messages that it could be.
func FuzzExtended(f *testing.F) {
	f.Add([]byte("d1:md11:ut_metadatai1e6:ut_pexi2ee13:metadata_sizei31235e1:pi6881e4:reqqi256e11:upload_onlyi1e1:v8:kith 0.1e"))
	f.Add([]byte("d8:msg_typei1e5:piecei0e10:total_sizei3425eexyz"))
	f.Add([]byte("d5:added6:\x0a\x00\x00\x01\x1a\xe17:added.f1:\x00e"))
	f.Fuzz(func(t *testing.T, in []byte) {
		if h, err := ParseExtendedHandshake(in); err == nil {
			if again, err := ParseExtendedHandshake(AppendExtendedHandshake(nil, h)); err != nil || again != h {
				t.Fatalf("%+v, %v; want %+v", again, err, h)
			}
		} else if !errors.Is(err, ErrInvalid) {
			t.Fatal(err)
		}
		if m, err := ParseMetadata(in); err == nil && m.Kind <= MetadataReject {
			if m.Kind != MetadataData {
				m.Total = 0
			}
			if again, err := ParseMetadata(AppendMetadata(nil, m)); err != nil || !reflect.DeepEqual(again, m) {
				t.Fatalf("%+v, %v; want %+v", again, err, m)
			}
		}
		if x, err := ParseExchange(in); err == nil {
			if again, err := ParseExchange(AppendExchange(nil, x)); err != nil || len(again.Added) != len(x.Added) || len(again.Dropped) != len(x.Dropped) {
				t.Fatalf("%+v, %v; want %+v", again, err, x)
			}
		}
	})
}
