package admin

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"kith.alt/kith/control"
	"kith.alt/kith/kithtest/browser"
)

// TestInBrowser walks through the dashboard as a person does. One browser
// serves all journeys; each has a dashboard of its own.
func TestInBrowser(t *testing.T) {
	b := browser.Open(t, nil)
	for _, journey := range []struct {
		name string
		walk func(*testing.T, *browser.Tab)
	}{
		{"every page", everyPage},
		{"invite", inviteInBrowser},
		{"revoke by keyboard", revokeByKeyboard},
		{"live", liveInBrowser},
		{"theme is kept", themeIsKept},
		{"without JavaScript", withoutJavaScript},
	} {
		t.Run(journey.name, func(t *testing.T) {
			b := b.For(t)
			heard := len(b.Messages())
			journey.walk(t, b)
			for _, m := range b.Messages()[heard:] {
				t.Errorf("console: %s", m)
			}
			b.Load("about:blank") // its dashboard ends now
		})
	}
}

func inviteInBrowser(t *testing.T, b *browser.Tab) {
	n := newFake(7)
	address := serve(t, n)
	signIn(b, address)
	b.Click("a[href='/invite']")
	b.See("form[action='/invite']")
	b.Click("input[value='member']")
	b.Do(chromedp.SetValue("input[name='uses']", "4"))
	b.Click("form[action='/invite'] button")
	b.See(".bitmap")
	if got := n.asked(); got != "invite 4 24h0m0s member" {
		t.Errorf("asked %q", got)
	}
	if text := b.Text("main"); !strings.Contains(text, "kith join") || !strings.Contains(text, "4 computers") {
		t.Errorf("page says %s", text)
	}
}

// Revoking needs no mouse: Tab to the link, Enter, the name, Enter.
func revokeByKeyboard(t *testing.T, b *browser.Tab) {
	n := newFake(7)
	address := serve(t, n)
	signIn(b, address)
	b.Load(address + "/members/linden")
	for i := 0; !browser.Evaluate[bool](b, `document.activeElement.matches("[data-dialog]")`); i++ {
		if i == 40 {
			t.Fatal("the link cannot be reached by Tab")
		}
		b.Press(kb.Tab)
		if !browser.Evaluate[bool](b, `document.activeElement === document.body || getComputedStyle(document.activeElement).outlineStyle !== "none" || document.activeElement.matches("main")`) {
			t.Errorf("focus is not visible on %s", browser.Evaluate[string](b, `document.activeElement.outerHTML.slice(0, 80)`))
		}
	}
	b.Press(kb.Enter)
	b.See("dialog[open]")
	b.Press(kb.Escape)
	b.Do(chromedp.WaitNotPresent("dialog[open]"))
	b.Press(kb.Enter)
	b.See("dialog[open]")
	if !browser.Evaluate[bool](b, `document.activeElement.name === "confirm"`) {
		t.Error("the dialog does not begin in its field")
	}
	b.Press("linden")
	b.Press(kb.Enter)
	b.See(".flash.good")
	if got := n.asked(); got != "revoke linden" {
		t.Errorf("asked %q", got)
	}
	if text := b.Text(".flash"); text != "linden is out of the group." {
		t.Errorf("it says %q", text)
	}
}

func liveInBrowser(t *testing.T, b *browser.Tab) {
	n := newFake(7)
	address := serve(t, n)
	signIn(b, address)
	b.Await(`document.querySelector("#live-awake").textContent === "5 of 7 awake"`)
	browser.Evaluate[any](b, `window.same = true`)
	n.mu.Lock()
	n.status.Members[3].State, n.status.Members[3].Path = control.Online, control.PathLAN
	n.mu.Unlock()
	b.Await(`document.querySelector("#live-awake").textContent === "6 of 7 awake" &&
		document.querySelector("#live-lead").textContent.startsWith("Six of seven") &&
		document.querySelectorAll(".wide .dot.online").length === 5`)

	b.Load(address + "/settings/")
	browser.Evaluate[any](b, `window.first = document.querySelector("#live-sockets").textContent`)
	b.Await(`document.querySelector("#live-sockets").textContent !== window.first`)
}

func themeIsKept(t *testing.T, b *browser.Tab) {
	address := serve(t, newFake(1))
	b.Look(1440, 900, "light")
	signIn(b, address)
	b.Click("[data-theme-switch]")
	b.Load(address + "/members/")
	if got := browser.Evaluate[string](b, `document.documentElement.dataset.theme + getComputedStyle(document.body).colorScheme`); got != "darkdark" {
		t.Errorf("theme is %q", got)
	}
}

func withoutJavaScript(t *testing.T, b *browser.Tab) {
	n := newFake(7)
	address := serve(t, n)
	b.WithoutScripts()
	signIn(b, address)
	b.See(".wide svg")
	b.Do(chromedp.WaitNotVisible("[data-theme-switch]"))
	b.Load(address + "/members/linden")
	b.Click("a[href='/members/linden/revoke']")
	b.See("main > .card form")
	b.Do(chromedp.SendKeys("input[name='confirm']", "linden"))
	b.Click("form button.danger")
	b.See(".flash.good")
	if got := n.asked(); got != "revoke linden" {
		t.Errorf("asked %q", got)
	}
	b.Load(address + "/settings/programs")
	b.Click("details.more summary")
	b.See("details.more[open] .steps")
}

// measure finds text of too little contrast (WCAG 2.2, 1.4.3).
const measure = `(() => {
	const parse = (c) => { const n = c.match(/[\d.]+/g).map(Number); return [n[0], n[1], n[2], n.length > 3 ? n[3] : 1]; };
	const over = (top, under) => [0, 1, 2].map((i) => top[i] * top[3] + under[i] * (1 - top[3])).concat(1);
	const ground = (e) => {
		let stack = [];
		for (; e; e = e.parentElement) stack.push(parse(getComputedStyle(e).backgroundColor));
		return stack.reduceRight((under, top) => over(top, under), [255, 255, 255, 1]);
	};
	const luminance = (c) => {
		const [r, g, b] = c.slice(0, 3).map((v) => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
		return 0.2126 * r + 0.7152 * g + 0.0722 * b;
	};
	const bad = new Set();
	const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
	while (walk.nextNode()) {
		const e = walk.currentNode.parentElement;
		if (!walk.currentNode.textContent.trim() || !e.checkVisibility() || e.closest(".hidden, title, .skip")) continue;
		const style = getComputedStyle(e), svg = e.ownerSVGElement;
		let under = ground(svg || e);
		const disc = e.matches(".initial") && e.parentElement.querySelector("circle:not(.paper)");
		if (disc) under = over(parse(getComputedStyle(disc).fill), under);
		const a = luminance(over(parse(svg ? style.fill : style.color), under)), b = luminance(under);
		const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
		if (ratio < 4.5) bad.add(ratio.toFixed(2) + " " + e.tagName + "." + e.getAttribute("class") + " " + walk.currentNode.textContent.trim().slice(0, 30));
	}
	return [...bad];
})()`

// Every page fits every width, has contrast, labels and one heading, in light
// and dark, and says nothing in the console.
func everyPage(t *testing.T, b *browser.Tab) {
	for _, members := range []int{1, 7, 40} {
		address := serve(t, newFake(members))
		signIn(b, address)
		paths := pagePaths(members)
		for _, name := range slices.Sorted(maps.Keys(paths)) {
			if members != 7 && name != "home" && name != "members" || name == "missing" { // a 404 is logged by the browser
				continue
			}
			t.Run(fmt.Sprint(name, members), func(t *testing.T) {
				b := b.For(t)
				b.Load(address + paths[name])
				if name == "ticket" {
					b.Do(chromedp.Submit("form[action='/invite']"), chromedp.WaitVisible(".bitmap"))
				}
				for _, scheme := range []string{"light", "dark"} {
					for _, width := range []int{360, 768, 1440} {
						b.Look(width, 900, scheme)
						if over := browser.Evaluate[int](b, `document.documentElement.scrollWidth - innerWidth`); over > 0 {
							t.Errorf("%d px wide, scrolls by %d: %v", width, over, browser.Evaluate[[]string](b, `[...document.querySelectorAll("main *")]
								.filter((e) => e.getBoundingClientRect().right > innerWidth).map((e) => e.outerHTML.slice(0, 60)).slice(0, 5)`))
						}
					}
					for _, bad := range browser.Evaluate[[]string](b, measure) {
						t.Errorf("%s: contrast %s", scheme, bad)
					}
				}
				if n := browser.Evaluate[int](b, `document.querySelectorAll("h1").length`); n != 1 {
					t.Errorf("%d headings", n)
				}
				for _, bad := range browser.Evaluate[[]string](b, `[...document.querySelectorAll("input:not([type=hidden], [hidden]), select, textarea")].filter((e) => !e.labels.length).map((e) => e.outerHTML)
					.concat([...document.querySelectorAll("button, a")].filter((e) => !e.textContent.trim()).map((e) => e.outerHTML))`) {
					t.Errorf("without a label: %s", bad)
				}
			})
		}
	}
}
