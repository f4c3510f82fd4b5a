package mail

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"kith.alt/kith"
)

func TestParseQuery(t *testing.T) {
	for text, want := range map[string]string{
		"":                                      "",
		"garden  plans":                         "text:garden text:plans",
		`"next week" from:"Bob Ross"`:           "text:next week from:Bob Ross",
		"From:bob TO:ann subject:report cc:all": "from:bob subject:report cc:all (to:ann|cc:ann)",
		"is:unread is:Starred":                  `+\Flagged -\Seen`,
		"is:read is:answered":                   `+\Seen +\Answered`,
		"has:attachment in:Archive":             "in:Archive files",
		`in:"Work 2026" x`:                      "in:Work 2026 text:x",
		"after:2026-10 before:2026/11/20":       "since:2026-10-01 before:2026-11-20",
		"-from:bob -spam x-ray -is:read":        `text:x-ray not{from:bob} not{text:spam} not{+\Seen}`,
		"re:something http://x":                 "text:re:something text:http://x",
		`"un closed`:                            "text:un closed",
		"-":                                     "",
	} {
		q, err := parseQuery(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if got := describeQuery(q); got != want {
			t.Errorf("%s:\n got %s\nwant %s", text, got, want)
		}
	}
	for _, text := range []string{"from:", "is:blue", "has:bananas", "before:yesterday", "after:1-2-3", "-in:Sent", "-has:attachment", strings.Repeat("x ", 21), strings.Repeat("x", 501)} {
		if _, err := parseQuery(text); !errors.Is(err, kith.Invalid) {
			t.Errorf("%.40s: %v", text, err)
		}
	}
}

func describeQuery(q query) string {
	var parts []string
	add := func(format string, args ...any) { parts = append(parts, fmt.Sprintf(format, args...)) }
	if q.In != "" {
		add("in:%s", q.In)
	}
	if q.Files {
		add("files")
	}
	c := q.Criteria
	for _, text := range c.Text {
		add("text:%s", text)
	}
	for _, h := range c.Header {
		add("%s:%s", h.Key, h.Value)
	}
	for _, or := range c.Or {
		add("(%s|%s)", describeQuery(query{Criteria: or[0]}), describeQuery(query{Criteria: or[1]}))
	}
	for _, flag := range c.Flag {
		add("+%s", flag)
	}
	for _, flag := range c.NotFlag {
		add("-%s", flag)
	}
	if !c.Since.IsZero() {
		add("since:%s", c.Since.Format("2006-01-02"))
	}
	if !c.Before.IsZero() {
		add("before:%s", c.Before.Format("2006-01-02"))
	}
	for _, not := range c.Not {
		add("not{%s}", describeQuery(query{Criteria: not}))
	}
	return strings.Join(parts, " ")
}

func FuzzQuery(f *testing.F) {
	for _, seed := range []string{`garden "next week" -from:bob`, "is:unread in:x has:attachment", "before:2026-1-1 after:2025", `""":-- "`, "to:a cc:b subject:c\x00"} {
		f.Add(seed)
	}
	d := open(f)
	d.put(f, d.account, "INBOX", "Subject: garden\r\n\r\nnext week\r\n")
	folder := d.folder(f, "INBOX").ID
	f.Fuzz(func(t *testing.T, text string) {
		q, err := parseQuery(text)
		if err != nil {
			if !errors.Is(err, kith.Invalid) {
				t.Error(err)
			}
			return
		}
		if _, _, err := d.mail.mailboxes.Find(t.Context(), []int64{folder}, &q.Criteria, q.Files, 10); err != nil && !errors.Is(err, kith.Invalid) && !errors.Is(err, kith.Quota) {
			t.Errorf("%q: %v", text, err)
		}
	})
}
