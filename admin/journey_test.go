package admin

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"kith.alt/kith/control"
)

// quiet fails the test when the console has said something.
func (b *tab) quiet() {
	b.t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, m := range b.messages {
		b.t.Errorf("console: %s", m)
	}
}

// waitFor waits until a JavaScript expression is true.
func (b *tab) waitFor(expression string) {
	b.t.Helper()
	act(b, chromedp.Poll[bool](expression))
}

// TestInBrowser walks through the dashboard as a person does. One browser
// serves all journeys; each has a dashboard of its own.
func TestInBrowser(t *testing.T) {
	b := openBrowser(t)
	for _, journey := range []struct {
		name string
		walk func(*testing.T, *tab)
	}{
		{"every page", everyPage},
		{"invite", inviteInBrowser},
		{"revoke by keyboard", revokeByKeyboard},
		{"live", liveInBrowser},
		{"theme is kept", themeIsKept},
		{"without JavaScript", withoutJavaScript},
	} {
		t.Run(journey.name, func(t *testing.T) {
			b.t = t
			journey.walk(t, b)
			b.quiet()
			b.do(chromedp.Navigate("about:blank")) // its dashboard ends now
		})
	}
}

func inviteInBrowser(t *testing.T, b *tab) {
	n := newFake(7)
	address := serve(t, n)
	b.signIn(address)
	b.do(chromedp.Click("a[href='/invite']"), chromedp.WaitVisible("form[action='/invite']"),
		chromedp.Click("input[value='member']"), chromedp.SetValue("input[name='uses']", "4"), chromedp.Click("form[action='/invite'] button"),
		chromedp.WaitVisible(".bitmap"))
	if got := n.asked(); got != "invite 4 24h0m0s member" {
		t.Errorf("asked %q", got)
	}
	if text := b.text("main"); !strings.Contains(text, "kith join") || !strings.Contains(text, "4 computers") {
		t.Errorf("page says %s", text)
	}
}

// Revoking needs no mouse: Tab to the link, Enter, the name, Enter.
func revokeByKeyboard(t *testing.T, b *tab) {
	n := newFake(7)
	address := serve(t, n)
	b.signIn(address)
	b.open(address + "/members/linden")
	for i := 0; !evaluate[bool](b, `document.activeElement.matches("[data-dialog]")`); i++ {
		if i == 40 {
			t.Fatal("the link cannot be reached by Tab")
		}
		b.do(chromedp.KeyEvent(kb.Tab))
		if !evaluate[bool](b, `document.activeElement === document.body || getComputedStyle(document.activeElement).outlineStyle !== "none" || document.activeElement.matches("main")`) {
			t.Errorf("focus is not visible on %s", evaluate[string](b, `document.activeElement.outerHTML.slice(0, 80)`))
		}
	}
	b.do(chromedp.KeyEvent(kb.Enter), chromedp.WaitVisible("dialog[open]"), chromedp.KeyEvent(kb.Escape), chromedp.WaitNotPresent("dialog[open]"))
	b.do(chromedp.KeyEvent(kb.Enter), chromedp.WaitVisible("dialog[open]"))
	if !evaluate[bool](b, `document.activeElement.name === "confirm"`) {
		t.Error("the dialog does not begin in its field")
	}
	b.do(chromedp.KeyEvent("linden"), chromedp.KeyEvent(kb.Enter), chromedp.WaitVisible(".flash.good"))
	if got := n.asked(); got != "revoke linden" {
		t.Errorf("asked %q", got)
	}
	if text := b.text(".flash"); text != "linden is out of the group." {
		t.Errorf("it says %q", text)
	}
}

func liveInBrowser(t *testing.T, b *tab) {
	n := newFake(7)
	address := serve(t, n)
	b.signIn(address)
	b.waitFor(`document.querySelector("#live-awake").textContent === "5 of 7 awake"`)
	evaluate[chromedp.Void](b, `window.same = true`)
	n.mu.Lock()
	n.status.Members[3].State, n.status.Members[3].Path = control.Online, control.PathLAN
	n.mu.Unlock()
	b.waitFor(`document.querySelector("#live-awake").textContent === "6 of 7 awake" &&
		document.querySelector("#live-lead").textContent.startsWith("Six of seven") &&
		document.querySelectorAll(".wide .dot.online").length === 5`)

	b.open(address + "/settings/")
	evaluate[chromedp.Void](b, `window.first = document.querySelector("#live-sockets").textContent`)
	b.waitFor(`document.querySelector("#live-sockets").textContent !== window.first`)
}

func themeIsKept(t *testing.T, b *tab) {
	address := serve(t, newFake(1))
	b.look(1440, 900, "light")
	b.signIn(address)
	b.do(chromedp.Click("[data-theme-switch]"))
	b.open(address + "/members/")
	if got := evaluate[string](b, `document.documentElement.dataset.theme + getComputedStyle(document.body).colorScheme`); got != "darkdark" {
		t.Errorf("theme is %q", got)
	}
}

func withoutJavaScript(t *testing.T, b *tab) {
	n := newFake(7)
	address := serve(t, n)
	b.do(chromedp.Func(func(ctx context.Context, _ *chromedp.Target) error {
		_, err := chromedp.Call(b.ctx, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true})
		return err
	}))
	b.signIn(address)
	b.do(chromedp.WaitVisible(".wide svg"), chromedp.WaitNotVisible("[data-theme-switch]"))
	b.open(address + "/members/linden")
	b.do(chromedp.Click("a[href='/members/linden/revoke']"), chromedp.WaitVisible("main > .card form"),
		chromedp.SendKeys("input[name='confirm']", "linden"), chromedp.Click("form button.danger"), chromedp.WaitVisible(".flash.good"))
	if got := n.asked(); got != "revoke linden" {
		t.Errorf("asked %q", got)
	}
	b.open(address + "/settings/programs")
	b.do(chromedp.Click("details.more summary"), chromedp.WaitVisible("details.more[open] .steps"))
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
func everyPage(t *testing.T, b *tab) {
	for _, members := range []int{1, 7, 40} {
		address := serve(t, newFake(members))
		b.signIn(address)
		paths := pagePaths(members)
		for _, name := range slices.Sorted(maps.Keys(paths)) {
			if members != 7 && name != "home" && name != "members" || name == "missing" { // a 404 is logged by the browser
				continue
			}
			t.Run(fmt.Sprint(name, members), func(t *testing.T) {
				b.t = t
				b.open(address + paths[name])
				if name == "ticket" {
					b.do(chromedp.Submit("form[action='/invite']"), chromedp.WaitVisible(".bitmap"))
				}
				for _, scheme := range []string{"light", "dark"} {
					for _, width := range []int{360, 768, 1440} {
						b.look(width, 900, scheme)
						if over := evaluate[int](b, `document.documentElement.scrollWidth - innerWidth`); over > 0 {
							t.Errorf("%d px wide, scrolls by %d: %v", width, over, evaluate[[]string](b, `[...document.querySelectorAll("main *")]
								.filter((e) => e.getBoundingClientRect().right > innerWidth).map((e) => e.outerHTML.slice(0, 60)).slice(0, 5)`))
						}
					}
					for _, bad := range evaluate[[]string](b, measure) {
						t.Errorf("%s: contrast %s", scheme, bad)
					}
				}
				if n := evaluate[int](b, `document.querySelectorAll("h1").length`); n != 1 {
					t.Errorf("%d headings", n)
				}
				for _, bad := range evaluate[[]string](b, `[...document.querySelectorAll("input:not([type=hidden], [hidden]), select, textarea")].filter((e) => !e.labels.length).map((e) => e.outerHTML)
					.concat([...document.querySelectorAll("button, a")].filter((e) => !e.textContent.trim()).map((e) => e.outerHTML))`) {
					t.Errorf("without a label: %s", bad)
				}
			})
		}
	}
	b.t = t
}
