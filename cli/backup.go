package cli

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"kith.alt/kith"
	"kith.alt/kith/backup"
	"kith.alt/kith/control"
	"kith.alt/kith/terminal"
)

// A progress is not shown before it has lasted showAfter.
const showAfter = time.Second

func backupCommand() command {
	var replace bool
	return command{
		name: "backup", args: "FILE", summary: "put this host into one file, while it runs", group: groupNode,
		help: `What is in it: the key, accounts and passwords, the group, settings, and all that
applications store, such as mail. What is not: copies of what other members share, and
the files you share or publish from your own folders.

Who has the file can be this host: keep it as you keep a key. The file appears when
it is whole; an older one stays until then.

Example: kith backup --replace /media/stick/maple.kith`,
		flags: func(set *flag.FlagSet) { set.BoolVar(&replace, "replace", false, "put it in place of FILE") },
		ask: func(ctx context.Context, e *env, node *control.Client, words []string) error {
			path, err := filepath.Abs(words[0])
			if err != nil {
				return err
			}
			if _, err := os.Lstat(path); err == nil && !replace {
				return remedied{fmt.Errorf("%s exists already: %w", path, kith.Exists), "To put the backup in its place: --replace"}
			}
			stream, err := node.Backup(ctx)
			if err != nil {
				return err
			}
			defer stream.Close()
			p := e.progress("Saving")
			m, err := backup.Save(ctx, path, replace, stream, stream.Size, p.show)
			p.line.Clear()
			if err != nil {
				return err
			}
			return e.printBackup(m, path, fmt.Sprintf("%s is saved in %s: %s, %s before packing.\n", m.Name, path, blobsText(m), terminal.Size(m.Bytes())))
		},
	}
}

func backupVerifyCommand() command {
	return command{
		name: "backup verify", args: "FILE", summary: "check that a backup is whole", group: groupNode,
		help: "Reads all of it, and checks a copy of its database. Needs no node.",
		run: func(ctx context.Context, e *env, words []string) error {
			p := e.progress("Verifying")
			m, err := backup.Verify(ctx, words[0], p.show)
			p.line.Clear()
			if err != nil {
				return err
			}
			return e.printBackup(m, words[0], fmt.Sprintf("%s is whole: %s of %s, %s.\n", words[0], m.Name, m.Made.Local().Format("2 January 2006 15:04"), blobsText(m)))
		},
	}
}

func restoreCommand() command {
	return command{
		name: "restore", args: "FILE", summary: "make this computer the host that a backup has", group: groupNode,
		help: `Makes the data directory, which must not exist or be empty, after checking all of
the file. Nothing is made of a damaged file, or of one that a newer kith wrote.

There can be one computer with a key: where the one that was saved still runs,
stop it for good before this one starts. What you shared from your own folders is
listed as before, but the backup has not got it: where the files are there again,
kith share PATH offers them again.

Example: kith restore /media/stick/maple.kith --data /srv/kith`,
		run: func(ctx context.Context, e *env, words []string) error {
			p := e.progress("Restoring")
			m, err := backup.Restore(ctx, words[0], e.data, p.show)
			p.line.Clear()
			if errors.Is(err, kith.Exists) {
				return remedied{err, "Choose another folder: " + kith.Env{Kith: e.program}.Line("restore", words[0], "--data", "DIR")}
			} else if err != nil {
				return err
			}
			e.Tell("%s of %s is in %s.\nStart it, where the one that was saved runs no more: %s",
				m.Name, m.Made.Local().Format("2 January 2006 15:04"), e.data, e.Line("up"))
			return e.printBackup(m, words[0], "")
		},
	}
}

func (e *env) printBackup(m backup.Manifest, path, text string) error {
	return e.Print(struct {
		File string `json:"file"`
		backup.Manifest
	}{path, m}, text)
}

func blobsText(m backup.Manifest) string {
	switch m.Blobs {
	case 0:
		return "the database"
	case 1:
		return "the database and one more file"
	}
	return fmt.Sprintf("the database and %d more files", m.Blobs)
}

// A progress shows how far something is, on a terminal.
type progress struct {
	what    string
	line    terminal.Line
	visible bool
	next    time.Time
}

func (e *env) progress(what string) *progress {
	return &progress{what: what, line: terminal.Line{W: e.Stderr}, visible: terminal.Is(e.Stderr) && !e.JSON, next: time.Now().Add(showAfter)}
}

func (p *progress) show(done, total int64) {
	if now := time.Now(); p.visible && now.After(p.next) {
		p.next = now.Add(showAfter / 5)
		p.line.Show(fmt.Sprintf("%s %s of %s", p.what, terminal.Bar(done, total, 30), terminal.Size(total)))
	}
}
