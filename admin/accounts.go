package admin

import (
	"html/template"
	"net/http"
	"strings"

	"kith.alt/kith"
	"kith.alt/kith/control"
	"kith.alt/kith/ui"
)

type accountsData struct {
	CSRF     template.HTML
	Me       string
	Host     string // full name
	Accounts []control.Account
	Name     ui.Field // of a new account
	Label    ui.Field // of a new app password
	Password ui.Field
	Has      bool // a password for the dashboard
}

type madeData struct {
	control.AppPassword
	Account, Host string
}

func (a *Admin) accountsPage(w http.ResponseWriter, r *http.Request, v visit) {
	a.showAccounts(w, r, v, http.StatusOK, func(*accountsData) {})
}

// showAccounts shows the page; refused puts what was typed and why it was
// refused into it.
func (a *Admin) showAccounts(w http.ResponseWriter, r *http.Request, v visit, status int, refused func(*accountsData)) {
	accounts, err := a.node.Accounts(r.Context())
	if err != nil {
		a.refuse(w, r, "The accounts could not be read", err)
		return
	}
	data := accountsData{
		CSRF: ui.CSRF(r), Me: v.account, Host: kith.Name{Host: v.status.Host, Group: v.status.Group}.String(), Accounts: accounts,
		Name: ui.Field{Name: "name", Label: "Name", Required: true, MaxLength: kith.MaxLabel, Autocomplete: "off",
			Hint: "Lower-case letters, digits and single hyphens."},
		Label: ui.Field{Name: "label", Label: "For which program", Required: true, Autocomplete: "off",
			Hint: "So that you recognise it here, such as: mail on the phone."},
		Password: ui.Field{Name: "password", Label: "New password", Type: "password", Required: true, Autocomplete: "new-password",
			Hint: "At least ten characters. A few words are easy to keep in mind."},
	}
	for _, account := range accounts {
		if account.Name == v.account {
			data.Has = account.Password
		}
	}
	refused(&data)
	ui.Write(w, r, status, ui.Page{
		Title: "Settings", Active: "/settings/", Tabs: settingsTabs, Tab: "/settings/accounts",
		Body: pages.Body("accounts.html", data),
	})
}

func (a *Admin) addAccount(w http.ResponseWriter, r *http.Request, v visit) {
	name := strings.ToLower(strings.TrimSpace(r.PostForm.Get("name")))
	err := kith.CheckLabel(name)
	if err == nil {
		err = a.node.AddAccount(r.Context(), name)
	}
	if err != nil {
		a.showAccounts(w, r, v, statusOf(err), func(d *accountsData) {
			d.Name.Value, d.Name.Error = name, a.explain(err)
		})
		return
	}
	ui.Redirect(w, r, "/settings/accounts", "There is an account "+name+" now.")
}

func (a *Admin) addAppPassword(w http.ResponseWriter, r *http.Request, v visit) {
	label := strings.TrimSpace(r.PostForm.Get("label"))
	if label == "" {
		a.showAccounts(w, r, v, http.StatusUnprocessableEntity, func(d *accountsData) { d.Label.Error = "Say which program it is for." })
		return
	}
	made, err := a.node.AddAppPassword(r.Context(), v.account, label)
	if err != nil {
		a.showAccounts(w, r, v, statusOf(err), func(d *accountsData) {
			d.Label.Value, d.Label.Error = label, a.explain(err)
		})
		return
	}
	ui.Write(w, r, http.StatusOK, ui.Page{
		Title: "Your app password", Active: "/settings/",
		Lead: "Copy it into the program now: kith keeps no copy and cannot show it again.",
		Back: ui.Entry{Href: "/settings/accounts", Title: "Accounts"},
		Body: pages.Body("apppassword.html", madeData{made, v.account, kith.Name{Host: v.status.Host, Group: v.status.Group}.String()}),
	})
}

func (a *Admin) removeAppPassword(w http.ResponseWriter, r *http.Request, v visit) {
	if err := a.node.RemoveAppPassword(r.Context(), v.account, r.PostForm.Get("id")); err != nil {
		ui.RedirectError(w, r, "/settings/accounts", a.explain(err))
		return
	}
	ui.Redirect(w, r, "/settings/accounts", "It is removed. The program that used it can no longer sign in.")
}

// setPassword sets or removes the password. Whoever came in by the old one is
// signed out.
func (a *Admin) setPassword(w http.ResponseWriter, r *http.Request, v visit) {
	password, done := r.PostForm.Get("password"), "The password is set. Other browsers are signed out."
	if r.PostForm.Get("remove") == "yes" {
		password, done = "", "The password is removed. Other browsers are signed out; printed links go on working."
	} else if password == "" {
		a.showAccounts(w, r, v, http.StatusUnprocessableEntity, func(d *accountsData) { d.Password.Error = "Type a password first." })
		return
	}
	err := a.node.SetPassword(r.Context(), v.account, password)
	if err == nil {
		err = a.accounts.EndSessions(r.Context(), v.account, v.session)
	}
	if err != nil {
		a.showAccounts(w, r, v, statusOf(err), func(d *accountsData) { d.Password.Error = a.explain(err) })
		return
	}
	ui.Redirect(w, r, "/settings/accounts", done)
}
