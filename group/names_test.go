package group

import (
	"errors"
	"strings"
	"testing"

	"kith.alt/kith"
)

func TestCheckName(t *testing.T) {
	for _, name := range []string{"maple", "ada-s-laptop", "x1", "host-9"} {
		if err := CheckName(name); err != nil {
			t.Error(err)
		}
	}
	for _, name := range []string{"", "Maple", "a--b", "-a", "localhost", "www", "kith", "127", "0x7f", testID("a").String(), strings.Repeat("a", 64)} {
		if err := CheckName(name); !errors.Is(err, kith.Invalid) {
			t.Errorf("%q: %v", name, err)
		}
	}
}

func TestLookAlikes(t *testing.T) {
	for _, pair := range [][2]string{{"maple", "rnaple"}, {"oil", "0i1"}, {"dora", "clora"}, {"willow", "vvillow"}, {"ada-pc", "adapc"}, {"dora", "c1ora"}} {
		if skeleton(pair[0]) != skeleton(pair[1]) {
			t.Errorf("%s and %s are told apart", pair[0], pair[1])
		}
	}
	for _, pair := range [][2]string{{"maple", "apple"}, {"host1", "host2"}, {"oak", "elm"}} {
		if skeleton(pair[0]) == skeleton(pair[1]) {
			t.Errorf("%s and %s are one", pair[0], pair[1])
		}
	}
}

func TestReservedForm(t *testing.T) {
	s := tell(t)
	s.chain("ada")
	r := s.merge()
	name := "maple-" + testID("ada").Short()
	if err := r.CheckHost(name, testID("founder")); !errors.Is(err, kith.Invalid) {
		t.Errorf("another host's key: %v", err)
	}
	if err := r.CheckHost(name, testID("ada")); err != nil {
		t.Errorf("its own: %v", err)
	}
	// Written all the same, it does not take the name.
	s.says("founder", body{Kind: kindRename, Host: name}, s.chain("ada"))
	if id, err := s.merge().Resolve(name + "-" + testID("founder").Short()); err != nil || id != testID("founder") {
		t.Errorf("%v, %v: %s", id, err, members(s.merge()))
	}
}

func FuzzName(f *testing.F) {
	s := tell(f)
	top := s.chain("ada", "bob")
	s.says("ada", body{Kind: kindRename, Host: "eve"}, top)
	r := Merge(s.genesis, s.entries)
	for _, text := range []string{"ada", "eve.home.kith.alt", testID("ada").String(), testID("ada").String() + ".kith.alt.", "Bob", "a..b", "maple-" + testID("bob").Short(), "\xff"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if id, err := r.Resolve(text); err != nil && !errors.Is(err, kith.NotFound) && !errors.Is(err, kith.Invalid) && !errors.Is(err, kith.NotMember) {
			t.Errorf("error without kind: %v", err)
		} else if err == nil && id.IsZero() && strings.Trim(text, ".") != (kith.ID{}).String() {
			t.Errorf("%q is nobody", text)
		}
		if r.CheckHost(text, testID("new")) == nil && kith.CheckLabel(text) != nil {
			t.Errorf("%q is no label", text)
		}
		if kith.CheckLabel(text) == nil {
			if err := kith.CheckLabel(fallbackName(text, testID("new"))); err != nil {
				t.Error(err)
			}
		}
	})
}
