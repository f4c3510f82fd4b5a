package mail

import (
	"encoding/json"
	"html"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/emersion/go-imap/v2"

	"kith.alt/kith"
	"kith.alt/kith/app/mail/mailbox"
)

func TestWrite(t *testing.T) {
	d := open(t)
	page(t, d.get("/mail/write?to=mailto%3Ax"), http.StatusOK, `value="bob@oak"`, `value="all@home.kith.alt"`, "at most 32.0 MiB")
	original := d.put(t, d.account, mailbox.Inbox, "Reply-To: bob@oak.home.kith.alt\r\n"+strings.Replace(mailFrom("Bob <b@oak.home.kith.alt>", "1@oak", "Plan", 0, []string{"0@oak"}, mixed("Content-Type: text/plain\r\n\r\nShall we?", attachment("text/plain", "a.txt", "one\ntwo\n")), ""), "To: ", "Cc: ann@maple.home.kith.alt, eve@elm\r\nTo: ", 1))
	id := number64(original)
	page(t, d.get("/mail/write?reply="+id), http.StatusOK, `value="bob@oak.home.kith.alt"`, `value="Re: Plan"`, "&gt; Shall we?", `name="reply" value="1@oak"`, `name="references" value="0@oak 1@oak"`)
	page(t, d.get("/mail/write?reply="+id+"&all=1"), http.StatusOK, `value="eve@elm"`)
	page(t, d.get("/mail/write?forward="+id), http.StatusOK, `value="Fwd: Plan"`, "a.txt", `name="keep" value="`+id+`:2" checked`)

	// What was typed stays, and files with it.
	fields := url.Values{"do": {"send"}, "to": {"nobody@oak, Bob <bob@oak>"}, "cc": {"x@nowhere"}, "subject": {"Re: Plan"}, "text": {"Yes.\r\n.\r\n"}, "reply": {"1@oak"}, "references": {"0@oak 1@oak"}, "from": {"ann@maple.home.kith.alt"}, "back": {"/mail/c/" + id}}
	w := d.write(t, fields, map[string]string{"../b.bin": "\x00\x01\n\r\x02"}, "")
	body := page(t, w, http.StatusUnprocessableEntity, "There is no account nobody at oak", "is called", `value="nobody@oak, Bob &lt;bob@oak&gt;"`, "It is not sent yet", "b.bin")
	if n := d.folder(t, mailbox.Drafts).Messages; n != 1 {
		t.Fatalf("%d drafts", n)
	}
	for _, name := range []string{"draft", "id", "keep"} {
		match := regexp.MustCompile(`name="` + name + `" value="([^"]+)"`).FindStringSubmatch(body)
		if match == nil {
			t.Fatalf("no %s", name)
		}
		fields.Set(name, html.UnescapeString(match[1]))
	}
	fields.Set("to", "Bob <bob@oak>; ann")
	fields.Set("cc", "")
	w = d.write(t, fields, nil, "")
	if w.Code != http.StatusSeeOther || w.Header().Get("Location") != "/mail/c/"+id {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	if d.folder(t, mailbox.Drafts).Messages != 0 || d.folder(t, mailbox.Sent).Messages != 1 || d.folder(t, mailbox.Inbox).Messages != 2 {
		t.Error("it is not where it should be")
	}
	sent, err := d.mail.mailboxes.Conversation(t.Context(), d.account, original)
	if err != nil || len(sent) != 3 {
		t.Fatal(len(sent), err)
	}
	if !slices.Contains(sent[0].Flags, imap.FlagAnswered) {
		t.Errorf("flags of the original: %v", sent[0].Flags)
	}
	source := d.get("/mail/m/" + number64(sent[1].Content) + "/source").Body.String()
	for _, want := range []string{"In-Reply-To: <1@oak>", "References: <0@oak> <1@oak>", "bob@oak.home.kith.alt", "ann@maple.home.kith.alt", "filename=b.bin"} {
		if !strings.Contains(source, want) {
			t.Errorf("no %q in %s", want, source)
		}
	}
	if got := d.get("/mail/m/" + number64(sent[1].Content) + "/part/2").Body.String(); got != "\x00\x01\n\r\x02" {
		t.Errorf("the file is %q", got)
	}
	page(t, d.get("/mail/c/"+number64(sent[1].Content)), http.StatusOK, "Waits here", "To be delivered to oak")
	page(t, d.get(folderPage(d.folder(t, mailbox.Sent).ID)), http.StatusOK, `title="Waits here"`)
	letters, err := d.Post().Letters(t.Context(), "mail", 10)
	if err != nil || len(letters) != 1 {
		t.Fatal(letters, err)
	}
	d.EndLetter(t, letters[0].ID, kith.LetterRefused, "no room")
	page(t, d.get(folderPage(d.folder(t, mailbox.Sent).ID)), http.StatusOK, `title="Refused"`)
	page(t, d.get("/mail/c/"+number64(sent[1].Content)), http.StatusOK, "Refused", "No room.")

	// Passing on takes the files along.
	w = d.write(t, url.Values{"do": {"send"}, "to": {"bob@oak"}, "subject": {"Fwd: Plan"}, "text": {"x"}, "forwarded": {"1@oak"}, "keep": {id + ":2"}}, nil, "")
	if w.Code != http.StatusSeeOther {
		t.Fatal(w.Code)
	}
	all, err := d.mail.mailboxes.Content(t.Context(), d.account, original)
	if err != nil || !slices.Contains(all[0].Flags, imap.FlagForwarded) {
		t.Errorf("%v %v", all, err)
	}
}

func TestDrafts(t *testing.T) {
	d := open(t)
	type answer struct {
		Draft int64
		ID    string
		Files []struct{ Ref, Name string }
	}
	keep := func(fields url.Values, files map[string]string) (a answer) {
		t.Helper()
		fields.Set("do", "save")
		w := d.write(t, fields, files, "application/json")
		if err := json.Unmarshal(w.Body.Bytes(), &a); err != nil || w.Code != http.StatusOK {
			t.Fatalf("%d %s %v", w.Code, w.Body, err)
		}
		return a
	}
	a := keep(url.Values{"to": {"bo"}, "bcc": {"eve@elm"}, "subject": {"Hé \"x\""}, "text": {"one\r\ntwo"}}, map[string]string{"a.txt": "1\n2"})
	b := keep(url.Values{"draft": {number64(a.Draft)}, "id": {a.ID}, "to": {"bob@oak, Ünal <u@"}, "bcc": {"eve@elm"}, "subject": {"Hé \"x\""}, "text": {"one\r\ntwo\r\n\r\nthree"}, "keep": {a.Files[0].Ref}}, map[string]string{"b.txt": "3"})
	if b.ID != a.ID || b.Draft == a.Draft || len(b.Files) != 2 || d.folder(t, mailbox.Drafts).Messages != 1 {
		t.Fatalf("%+v, then %+v", a, b)
	}
	body := page(t, d.get(draftPage(b.Draft)), http.StatusOK, `value="bob@oak, Ünal &lt;u@"`, `value="eve@elm"`, `value="Hé &#34;x&#34;"`, "three", "a.txt", "b.txt")
	if !strings.Contains(strings.ReplaceAll(body, "\r", ""), "one\ntwo\n\nthree") {
		t.Error("the text is another")
	}
	page(t, d.get(draftPage(a.Draft)), http.StatusNotFound)
	page(t, d.get(folderPage(d.folder(t, mailbox.Drafts).ID)), http.StatusOK, draftPage(b.Draft))
	w := d.write(t, url.Values{"do": {"save"}, "draft": {number64(b.Draft)}, "text": {"without a script"}}, nil, "")
	if at := w.Header().Get("Location"); w.Code != http.StatusSeeOther || !strings.HasPrefix(at, "/mail/write?draft=") {
		t.Errorf("%d %s", w.Code, at)
	}
	w = d.write(t, url.Values{"do": {"save"}, "text": {strings.Repeat("x", maxWritten+1)}}, nil, "application/json")
	if w.Code != http.StatusUnprocessableEntity || !strings.Contains(w.Body.String(), "512 KiB") {
		t.Errorf("%d %.200s", w.Code, w.Body)
	}
	w = d.write(t, url.Values{"do": {"save"}}, map[string]string{"big": strings.Repeat("x", 30<<20)}, "application/json")
	if w.Code != http.StatusUnprocessableEntity || !strings.Contains(w.Body.String(), "at most 32 MiB") {
		t.Errorf("%d %.200s", w.Code, w.Body)
	}
	last, err := d.mail.mailboxes.Messages(t.Context(), d.folder(t, mailbox.Drafts).ID, mailbox.Range{From: 1, To: 100}, 10, false)
	if err != nil || len(last) != 1 {
		t.Fatal(len(last), err)
	}
}

// hidden returns the fields of a form that tell which message it is.
func hidden(t *testing.T, body string) url.Values {
	t.Helper()
	fields := make(url.Values)
	for _, name := range []string{"draft", "id", "keep"} {
		for _, match := range regexp.MustCompile(`name="`+name+`" value="([^"]*)"`).FindAllStringSubmatch(body, -1) {
			fields.Add(name, html.UnescapeString(match[1]))
		}
	}
	return fields
}

// TestSentTwice sends a message, goes back, and sends it again.
func TestSentTwice(t *testing.T) {
	for _, drafted := range []bool{false, true} {
		d := open(t)
		body := d.get("/mail/write").Body.String()
		if drafted {
			fields := hidden(t, body)
			fields.Set("do", "save")
			at := d.write(t, fields, map[string]string{"a.txt": "one"}, "").Header().Get("Location")
			body = d.get(at).Body.String()
		}
		send := func(fields url.Values, status int) *httptest.ResponseRecorder {
			t.Helper()
			for name, value := range map[string]string{"do": "send", "to": "bob@oak", "subject": "Once"} {
				fields.Set(name, value)
			}
			w := d.write(t, fields, nil, "")
			if w.Code != status {
				t.Fatalf("%d %s", w.Code, w.Body)
			}
			return w
		}
		send(hidden(t, body), http.StatusSeeOther)
		again := page(t, send(hidden(t, body), http.StatusConflict), http.StatusConflict, "has been sent already", "bob@oak")
		if n := d.folder(t, mailbox.Sent).Messages; n != 1 {
			t.Fatalf("%d are sent", n)
		}
		if drafted != strings.Contains(again, "a.txt") {
			t.Errorf("with a draft %v: %s", drafted, again)
		}
		send(hidden(t, again), http.StatusSeeOther) // it is meant
		if sent, drafts := d.folder(t, mailbox.Sent).Messages, d.folder(t, mailbox.Drafts).Messages; sent != 2 || drafts != 0 {
			t.Errorf("%d are sent, %d drafts", sent, drafts)
		}
	}
}

// TestTwoWindows goes on with one draft in two windows.
func TestTwoWindows(t *testing.T) {
	d := open(t)
	save := func(fields url.Values, text string, files map[string]string, status int) *httptest.ResponseRecorder {
		t.Helper()
		fields.Set("do", "save")
		fields.Set("text", text)
		w := d.write(t, fields, files, "")
		if w.Code != status {
			t.Fatalf("%d %s", w.Code, w.Body)
		}
		return w
	}
	at := save(make(url.Values), "begun", map[string]string{"a.txt": "one"}, http.StatusSeeOther).Header().Get("Location")
	body := d.get(at).Body.String()
	first, second := hidden(t, body), hidden(t, body)
	save(first, "here", map[string]string{"b.txt": "two"}, http.StatusSeeOther)
	page(t, save(second, "there", nil, http.StatusConflict), http.StatusConflict, "changed in another window", "a.txt", "b.txt", "there")
	if n := d.folder(t, mailbox.Drafts).Messages; n != 2 {
		t.Errorf("%d drafts", n)
	}

	// Without files the later one holds.
	plain := hidden(t, d.get("/mail/write").Body.String())
	save(plain, "one", nil, http.StatusSeeOther)
	save(plain, "two", nil, http.StatusSeeOther)
	if n := d.folder(t, mailbox.Drafts).Messages; n != 3 {
		t.Errorf("%d drafts", n)
	}
	first.Del("keep")
	first.Set("keep", "77777:2")
	page(t, save(url.Values{"keep": {"77777:2"}}, "x", nil, http.StatusConflict), http.StatusConflict, "not there any more")
}

// TestDraftOfAnother goes on with a draft of another program, and keeps one that another can read.
func TestDraftOfAnother(t *testing.T) {
	d := open(t)
	content := d.put(t, d.account, mailbox.Drafts, "From: ann@maple\r\nTo: =?utf-8?q?M=C3=BCller=2C_J?= <bob@oak>, \"A, B\" <ann@maple>\r\nSubject: x\r\n\r\ntext\r\n")
	body := page(t, d.get(draftPage(content)), http.StatusOK, `value="Müller J &lt;bob@oak&gt;, A B &lt;ann@maple&gt;"`)
	fields := hidden(t, body)
	for name, value := range map[string]string{"do": "save", "to": "Jörg <bob@oak>, Bo <ann@maple>", "cc": "Jörg <bo"} {
		fields.Set(name, value)
	}
	at := d.write(t, fields, nil, "").Header().Get("Location")
	page(t, d.get(at), http.StatusOK, `value="Jörg &lt;bob@oak&gt;, Bo &lt;ann@maple&gt;"`, `value="Jörg &lt;bo"`)
	kept := hidden(t, d.get(at).Body.String()).Get("draft")
	if source := d.get("/mail/m/" + kept + "/source").Body.String(); !strings.Contains(source, "To: =?utf-8?q?J=C3=B6rg?= <bob@oak>, \"Bo\" <ann@maple>\r\n") {
		t.Error(source)
	}
}

// TestPassedOn: files that are passed on stay what they are.
func TestPassedOn(t *testing.T) {
	d := open(t)
	inner := "From: eve@elm\r\nSubject: within\r\n\r\nGr\xfc\xdfe\r\n"
	parts := []string{
		"Content-Type: text/plain; charset=iso-8859-1; name=a.txt\r\nContent-Disposition: attachment; filename=a.txt\r\nContent-Transfer-Encoding: 8bit\r\n\r\ncaf\xe9",
		"Content-Type: text/calendar; method=REQUEST; charset=utf-8\r\nContent-Disposition: attachment; filename=b.ics\r\n\r\nBEGIN:VCALENDAR",
		"Content-Type: message/rfc822\r\nContent-Disposition: attachment; filename=c.eml\r\n\r\n" + inner,
		"Content-Type: message/rfc822\r\nContent-Disposition: attachment; filename=d.eml\r\n\r\nSubject: long\r\n\r\n" + strings.Repeat("x", 2000),
	}
	content := d.put(t, d.account, mailbox.Inbox, mailFrom("Bob <b@oak.home.kith.alt>", "1@oak", "Files", 0, nil, mixed(append([]string{"Content-Type: text/plain\r\n\r\nx"}, parts...)...), ""))
	fields := hidden(t, d.get("/mail/write?forward="+number64(content)).Body.String())
	for name, value := range map[string]string{"do": "send", "to": "ann"} {
		fields.Set(name, value)
	}
	if w := d.write(t, fields, nil, ""); w.Code != http.StatusSeeOther {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	sent, err := d.mail.mailboxes.Messages(t.Context(), d.folder(t, mailbox.Sent).ID, mailbox.Range{From: 1, To: 9}, 9, true)
	if err != nil || len(sent) != 1 {
		t.Fatal(len(sent), err)
	}
	r, err := d.mail.mailboxes.Open(t.Context(), sent[0].Blob)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	source, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"Content-Type: text/plain; charset=iso-8859-1", "Y2Fm6Q==", "Content-Type: text/calendar; charset=utf-8; method=REQUEST",
		"Content-Type: message/rfc822\r\n", "\r\n\r\n" + inner, "Content-Type: application/octet-stream",
	} {
		if !strings.Contains(string(source), want) {
			t.Errorf("no %q in %s", want, source)
		}
	}
	if strings.Count(string(source), "message/rfc822") != 1 {
		t.Error("what cannot be sent as it is, is")
	}
}
