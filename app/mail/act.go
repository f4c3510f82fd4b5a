package mail

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/emersion/go-imap/v2"

	"kith.alt/kith"
	"kith.alt/kith/app/mail/mailbox"
	"kith.alt/kith/ui"
)

// Limits of what is done at once, and can be undone.
const (
	maxChosen = 500 // conversations
	undoTime  = 10 * time.Minute
	maxUndo   = 200 // of all accounts
)

// formAct does something with the conversations that were chosen: with those of their messages that are in the folder
// at hand, or, in results of a search, with the messages themselves.
func (m *mail) formAct(w http.ResponseWriter, r *http.Request, v *visit) error {
	if err := r.ParseForm(); err != nil {
		return fmt.Errorf("the form could not be read: %w", kith.Invalid)
	}
	back := local(r.PostFormValue("back"))
	var folder int64
	if text := r.PostFormValue("folder"); text != "" {
		f, err := v.folder(text)
		if err != nil {
			return err
		}
		folder = f.ID
	}
	chosen := r.PostForm["c"]
	do := r.PostFormValue("do")
	for _, verb := range []string{"star", "unstar"} { // buttons of rows
		if one := r.PostFormValue(verb); one != "" {
			chosen, do = []string{one}, verb
		}
	}
	if len(chosen) == 0 {
		ui.RedirectError(w, r, back, "Choose something first.")
		return nil
	}
	if len(chosen) > maxChosen {
		return fmt.Errorf("at most %d can be chosen at once: %w", maxChosen, kith.Quota)
	}
	a := act{mail: m, visit: v, folder: folder, at: make(map[int64][]imap.UID)}
	for _, text := range chosen {
		if err := a.add(r.Context(), text, do); err != nil && !errors.Is(err, kith.NotFound) { // it has gone elsewhere
			return err
		}
	}
	return a.run(w, r, do, back)
}

// An act is about messages by the folders that they are in.
type act struct {
	mail   *mail
	visit  *visit
	folder int64
	at     map[int64][]imap.UID
	count  int // conversations
}

// add adds what was chosen.
func (a *act) add(ctx context.Context, text, do string) error {
	content, err := number(text)
	if err != nil {
		return err
	}
	list, err := a.mail.mailboxes.Content(ctx, a.visit.account, content)
	if a.folder != 0 && err == nil && do != "star" && do != "unread" {
		list, err = a.mail.mailboxes.Conversation(ctx, a.visit.account, content)
	}
	if err != nil {
		return err
	}
	found := false
	for _, i := range list {
		if a.folder == 0 || i.Folder == a.folder || do == "read" || do == "unstar" {
			found = true
			a.at[i.Folder] = append(a.at[i.Folder], i.UID)
		}
	}
	if found {
		a.count++
	}
	return nil
}

// run does it, and sends the browser on.
func (a *act) run(w http.ResponseWriter, r *http.Request, do, back string) error {
	ctx := r.Context()
	move := func(use imap.MailboxAttr, done string) error {
		to, err := a.mail.special(ctx, a.visit, use)
		if err != nil {
			return err
		}
		return a.move(w, r, to, done, back)
	}
	switch do {
	case "archive":
		return move(imap.MailboxAttrArchive, "archived")
	case "junk":
		return move(imap.MailboxAttrJunk, "in Junk")
	case "delete":
		if a.folder != 0 && a.folder == a.visit.use(imap.MailboxAttrTrash) {
			return a.expunge(w, r, back)
		}
		return move(imap.MailboxAttrTrash, "in Trash")
	case "restore":
		return a.move(w, r, a.visit.inbox(), "in the inbox", back)
	case "move":
		to, err := a.visit.folder(r.PostFormValue("to"))
		if err != nil {
			ui.RedirectError(w, r, back, "Choose a folder first.")
			return nil
		}
		return a.move(w, r, to, "in "+title(to), back)
	case "read", "unread", "star", "unstar":
		op, flag := imap.StoreFlagsAdd, imap.FlagSeen
		if do == "star" || do == "unstar" {
			flag = imap.FlagFlagged
		}
		if do == "unread" || do == "unstar" {
			op = imap.StoreFlagsDel
		}
		for folder, uids := range a.at {
			if _, err := a.mail.mailboxes.SetFlags(ctx, folder, ranges(uids), op, []imap.Flag{flag}); err != nil {
				return err
			}
		}
		http.Redirect(w, r, back, http.StatusSeeOther)
		return nil
	}
	return fmt.Errorf("nobody knows how to do that: %w", kith.Invalid)
}

// ranges returns UIDs one by one.
func ranges(uids []imap.UID) (list []mailbox.Range) {
	for _, uid := range slices.Sorted(slices.Values(uids)) {
		list = append(list, mailbox.Range{From: uid, To: uid})
	}
	return list
}

// move moves the messages, so that it can be undone.
func (a *act) move(w http.ResponseWriter, r *http.Request, to mailbox.Folder, done, back string) error {
	record := undone{Text: fmt.Sprintf("%s now %s.", ui.Plural(a.count, "conversation is", "conversations are"), done), account: a.visit.account}
	for folder, uids := range a.at {
		if folder == to.ID {
			continue
		}
		moved, err := a.mail.mailboxes.Transfer(r.Context(), a.visit.account, folder, ranges(uids), to.Name, true)
		if err != nil {
			return err
		}
		if from, err := a.visit.folder(fmt.Sprint(folder)); err == nil && len(moved.Dest) > 0 {
			record.moves = append(record.moves, movement{from: from.ID, at: to.ID, uids: moved.Dest})
		}
	}
	if len(record.moves) == 0 {
		http.Redirect(w, r, back, http.StatusSeeOther)
		return nil
	}
	separator := "?"
	if strings.Contains(back, "?") {
		separator = "&"
	}
	http.Redirect(w, r, back+separator+"done="+a.mail.undo.add(record), http.StatusSeeOther)
	return nil
}

// expunge removes what is in Trash for good.
func (a *act) expunge(w http.ResponseWriter, r *http.Request, back string) error {
	count := 0
	for folder, uids := range a.at {
		n, err := a.mail.mailboxes.Expunge(r.Context(), folder, ranges(uids), true)
		if err != nil {
			return err
		}
		count += n
	}
	ui.Redirect(w, r, back, ui.Plural(count, "message is", "messages are")+" deleted for good.")
	return nil
}

// An undone is what was moved, so that it can be moved back.
type undone struct {
	Word string // that names it in addresses
	Text string

	account string
	moves   []movement
	at      time.Time
}

// A movement is messages that have come into a folder.
type movement struct {
	from, at int64 // folders
	uids     []imap.UID
}

// undoList is what was done last by all accounts. It is safe for concurrent use.
type undoList struct {
	mu  sync.Mutex
	all []undone // the oldest first
}

// add keeps what was done, and returns its word.
func (l *undoList) add(u undone) string {
	u.Word, u.at = rand.Text(), time.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all = append(l.all, u)
	l.all = slices.DeleteFunc(l.all, func(u undone) bool { return time.Since(u.at) > undoTime })
	l.all = l.all[max(0, len(l.all)-maxUndo):]
	return u.Word
}

// last returns what an account did under a word, nil where it cannot be undone.
func (l *undoList) last(account, word string) *undone {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, u := range l.all {
		if u.Word == word && u.account == account && time.Since(u.at) <= undoTime {
			return &u
		}
	}
	return nil
}

func (l *undoList) remove(word string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all = slices.DeleteFunc(l.all, func(u undone) bool { return u.Word == word })
}

// formUndo moves back what was moved.
func (m *mail) formUndo(w http.ResponseWriter, r *http.Request, v *visit) error {
	back := local(r.PostFormValue("back"))
	u := m.undo.last(v.account, r.PostFormValue("word"))
	if u == nil {
		ui.RedirectError(w, r, back, "That was too long ago to be undone. The messages are in the folder that they were moved to.")
		return nil
	}
	count := 0
	for _, move := range u.moves {
		from, err := v.folder(fmt.Sprint(move.from))
		if err == nil {
			_, err = v.folder(fmt.Sprint(move.at))
		}
		if err != nil {
			return err
		}
		moved, err := m.mailboxes.Transfer(r.Context(), v.account, move.at, ranges(move.uids), from.Name, true)
		if err != nil {
			return err
		}
		count += len(moved.Source)
	}
	m.undo.remove(u.Word)
	if count == 0 {
		ui.RedirectError(w, r, back, "It is not where it was moved to any more.")
		return nil
	}
	ui.Redirect(w, r, back, "It is back where it was.")
	return nil
}

// screenEmpty asks whether all of Trash or Junk is to go.
func (m *mail) screenEmpty(w http.ResponseWriter, r *http.Request, v *visit) error {
	f, err := v.emptied(r)
	if err != nil {
		return err
	}
	ui.Write(w, r, http.StatusOK, ui.Page{
		Title: "Empty " + title(f) + "?", Active: screenPath, Back: ui.Entry{Href: folderPage(f.ID), Title: title(f)},
		Lead: ui.Plural(int(f.Messages), "message", "messages") + ", " + ui.Size(f.Bytes) + ". They cannot be brought back.",
		Body: pages.Body("empty.html", map[string]any{"CSRF": v.csrf, "Href": folderPage(f.ID)}),
	})
	return nil
}

func (m *mail) formEmpty(w http.ResponseWriter, r *http.Request, v *visit) error {
	f, err := v.emptied(r)
	if err != nil {
		return err
	}
	count, err := m.mailboxes.Expunge(r.Context(), f.ID, []mailbox.Range{{From: 1, To: 1<<32 - 1}}, true)
	if err != nil {
		return err
	}
	ui.Redirect(w, r, folderPage(f.ID), ui.Plural(count, "message is", "messages are")+" deleted for good.")
	return nil
}

// emptied returns the folder that is to be emptied: Trash or Junk, and no other.
func (v *visit) emptied(r *http.Request) (mailbox.Folder, error) {
	f, err := v.folder(r.PathValue("folder"))
	if err == nil && !slices.Contains([]imap.MailboxAttr{imap.MailboxAttrTrash, imap.MailboxAttrJunk}, cmp.Or(f.Use, "none")) {
		err = fmt.Errorf("only Trash and Junk can be emptied: %w", kith.Invalid)
	}
	return f, err
}
