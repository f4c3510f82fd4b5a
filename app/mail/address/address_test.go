package address

import (
	"database/sql"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"kith.alt/kith"
	"kith.alt/kith/kithtest/apptest"
)

func newBook(t *testing.T) (*Book, *apptest.Host) {
	t.Helper()
	host := apptest.NewHost(t, kith.App{Name: "mail", Migrations: os.DirFS("../migrations")})
	return New(host), host
}

func resolve(t *testing.T, b *Book, text string) (found string, err error) {
	t.Helper()
	a, err := Parse(text)
	if err != nil {
		return "", err
	}
	err = b.host.Store().View(t.Context(), func(tx *sql.Tx) error {
		targets, err := b.Resolve(t.Context(), tx, a)
		for _, target := range targets {
			found += fmt.Sprintf(" %d/%s", target.Host[0], target.Name)
			if target.Detail != "" {
				found += "+" + target.Detail
			}
			if target.List != nil {
				found += fmt.Sprint(target.List.Owner, target.List.Members)
			}
		}
		return err
	})
	return strings.TrimSpace(found), err
}

func TestResolve(t *testing.T) {
	b, host := newBook(t)
	host.Admit("elm", false) // its record names no accounts
	ctx := t.Context()
	for _, err := range []error{
		b.AddAlias(ctx, Alias{"annie", "ann"}), b.AddList(ctx, "film", "annie"),
		b.Join(ctx, "film", "Bob@oak"), b.Join(ctx, "film", "bob@oak"), b.Join(ctx, "film", "ann"),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	if got := fmt.Sprint(host.Names()); got != "[annie film]" {
		t.Errorf("members are told of %s", got)
	}
	host.Tell("oak", func(m *kith.Member) { m.Names = []string{"garden"} })
	id := host.ID().String()
	for _, c := range []struct{ text, found, status string }{
		{"ann", "1/ann", ""},
		{"Ann@Maple.home.kith.alt", "1/ann", ""},
		{"ann@maple", "1/ann", ""},
		{"ann@localhost", "1/ann", ""},
		{"ann@" + id + ".kith.alt", "1/ann", ""},
		{"ann+shop@maple.home.kith.alt.", "1/ann+shop", ""},
		{"annie@maple", "1/ann", ""},
		{"annie+x@maple", "1/ann+x", ""},
		{"postmaster@maple", "1/ann", ""},
		{"postmaster@oak", "2/postmaster", ""},
		{"bob+x@oak.home.kith.alt", "2/bob+x", ""},
		{"film@maple", "1/filmann[ann bob@oak]", ""},
		{"all", "1/ann 2/bob", ""},
		{"all@home.kith.alt", "1/ann 2/bob", ""},
		{"whoever@elm", "3/whoever", ""},
		{"garden@oak", "2/garden", ""},
		{"nobody", "", "5.1.1"},
		{"nobody@maple", "", "5.1.1"},
		{"carl@oak", "", "5.1.1"},
		{"all@maple", "", "5.1.1"},
		{"all@work.kith.alt", "", "5.1.2"},
		{"bob@pine", "", "5.1.2"},
		{"bob@oak.work.kith.alt", "", "5.1.2"},
		{"bob@" + kith.ID{9}.String() + ".kith.alt", "", "5.1.2"},
		{"bob@example.com", "", "5.1.2"},
		{"bob@192.0.2.1", "", "5.1.2"},
		{"bob@[192.0.2.1]", "", "5.1.3"},
		{"", "", "5.1.3"},
		{"@oak", "", "5.1.3"},
		{"bob@", "", "5.1.3"},
		{"bob+@oak", "", "5.1.3"},
		{"bob@oak@pine", "", "5.1.3"},
		{"b ob@oak", "", "5.1.3"},
		{"bob+a b@oak", "", "5.1.3"},
		{"böb@oak", "", "5.1.3"},
		{"bob\r\n@oak", "", "5.1.3"},
		{"bob@oak\r\n", "", "5.1.3"},
		{strings.Repeat("b", 255), "", "5.1.3"},
	} {
		found, err := resolve(t, b, c.text)
		var refusal *Refusal
		status := ""
		if errors.As(err, &refusal) {
			status = refusal.Status
		} else if err != nil {
			t.Fatal(err)
		}
		if found != c.found || status != c.status {
			t.Errorf("%.60q: %q, %v; want %q, %s", c.text, found, err, c.found, c.status)
		}
	}
}

func TestOwns(t *testing.T) {
	b, host := newBook(t)
	host.Accounts().(*apptest.Accounts).Add("eve")
	if err := b.AddAlias(t.Context(), Alias{"annie", "ann"}); err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]bool{
		"ann": true, "ann@maple.home.kith.alt": true, "ANN+x@maple": true, "annie@localhost": true, "postmaster@maple": true,
		"eve@maple": false, "ann@oak": false, "ann@example.com": false, "nobody": false, "": false, "all": false,
	} {
		err := host.Store().View(t.Context(), func(tx *sql.Tx) error {
			owns, err := b.Owns(t.Context(), tx, "ann", text)
			if owns != want {
				t.Errorf("%q: %v", text, owns)
			}
			return err
		})
		if err != nil {
			t.Error(err)
		}
	}
}

func TestTables(t *testing.T) {
	b, _ := newBook(t)
	ctx := t.Context()
	for i, c := range []struct {
		err  error
		kind error
	}{
		{b.AddAlias(ctx, Alias{"annie", "ann"}), nil},
		{b.AddAlias(ctx, Alias{"annie", "ann"}), kith.Exists},
		{b.AddAlias(ctx, Alias{"ann", "ann"}), kith.Exists},
		{b.AddAlias(ctx, Alias{"all", "ann"}), kith.Exists},
		{b.AddAlias(ctx, Alias{"A b", "ann"}), kith.Invalid},
		{b.AddAlias(ctx, Alias{"x", "nobody"}), kith.NotFound},
		{b.AddList(ctx, "annie", "ann"), kith.Exists},
		{b.AddList(ctx, "film", "ann"), nil},
		{b.AddAlias(ctx, Alias{"film", "ann"}), kith.Exists},
		{b.Join(ctx, "film", "bob@oak"), nil},
		{b.Join(ctx, "film", "nobody"), kith.NotFound},
		{b.Join(ctx, "none", "bob@oak"), kith.NotFound},
		{b.Leave(ctx, "film", "BOB@oak"), nil},
		{b.Leave(ctx, "film", "bob@oak"), kith.NotFound},
		{b.RemoveList(ctx, "film"), nil},
		{b.RemoveList(ctx, "film"), kith.NotFound},
		{b.RemoveAlias(ctx, "annie"), nil},
		{b.RemoveAlias(ctx, "annie"), kith.NotFound},
	} {
		if !errors.Is(c.err, c.kind) {
			t.Errorf("%d: %v, want %v", i, c.err, c.kind)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, text := range []string{"ann", "ann+x@maple.home.kith.alt", "all@home.kith.alt", "@", "a@b@c", "a\r\n@b"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		a, err := Parse(text)
		if err != nil {
			return
		}
		if again, err := Parse(a.String()); err != nil || again != a || strings.ContainsAny(a.String(), " \t\r\n<>\"\x00") {
			t.Errorf("%q: %+v, then %+v, %v", text, a, again, err)
		}
	})
}
