package control

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"kith.alt/kith"
)

func TestBackup(t *testing.T) {
	broken := errors.New("a blob is missing")
	for name, c := range map[string]struct {
		stream io.Reader
		text   string
		err    string // "": it is read to its end
	}{
		"whole":   {strings.NewReader("backup"), "backup", ""},
		"short":   {strings.NewReader("back"), "back", "the node ended early"},
		"failing": {io.MultiReader(strings.NewReader("ba"), iotest.ErrReader(broken)), "ba", "a blob is missing"},
	} {
		node := &fakeNode{backup: c.stream}
		client := serve(t, node, nil)
		backup, err := client.Backup(t.Context())
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if backup.Size != 6 {
			t.Errorf("%s: size %d", name, backup.Size)
		}
		text, err := io.ReadAll(backup)
		if string(text) != c.text {
			t.Errorf("%s: read %q, want %q", name, text, c.text)
		}
		if c.err == "" && err != nil || c.err != "" && (!errors.Is(err, kith.Temporary) || !strings.Contains(err.Error(), c.err)) {
			t.Errorf("%s: %v, want %q", name, err, c.err)
		}
		if err := backup.Close(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}

	node := &fakeNode{err: kith.Quota}
	if _, err := serve(t, node, nil).Backup(t.Context()); !errors.Is(err, kith.Quota) {
		t.Errorf("%v, want the node's error", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := serve(t, node, nil).Backup(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("%v, want context.Canceled", err)
	}
}
