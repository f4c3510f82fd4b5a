package mailbox

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/emersion/go-imap/v2"
	"pgregory.net/rapid"
)

// A model is what an account's folders are thought to be.
type model struct {
	folders map[string]*modelFolder
	used    map[string]bool // folder, UIDVALIDITY and UID that have been given out
}

type modelFolder struct {
	validity uint32
	messages map[imap.UID]string // flags by UID
	view     *View
	seen     map[imap.UID]string // what the view's client thinks
	order    []imap.UID          // by number
}

// TestModel does anything in any order, and has the store agree with a model, and every client with
// what it was told.
func TestModel(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		s, _ := open(t, Limits{})
		ctx := t.Context()
		account := ann
		m := model{folders: map[string]*modelFolder{}, used: map[string]bool{}}
		refresh := func(name string) *modelFolder {
			f, err := s.Folder(ctx, account, name)
			if err != nil {
				r.Fatal(err)
			}
			folder := m.folders[name]
			if folder == nil {
				folder = &modelFolder{validity: f.UIDValidity, messages: map[imap.UID]string{}}
				m.folders[name] = folder
			}
			if folder.validity != f.UIDValidity {
				r.Fatalf("%s: UIDVALIDITY changes", name)
			}
			return folder
		}
		names := []string{Inbox, Trash, "a"}
		if err := s.Create(ctx, account, "a", ""); err != nil {
			r.Fatal(err)
		}
		for _, name := range names {
			refresh(name)
		}
		given := func(name string, uid imap.UID) {
			key := fmt.Sprint(name, m.folders[name].validity, "/", uid)
			if m.used[key] {
				r.Fatalf("%s is given out twice", key)
			}
			m.used[key] = true
		}
		pick := func() string { return rapid.SampledFrom(names).Draw(r, "folder") }
		ranges := func() []Range {
			from := imap.UID(rapid.IntRange(1, 12).Draw(r, "from"))
			return []Range{{from, from + imap.UID(rapid.IntRange(0, 4).Draw(r, "more"))}}
		}
		within := func(f *modelFolder, list []Range) (uids []imap.UID) {
			for _, uid := range slices.Sorted(maps.Keys(f.messages)) {
				if uid >= list[0].From && uid <= list[0].To {
					uids = append(uids, uid)
				}
			}
			return uids
		}
		r.Repeat(map[string]func(*rapid.T){
			"append": func(*rapid.T) {
				name := pick()
				uid := add(t, s, name, text("x", "y"))
				given(name, uid)
				m.folders[name].messages[uid] = ""
			},
			"flags": func(*rapid.T) {
				name, list := pick(), ranges()
				op := rapid.SampledFrom([]imap.StoreFlagsOp{imap.StoreFlagsAdd, imap.StoreFlagsDel, imap.StoreFlagsSet}).Draw(r, "op")
				flag := rapid.SampledFrom([]imap.Flag{imap.FlagSeen, imap.FlagDeleted, "$Work"}).Draw(r, "flag")
				f := m.folders[name]
				if _, err := s.SetFlags(ctx, id(r, s, name), list, op, []imap.Flag{flag}); err != nil {
					r.Fatal(err)
				}
				for _, uid := range within(f, list) {
					set := strings.Fields(f.messages[uid])
					switch op {
					case imap.StoreFlagsAdd:
						if !slices.Contains(set, string(flag)) {
							set = append(set, string(flag))
						}
					case imap.StoreFlagsDel:
						set = slices.DeleteFunc(set, func(s string) bool { return s == string(flag) })
					default:
						set = []string{string(flag)}
					}
					slices.SortFunc(set, func(a, b string) int { return strings.Index(order, a) - strings.Index(order, b) })
					f.messages[uid] = strings.Join(set, " ")
				}
			},
			"expunge": func(*rapid.T) {
				name, list, force := pick(), ranges(), rapid.Bool().Draw(r, "force")
				f := m.folders[name]
				if _, err := s.Expunge(ctx, id(r, s, name), list, force); err != nil {
					r.Fatal(err)
				}
				for _, uid := range within(f, list) {
					if force || strings.Contains(f.messages[uid], "Deleted") {
						delete(f.messages, uid)
					}
				}
			},
			"transfer": func(*rapid.T) {
				from, to, list, move := pick(), pick(), ranges(), rapid.Bool().Draw(r, "move")
				moved, err := s.Transfer(ctx, account, id(r, s, from), list, to, move)
				if err != nil || !slices.Equal(moved.Source, within(m.folders[from], list)) || len(moved.Source) != len(moved.Dest) {
					r.Fatal(moved, err)
				}
				for i, uid := range moved.Source {
					given(to, moved.Dest[i])
					m.folders[to].messages[moved.Dest[i]] = m.folders[from].messages[uid]
					if move {
						delete(m.folders[from].messages, uid)
					}
				}
			},
			"remake": func(*rapid.T) {
				if f := m.folders["a"]; f.view != nil {
					f.view.Close()
				}
				before := m.folders["a"].validity
				if _, err := s.Delete(ctx, account, "a"); err != nil {
					r.Fatal(err)
				}
				if err := s.Create(ctx, account, "a", ""); err != nil {
					r.Fatal(err)
				}
				delete(m.folders, "a")
				if refresh("a").validity <= before {
					r.Fatal("UIDVALIDITY does not grow")
				}
			},
			"look": func(*rapid.T) {
				f := m.folders[pick()]
				expunge := rapid.Bool().Draw(r, "expunge")
				if f.view == nil {
					return
				}
				changes, err := f.view.Sync(ctx, expunge)
				if err != nil {
					r.Fatal(err)
				}
				f.told(r, changes)
			},
			"": func(r *rapid.T) {
				for name, f := range m.folders {
					f.check(r, s, name)
				}
			},
		})
		for _, f := range m.folders {
			if f.view != nil {
				f.view.Close()
			}
		}
	})
}

const order = `\Seen \Deleted $Work`

func id(r *rapid.T, s *Store, name string) int64 {
	f, err := s.Folder(r.Context(), ann, name)
	if err != nil {
		r.Fatal(err)
	}
	return f.ID
}

func flagText(flags []imap.Flag) string {
	var words []string
	for _, flag := range flags {
		words = append(words, string(flag))
	}
	return strings.Join(words, " ")
}

// told has the client of a view learn changes.
func (f *modelFolder) told(r *rapid.T, changes Changes) {
	for _, c := range changes.Flags {
		if f.order[c.Number-1] != c.UID {
			r.Fatalf("flags of number %d are those of UID %d, not %d", c.Number, f.order[c.Number-1], c.UID)
		}
		f.seen[c.UID] = flagText(c.Flags)
	}
	for _, number := range changes.Expunged {
		delete(f.seen, f.order[number-1])
		f.order = slices.Delete(f.order, number-1, number)
	}
	if changes.Count >= 0 {
		for number := len(f.order) + 1; number <= changes.Count; number++ {
			uid := f.view.UID(number)
			f.order = append(f.order, uid)
			f.seen[uid] = "?" // it would ask
		}
	}
	if len(f.order) != f.view.Count() {
		r.Fatalf("the client counts %d, the view %d", len(f.order), f.view.Count())
	}
}

// check compares a folder with the store.
func (f *modelFolder) check(r *rapid.T, s *Store, name string) {
	ctx := r.Context()
	folder, err := s.Folder(ctx, ann, name)
	if err != nil {
		r.Fatal(err)
	}
	list, err := s.Messages(ctx, folder.ID, Range{1, 1<<32 - 1}, 1000, true)
	if err != nil {
		r.Fatal(err)
	}
	got := map[imap.UID]string{}
	var unseen, deleted uint32
	var bytes int64
	for _, message := range list {
		got[message.UID] = flagText(message.Flags)
		bytes += message.Size
		if !slices.Contains(message.Flags, imap.FlagSeen) {
			unseen++
		}
		if slices.Contains(message.Flags, imap.FlagDeleted) {
			deleted++
		}
	}
	if !maps.Equal(got, f.messages) {
		r.Fatalf("%s has %v, want %v", name, got, f.messages)
	}
	if int(folder.Messages) != len(got) || folder.Unseen != unseen || folder.Deleted != deleted || folder.Bytes != bytes {
		r.Fatalf("%s counts %+v", name, folder)
	}
	if f.view == nil {
		if f.view, err = s.View(ctx, ann, name); err != nil {
			r.Fatal(err)
		}
		f.seen, f.order = maps.Clone(got), slices.Sorted(maps.Keys(got))
		return
	}
	now, err := f.view.Flags(ctx, Range{1, 1<<32 - 1}, 1000)
	if err != nil {
		r.Fatal(err)
	}
	fromView := map[imap.UID]string{}
	for _, message := range now {
		fromView[message.UID] = flagText(message.Flags)
	}
	if !maps.Equal(fromView, f.messages) {
		r.Fatalf("%s has the flags %v, want %v", name, fromView, f.messages)
	}
	for number, uid := range f.order {
		if f.view.UID(number+1) != uid {
			r.Fatalf("%s: number %d has another UID than the client was told", name, number+1)
		}
	}
}
