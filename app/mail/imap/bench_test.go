package imap

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/emersion/go-imap/v2"

	"kith.alt/kith/app/mail/mailbox"
	"kith.alt/kith/kithtest/apptest"
)

// fill puts messages into INBOX.
func (w *world) fill(b *testing.B, count int) {
	b.Helper()
	ctx, cancel := context.WithCancel(b.Context())
	defer cancel()
	if err := w.boxes.Prepare(ctx, apptest.Ann); err != nil {
		b.Fatal(err)
	}
	done := make(chan error)
	const writers = 32 // that share transactions
	for k := range writers {
		go func() {
			for n := k; n < count; n += writers {
				blob, err := w.boxes.Write(ctx, strings.NewReader(fmt.Sprintf("From: Person %d <p%d@oak.home.kith.alt>\r\nTo: ann@maple.home.kith.alt\r\nSubject: number %d of many\r\n"+
					"Date: Mon, 2 Nov 2026 10:00:00 +0100\r\nMessage-ID: <%d@oak>\r\n\r\n%s\r\n", n%100, n%100, n, n, strings.Repeat("words and more words ", 40))))
				if err == nil {
					_, err = w.boxes.Append(ctx, apptest.Ann, mailbox.Inbox, mailbox.Delivery{Blob: blob})
				}
				if err != nil {
					done <- err
					return
				}
			}
			done <- nil
		}()
	}
	for range writers {
		if err := <-done; err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkFetch has a client get what a list of 10,000 messages shows.
func BenchmarkFetch(b *testing.B) {
	w := start(b, Limits{}, true)
	w.fill(b, 10_000)
	for _, items := range []string{"(UID FLAGS)", "(UID FLAGS INTERNALDATE RFC822.SIZE ENVELOPE)", "(UID BODY.PEEK[HEADER.FIELDS (FROM SUBJECT DATE)])"} {
		b.Run(strings.Fields(items)[1][:4]+fmt.Sprint(len(items)), func(b *testing.B) {
			c := w.client(b)
			c.do("SELECT INBOX")
			for b.Loop() {
				if got := strings.Count(c.do("FETCH 1:* "+items), "FETCH ("); got != 10_000 {
					b.Fatal(got)
				}
			}
		})
	}
}

// BenchmarkFlags has a client change the flags of 1,000 messages: in one command, and in one for each.
func BenchmarkFlags(b *testing.B) {
	w := start(b, Limits{}, true)
	w.fill(b, 1000)
	c := w.client(b)
	c.do("SELECT INBOX")
	sign := map[bool]string{true: "+", false: "-"}
	b.Run("together", func(b *testing.B) {
		for on := true; b.Loop(); on = !on {
			c.want("STORE 1:* "+sign[on]+"FLAGS (\\Flagged)", "OK")
		}
	})
	b.Run("alone", func(b *testing.B) {
		for on := true; b.Loop(); on = !on {
			for n := range 1000 {
				c.want(fmt.Sprintf("STORE %d %sFLAGS (\\Answered)", n+1, sign[on]), "OK")
			}
		}
	})
}

// BenchmarkSearch finds words among 100,000 messages.
func BenchmarkSearch(b *testing.B) {
	w := start(b, Limits{}, true)
	w.fill(b, 100_000)
	c := w.client(b)
	c.do("SELECT INBOX")
	c.do("SEARCH TEXT begin") // indexes
	for _, search := range []string{`TEXT "number 4711"`, "FROM p42", "BODY words", "UNSEEN SUBJECT many"} {
		b.Run(strings.Fields(search)[0], func(b *testing.B) {
			for b.Loop() {
				c.do("SEARCH RETURN (COUNT) " + search)
			}
		})
	}
}

// BenchmarkFind finds words among 100,000 messages for a page of the browser.
func BenchmarkFind(b *testing.B) {
	w := start(b, Limits{}, true)
	w.fill(b, 100_000)
	inbox, err := w.boxes.Folder(b.Context(), apptest.Ann, mailbox.Inbox)
	if err != nil {
		b.Fatal(err)
	}
	for _, text := range []string{"begin", "number 4711", "p42", "many", "nowhere"} { // the first time: indexes
		b.Run(text, func(b *testing.B) {
			for b.Loop() {
				if _, _, err := w.boxes.Find(b.Context(), []int64{inbox.ID}, &imap.SearchCriteria{Text: []string{text}}, false, 100); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkAppend appends messages of 4 KiB, one after the other.
func BenchmarkAppend(b *testing.B) {
	w := start(b, Limits{}, true)
	c := w.client(b)
	raw := "Subject: x\r\n\r\n" + strings.Repeat("0123456789abcdef", 256)
	for b.Loop() {
		c.want(fmt.Sprintf("APPEND INBOX {%d}", len(raw)), "OK", raw)
	}
}

// BenchmarkBodies has a client get all of 10,000 messages.
func BenchmarkBodies(b *testing.B) {
	w := start(b, Limits{}, true)
	w.fill(b, 10_000)
	c := w.client(b)
	c.do("SELECT INBOX")
	for b.Loop() {
		if got := strings.Count(c.do("FETCH 1:* (UID BODY.PEEK[])"), "FETCH ("); got != 10_000 {
			b.Fatal(got)
		}
	}
}
