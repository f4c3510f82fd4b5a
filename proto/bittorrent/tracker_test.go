package bittorrent

import (
	"errors"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"
)

const (
	hashText = "%124Vx%9A%BC%DE%F1%23Eg%89%AB%CD%EF%124Vx%9A" // of BEP 3's kind
	idText   = "-XX0000-0123456789ab"
)

var (
	queryHash = [20]byte([]byte("\x124Vx\x9a\xbc\xde\xf1#Eg\x89\xab\xcd\xef\x124Vx\x9a"))
	queryID   = [20]byte([]byte(idText))
)

func TestParseAnnounce(t *testing.T) {
	for _, test := range []struct {
		query string
		want  Announce
	}{
		{"info_hash=" + hashText + "&peer_id=" + idText + "&port=6881", Announce{InfoHash: queryHash, PeerID: queryID, Port: 6881, Want: -1}},
		{
			"info_hash=" + hashText + "&peer_id=" + idText + "&port=6882&uploaded=1&downloaded=2&left=3&event=started&numwant=50&compact=1&no_peer_id=1&key=ABC&ip=10.0.0.1&supportcrypto=1&trackerid=",
			Announce{InfoHash: queryHash, PeerID: queryID, Port: 6882, Uploaded: 1, Downloaded: 2, Left: 3, Event: EventStarted, Want: 50},
		},
		{"peer_id=" + idText + "&port=1&numwant=-1&event=empty&info_hash=" + hashText, Announce{InfoHash: queryHash, PeerID: queryID, Port: 1, Want: -1}},
		{"peer_id=" + idText + "&port=0&event=stopped&info_hash=" + hashText, Announce{InfoHash: queryHash, PeerID: queryID, Event: EventStopped, Want: -1}},
	} {
		if got, err := ParseAnnounce(test.query); got != test.want || err != nil {
			t.Errorf("%s: %+v, %v", test.query, got, err)
		}
	}
	whole := "info_hash=" + hashText + "&peer_id=" + idText + "&port=6881"
	for _, query := range []string{
		"", "port=6881", "info_hash=" + hashText + "&port=1", "peer_id=" + idText + "&port=1", whole + "&info_hash=" + hashText,
		"info_hash=abc&peer_id=" + idText + "&port=1", whole + "1", whole + "x", whole + "&left=-1", whole + "&left=x", whole + "&left=99999999999999999999", whole + "&uploaded=",
		"info_hash=%zz", strings.Replace(whole, "6881", "0", 1), whole + "&x=" + strings.Repeat("x", maxQuery),
	} {
		if got, err := ParseAnnounce(query); !errors.Is(err, ErrInvalid) {
			t.Errorf("%.80s: %+v, %v", query, got, err)
		}
	}
}

func TestParseScrape(t *testing.T) {
	if got, err := ParseScrape("info_hash=" + hashText + "&x=1&info_hash=" + idText); !reflect.DeepEqual(got, [][20]byte{queryHash, queryID}) || err != nil {
		t.Errorf("%x, %v", got, err)
	}
	for _, query := range []string{"", "info_hash=", "info_hash=abc", strings.Repeat("info_hash="+idText+"&", maxScrape+1)} {
		if got, err := ParseScrape(query); !errors.Is(err, ErrInvalid) {
			t.Errorf("%.80s: %x, %v", query, got, err)
		}
	}
}

func TestAnswers(t *testing.T) {
	peers := []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:6881"), netip.MustParseAddrPort("[::1]:2"), netip.MustParseAddrPort("[::ffff:10.0.0.1]:3")}
	for got, want := range map[string]string{
		string(AppendAnswer(nil, 30*time.Second, Swarm{Seeds: 1, Takers: 2}, peers)): "d8:completei1e10:incompletei2e8:intervali30e5:peers12:\x7f\x00\x00\x01\x1a\xe1\x0a\x00\x00\x01\x00\x036:peers618:" + strings.Repeat("\x00", 15) + "\x01\x00\x02e",
		string(AppendAnswer(nil, time.Minute, Swarm{}, nil)):                         "d8:completei0e10:incompletei0e8:intervali60e5:peers0:e",
		string(AppendFailure(nil, "not here")):                                       "d14:failure reason8:not heree",
		string(AppendScrape(nil, [][20]byte{queryID}, []Swarm{{1, 2, 3}})):           "d5:filesd20:" + idText + "d8:completei1e10:downloadedi3e10:incompletei2eeee",
	} {
		if got != want {
			t.Errorf("%q, want %q", got, want)
		}
		if err := decode([]byte(got), (*decoder).skip); err != nil {
			t.Errorf("%q: %v", got, err)
		}
	}
}

func FuzzTracker(f *testing.F) {
	f.Add("info_hash=" + hashText + "&peer_id=" + idText + "&port=6881&uploaded=0&downloaded=0&left=1&event=started&numwant=50")
	f.Fuzz(func(t *testing.T, query string) {
		for _, err := range []error{
			func() error { _, err := ParseAnnounce(query); return err }(),
			func() error { _, err := ParseScrape(query); return err }(),
		} {
			if err != nil && !errors.Is(err, ErrInvalid) {
				t.Fatal(err)
			}
		}
	})
}
