package mail

import (
	"bytes"
	"encoding/base64"
	"flag"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"maps"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/emersion/go-imap/v2"

	"kith.alt/kith"
	"kith.alt/kith/app/mail/mailbox"
	"kith.alt/kith/kithtest/apptest"
	"kith.alt/kith/kithtest/browser"
)

var (
	screens = flag.String("screens", "", "write screenshots of all pages into this `directory`")
	only    = flag.String("only", "", "write those of this page only")
)

// TestScreenshots writes a picture of every page, in three widths, light and dark, for mail
// that is none, real, and too much, into the directory that -screens names.
func TestScreenshots(t *testing.T) {
	if *screens == "" {
		return // nobody wants pictures
	}
	if err := os.MkdirAll(*screens, 0o700); err != nil {
		t.Fatal(err)
	}
	b := browser.Open(t, nil)
	for name, fill := range fillings {
		t.Run(name, func(t *testing.T) {
			d := open(t)
			paths := fill(t, d)
			server := httptest.NewServer(d.dashboard())
			defer server.Close()
			defer server.CloseClientConnections() // open streams
			b := b.For(t)
			for _, page := range slices.Sorted(maps.Keys(paths)) {
				if *only != "" && *only != page {
					continue
				}
				for _, width := range []int{360, 768, 1440} {
					for _, scheme := range []string{"light", "dark"} {
						b.Look(width, 900, scheme)
						b.Load(strings.Replace(server.URL, "127.0.0.1", "localhost", 1) + paths[page])
						b.Await(`[...document.querySelectorAll("iframe.paper")].every((f) => f.style.height && f.style.height !== "0px")`)
						file := filepath.Join(*screens, fmt.Sprintf("%s-%s-%d-%s.png", page, name, width, scheme))
						if err := os.WriteFile(file, browser.Get(b, chromedp.FullScreenshot(100)), 0o600); err != nil {
							t.Fatal(err)
						}
					}
				}
			}
			b.Load("about:blank") // its stream ends before the server does
			if said := b.Messages(); len(said) > 0 {
				t.Errorf("the pages say %q", said)
			}
		})
	}
}

// fillings make mail for the pages that they return, by name.
var fillings = map[string]func(testing.TB, *desk) map[string]string{"empty": fillNone, "real": fillReal, "much": fillMuch}

func fillNone(t testing.TB, d *desk) map[string]string {
	return map[string]string{"inbox": "/mail/", "sent": folderPage(d.folder(t, mailbox.Sent).ID), "trash": folderPage(d.folder(t, mailbox.Trash).ID), "write": "/mail/write", "search": "/mail/search", "folders": "/mail/folders", "settings": "/mail/settings"}
}

// A page of a newsletter, with a picture of its own and one from elsewhere.
const newsletter = `<html><head><style>.x{color:red}</style></head><body bgcolor="#f4f1ea"><table width="600" align="center" bgcolor="#ffffff" cellpadding="16"><tr><td bgcolor="#2d5a3d"><font color="#ffffff" size="5"><b>Garden club, November</b></font></td></tr>
<tr><td><p style="font-size: 17px">Dear members,</p><p>the <b>apple tree</b> by the fence gets its winter cut on Saturday. Bring gloves.</p><ul><li>10:00 tools</li><li>11:00 soup</li></ul><p><img src="cid:tree@elm" alt="A tree" width="160"> <img src="https://spy.example/open.gif?id=ann" alt="" width=1></p><p><a href="https://garden.example/november" style="background-color:#2d5a3d;color:#ffffff;padding:8px 16px">Say that you come</a></p></td></tr></table></body></html>`

// tree is a small picture.
var tree = func() string {
	picture := image.NewRGBA(image.Rect(0, 0, 160, 120))
	for y := range 120 {
		for x := range 160 {
			shade := color.RGBA{196, 220, 232, 255}
			if dx, dy := x-80, y-45; dx*dx+dy*dy < 1400 {
				shade = color.RGBA{74, 124, 78, 255}
			} else if x > 74 && x < 86 && y > 60 || y > 100 {
				shade = color.RGBA{112, 86, 58, 255}
			}
			picture.Set(x, y, shade)
		}
	}
	var b bytes.Buffer
	if err := png.Encode(&b, picture); err != nil {
		panic(err)
	}
	return base64.StdEncoding.EncodeToString(b.Bytes())
}()

func at(ago time.Duration) string {
	return time.Now().Add(-ago).Format("Mon, 2 Jan 2006 15:04:05 -0700")
}

// mailFrom is a message from somebody on another host.
func mailFrom(from, id, subject string, ago time.Duration, parents []string, more, text string) string {
	raw := "From: " + from + "\r\nTo: ann@maple.home.kith.alt\r\nSubject: " + subject + "\r\nDate: " + at(ago) + "\r\nMessage-ID: <" + id + ">\r\n"
	if n := len(parents); n > 0 {
		raw += "In-Reply-To: <" + parents[n-1] + ">\r\nReferences: <" + strings.Join(parents, "> <") + ">\r\n"
	}
	if more == "" {
		more = "Content-Type: text/plain; charset=utf-8\r\n\r\n"
	}
	return raw + "MIME-Version: 1.0\r\n" + more + strings.ReplaceAll(text, "\n", "\r\n")
}

func mixed(parts ...string) string {
	return "Content-Type: multipart/mixed; boundary=xx\r\n\r\n--xx\r\n" + strings.Join(parts, "\r\n--xx\r\n") + "\r\n--xx--\r\n"
}

func attachment(media, name, text string) string {
	return "Content-Type: " + media + "\r\nContent-Disposition: attachment; filename=\"" + name + "\"\r\nContent-Transfer-Encoding: base64\r\n\r\n" + base64.StdEncoding.EncodeToString([]byte(text))
}

// fillReal is the mail of somebody in a household.
func fillReal(t testing.TB, d *desk) map[string]string {
	elm := d.Admit("elm", true)
	d.Admit("birch", false)
	put := func(folder string, ago time.Duration, raw string, flags ...imap.Flag) int64 {
		boxes := d.mail.mailboxes
		blob, err := boxes.Write(t.Context(), strings.NewReader(raw))
		if err != nil {
			t.Fatal(err)
		}
		placed, err := boxes.Append(t.Context(), apptest.Ann, folder, mailbox.Delivery{Blob: blob, Flags: flags, Received: time.Now().Add(-ago)})
		if err != nil {
			t.Fatal(err)
		}
		return placed.Content
	}
	const bob, eve, fir = "Bob Ross <bob@oak.home.kith.alt>", "Eve Adams <eve@elm.home.kith.alt>", "Frida <frida@birch.home.kith.alt>"
	for _, folder := range []string{"Family", "Family/School", "Garden"} {
		if err := d.mail.mailboxes.Create(t.Context(), apptest.Ann, folder, ""); err != nil {
			t.Fatal(err)
		}
	}
	picture, _ := base64.StdEncoding.DecodeString(tree)
	put(mailbox.Inbox, 50*time.Hour, mailFrom(bob, "1@oak", "Supper on Sunday", 50*time.Hour, nil, "", "Hello Ann,\n\nshall we cook together on Sunday? I would bring the pumpkin from the garden and the good knife.\n\nWe could try the recipe at https://recipes.example/pumpkin-soup?for=4 this time.\n\nBob\n"), imap.FlagSeen)
	put(mailbox.Sent, 49*time.Hour, mailFrom("ann@maple.home.kith.alt", "2@maple", "Re: Supper on Sunday", 49*time.Hour, []string{"1@oak"}, "", "Gladly. I have leeks, and time from four.\n\nOn Monday, Bob Ross wrote:\n> Hello Ann,\n>\n> shall we cook together on Sunday?\n"), imap.FlagSeen)
	supper := put(mailbox.Inbox, 3*time.Hour, mailFrom(bob, "3@oak", "Re: Supper on Sunday", 3*time.Hour, []string{"1@oak", "2@maple"},
		mixed("Content-Type: text/plain; charset=utf-8\r\n\r\nFour it is. The shopping list is attached, and a picture of the pumpkin, so that you know what comes.\r\n\r\nBob\r\n\r\nOn Tuesday, Ann <ann@maple.home.kith.alt> wrote:\r\n> Gladly. I have leeks, and time from four.\r\n>\r\n>> Hello Ann,\r\n>>\r\n>> shall we cook together on Sunday?", attachment("application/pdf", "Shopping list.pdf", strings.Repeat("%PDF", 9000)), attachment("image/png", "pumpkin.png", string(picture))), ""))
	letter := put(mailbox.Inbox, 20*time.Hour, mailFrom(eve, "4@elm", "Garden club, November", 20*time.Hour, nil,
		"Content-Type: multipart/related; boundary=rr\r\n\r\n--rr\r\nContent-Type: multipart/alternative; boundary=aa\r\n\r\n--aa\r\nContent-Type: text/plain\r\n\r\nDear members, the apple tree by the fence gets its winter cut on Saturday.\r\n--aa\r\nContent-Type: text/html; charset=utf-8\r\n\r\n"+newsletter+"\r\n--aa--\r\n--rr\r\nContent-Type: image/png\r\nContent-ID: <tree@elm>\r\nContent-Transfer-Encoding: base64\r\n\r\n"+tree+"\r\n--rr--\r\n", ""), imap.FlagFlagged)
	simple := put(mailbox.Inbox, 26*time.Hour, mailFrom(fir, "5@birch", "The old photographs", 26*time.Hour, nil, "Content-Type: text/html; charset=utf-8\r\n\r\n",
		"<p>I scanned them all, some <b>four hundred</b>. They are in the library under <a href='https://birch.example/scans'>Scans of the letters</a>; take them while birch is awake, it sleeps at night.</p><blockquote>Have you found grandmother's?</blockquote><p>Frida</p>\n"))
	put(mailbox.Inbox, 75*time.Hour, mailFrom(eve, "6@elm", "Keys", 75*time.Hour, nil, "", "They are under the second pot. Water the tomatoes, please, and leave the window open.\n"), imap.FlagSeen, imap.FlagAnswered)
	put(mailbox.Inbox, 400*time.Hour, mailFrom("Postmaster <postmaster@maple.home.kith.alt>", "7@maple", "Welcome", 400*time.Hour, nil, "", "Your mailbox is ready.\n"), imap.FlagSeen)
	put("Garden", 500*time.Hour, mailFrom(eve, "8@elm", "Seeds for spring", 500*time.Hour, nil, "", "Beans, peas, marigolds. What else?\n"))
	put(mailbox.Junk, 100*time.Hour, mailFrom("Prince <prince@birch.home.kith.alt>", "9@birch", "A fortune awaits", 100*time.Hour, nil, "", "Dear friend\n"))
	put(mailbox.Drafts, time.Hour, mailFrom("ann@maple.home.kith.alt", "10@maple", "Summer plans", time.Hour, nil, "", "Dear all,\n\nI thought that we could\n"), imap.FlagSeen, imap.FlagDraft)
	// What was sent from here, in all states.
	ids := make(map[kith.LetterID]bool)
	send := func(to, subject, state, reason string) int64 {
		w := &written{From: "ann@maple.home.kith.alt", To: to, Subject: subject, Text: "Hello,\n\nit is as we said.\n\nAnn\n"}
		v := &visit{account: apptest.Ann}
		if err := v.load(t.Context(), d.mail); err != nil {
			t.Fatal(err)
		}
		if sent, err := d.mail.post(t.Context(), v, w); !sent || err != nil {
			t.Fatal(sent, err, w)
		}
		letters, err := d.Post().Letters(t.Context(), "mail", 100)
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range letters {
			if !ids[l.ID] && state != "" {
				d.EndLetter(t, l.ID, state, reason)
			}
			ids[l.ID] = true
		}
		found, err := d.mail.mailboxes.Named(t.Context(), apptest.Ann, w.ID)
		if err != nil || len(found) == 0 {
			t.Fatal(len(found), err)
		}
		return found[0].Content
	}
	send("bob@oak", "The ladder", kith.LetterDelivered, "")
	send("eve@elm", "Who has the drill?", kith.LetterRefused, "there is no account eve at elm")
	sent := send("bob@oak, eve@elm, frida@birch", "Birthday on the 12th", "", "")
	_ = elm
	v := url.Values{"q": {"is:unread"}}
	f := func(name string) int64 { return d.folder(t, name).ID }
	return map[string]string{
		"inbox": "/mail/", "sent": folderPage(f(mailbox.Sent)), "conversation": conversationPage(supper, f(mailbox.Inbox)), "newsletter": conversationPage(letter, f(mailbox.Inbox)), "simple": conversationPage(simple, f(mailbox.Inbox)), "way": conversationPage(sent, f(mailbox.Sent)),
		"reply": fmt.Sprintf("/mail/write?reply=%d&all=1", supper), "forward": fmt.Sprintf("/mail/write?forward=%d", supper), "write": "/mail/write", "search": "/mail/search?" + v.Encode(), "folders": "/mail/folders", "settings": "/mail/settings", "drafts": folderPage(f(mailbox.Drafts)),
	}
}

// fillMuch has long names, many of everything, and mail that nobody should have written.
func fillMuch(t testing.TB, d *desk) map[string]string {
	long := strings.Repeat("Everything that we ever wrote to one another ", 90)
	for i := range 40 {
		name := fmt.Sprintf("Folder %d with a name that is longer than anybody needs", i)
		if i%5 > 1 {
			name = fmt.Sprintf("Folder %d with a name that is longer than anybody needs/below/and below/and below/%d", i-i%5, i)
		}
		if err := d.mail.mailboxes.Create(t.Context(), apptest.Ann, name, ""); err != nil {
			t.Fatal(err)
		}
	}
	var parents []string
	for i := range 120 {
		from := fmt.Sprintf("%s <person%d@the-old-laptop-in-the-kitchen-next-to-the-window-%d.home.kith.alt>", strings.TrimSpace(long[:10+i%50]), i, i)
		id := fmt.Sprintf("%d@much", i)
		d.put(t, apptest.Ann, mailbox.Inbox, mailFrom(from, id, long[:40+i*7%900], time.Duration(i)*time.Hour, nil, "", long[:i*9]))
		if i%3 == 0 {
			d.put(t, apptest.Ann, mailbox.Inbox, mailFrom(from, "t"+id, "Re: Thread", time.Duration(i)*time.Hour, parents, "", long[:i*3]+"\n> "+long), []imap.Flag{imap.FlagSeen}[i%2:]...)
			parents = append(parents, "t"+id)
		}
	}
	var to []string
	for i := range 200 {
		to = append(to, fmt.Sprintf("Recipient Number %d <person%d@oak.home.kith.alt>", i, i))
	}
	var parts []string
	parts = append(parts, "Content-Type: text/html\r\n\r\n"+strings.Repeat("<div>", 10_000)+`<div style="position:fixed;top:0;left:0;width:9999px;background:red">deep</div><script>alert(1)</script>`+strings.Repeat("<table border=1><tr><td>x", 300))
	for i := range 2000 {
		parts = append(parts, attachment("application/octet-stream", fmt.Sprintf("../../%d-\u202egnp.%s.exe", i, long[:i%150]), "x"))
	}
	broken := d.put(t, apptest.Ann, mailbox.Inbox, "From: "+strings.Repeat("x", 3000)+" <a@b>\r\nTo: "+strings.Join(to, ",\r\n ")+"\r\nSubject: "+strings.Repeat("long", 100_000)+"\r\n"+mixed(parts...))
	nothing := d.put(t, apptest.Ann, mailbox.Inbox, "no header at all\r\n")
	last := d.put(t, apptest.Ann, mailbox.Inbox, mailFrom("x@y", "last@much", "Re: Thread", 0, parents, "", "the last one"))
	f := d.folder(t, mailbox.Inbox).ID
	return map[string]string{"inbox": "/mail/", "broken": conversationPage(broken, f), "nothing": conversationPage(nothing, f), "thread": conversationPage(last, f), "search": "/mail/search?q=everything+ever", "folders": "/mail/folders",
		"write": "/mail/write?to=" + url.QueryEscape(strings.Join(to, ", ")) + "&cc=" + url.QueryEscape("bob@nowhere") + "&text=" + url.QueryEscape(long)}
}
