package admin

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/chromedp/chromedp"

	"kith.alt/kith/kithtest/browser"
)

var (
	screens = flag.String("screens", "", "write screenshots of all pages into this `directory`")
	only    = flag.String("only", "", "write those of this page only")
)

// TestScreens writes a picture of every page, in three widths, light and dark,
// for groups of 1, 2, 7 and 40, into the directory that -screens names. Those that
// begin with "first-" show what is in sight without a scroll.
func TestScreens(t *testing.T) {
	if *screens == "" {
		return // nobody wants pictures
	}
	if err := os.MkdirAll(*screens, 0o700); err != nil {
		t.Fatal(err)
	}
	b := browser.Open(t, nil)
	for _, members := range []int{1, 2, 7, 40} {
		address := serve(t, newFake(members))
		signIn(b, address)
		paths := pagePaths(members)
		for _, name := range slices.Sorted(maps.Keys(paths)) {
			if *only != "" && *only != name {
				continue
			}
			for _, width := range []int{360, 768, 1440} {
				for _, scheme := range []string{"light", "dark"} {
					b.Look(width, 900, scheme)
					b.Load(address + paths[name])
					if name == "ticket" {
						b.Do(chromedp.Submit("form[action='/invite']"), chromedp.WaitVisible(".bitmap"))
					}
					file := fmt.Sprintf("%s-%d-%d-%s.png", name, members, width, scheme)
					save(t, "first-"+file, browser.Get(b, chromedp.CaptureScreenshot()))
					save(t, file, browser.Get(b, chromedp.FullScreenshot(100)))
				}
			}
		}
	}
}

func save(t *testing.T, name string, content []byte) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(*screens, name), content, 0o600); err != nil {
		t.Fatal(err)
	}
}

// pagePaths are all pages of a dashboard of a group of that size, by name.
func pagePaths(members int) map[string]string {
	paths := map[string]string{
		"home": "/", "members": "/members/", "invite": "/invite", "ticket": "/invite", "settings": "/settings/",
		"accounts": "/settings/accounts", "programs": "/settings/programs", "join": "/join", "leave": "/leave", "stop": "/settings/stop",
		"self": "/members/maple", "screen": "/web/", "missing": "/nowhere",
	}
	if members > 5 {
		paths["member"], paths["revoke"], paths["moved"] = "/members/linden", "/members/linden/revoke", "/members/oak"
	}
	return paths
}
