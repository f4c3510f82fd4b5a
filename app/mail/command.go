package mail

import (
	"context"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/emersion/go-imap/v2"

	"kith.alt/kith"
	"kith.alt/kith/app/mail/address"
	"kith.alt/kith/app/mail/delivery"
	"kith.alt/kith/terminal"
	"kith.alt/kith/ui"
)

// maxText is how long the text of a message is that a command sends; files may be longer.
const maxText = 512 << 10

func commands() []kith.Command {
	return []kith.Command{
		sendCommand(), listCommand(), showCommand(),
		forwardCommand(), unforwardCommand(), awayCommand(), backCommand(),
		aliasesCommand(), aliasCommand(), unaliasCommand(),
		listsCommand(), makeListCommand(), removeListCommand(), joinCommand(), leaveCommand(),
	}
}

// accountFlag chooses the account that a command is about.
func accountFlag(set *flag.FlagSet, account *string) {
	set.StringVar(account, "account", "", "the `ACCOUNT`; without it, the first one of this computer")
}

// several is a flag that may be given more than once, or with commas.
type several []string

// String implements flag.Value.
func (s *several) String() string { return strings.Join(*s, ",") }

// Set implements flag.Value.
func (s *several) Set(text string) error {
	for one := range strings.SplitSeq(text, ",") {
		if one = strings.TrimSpace(one); one != "" {
			*s = append(*s, one)
		}
	}
	return nil
}

func sendCommand() kith.Command {
	var request sendRequest
	return kith.Command{
		Name: "mail send", Args: "[FILE]",
		Summary: "send a message to people of the group",
		Help: `The text is FILE, or what comes from standard input. People are ann (on this
computer), bob@oak, or all. When it returns, the message is safe on this
computer, and on its way to hosts that sleep. A copy is in the folder Sent.

Example: echo "See you at eight." | kith mail send --to bob@oak --subject Film`,
		Flags: func(set *flag.FlagSet) {
			request = sendRequest{}
			set.Var((*several)(&request.To), "to", "send it to these `PEOPLE`, with commas, or again")
			set.Var((*several)(&request.Cc), "cc", "and a copy to these `PEOPLE`")
			set.StringVar(&request.Subject, "subject", "", "what it is about: `TEXT`")
			set.Func("attach", "add a `FILE`; may be given more than once", func(path string) error {
				request.Files = append(request.Files, path)
				return nil
			})
			accountFlag(set, &request.Account)
		},
		Run: func(ctx context.Context, env kith.Env, words []string) error {
			if len(request.To)+len(request.Cc) == 0 {
				return fmt.Errorf("nobody is to have the message; say --to: %w", kith.Invalid)
			}
			source := env.Stdin
			if len(words) > 0 {
				file, err := os.Open(absolute(env, words[0]))
				if err != nil {
					return fmt.Errorf("read the text: %w", err)
				}
				defer file.Close()
				source = file
			}
			text, err := io.ReadAll(io.LimitReader(source, maxText+1))
			if err != nil {
				return fmt.Errorf("read the text: %w", err)
			}
			if len(text) > maxText {
				return fmt.Errorf("the text has more than %s; send it as a file with --attach: %w", terminal.Size(maxText), kith.Quota)
			}
			sending := request
			sending.Text, sending.Files = string(text), nil
			for _, path := range request.Files {
				sending.Files = append(sending.Files, absolute(env, path))
			}
			var sent Sent
			if err := env.API(ctx, http.MethodPost, "/messages", sending, &sent); err != nil {
				return err
			}
			return env.Print(sent, fmt.Sprintf("Sent to %s.\n", strings.Join(sent.To, ", ")))
		},
	}
}

// absolute returns the path that a word means.
func absolute(env kith.Env, word string) string {
	if filepath.IsAbs(word) {
		return word
	}
	return filepath.Join(env.Dir, word)
}

func listCommand() kith.Command {
	var request request
	return kith.Command{
		Name: "mail list", Args: "[FOLDER]",
		Summary: "list the newest messages of a folder",
		Help:    "Without FOLDER it is INBOX. The number in front of a message is for kith mail show.",
		Flags: func(set *flag.FlagSet) {
			set.IntVar(&request.Limit, "limit", 50, "show the newest `N` messages")
			accountFlag(set, &request.Account)
		},
		Run: func(ctx context.Context, env kith.Env, words []string) error {
			asked := request
			if len(words) > 0 {
				asked.Folder = words[0]
			}
			var items []Item
			if err := env.API(ctx, http.MethodGet, "/messages", asked, &items); err != nil {
				return err
			}
			whose := "FROM"
			if len(items) > 0 && items[0].outgoing() {
				whose = "TO"
			}
			text := table(len(items), "NUMBER\t\t"+whose+"\tSUBJECT\tRECEIVED\tSIZE", func(row func(string, ...any)) {
				for _, i := range items {
					state, who := "", i.From
					if !i.Seen {
						state = "new"
					}
					if i.outgoing() {
						who = i.To
					}
					row("%d\t%s\t%s\t%s\t%s\t%s", i.UID, state, who, i.Subject, i.Received.Local().Format("2 Jan 2006 15:04"), terminal.Size(i.Size))
				}
			})
			if len(items) == 0 {
				env.Tell("There are no messages.")
			}
			return env.Print(items, text)
		},
	}
}

func showCommand() kith.Command {
	var request request
	return kith.Command{
		Name: "mail show", Args: "NUMBER",
		Summary: "read a message",
		Help: `NUMBER is as kith mail list has it. The message is no longer new then. Of one that
you sent (--folder Sent) it also says how far it is on its way to other computers.`,
		Flags: func(set *flag.FlagSet) {
			set.StringVar(&request.Folder, "folder", "INBOX", "the message is in `FOLDER`")
			accountFlag(set, &request.Account)
		},
		Run: func(ctx context.Context, env kith.Env, words []string) error {
			number, err := strconv.ParseUint(words[0], 10, 32)
			if err != nil {
				return fmt.Errorf("%q is no number of a message: %w", words[0], kith.Invalid)
			}
			asked := request
			asked.UID = imap.UID(number)
			var shown Shown
			if err := env.API(ctx, http.MethodGet, "/message", asked, &shown); err != nil {
				return err
			}
			return env.Print(shown, shownText(shown))
		},
	}
}

func shownText(s Shown) string {
	var b strings.Builder
	for _, line := range [][2]string{
		{"From", s.From}, {"To", s.To}, {"Cc", s.Cc}, {"Subject", s.Subject}, {"Received", s.Received.Local().Format("2 Jan 2006 15:04")}, {"Attached", strings.Join(s.Files, ", ")},
	} {
		if line[1] != "" {
			fmt.Fprintf(&b, "%-9s %s\n", line[0]+":", line[1])
		}
	}
	for _, w := range s.Ways {
		fmt.Fprintf(&b, "%-9s %s\n", "To "+w.Host+":", w.text())
	}
	text := strings.TrimRight(strings.ReplaceAll(s.Text, "\r\n", "\n"), "\n")
	return b.String() + "\n" + printable(text) + "\n"
}

func (w Way) text() string {
	text := w.State
	switch w.State {
	case kith.LetterQueued:
		text = "waits here"
	case kith.LetterHeld:
		text = "held by " + ui.And(w.Held...)
	case kith.LetterDelivered:
		text += " " + w.Since.Local().Format("2 Jan 2006 15:04")
	}
	if w.Note != "" {
		text += ". " + w.Note
	}
	return text
}

// printable removes what could take over a terminal.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' && r != '\n' && r != '\t' || r >= 0x7f && r < 0xa0 {
			return -1
		}
		return r
	}, text)
}

func forwardCommand() kith.Command {
	keep := false
	c := settingsCommand("mail forward", "ADDRESS", "pass mail of an account on to another one", func(words []string, r *settingsRequest) {
		r.Forward, r.Keep = &words[0], &keep
	}, func(s delivery.Settings) string { return fmt.Sprintf("Mail is forwarded to %s now.\n", s.Forward) })
	flags := c.Flags
	c.Flags = func(set *flag.FlagSet) {
		flags(set)
		set.BoolVar(&keep, "keep", false, "and keep a copy here")
	}
	c.Help = "ADDRESS is of the group, such as bob@oak. What cannot be forwarded stays here."
	return c
}

func unforwardCommand() kith.Command {
	return settingsCommand("mail unforward", "", "keep the mail of an account here again", func(_ []string, r *settingsRequest) { r.Forward = new(string) },
		func(delivery.Settings) string { return "Mail stays here now.\n" })
}

func awayCommand() kith.Command {
	c := settingsCommand("mail away", "TEXT...", "answer mail while its reader is away", func(words []string, r *settingsRequest) {
		text := strings.Join(words, " ")
		r.Away = &text
	}, func(delivery.Settings) string { return "People who write are answered now, each once in a week.\n" })
	c.Help = "Lists and programs are not answered, nor what was not sent to the account by name."
	return c
}

func backCommand() kith.Command {
	return settingsCommand("mail back", "", "answer mail no more", func(_ []string, r *settingsRequest) { r.Away = new(string) },
		func(delivery.Settings) string { return "Nobody is answered now.\n" })
}

// settingsCommand changes the settings of an account.
func settingsCommand(name, args, summary string, change func([]string, *settingsRequest), told func(delivery.Settings) string) kith.Command {
	account := ""
	return kith.Command{
		Name: name, Args: args, Summary: summary,
		Flags: func(set *flag.FlagSet) { accountFlag(set, &account) },
		Run: func(ctx context.Context, env kith.Env, words []string) error {
			request := settingsRequest{Account: account}
			change(words, &request)
			var s delivery.Settings
			if err := env.API(ctx, http.MethodPut, "/settings", request, &s); err != nil {
				return err
			}
			return env.Print(s, told(s))
		},
	}
}

func aliasesCommand() kith.Command {
	return kith.Command{
		Name:    "mail aliases",
		Summary: "list the other names of accounts",
		Run: func(ctx context.Context, env kith.Env, _ []string) error {
			var list []address.Alias
			if err := env.API(ctx, http.MethodGet, "/aliases", nil, &list); err != nil {
				return err
			}
			return env.Print(list, table(len(list), "NAME\tACCOUNT", func(row func(string, ...any)) {
				for _, a := range list {
					row("%s\t%s", a.Name, a.Account)
				}
			}))
		},
	}
}

func aliasCommand() kith.Command {
	return change("mail alias", "NAME ACCOUNT", "give an account another name for mail", http.MethodPut, "/aliases",
		func(words []string) nameRequest { return nameRequest{Name: words[0], Account: words[1]} }, "Mail to %s is for the account now.\n")
}

func unaliasCommand() kith.Command {
	return change("mail unalias", "NAME", "take a name for mail back", http.MethodDelete, "/aliases",
		func(words []string) nameRequest { return nameRequest{Name: words[0]} }, "Nobody is called %s any more.\n")
}

func listsCommand() kith.Command {
	return kith.Command{
		Name:    "mail lists",
		Summary: "show the mailing lists of this computer",
		Run: func(ctx context.Context, env kith.Env, _ []string) error {
			var lists []*address.List
			if err := env.API(ctx, http.MethodGet, "/lists", nil, &lists); err != nil {
				return err
			}
			return env.Print(lists, table(len(lists), "LIST\tOWNER\tMEMBERS", func(row func(string, ...any)) {
				for _, l := range lists {
					row("%s\t%s\t%s", l.Name, l.Owner, strings.Join(l.Members, ", "))
				}
			}))
		},
	}
}

func makeListCommand() kith.Command {
	return change("mail newlist", "LIST OWNER", "make a mailing list of an account", http.MethodPut, "/lists",
		func(words []string) nameRequest { return nameRequest{Name: words[0], Account: words[1]} }, "There is a list %s now.\n")
}

func removeListCommand() kith.Command {
	return change("mail rmlist", "LIST", "remove a mailing list", http.MethodDelete, "/lists",
		func(words []string) nameRequest { return nameRequest{Name: words[0]} }, "The list %s is gone.\n")
}

func joinCommand() kith.Command {
	return change("mail join", "LIST ADDRESS", "put somebody on a mailing list", http.MethodPut, "/members",
		func(words []string) nameRequest { return nameRequest{Name: words[0], Address: words[1]} }, "The list %s has the address now.\n")
}

func leaveCommand() kith.Command {
	return change("mail leave", "LIST ADDRESS", "take somebody off a mailing list", http.MethodDelete, "/members",
		func(words []string) nameRequest { return nameRequest{Name: words[0], Address: words[1]} }, "The list %s no longer has the address.\n")
}

// change is a command that makes one request, and tells what it did to the first word.
func change(name, args, summary, method, path string, request func(words []string) nameRequest, told string) kith.Command {
	return kith.Command{
		Name: name, Args: args, Summary: summary,
		Run: func(ctx context.Context, env kith.Env, words []string) error {
			asked := request(words)
			if err := env.API(ctx, method, path, asked, new(struct{})); err != nil {
				return err
			}
			return env.Print(struct {
				Name string `json:"name"`
			}{asked.Name}, fmt.Sprintf(told, asked.Name))
		},
	}
}

// table writes rows below their heading; no rows are no table.
func table(rows int, heading string, write func(row func(format string, args ...any))) string {
	if rows == 0 {
		return ""
	}
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, heading)
	write(func(format string, args ...any) { fmt.Fprintln(w, printable(fmt.Sprintf(format, args...))) })
	w.Flush() // to a strings.Builder, which does not fail
	return b.String()
}
