package cli

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"strings"
	"text/tabwriter"

	"kith.alt/kith"
	"kith.alt/kith/control"
)

func accountAddCommand() command {
	var app bool
	var label string
	return command{
		name: "account add", args: "NAME", summary: "make an account for a person, or with --app a password for a program", group: groupUse,
		help: `Makes the account NAME on this host, for whom "kith account link NAME" opens the
dashboard. With --app it makes an app password for the account, which may exist
already, and prints it alone: it is shown this once. Give each program one of its own;
the dashboard lists and removes them.

Example: kith account add ada --app --label phone`,
		flags: func(set *flag.FlagSet) {
			set.BoolVar(&app, "app", false, "make an app password for the account")
			set.StringVar(&label, "label", "", "what the app password is for, a `TEXT`")
		},
		ask: func(ctx context.Context, e *env, node *control.Client, words []string) error {
			if label != "" && !app {
				return usageError("--label names an app password: it needs --app")
			}
			name := words[0]
			if err := node.AddAccount(ctx, name); err != nil && !(app && errors.Is(err, kith.Exists)) {
				return err
			}
			if !app {
				return e.Print(control.Account{Name: name}, fmt.Sprintf("The account %s is made. A link that opens the dashboard as %s: %s\n", name, name, e.Line("account", "link", name)))
			}
			password, err := node.AddAppPassword(ctx, name, label)
			if err != nil {
				return err
			}
			e.Tell("App password for %s, shown this once:", name)
			return e.Print(password, password.Secret+"\n")
		},
	}
}

func accountLinkCommand() command {
	return command{
		name: "account link", args: "NAME", summary: "print a link that opens the dashboard as a person of this host", group: groupUse,
		help: `The link signs NAME in to the dashboard on this computer, with mail and settings of their
own. It works once, within 10 minutes; the browser stays signed in. There a password can
be set for the next time.`,
		ask: func(ctx context.Context, e *env, node *control.Client, words []string) error {
			link, err := node.SignInLink(ctx, words[0])
			if err != nil {
				return err
			}
			return e.Print(map[string]string{"link": link}, link+"\n")
		},
	}
}

func accountListCommand() command {
	return command{
		name: "account list", summary: "list the accounts of this host", group: groupUse,
		ask: func(ctx context.Context, e *env, node *control.Client, _ []string) error {
			accounts, err := node.Accounts(ctx)
			if err != nil {
				return err
			}
			for i := range accounts {
				if accounts[i].AppPasswords == nil {
					accounts[i].AppPasswords = []control.AppPassword{} // [] in JSON
				}
			}
			return e.Print(accounts, accountsTable(accounts))
		},
	}
}

func accountsTable(accounts []control.Account) string {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "ACCOUNT\tPASSWORD\tAPP PASSWORDS")
	for _, a := range accounts {
		password := "none"
		if a.Password {
			password = "set"
		}
		var labels []string
		for _, p := range a.AppPasswords {
			label := p.Label
			if label == "" {
				label = p.ID
			}
			labels = append(labels, label)
		}
		fmt.Fprintf(w, "%s\t%s\t%s\n", a.Name, password, strings.Join(labels, ", "))
	}
	w.Flush() // to a strings.Builder, which does not fail
	return b.String()
}
