package pcp

import (
	"encoding/hex"
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"
)

var nonce = Nonce{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}

func bytesOf(t testing.TB, text string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.Join(strings.Fields(text), ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestRequest(t *testing.T) {
	ask := Request{
		Protocol: UDP, Internal: 4747, External: netip.MustParseAddrPort("203.0.113.9:4748"), Lifetime: 2 * time.Hour,
		Client: netip.MustParseAddr("192.168.1.5"), Nonce: nonce,
	}
	end := ask
	end.Protocol, end.Lifetime, end.External = TCP, 0, netip.AddrPort{}
	six := end
	six.Client = netip.MustParseAddr("2001:db8::5")
	for _, test := range []struct {
		name      string
		got       []byte
		want      string
		wantBytes int
	}{
		{"PCP", ask.PCP(), `02 01 0000 00001c20 00000000000000000000ffffc0a80105
			0102030405060708090a0b0c 11 000000 128b 128c 00000000000000000000ffffcb007109`, 60},
		{"PCP, delete", end.PCP(), `02 01 0000 00000000 00000000000000000000ffffc0a80105
			0102030405060708090a0b0c 06 000000 128b 0000 00000000000000000000ffff00000000`, 60},
		{"PCP over IPv6", six.PCP(), `02 01 0000 00000000 20010db8000000000000000000000005
			0102030405060708090a0b0c 06 000000 128b 0000 00000000000000000000000000000000`, 60},
		{"NAT-PMP", ask.NATPMP(), `00 01 0000 128b 128c 00001c20`, 12},
		{"NAT-PMP, delete", end.NATPMP(), `00 02 0000 128b 0000 00000000`, 12},
		{"NAT-PMP, address", AddressRequest(), `00 00`, 2},
	} {
		if want := bytesOf(t, test.want); string(test.got) != string(want) || len(want) != test.wantBytes {
			t.Errorf("%s:\n got %x\nwant %x", test.name, test.got, want)
		}
	}
}

const (
	mapAnswer = `02 81 00 00 00000e10 00000007 000000000000000000000000
		0102030405060708090a0b0c 11 000000 128b 128c 00000000000000000000ffffcb007109`
	mapRefused = `02 81 00 02 00000708 00000007 000000000000000000000000
		0102030405060708090a0b0c 06 000000 128b 0000 00000000000000000000ffff00000000`
)

func TestParse(t *testing.T) {
	for _, test := range []struct {
		name, packet string
		want         Response
		bad          bool
	}{
		{"PCP", mapAnswer, Response{Version: 2, Result: Result{2, 0}, Mapping: true, Lifetime: time.Hour, Nonce: nonce, Protocol: UDP,
			Internal: 4747, External: netip.MustParseAddrPort("203.0.113.9:4748")}, false},
		{"PCP, an option follows", mapAnswer + "80000000", Response{Version: 2, Result: Result{2, 0}, Mapping: true, Lifetime: time.Hour, Nonce: nonce,
			Protocol: UDP, Internal: 4747, External: netip.MustParseAddrPort("203.0.113.9:4748")}, false},
		{"PCP, refused", mapRefused, Response{Version: 2, Result: Result{2, 2}, Mapping: true, Lifetime: 30 * time.Minute, Nonce: nonce, Protocol: TCP,
			Internal: 4747, External: netip.MustParseAddrPort("0.0.0.0:0")}, false},
		{"PCP, refused, short", "02 81 00 01 00000708 00000007 000000000000000000000000",
			Response{Version: 2, Result: Result{2, 1}, Lifetime: 30 * time.Minute}, false},
		{"NAT-PMP, address", "00 80 0000 00000007 cb007109",
			Response{Result: Result{0, 0}, External: netip.AddrPortFrom(netip.MustParseAddr("203.0.113.9"), 0)}, false},
		{"NAT-PMP, UDP", "00 81 0000 00000007 128b 128c 00000e10",
			Response{Result: Result{0, 0}, Mapping: true, Protocol: UDP, Internal: 4747, External: netip.AddrPortFrom(netip.Addr{}, 4748), Lifetime: time.Hour}, false},
		{"NAT-PMP, TCP refused", "00 82 0002 00000007 128b 0000 00000000",
			Response{Result: Result{0, 2}, Mapping: true, Protocol: TCP, Internal: 4747, External: netip.AddrPortFrom(netip.Addr{}, 0)}, false},
		{"NAT-PMP does not know PCP", "00 81 0001 00000007", Response{Result: Result{0, 1}}, false},

		{name: "empty", bad: true},
		{name: "a request", packet: "02 01 0000 00001c20 00000000000000000000ffffc0a80105", bad: true},
		{name: "another version", packet: "01 81 0000 00000007 128b 128c 00000e10", bad: true},
		{name: "PCP, cut off", packet: mapAnswer[:strings.IndexByte(mapAnswer, '\n')], bad: true},
		{name: "PCP, odd length", packet: mapAnswer + "80", bad: true},
		{name: "PCP, too long", packet: mapAnswer + strings.Repeat("00", 1100), bad: true},
		{name: "PCP, another opcode", packet: "02 82" + mapAnswer[len("02 81"):], bad: true},
		{name: "NAT-PMP, cut off", packet: "00 81 0000 00000007 128b 128c 00000e", bad: true},
		{name: "NAT-PMP, address cut off", packet: "00 80 0000 00000007 cb0071", bad: true},
		{name: "NAT-PMP, another opcode", packet: "00 83 0000 00000007 128b 128c 00000e10", bad: true},
	} {
		got, err := Parse(bytesOf(t, test.packet))
		if test.bad != errors.Is(err, ErrPacket) || got != test.want {
			t.Errorf("%s: %+v, %v", test.name, got, err)
		}
	}
}

func TestResult(t *testing.T) {
	for result, want := range map[Result]string{
		{VersionPCP, 2}:    "not authorized",
		{VersionPCP, 13}:   "too many remote peers",
		{VersionPCP, 14}:   "result 14",
		{VersionNATPMP, 3}: "network failure",
		{VersionNATPMP, 6}: "result 6",
	} {
		if got := result.Error(); got != want {
			t.Errorf("%+v: %q, want %q", result, got, want)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, seed := range []string{mapAnswer, mapRefused, "00 80 0000 00000007 cb007109", "00 82 0000 00000007 128b 128c 00000e10", "00 81 0001 00000007"} {
		f.Add(bytesOf(f, seed))
	}
	f.Fuzz(func(t *testing.T, p []byte) {
		r, err := Parse(p)
		if err != nil {
			if r != (Response{}) {
				t.Errorf("%v, and yet %+v", err, r)
			}
			return
		}
		if !r.Mapping && !r.Result.Failed() && r.Version == VersionPCP {
			t.Errorf("success about nothing: %+v", r)
		}
		_ = r.Result.Error()
	})
}
