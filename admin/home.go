package admin

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"kith.alt/kith/control"
	"kith.alt/kith/ui"
)

const (
	recent    = 6  // events on the first page
	mostRows  = 7  // of the table of members on the first page
	mostSites = 10 // of others on the first page
)

type homeData struct {
	Status    control.Status
	Alone     bool
	Lead      string
	Self      control.Member
	Members   []control.Member // not the revoked ones
	Sites     []control.Member // of others, those awake first
	MoreSites int              // that are not listed
	Events    []control.Event
	memberTable
	pictures
}

func (homeData) live() []string {
	return []string{"live-lead", "live-group", "live-sites", "live-happened"}
}

func (a *Admin) homeView(ctx context.Context, status control.Status) (homeData, error) {
	events, err := a.node.Events(ctx)
	if err != nil {
		return homeData{}, err
	}
	data := homeData{
		Status: status,
		Self:   visit{status: status}.self(),
		Events: events[:min(len(events), recent)],
	}
	for _, m := range status.Members {
		if m.State != control.Revoked {
			data.Members = append(data.Members, m)
			if m.Path != control.PathSelf && m.Site != "" {
				data.Sites = append(data.Sites, m)
			}
		}
	}
	slices.SortStableFunc(data.Sites, awakeFirst)
	if len(data.Sites) > mostSites {
		data.MoreSites = len(data.Sites) - mostSites
		data.Sites = data.Sites[:mostSites]
	}
	data.Alone = len(data.Members) <= 1
	data.memberTable = briefTable(data.Members)
	data.Lead = presence(status)
	data.pictures = picturesOf(status)
	return data, nil
}

// A memberTable is a table of members.
type memberTable struct {
	Rows  []control.Member
	Brief bool // without what is for the curious
	All   int  // how many there are, if not all are Rows
}

// briefTable has the members, or some of them if they are many, those awake
// first.
func briefTable(members []control.Member) memberTable {
	if len(members) <= mostRows {
		return memberTable{Rows: members, Brief: true}
	}
	rows := slices.Clone(members)
	slices.SortStableFunc(rows, awakeFirst)
	return memberTable{Rows: rows[:mostRows], Brief: true, All: len(members)}
}

func awakeFirst(x, y control.Member) int { return rank(x) - rank(y) }

func rank(m control.Member) int {
	if m.State == control.Online {
		return 0
	}
	return 1
}

// pictures are drawings of the same for narrow screens, for others and, where
// a page has room, for wide ones.
type pictures struct {
	Narrow, Wide drawing
	Large        *drawing
}

func picturesOf(status control.Status) pictures {
	_, all := awake(status)
	if all == 1 {
		return pictures{Narrow: draw(status, 328, 180), Wide: draw(status, 520, 200)}
	}
	more := max(all-dense, 0)
	if all <= 4 {
		return pictures{Narrow: draw(status, 328, 240), Wide: draw(status, 664, 180+30*all)}
	}
	return pictures{Narrow: draw(status, 328, 320+4*more), Wide: draw(status, 664, 376+8*more)}
}

// presence says in a sentence who is awake.
func presence(status control.Status) string {
	var asleep, relayed []string
	up, all := awake(status)
	for _, m := range status.Members {
		switch {
		case m.State == control.Offline:
			asleep = append(asleep, m.Host)
		case m.State == control.Online && m.Path == control.PathRelayed:
			relayed = append(relayed, m.Host)
		}
	}
	var b strings.Builder
	switch {
	case all == 1:
		return "Everything runs. This group is yours alone so far."
	case up == all:
		b.WriteString("Everybody is awake.")
	case up == 1:
		b.WriteString("Everybody else is asleep.")
	default:
		fmt.Fprintf(&b, "%s of %s are awake; %s.", capital(inLetters(up)), inLetters(all), sleeping(asleep))
	}
	if len(relayed) > 0 && len(relayed) <= 2 {
		fmt.Fprintf(&b, " %s reached through another member.", capital(are(relayed)))
	} else if len(relayed) > 2 {
		fmt.Fprintf(&b, " %s are reached through other members.", capital(inLetters(len(relayed))))
	}
	return b.String()
}

func sleeping(hosts []string) string {
	if len(hosts) <= 3 {
		return are(hosts) + " asleep"
	}
	return inLetters(len(hosts)) + " are asleep"
}

// are joins names with the verb that follows them.
func are(names []string) string {
	if len(names) == 1 {
		return names[0] + " is"
	}
	return strings.Join(names[:len(names)-1], ", ") + " and " + names[len(names)-1] + " are"
}

func inLetters(n int) string {
	words := []string{"none", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"}
	if n < len(words) {
		return words[n]
	}
	return ui.Number(n)
}

func capital(text string) string {
	first, size := utf8.DecodeRuneInString(text)
	if size == 0 {
		return text
	}
	return string(unicode.ToUpper(first)) + text[size:]
}

func (a *Admin) home(w http.ResponseWriter, r *http.Request, v visit) {
	data, err := a.homeView(r.Context(), v.status)
	if err != nil {
		a.refuse(w, r, "This page could not be made", err)
		return
	}
	page := ui.Page{Title: "Home", Lead: data.Lead, Active: "/", Live: "/events/home", Body: pages.Body("home.html", data)}
	if data.Alone {
		page.Title = "Welcome home"
	} else {
		page.Action = ui.Entry{Href: "/invite", Title: "Invite someone", Icon: "invite"}
	}
	ui.Write(w, r, http.StatusOK, page)
}
