package imap

import (
	"slices"
	"strings"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapserver"

	"kith.alt/kith/app/mail/mailbox"
)

const separator = string(mailbox.Separator)

func (s *session) Namespace() (*imap.NamespaceData, error) {
	return &imap.NamespaceData{Personal: []imap.NamespaceDescriptor{{Delim: mailbox.Separator}}}, nil
}

func (s *session) Create(name string, options *imap.CreateOptions) error {
	return s.change(func() error { return s.mail().Create(s.ctx, s.account, strings.TrimSuffix(name, separator), "") })
}

func (s *session) Delete(name string) error {
	return s.change(func() error {
		gone, err := s.mail().Delete(s.ctx, s.account, name)
		if err == nil && s.view != nil && s.view.Folder.ID == gone.ID {
			s.gone = true
		}
		return err
	})
}

func (s *session) Rename(name, newName string, _ *imap.RenameOptions) error {
	return s.change(func() error {
		return s.mail().Rename(s.ctx, s.account, name, strings.TrimSuffix(newName, separator))
	})
}

func (s *session) Subscribe(name string) error {
	return s.change(func() error { return s.mail().Subscribe(s.ctx, s.account, name, true) })
}

func (s *session) Unsubscribe(name string) error {
	return s.change(func() error { return s.mail().Subscribe(s.ctx, s.account, name, false) })
}

func (s *session) change(do func() error) error {
	end, err := s.begin()
	if err != nil {
		return err
	}
	defer end()
	return s.failed(do())
}

func (s *session) Status(name string, options *imap.StatusOptions) (*imap.StatusData, error) {
	end, err := s.begin()
	if err != nil {
		return nil, err
	}
	defer end()
	folder, err := s.mail().Folder(s.ctx, s.account, name)
	if err != nil {
		return nil, s.failed(err)
	}
	return status(folder), nil
}

func status(f mailbox.Folder) *imap.StatusData {
	recent, limit := uint32(0), uint32(mailbox.MaxMessage)
	return &imap.StatusData{
		Mailbox: f.Name, NumMessages: &f.Messages, NumRecent: &recent, UIDNext: f.UIDNext, UIDValidity: f.UIDValidity,
		NumUnseen: &f.Unseen, NumDeleted: &f.Deleted, Size: &f.Bytes, AppendLimit: &limit, DeletedStorage: new(int64),
		HighestModSeq: f.ModSeq,
	}
}

// List writes the folders that match, and those above folders that do not exist themselves.
func (s *session) List(w *imapserver.ListWriter, reference string, patterns []string, options *imap.ListOptions) error {
	end, err := s.begin()
	if err != nil {
		return err
	}
	defer end()
	if len(patterns) == 0 { // what parts levels (RFC 9051 6.3.9)
		return w.WriteList(&imap.ListData{Attrs: []imap.MailboxAttr{imap.MailboxAttrNoSelect}, Delim: mailbox.Separator})
	}
	folders, err := s.mail().Folders(s.ctx, s.account)
	if err != nil {
		return s.failed(err)
	}
	for _, data := range list(folders, reference, patterns, options) {
		if err := w.WriteList(data); err != nil {
			return err
		}
	}
	return nil
}

// list returns what LIST answers.
func list(folders []mailbox.Folder, reference string, patterns []string, options *imap.ListOptions) (answer []*imap.ListData) {
	exists := make(map[string]*mailbox.Folder)
	children := make(map[string]bool)   // those that have any
	subscribed := make(map[string]bool) // those with a subscribed one below
	var names []string
	for i := range folders {
		f := &folders[i]
		exists[f.Name] = f
		names = append(names, f.Name)
	}
	for _, f := range folders {
		for i, r := range f.Name {
			if r != mailbox.Separator {
				continue
			}
			above := f.Name[:i]
			if exists[above] == nil && !children[above] {
				names = append(names, above)
			}
			children[above] = true
			subscribed[above] = subscribed[above] || f.Subscribed
		}
	}
	slices.SortStableFunc(names, func(a, b string) int {
		if (a == mailbox.Inbox) != (b == mailbox.Inbox) {
			if a == mailbox.Inbox {
				return -1
			}
			return 1
		}
		return strings.Compare(a, b)
	})
	for _, name := range names {
		if !slices.ContainsFunc(patterns, func(pattern string) bool { return matches(name, reference, pattern) }) {
			continue
		}
		f := exists[name]
		data := &imap.ListData{Mailbox: name, Delim: mailbox.Separator}
		below := options.SelectRecursiveMatch && subscribed[name]
		switch {
		case options.SelectSubscribed && (f == nil || !f.Subscribed) && !below:
			continue
		case options.SelectSpecialUse && (f == nil || f.Use == "") && !below:
			continue
		case f == nil && !below && len(patterns) == 1 && !strings.HasSuffix(patterns[0], "%"):
			continue // everything below is shown
		}
		if below {
			data.ChildInfo = &imap.ListDataChildInfo{Subscribed: true}
		}
		if f == nil {
			data.Attrs = append(data.Attrs, imap.MailboxAttrNonExistent, imap.MailboxAttrNoSelect)
		} else {
			if f.Use != "" {
				data.Attrs = append(data.Attrs, f.Use)
			}
			if f.Subscribed && (options.SelectSubscribed || options.ReturnSubscribed) {
				data.Attrs = append(data.Attrs, imap.MailboxAttrSubscribed)
			}
			if options.ReturnStatus != nil {
				data.Status = status(*f)
			}
		}
		if children[name] {
			data.Attrs = append(data.Attrs, imap.MailboxAttrHasChildren)
		} else {
			data.Attrs = append(data.Attrs, imap.MailboxAttrHasNoChildren)
		}
		answer = append(answer, data)
	}
	return answer
}

// matches reports whether a name is one that a pattern means: "*" stands for anything, "%" for anything on
// one level (RFC 9051 6.3.9). It takes time as the product of their lengths.
func matches(name, reference, pattern string) bool {
	if strings.HasPrefix(pattern, separator) {
		reference, pattern = "", pattern[1:]
	}
	if reference != "" && !strings.HasSuffix(reference, separator) {
		reference += separator
	}
	pattern = reference + pattern
	if isINBOX(pattern) {
		return name == mailbox.Inbox
	}
	if len(pattern) > 1000 {
		return false
	}
	// reach[i]: the pattern so far can stand for the first i bytes of the name.
	reach, next := make([]bool, len(name)+1), make([]bool, len(name)+1)
	reach[0] = true
	for i := range len(pattern) {
		clear(next)
		switch c := pattern[i]; c {
		case '*', '%':
			for j := range reach {
				next[j] = reach[j] || j > 0 && next[j-1] && (c == '*' || name[j-1] != mailbox.Separator)
			}
		default:
			for j := 1; j <= len(name); j++ {
				next[j] = reach[j-1] && name[j-1] == c
			}
		}
		reach, next = next, reach
	}
	return reach[len(name)]
}
