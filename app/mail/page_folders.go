package mail

import (
	"fmt"
	"html/template"
	"net/http"
	"strings"

	"kith.alt/kith"
	"kith.alt/kith/app/mail/mailbox"
	"kith.alt/kith/ui"
)

// A foldersPage is where folders are made, renamed and deleted.
type foldersPage struct {
	shelf
	Own     []ownFolder
	Used    int64 // bytes
	Limit   int64
	New     ui.Field
	Problem string
	CSRF    template.HTML
}

// An ownFolder is one that a person has made.
type ownFolder struct {
	place
	Name  string // whole
	Bytes int64
	Below int // folders that are in it
}

func (m *mail) screenFolders(w http.ResponseWriter, r *http.Request, v *visit) error {
	return m.showFolders(w, r, v, "", nil)
}

func (m *mail) showFolders(w http.ResponseWriter, r *http.Request, v *visit, typed string, problem error) error {
	p := foldersPage{shelf: v.shelf(0), CSRF: v.csrf, New: ui.Field{Name: "name", Label: "Name of a new folder", Value: typed, Required: true, MaxLength: 200, Autocomplete: "off", Hint: "Work/2026 is a folder in the folder Work."}}
	status := http.StatusOK
	if problem != nil {
		status, p.Problem = statusOf(problem), kith.Sentence(problem)
	}
	var err error
	if p.Used, p.Limit, err = m.mailboxes.Usage(r.Context(), v.account); err != nil {
		return err
	}
	for i, f := range v.folders {
		if rank(f) <= len(order) {
			continue
		}
		own := ownFolder{place: p.Folders[i], Name: f.Name, Bytes: f.Bytes}
		for _, other := range v.folders {
			if strings.HasPrefix(other.Name, f.Name+string(mailbox.Separator)) {
				own.Below++
			}
		}
		p.Own = append(p.Own, own)
	}
	ui.Write(w, r, status, ui.Page{
		Title: "Folders", Window: v.window("Folders"), Active: screenPath, Back: ui.Entry{Href: screenPath, Title: "Inbox"},
		Body: pages.Body("folders.html", p),
	})
	return nil
}

// formFolders makes, renames or deletes a folder.
func (m *mail) formFolders(w http.ResponseWriter, r *http.Request, v *visit) error {
	ctx, name := r.Context(), strings.TrimSpace(r.PostFormValue("name"))
	done, err := "", error(nil)
	switch r.PostFormValue("do") {
	case "make":
		err = m.mailboxes.Create(ctx, v.account, name, "")
		done = "The folder " + name + " is made."
	default:
		f, missing := v.folder(r.PostFormValue("folder"))
		if missing == nil && rank(f) <= len(order) {
			missing = fmt.Errorf("the folder %s stays: mail programs count on it: %w", title(f), kith.Invalid)
		}
		if missing != nil {
			return missing
		}
		if r.PostFormValue("do") == "rename" {
			err = m.mailboxes.Rename(ctx, v.account, f.Name, name)
			done = "The folder is called " + name + " now."
			break
		}
		err = m.mailboxes.Discard(ctx, v.account, f.Name)
		done = "The folder " + f.Name + " is deleted. What was in it is in Trash."
	}
	if err != nil {
		return m.showFolders(w, r, v, name, err)
	}
	ui.Redirect(w, r, foldersScreen, done)
	return nil
}
