package delivery

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"kith.alt/kith"
)

// maxPassages is how many letters of a message are told of: more than a group has hosts.
const maxPassages = 2000

// A Passage is the way of a message to one other host.
type Passage struct {
	Host       string            `json:"host"`       // its full name
	Recipients []string          `json:"recipients"` // addresses on it
	Status     kith.LetterStatus `json:"status"`
}

// An origin is the message that letters are of, and whose it is. Its zero value is that of letters
// that nobody follows: what is passed on for others.
type origin struct{ account, messageID string }

// follow notes that a letter is of a message.
func (o origin) follow(ctx context.Context, tx *sql.Tx, id kith.LetterID, l letter) error {
	if o.messageID == "" {
		return nil
	}
	var names []string
	for _, r := range l.recipients {
		names = append(names, r.Address)
	}
	_, err := tx.ExecContext(ctx, `INSERT INTO mail_passages (letter, account, message_id, host, recipients, sent) VALUES (?, ?, ?, ?, ?, ?)`,
		id[:], o.account, o.messageID, l.host[:], strings.Join(names, " "), time.Now().UnixMilli())
	return err
}

// arrived keeps how a letter ended, which [kith.Post] forgets in time.
func arrived(ctx context.Context, tx *sql.Tx, s kith.LetterStatus) error {
	text, err := json.Marshal(s)
	if err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, `UPDATE mail_passages SET status = ? WHERE letter = ?`, string(text), s.ID[:])
	return err
}

// Passages returns the ways of a message that an account of this host has sent, by its
// Message-ID without angle brackets: none where it left no letter for another host.
func (d *Delivery) Passages(ctx context.Context, account, messageID string) (list []Passage, err error) {
	err = d.store.View(ctx, func(tx *sql.Tx) error {
		rows, err := tx.QueryContext(ctx, `SELECT letter, host, recipients, status FROM mail_passages
			WHERE account = ? AND message_id = ? ORDER BY sent, letter LIMIT ?`, account, messageID, maxPassages)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var p Passage
			var letter, host, status []byte
			var recipients string
			if err := rows.Scan(&letter, &host, &recipients, &status); err != nil {
				return err
			}
			if len(status) > 0 {
				if err := json.Unmarshal(status, &p.Status); err != nil {
					return fmt.Errorf("status of letter: %w", err)
				}
			}
			copy(p.Status.ID[:], letter)
			copy(p.Status.To[:], host)
			p.Host = d.hostName(p.Status.To)
			for name := range strings.FieldsSeq(recipients) {
				p.Recipients = append(p.Recipients, name+"@"+p.Host)
			}
			list = append(list, p)
		}
		return rows.Err()
	})
	if err != nil {
		return nil, err
	}
	for i := range list {
		if list[i].Status.State != "" {
			continue
		}
		status, err := d.host.Post().Letter(ctx, list[i].Status.ID)
		if errors.Is(err, kith.NotFound) { // a backup had it and the post did not
			status, err = list[i].Status, nil
			status.State, status.Reason = kith.LetterExpired, "this computer does not know any more what became of it"
		}
		if err != nil {
			return nil, err
		}
		list[i].Status = status
	}
	return list, nil
}
