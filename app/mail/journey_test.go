package mail

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"kith.alt/kith/app/mail/mailbox"
	"kith.alt/kith/kithtest/browser"
)

// serve runs the dashboard on a free loopback port and returns its address.
func (d *desk) serve(t *testing.T) string {
	t.Helper()
	dashboard := d.dashboard()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if origin := r.Header.Get("Origin"); origin != "" && origin != "http://"+r.Host { // the gateway refuses that
			t.Errorf("%s %s has the Origin %q", r.Method, r.URL.Path, origin)
		}
		dashboard.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	t.Cleanup(server.CloseClientConnections) // open streams
	return strings.Replace(server.URL, "127.0.0.1", "localhost", 1)
}

// TestInBrowser walks through the screens as a person does. One browser serves
// all journeys; each has a host of its own.
func TestInBrowser(t *testing.T) {
	b := browser.Open(t, nil)
	for _, journey := range []struct {
		name string
		walk func(*testing.T, *browser.Tab)
	}{
		{"every page has room", everyPage},
		{"keys", withKeys},
		{"write and send", writeAndSend},
		{"one click sends", sendByButton},
		{"a message cannot run or load anything", hostileMessage},
		{"mail comes by itself", mailComes},
		{"without JavaScript", withoutJavaScript},
	} {
		t.Run(journey.name, func(t *testing.T) {
			b := b.For(t)
			heard := len(b.Messages())
			journey.walk(t, b)
			b.Load("about:blank") // its dashboard ends now
			for _, m := range b.Messages()[heard:] {
				if !strings.HasPrefix(m, "Blocked script execution in") { // that of the hostile message
					t.Errorf("console: %s", m)
				}
			}
		})
	}
}

// No page is wider than the window, whatever is on it.
func everyPage(t *testing.T, b *browser.Tab) {
	for name, widths := range map[string][]int{"real": {360}, "much": {360, 1440}} {
		fill := fillings[name]
		d := open(t)
		paths := fill(t, d)
		address := d.serve(t)
		for _, page := range slices.Sorted(maps.Keys(paths)) {
			for _, width := range widths {
				b.Look(width, 900, "light")
				b.Load(address + paths[page])
				if wide := browser.Evaluate[int](b, `document.documentElement.scrollWidth`); wide > width {
					t.Errorf("%s, %s: %d pixels wide in a window of %d", page, name, wide, width)
				}
			}
		}
		b.Load("about:blank")
	}
	b.Look(1280, 900, "light")
}

// until waits for something to be true in the page, or in one that the browser is on its way to.
func until(b *browser.Tab, expression string) {
	is := chromedp.Evaluate[bool](`document.readyState === "complete" && !!(` + expression + `)`)
	b.Do(chromedp.Func(func(ctx context.Context, tab *chromedp.Target) error {
		tick := time.NewTicker(50 * time.Millisecond)
		defer tick.Stop()
		for {
			if ok, err := is(ctx, tab); ok && err == nil { // an error: the page has just gone
				return nil
			}
			select {
			case <-ctx.Done():
				return fmt.Errorf("never true: %s: %w", expression, ctx.Err())
			case <-tick.C:
			}
		}
	}))
}

// arrive waits until there is something.
func arrive(b *browser.Tab, selector string) {
	until(b, `document.querySelector(`+strconv.Quote(selector)+`)`)
}

// click clicks on something as soon as it is there.
func click(b *browser.Tab, selector string) {
	arrive(b, selector)
	browser.Evaluate[bool](b, `(document.querySelector(`+strconv.Quote(selector)+`).click(), true)`)
}

// awake is arrive for a page whose script has begun.
func awake(b *browser.Tab, selector string) { arrive(b, `html[data-mail="ready"] `+selector) }

func withKeys(t *testing.T, b *browser.Tab) {
	d := open(t)
	fillReal(t, d)
	b.Load(d.serve(t) + "/mail/")
	awake(b, "#list")
	first := `document.querySelector(".mailrow.at .subject")?.innerText`
	b.Press("j")
	b.Press("j")
	b.Await(first + `.includes("Supper")`)
	b.Press("k")
	b.Await(first + `.includes("drill")`)
	b.Press("j")
	b.Press("x")
	b.Await(`document.querySelectorAll('[name="c"]:checked').length === 1 && getComputedStyle(document.querySelector(".acts")).display === "flex"`)
	b.Press("x")
	b.Press("?")
	arrive(b, "#keys[open]")
	b.Press("j") // the help has the keyboard
	b.Press(kb.Escape)
	b.Await(`!document.querySelector("#keys[open]")`)
	b.Press("s")
	awake(b, ".mailrow:nth-child(2) .star.on")
	b.Press("j")
	b.Press("j")
	b.Press("e")
	arrive(b, ".undo")
	if n := d.folder(t, mailbox.Archive).Messages; n != 2 {
		t.Errorf("%d are archived", n)
	}
	click(b, ".undo button")
	awake(b, ".flash:not(.undo)")
	if n := d.folder(t, mailbox.Archive).Messages; n != 0 {
		t.Errorf("%d are archived after all", n)
	}
	b.Press("j")
	b.Press("j")
	b.Press(kb.Enter)
	awake(b, "article.letter")
	b.Press("r")
	until(b, `document.documentElement.dataset.mail && document.activeElement.id === "f-text"`)
	b.Press("jk#") // is typed
	b.Await(`document.getElementById("f-text").value.startsWith("jk#")`)
	click(b, `button[value="discard"]`)
	awake(b, "article.letter")
	b.Press("u")
	awake(b, `#list[data-kind="inbox"]`)
	b.Press("/")
	b.Await(`document.activeElement.id === "f-q"`)
	b.Press("pumpkin" + kb.Enter)
	awake(b, `#list[data-kind="search"] .mailrow`)
	b.Press("c")
	until(b, `document.activeElement.id === "f-to"`)
}

func writeAndSend(t *testing.T, b *browser.Tab) {
	d := open(t)
	dir := t.TempDir()
	var files []string
	for name, text := range map[string]string{"notes & <b>.txt": "hello\n", "large.bin": strings.Repeat("0123456789abcdef", 5<<16)} {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		files = append(files, path)
	}
	b.Load(d.serve(t) + "/mail/write")
	until(b, `document.documentElement.dataset.mail && document.activeElement.id === "f-to"`)
	b.Press("bob@oak, ")
	b.Await(`[...document.querySelectorAll("#people option")].some((o) => o.value === "bob@oak, ann@maple")`)
	b.Press("ann")
	b.Do(chromedp.SendKeys("#f-subject", "The plan"), chromedp.SendKeys("#f-text", "Hello Bob,"))
	b.Await(`document.getElementById("kept").innerText.includes("Drafts")`)
	if n := d.folder(t, mailbox.Drafts).Messages; n != 1 {
		t.Errorf("%d drafts", n)
	}
	b.Do(chromedp.SetUploadFiles("#f-files", files))
	b.Await(`document.querySelectorAll('#files [name="keep"]').length === 2 && !document.querySelector("#uploads li")`)
	b.Do(chromedp.SendKeys("#f-text", " it is as we said."))
	b.Do(chromedp.KeyEvent(kb.Enter, chromedp.KeyModifiers(2))) // Ctrl
	arrive(b, ".flash.good")
	if drafts, sent, inbox := d.folder(t, mailbox.Drafts).Messages, d.folder(t, mailbox.Sent).Messages, d.folder(t, mailbox.Inbox).Messages; drafts != 0 || sent != 1 || inbox != 1 {
		t.Errorf("%d drafts, %d sent, %d in the inbox", drafts, sent, inbox)
	}
	click(b, ".mailrow a.line")
	b.Await(`document.querySelectorAll(".files li").length === 2 && document.body.innerText.includes("it is as we said.") && document.querySelector(".timeline")`)
	letters, err := d.Post().Letters(t.Context(), "mail", 10)
	if err != nil || len(letters) != 1 {
		t.Fatal(letters, err)
	}
	d.EndLetter(t, letters[0].ID, "delivered", "")
	b.Await(`document.querySelector(".timeline .good")`) // by itself
}

// The button sends at the first click, also before a draft is kept.
func sendByButton(t *testing.T, b *browser.Tab) {
	d := open(t)
	b.Load(d.serve(t) + "/mail/write")
	until(b, `document.documentElement.dataset.mail && document.activeElement.id === "f-to"`)
	b.Do(chromedp.SendKeys("#f-to", "bob@oak"), chromedp.SendKeys("#f-text", "Hello Bob."))
	b.Click("#send")
	arrive(b, ".flash.good")
	if drafts, sent := d.folder(t, mailbox.Drafts).Messages, d.folder(t, mailbox.Sent).Messages; drafts != 0 || sent != 1 {
		t.Errorf("%d drafts, %d sent", drafts, sent)
	}
}

// What a message holds neither runs nor loads anything, and the frame is as high as what is in it.
func hostileMessage(t *testing.T, b *browser.Tab) {
	d := open(t)
	server := httptest.NewServer(d.dashboard())
	t.Cleanup(server.Close)
	t.Cleanup(server.CloseClientConnections)
	address := strings.Replace(server.URL, "127.0.0.1", "localhost", 1)
	page := `<body onload="parent.document.title='ran'"><p style="height:900px" id=x>tall</p><script>parent.document.title='ran'</script><img src=x onerror="parent.document.title='ran'"><svg onload="parent.document.title='ran'"></svg>` +
		`<a href="javascript:parent.document.title='ran'" id=y>click</a><form action="` + address + `/mail/act" method=post><input name=do value=delete></form><meta http-equiv=refresh content="0;url=` + address + `/mail/folders"><iframe src="` + address + `/mail/settings"></iframe>`
	id := d.put(t, d.account, mailbox.Inbox, mailFrom("eve@elm", "1@elm", "Hello", 0, nil, "Content-Type: text/html\r\n\r\n", page))
	b.Load(address + conversationPage(id, 0))
	b.Await(`parseInt(document.querySelector("iframe.paper").style.height) > 900`)
	inner := `document.querySelector("iframe.paper").contentDocument`
	if n := browser.Evaluate[int](b, inner+`.querySelectorAll("script, svg, form, iframe, meta[http-equiv], [onload], [onerror], a[href]").length`); n != 0 {
		t.Errorf("%d things are in it that should not be", n)
	}
	b.Await(inner + `.URL.includes("/html")`)
	if title := browser.Evaluate[string](b, `document.title`); strings.Contains(title, "ran") {
		t.Error("it ran")
	}
	// Were all of it let through, the frame and the policy would stop it.
	browser.Evaluate[bool](b, `(() => {
		const page = `+inner+`;
		const script = page.createElement("script");
		script.textContent = "parent.document.title = 'ran'";
		page.body.append(script);
		return true;
	})()`)
	if title := browser.Evaluate[string](b, `document.title`); strings.Contains(title, "ran") {
		t.Error("a script ran in the frame")
	}
}

func mailComes(t *testing.T, b *browser.Tab) {
	d := open(t)
	b.Load(d.serve(t) + "/mail/")
	b.Await(`document.body.innerText.includes("Nothing in the inbox")`)
	d.put(t, d.account, mailbox.Inbox, mailFrom("bob@oak", "1@oak", "It has come", 0, nil, "", "x"))
	b.Await(`document.querySelector(".mailrow.unread")?.innerText.includes("It has come") && document.title.startsWith("(1) Inbox")`)
}

func withoutJavaScript(t *testing.T, b *browser.Tab) {
	d := open(t)
	fillReal(t, d)
	address := d.serve(t)
	b.WithoutScripts()
	b.Load(address + "/mail/")
	click(b, `.mailrow:nth-child(2) [name="c"]`)
	click(b, `.acts [value="delete"]`)
	arrive(b, ".undo")
	click(b, ".undo button")
	arrive(b, ".flash.good")
	click(b, `.mailrow:nth-child(2) a.line`)
	arrive(b, "article.letter .own")
	click(b, "details.quoted summary")
	arrive(b, "details.quoted blockquote")
	click(b, "a.reply")
	arrive(b, "#f-text")
	b.Do(chromedp.SendKeys("#f-text", "Good."))
	click(b, "#send")
	arrive(b, "article.letter")
	if n := d.folder(t, mailbox.Sent).Messages; n != 5 {
		t.Errorf("%d are sent", n)
	}
}
