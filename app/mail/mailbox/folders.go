package mailbox

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/emersion/go-imap/v2"
	"golang.org/x/text/unicode/norm"

	"kith.alt/kith"
)

// Separator parts the levels of a folder's name.
const Separator = '/'

// The folders that every account has from the start.
const (
	Inbox   = "INBOX"
	Sent    = "Sent"
	Drafts  = "Drafts"
	Archive = "Archive"
	Junk    = "Junk"
	Trash   = "Trash"
)

type standardFolder struct {
	name string
	use  imap.MailboxAttr
}

var standard = []standardFolder{
	{Inbox, ""}, {Drafts, imap.MailboxAttrDrafts}, {Sent, imap.MailboxAttrSent},
	{Archive, imap.MailboxAttrArchive}, {Junk, imap.MailboxAttrJunk}, {Trash, imap.MailboxAttrTrash},
}

// A Folder is one of an account's mailboxes.
type Folder struct {
	ID          int64 // of this host, never used again
	Account     string
	Name        string           // "INBOX", "Work/2026"
	Use         imap.MailboxAttr // RFC 6154, "" for none
	Subscribed  bool
	UIDValidity uint32
	UIDNext     imap.UID // higher than all UIDs so far
	ModSeq      uint64   // of its last change
	Messages    uint32
	Unseen      uint32
	Deleted     uint32 // messages to be expunged
	Bytes       int64
}

const folderColumns = `id, account, name, use, subscribed, uid_validity, uid_next, modseq, messages, unseen, deleted, bytes`

func scanFolder(row interface{ Scan(...any) error }) (f Folder, err error) {
	err = row.Scan(&f.ID, &f.Account, &f.Name, &f.Use, &f.Subscribed, &f.UIDValidity, &f.UIDNext, &f.ModSeq, &f.Messages, &f.Unseen, &f.Deleted, &f.Bytes)
	return f, err
}

// Prepare makes an account's folders where it has none yet. All else fails with kind NotFound
// before.
func (s *Store) Prepare(ctx context.Context, account string) error {
	exists := false
	err := s.store.View(ctx, func(tx *sql.Tx) (err error) {
		exists, err = prepared(ctx, tx, account)
		return err
	})
	if err != nil || exists {
		return err
	}
	return s.store.Update(ctx, func(tx *sql.Tx) error { return prepare(ctx, tx, account) })
}

func prepared(ctx context.Context, tx *sql.Tx, account string) (exists bool, err error) {
	err = tx.QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM mail_accounts WHERE account = ?)`, account).Scan(&exists)
	return exists, err
}

func prepare(ctx context.Context, tx *sql.Tx, account string) error {
	if exists, err := prepared(ctx, tx, account); err != nil || exists {
		return err
	}
	for _, folder := range standard {
		if _, err := create(ctx, tx, account, folder.name, folder.use); err != nil {
			return err
		}
	}
	return nil
}

// standing returns the name of the folder that is meant by that of a standard one: a program may have renamed
// it; where it is gone it is made again.
func (s *Store) standing(ctx context.Context, tx *sql.Tx, account, name string) (string, error) {
	if name == Inbox {
		return name, nil
	}
	i := slices.IndexFunc(standard, func(f standardFolder) bool { return f.name == name })
	if i < 0 {
		return name, nil
	}
	if _, err := folder(ctx, tx, account, name); !errors.Is(err, kith.NotFound) {
		return name, err
	}
	var other string
	err := tx.QueryRowContext(ctx, `SELECT name FROM mail_folders WHERE account = ? AND use = ? ORDER BY id LIMIT 1`, account, standard[i].use).Scan(&other)
	if errors.Is(err, sql.ErrNoRows) {
		return name, s.make(ctx, tx, account, name, standard[i].use)
	}
	return other, err
}

// create makes a folder, which must not exist, with a UIDVALIDITY that the account has not seen: the time, or
// one more than the last.
func create(ctx context.Context, tx *sql.Tx, account, name string, use imap.MailboxAttr) (Folder, error) {
	validity, err := nextValidity(ctx, tx, account)
	if err != nil {
		return Folder{}, err
	}
	return scanFolder(tx.QueryRowContext(ctx, `INSERT INTO mail_folders (account, name, use, uid_validity) VALUES (?, ?, ?, ?) RETURNING `+folderColumns,
		account, name, use, validity))
}

// Folders returns an account's folders, sorted by name, INBOX first.
func (s *Store) Folders(ctx context.Context, account string) (folders []Folder, err error) {
	err = s.store.View(ctx, func(tx *sql.Tx) error {
		folders, err = folderList(ctx, tx, account)
		return err
	})
	return folders, err
}

func folderList(ctx context.Context, tx *sql.Tx, account string) (folders []Folder, err error) {
	rows, err := tx.QueryContext(ctx, `SELECT `+folderColumns+` FROM mail_folders WHERE account = ? ORDER BY name <> 'INBOX', name`, account)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		f, err := scanFolder(rows)
		if err != nil {
			return nil, err
		}
		folders = append(folders, f)
	}
	return folders, rows.Err()
}

// Folder returns an account's folder by its name. It fails with kind NotFound.
func (s *Store) Folder(ctx context.Context, account, name string) (f Folder, err error) {
	err = s.store.View(ctx, func(tx *sql.Tx) error {
		f, err = folder(ctx, tx, account, name)
		return err
	})
	return f, err
}

func folder(ctx context.Context, tx *sql.Tx, account, name string) (Folder, error) {
	name, err := CheckName(name)
	if err != nil {
		return Folder{}, fmt.Errorf("there is no such folder: %w", kith.NotFound)
	}
	f, err := scanFolder(tx.QueryRowContext(ctx, `SELECT `+folderColumns+` FROM mail_folders WHERE account = ? AND name = ?`, account, name))
	if errors.Is(err, sql.ErrNoRows) {
		return f, fmt.Errorf("there is no folder %.60q: %w", name, kith.NotFound)
	}
	return f, err
}

// CheckName returns a folder's name as it is kept: normalised (NFC), INBOX in capitals. It fails with
// kind Invalid.
func CheckName(name string) (string, error) {
	name = norm.NFC.String(name)
	levels := strings.Split(name, string(Separator))
	switch {
	case !utf8.ValidString(name), strings.ContainsFunc(name, unicode.IsControl):
		return "", fmt.Errorf("a folder's name is text of one line: %w", kith.Invalid)
	case len(name) > maxName:
		return "", fmt.Errorf("a folder's name has %d bytes, at most %d: %w", len(name), maxName, kith.Invalid)
	case len(levels) > maxLevels:
		return "", fmt.Errorf("a folder's name has %d levels, at most %d: %w", len(levels), maxLevels, kith.Invalid)
	case slices.Contains(levels, ""):
		return "", fmt.Errorf("a folder's name, or a level of it, is empty: %w", kith.Invalid)
	case strings.ContainsAny(name, "*%"):
		return "", fmt.Errorf("a folder's name has no * and no %%: %w", kith.Invalid)
	}
	if strings.EqualFold(levels[0], Inbox) {
		levels[0] = Inbox
	}
	return strings.Join(levels, string(Separator)), nil
}

// Create makes a folder and those above it. It fails with kind Exists, Invalid or Quota.
func (s *Store) Create(ctx context.Context, account, name string, use imap.MailboxAttr) error {
	name, err := CheckName(name)
	if err != nil {
		return err
	}
	return s.store.Update(ctx, func(tx *sql.Tx) error {
		if _, err := folder(ctx, tx, account, name); !errors.Is(err, kith.NotFound) {
			return cmpErr(err, fmt.Errorf("there is a folder %.60q already: %w", name, kith.Exists))
		}
		if use, err = freeUse(ctx, tx, account, name, use); err != nil {
			return err
		}
		return s.make(ctx, tx, account, name, use)
	})
}

// freeUse returns what a new folder is for: one with the name of a standard folder is for the same, where none is.
func freeUse(ctx context.Context, tx *sql.Tx, account, name string, use imap.MailboxAttr) (imap.MailboxAttr, error) {
	i := slices.IndexFunc(standard, func(f standardFolder) bool { return f.name == name })
	if use != "" || i < 0 {
		return use, nil
	}
	var taken bool
	err := tx.QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM mail_folders WHERE account = ? AND use = ?)`, account, standard[i].use).Scan(&taken)
	if err != nil || taken {
		return "", err
	}
	return standard[i].use, nil
}

func cmpErr(err, otherwise error) error {
	if err != nil {
		return err
	}
	return otherwise
}

// make makes a folder, and those above it that do not exist.
func (s *Store) make(ctx context.Context, tx *sql.Tx, account, name string, use imap.MailboxAttr) error {
	var count int
	if err := tx.QueryRowContext(ctx, `SELECT count(*) FROM mail_folders WHERE account = ?`, account).Scan(&count); err != nil {
		return err
	}
	for i, r := range name + string(Separator) {
		if r != Separator {
			continue
		}
		if _, err := folder(ctx, tx, account, name[:i]); err == nil {
			continue
		} else if !errors.Is(err, kith.NotFound) {
			return err
		}
		if count++; count > s.limits.Folders {
			return fmt.Errorf("there are %d folders, at most %d: %w", count-1, s.limits.Folders, kith.Quota)
		}
		own := imap.MailboxAttr("")
		if i == len(name) {
			own = use
		}
		if _, err := create(ctx, tx, account, name[:i], own); err != nil {
			return err
		}
	}
	return nil
}

// Delete removes a folder and its messages, and returns what it was; those below it stay. INBOX cannot be removed
// (Invalid).
func (s *Store) Delete(ctx context.Context, account, name string) (gone Folder, err error) {
	if n, err := CheckName(name); err == nil && n == Inbox {
		return gone, fmt.Errorf("INBOX cannot be deleted: %w", kith.Invalid)
	}
	err = s.store.Update(ctx, func(tx *sql.Tx) (err error) {
		if gone, err = folder(ctx, tx, account, name); err != nil {
			return err
		}
		return s.remove(ctx, tx, gone.ID)
	})
	if err == nil {
		s.changed(gone.ID)
	}
	return gone, err
}

// Discard removes a folder; its messages move to Trash. It fails with kind Invalid for INBOX, and for Trash itself.
func (s *Store) Discard(ctx context.Context, account, name string) error {
	var gone, trash Folder
	err := s.store.Update(ctx, func(tx *sql.Tx) (err error) {
		if gone, err = folder(ctx, tx, account, name); err != nil {
			return err
		}
		to, err := s.standing(ctx, tx, account, Trash)
		if err != nil {
			return err
		}
		if trash, err = folder(ctx, tx, account, to); err != nil {
			return err
		}
		if gone.ID == trash.ID || gone.Name == Inbox {
			return fmt.Errorf("the folder %.60q stays: %w", gone.Name, kith.Invalid)
		}
		if _, err := s.transfer(ctx, tx, account, gone.ID, []Range{{1, 1<<32 - 1}}, to, true); err != nil {
			return err
		}
		return s.remove(ctx, tx, gone.ID)
	})
	if err == nil {
		s.changed(gone.ID, trash.ID)
	}
	return err
}

// remove deletes a folder and what is in it.
func (s *Store) remove(ctx context.Context, tx *sql.Tx, id int64) error {
	contents, err := column[int64](ctx, tx, `DELETE FROM mail_messages WHERE folder = ? RETURNING content`, id)
	if err != nil {
		return err
	}
	if err := s.release(ctx, tx, contents); err != nil {
		return err
	}
	for _, table := range []string{`mail_expunged WHERE folder`, `mail_folders WHERE id`} {
		if _, err := tx.ExecContext(ctx, `DELETE FROM `+table+` = ?`, id); err != nil {
			return err
		}
	}
	return nil
}

// Rename moves a folder and those below it to another name. INBOX stays, and its messages
// move to the new folder (RFC 9051 6.3.6). It fails with kind NotFound, Exists, Invalid or Quota.
func (s *Store) Rename(ctx context.Context, account, name, newName string) error {
	name, err := CheckName(name)
	if err != nil {
		return fmt.Errorf("there is no such folder: %w", kith.NotFound)
	}
	if newName, err = CheckName(newName); err != nil {
		return err
	}
	if name != Inbox && strings.HasPrefix(newName, name+string(Separator)) {
		return fmt.Errorf("a folder cannot be moved into itself: %w", kith.Invalid)
	}
	var changed []int64
	err = s.store.Update(ctx, func(tx *sql.Tx) error {
		changed = nil
		if _, err := folder(ctx, tx, account, newName); !errors.Is(err, kith.NotFound) {
			return cmpErr(err, fmt.Errorf("there is a folder %.60q already: %w", newName, kith.Exists))
		}
		source, err := folder(ctx, tx, account, name)
		if err != nil {
			return err
		}
		if name == Inbox {
			if err := s.make(ctx, tx, account, newName, ""); err != nil {
				return err
			}
			moved, err := s.transfer(ctx, tx, account, source.ID, []Range{{1, 1<<32 - 1}}, newName, true)
			changed = []int64{source.ID, moved.Folder.ID}
			return err
		}
		if i := strings.LastIndexByte(newName, Separator); i >= 0 {
			if _, err := folder(ctx, tx, account, newName[:i]); errors.Is(err, kith.NotFound) {
				if err := s.make(ctx, tx, account, newName[:i], ""); err != nil {
					return err
				}
			}
		}
		all, err := folderList(ctx, tx, account)
		if err != nil {
			return err
		}
		for _, f := range all {
			rest, below := strings.CutPrefix(f.Name, name)
			if !below || rest != "" && rest[0] != Separator {
				continue
			}
			to, err := CheckName(newName + rest)
			if err != nil {
				return err
			}
			if _, err := folder(ctx, tx, account, to); !errors.Is(err, kith.NotFound) {
				return cmpErr(err, fmt.Errorf("there is a folder %.60q already: %w", to, kith.Exists))
			}
			if _, err := tx.ExecContext(ctx, `UPDATE mail_folders SET name = ? WHERE id = ?`, to, f.ID); err != nil {
				return err
			}
		}
		return nil
	})
	if err == nil {
		s.changed(changed...)
	}
	return err
}

// Subscribe notes whether clients that ask for it are shown a folder. It fails with kind
// NotFound.
func (s *Store) Subscribe(ctx context.Context, account, name string, subscribed bool) error {
	return s.store.Update(ctx, func(tx *sql.Tx) error {
		f, err := folder(ctx, tx, account, name)
		if err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, `UPDATE mail_folders SET subscribed = ? WHERE id = ?`, subscribed, f.ID)
		return err
	})
}

// column returns the one column that a query has.
func column[T any](ctx context.Context, tx *sql.Tx, query string, args ...any) (values []T, err error) {
	rows, err := tx.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var value T
		if err := rows.Scan(&value); err != nil {
			return nil, err
		}
		values = append(values, value)
	}
	return values, rows.Err()
}

// numbers is column for very many numbers: they come as one text, in any order, which is several times as fast as a
// row for each. A row of the query may have several, parted by commas.
func numbers[T ~uint32 | ~int64](ctx context.Context, tx *sql.Tx, query string, args ...any) ([]T, error) {
	var text sql.NullString // NULL: there are none
	var count int
	err := tx.QueryRowContext(ctx, `WITH listed(n) AS (`+query+`) SELECT group_concat(n), count(*) FROM listed`, args...).Scan(&text, &count)
	if err != nil || count == 0 {
		return nil, err
	}
	values := make([]T, 0, count)
	for word := range strings.SplitSeq(text.String, ",") {
		n, err := strconv.ParseInt(word, 10, 64)
		if err != nil {
			return nil, err
		}
		values = append(values, T(n))
	}
	return values, nil
}
