package mail

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"kith.alt/kith"
	"kith.alt/kith/kithtest/apptest"
)

func TestCommands(t *testing.T) {
	host := apptest.NewHost(t, App())
	host.Serve(t)
	dir := t.TempDir()
	for name, text := range map[string]string{"text": "See you at eight,\nGrüße\n.\n", "plan.pdf": strings.Repeat("%PDF", 1000)} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	run := func(want string, verb string, args ...string) string {
		t.Helper()
		out, _, err := host.Run(t.Context(), dir, verb, args...)
		if err != nil || !strings.Contains(out, want) {
			t.Fatalf("%s %q: %q, %v; want %q", verb, args, out, err, want)
		}
		return out
	}
	run("Mail to annie is for the account now.", "mail alias", "annie", "ann")
	run("annie  ann", "mail aliases")
	run("There is a list film now.", "mail newlist", "film", "ann")
	run("The list film has the address now.", "mail join", "film", "bob@oak")
	run("film  ann    bob@oak", "mail lists")
	run("Sent to annie@maple.home.kith.alt, bob@oak.home.kith.alt, all@home.kith.alt.", "mail send", "text", "--to", "annie,bob@oak", "--cc", "all", "--subject", "Film: größer", "--attach", "plan.pdf")
	list := run("NUMBER", "mail list")
	if !strings.Contains(list, "1       new  <ann@maple.home.kith.alt>  Film: größer") || strings.Count(list, "\n") != 2 {
		t.Errorf("list: %s", list)
	}
	shown := run("Film: größer", "mail show", "1")
	for _, want := range []string{
		"From:     <ann@maple.home.kith.alt>\n", "To:       <annie@maple.home.kith.alt>, <bob@oak.home.kith.alt>\n", "Cc:       <all@home.kith.alt>\n",
		"Attached: plan.pdf\n", "\nSee you at eight,\nGrüße\n.\n",
	} {
		if !strings.Contains(shown, want) {
			t.Errorf("%q is not in\n%s", want, shown)
		}
	}
	var items []Item
	if err := json.Unmarshal([]byte(run("", "mail list", "--json")), &items); err != nil || len(items) != 1 || !items[0].Seen || items[0].Attachments != 1 {
		t.Errorf("%+v, %v", items, err)
	}
	run("<annie@maple.home.kith.alt>, <bob@oak.home.kith.alt>  Film", "mail list", "Sent")
	run("\nTo oak:   waits here\n", "mail show", "1", "--folder", "Sent")
	if letters, err := host.Post().Letters(t.Context(), "mail", 10); err != nil || len(letters) != 1 {
		t.Errorf("%d letters, %v", len(letters), err)
	}
	run("", "mail send", "text", "--to", "film@maple")
	if letters, _ := host.Post().Letters(t.Context(), "mail", 10); len(letters) != 2 {
		t.Errorf("the list sent nothing")
	}
	run("Mail is forwarded to bob@oak.home.kith.alt now.", "mail forward", "bob@oak", "--keep")
	run("People who write are answered now", "mail away", "Back", "in", "May.")
	if s := run("", "mail unforward", "--json"); !strings.Contains(s, `"forward": ""`) || !strings.Contains(s, `"away": "Back in May."`) {
		t.Errorf("settings: %s", s)
	}
	run("Nobody is answered now.", "mail back")
	for _, c := range []struct {
		kind error
		verb string
		args []string
	}{
		{kith.Invalid, "mail send", []string{"text"}},
		{kith.NotFound, "mail send", []string{"text", "--to", "nobody"}},
		{kith.NotFound, "mail send", []string{"text", "--to", "bob@example.com"}},
		{kith.NotFound, "mail send", []string{"text", "--to", "bob@oak", "--attach", "none"}},
		{kith.NotFound, "mail send", []string{"text", "--to", "bob@oak", "--account", "eve"}},
		{kith.NotFound, "mail show", []string{"9"}},
		{kith.Invalid, "mail show", []string{"x"}},
		{kith.NotFound, "mail list", []string{"Nowhere"}},
		{kith.Exists, "mail alias", []string{"annie", "ann"}},
		{kith.NotFound, "mail forward", []string{"nobody"}},
		{kith.NotFound, "mail unalias", []string{"x"}},
		{kith.NotFound, "mail leave", []string{"film", "ann"}},
	} {
		if out, _, err := host.Run(t.Context(), dir, c.verb, c.args...); !errors.Is(err, c.kind) {
			t.Errorf("%s %q: %q, %v; want %v", c.verb, c.args, out, err, c.kind)
		}
	}
	run("Nobody is called annie any more.", "mail unalias", "annie")
	run("The list film no longer has the address.", "mail leave", "film", "bob@oak")
	run("The list film is gone.", "mail rmlist", "film")
}
