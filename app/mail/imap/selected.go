package imap

import (
	"slices"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapserver"

	"kith.alt/kith/app/mail/mailbox"
)

func (s *session) Select(name string, options *imap.SelectOptions) (*imap.SelectData, error) {
	end, err := s.begin()
	if err != nil {
		return nil, err
	}
	defer end()
	s.unselect()
	view, err := s.mail().View(s.ctx, s.account, name)
	if err != nil {
		return nil, s.failed(err)
	}
	keywords, err := s.mail().Keywords(s.ctx, view.Folder.ID)
	if err != nil {
		view.Close()
		return nil, s.failed(err)
	}
	s.view, s.readOnly = view, options.ReadOnly
	f := view.Folder
	data := &imap.SelectData{
		Flags: append(mailbox.SystemFlags(), keywords...), NumMessages: uint32(view.Count()),
		UIDNext: f.UIDNext, UIDValidity: f.UIDValidity, HighestModSeq: f.ModSeq,
	}
	if !s.readOnly {
		data.PermanentFlags = append(slices.Clone(data.Flags), imap.FlagWildcard)
	}
	if s.conn.EnabledCaps().Has(imap.CapIMAP4rev2) {
		data.List = &imap.ListData{Mailbox: f.Name, Delim: mailbox.Separator}
		if f.Use != "" {
			data.List.Attrs = append(data.List.Attrs, f.Use)
		}
	}
	return data, nil
}

func (s *session) Unselect() error {
	end, err := s.begin()
	if err != nil {
		return err
	}
	defer end()
	s.unselect()
	return nil
}

func (s *session) unselect() {
	if s.view != nil {
		s.view.Close()
	}
	s.view, s.saved, s.gone = nil, nil, false
}

// ranges returns the UIDs that a set means.
func (s *session) ranges(set imap.NumSet) []mailbox.Range {
	switch set := set.(type) {
	case imap.SeqSet:
		return s.view.Numbers(set)
	case imap.UIDSet:
		if imap.IsSearchRes(set) {
			return s.saved
		}
		return s.view.UIDs(set)
	}
	return nil
}

var errReadOnly = no(imap.ResponseCodeNoPerm, "The folder is open for reading only")

// Expunge removes messages. The client is told by the Poll that follows. CLOSE calls it, too, with an empty writer, also
// for a folder that is open for reading only, which is left as it is (RFC 9051 6.4.1).
func (s *session) Expunge(w *imapserver.ExpungeWriter, uids *imap.UIDSet) error {
	end, err := s.begin()
	if err != nil {
		return err
	}
	defer end()
	if s.readOnly {
		if closing := *w == (imapserver.ExpungeWriter{}); closing {
			return nil
		}
		return errReadOnly
	}
	set := imap.UIDSet{{Start: 1, Stop: 0}}
	if uids != nil {
		set = *uids
	}
	_, err = s.mail().Expunge(s.ctx, s.view.Folder.ID, s.ranges(set), false)
	return s.failed(err)
}

func (s *session) Copy(set imap.NumSet, dest string) (*imap.CopyData, error) {
	end, err := s.begin()
	if err != nil {
		return nil, err
	}
	defer end()
	return s.transfer(set, dest, false)
}

// Move moves messages (RFC 6851). The client is told that they are gone by the Poll that follows.
func (s *session) Move(w *imapserver.MoveWriter, set imap.NumSet, dest string) error {
	end, err := s.begin()
	if err != nil {
		return err
	}
	defer end()
	if s.readOnly {
		return errReadOnly
	}
	data, err := s.transfer(set, dest, true)
	if err != nil || data == nil {
		return err
	}
	return w.WriteCopyData(data)
}

func (s *session) transfer(set imap.NumSet, dest string, move bool) (*imap.CopyData, error) {
	t, err := s.mail().Transfer(s.ctx, s.account, s.view.Folder.ID, s.ranges(set), dest, move)
	if err != nil {
		return nil, s.failedInto(err)
	}
	if len(t.Source) == 0 {
		return nil, nil
	}
	return &imap.CopyData{UIDValidity: t.Folder.UIDValidity, SourceUIDs: uidSet(t.Source), DestUIDs: uidSet(t.Dest)}, nil
}

// uidSet returns ascending UIDs as a set.
func uidSet(uids []imap.UID) (set imap.UIDSet) {
	for _, uid := range uids {
		if n := len(set); n > 0 && set[n-1].Stop+1 == uid {
			set[n-1].Stop = uid
		} else {
			set = append(set, imap.UIDRange{Start: uid, Stop: uid})
		}
	}
	return set
}

func (s *session) Store(w *imapserver.FetchWriter, set imap.NumSet, flags *imap.StoreFlags, _ *imap.StoreOptions) error {
	end, err := s.begin()
	if err != nil {
		return err
	}
	defer end()
	if s.readOnly {
		return errReadOnly
	}
	ranges := s.ranges(set)
	changes, err := s.mail().SetFlags(s.ctx, s.view.Folder.ID, ranges, flags.Op, flags.Flags)
	if err != nil {
		return s.failed(err)
	}
	s.view.Knows(changes)
	if flags.Silent {
		return nil
	}
	_, byUID := set.(imap.UIDSet)
	options := &imap.FetchOptions{Flags: true, UID: byUID}
	return s.each(ranges, flagsOnly, func(batch []mailbox.Message) error {
		for i := range batch {
			if err := s.answer(w, &batch[i], options, nil); err != nil {
				return err
			}
		}
		return nil
	})
}

// Search finds messages.
func (s *session) Search(kind imapserver.NumKind, criteria *imap.SearchCriteria, options *imap.SearchOptions) (*imap.SearchData, error) {
	end, err := s.begin()
	if err != nil {
		return nil, err
	}
	defer end()
	s.resolve(criteria)
	uids, err := s.mail().Search(s.ctx, s.view.Folder.ID, s.view, criteria)
	if err != nil {
		return nil, s.failed(err)
	}
	uids, numbers := s.view.Known(uids)
	if kind == imapserver.NumKindUID {
		numbers = uids
	}
	data := &imap.SearchData{Count: uint32(len(numbers))}
	if len(numbers) > 0 {
		data.Min, data.Max = uint32(numbers[0]), uint32(numbers[len(numbers)-1])
	}
	all := uidSet(numbers)
	data.All = all
	if kind == imapserver.NumKindSeq {
		seqs := imap.SeqSet{}
		for _, r := range all {
			seqs = append(seqs, imap.SeqRange{Start: uint32(r.Start), Stop: uint32(r.Stop)})
		}
		data.All = seqs
	}
	if options.ReturnSave {
		s.save(uids, options)
	}
	return data, nil
}

// save keeps a result for $ (RFC 5182 2.1).
func (s *session) save(uids []imap.UID, options *imap.SearchOptions) {
	if n := len(uids); n > 0 && !options.ReturnAll && !options.ReturnCount {
		var ends []imap.UID
		if options.ReturnMin {
			ends = append(ends, uids[0])
		}
		if options.ReturnMax && (n > 1 || !options.ReturnMin) {
			ends = append(ends, uids[n-1])
		}
		uids = ends
	}
	s.saved = nil
	for _, r := range uidSet(uids) {
		s.saved = append(s.saved, mailbox.Range{From: r.Start, To: r.Stop})
	}
}

// resolve puts what $ means into criteria.
func (s *session) resolve(c *imap.SearchCriteria) {
	for i, set := range c.UID {
		if imap.IsSearchRes(set) {
			c.UID[i] = imap.UIDSet{}
			for _, r := range s.saved {
				c.UID[i] = append(c.UID[i], imap.UIDRange{Start: r.From, Stop: r.To})
			}
		}
	}
	for i := range c.Not {
		s.resolve(&c.Not[i])
	}
	for i := range c.Or {
		s.resolve(&c.Or[i][0])
		s.resolve(&c.Or[i][1])
	}
}
