package node_test

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"kith.alt/kith"
	"kith.alt/kith/backup"
	"kith.alt/kith/control"
	"kith.alt/kith/kithtest"
)

// TestBackup saves a node that runs, restores it elsewhere, and has the other member
// find the same host there.
func TestBackup(t *testing.T) {
	m := kithtest.New(t, "maple", "oak")
	maple, oak := m.Nodes[0], m.Nodes[1]
	if err := maple.AddAccount(t.Context(), "eve"); err != nil {
		t.Fatal(err)
	}
	password, err := maple.AddAppPassword(t.Context(), "eve", "phone")
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := maple.Certificate(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	shared := filepath.Join(t.TempDir(), "photo")
	if err := os.WriteFile(shared, []byte("a photo"), 0o600); err != nil {
		t.Fatal(err)
	}
	client := control.NewClient(maple.Config.Data)
	defer client.Close()
	if err := client.API(t.Context(), "share", "PUT", "/shares", map[string]any{"path": shared}, nil); err != nil {
		t.Fatal(err)
	}
	listed := func(n *kithtest.Node) bool {
		c := control.NewClient(n.Config.Data)
		defer c.Close()
		var entries []kith.Entry
		if err := c.API(t.Context(), "share", "GET", "/library", nil, &entries); err != nil {
			t.Fatal(err)
		}
		return slices.ContainsFunc(entries, func(e kith.Entry) bool { return e.Title == "photo" })
	}
	stream, err := client.Backup(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "maple.kith")
	saved, err := backup.Save(t.Context(), path, false, stream, stream.Size, nil)
	if err != nil {
		t.Fatal(err)
	}
	stream.Close()
	before, err := maple.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if saved.ID != before.ID || saved.Name != before.Name {
		t.Errorf("saved is %s, %s", saved.Name, saved.ID)
	}
	maple.Stop()

	maple.Config.Data = filepath.Join(t.TempDir(), "again")
	if _, err := backup.Restore(t.Context(), path, maple.Config.Data, nil); err != nil {
		t.Fatal(err)
	}
	m.Start(maple)
	m.Met()
	after, err := maple.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if after.ID != before.ID || after.Name != before.Name || len(after.Members) != 2 {
		t.Errorf("restored is %s, %s, with %d members", after.Name, after.ID, len(after.Members))
	}
	accounts, err := maple.Accounts(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if i := slices.IndexFunc(accounts, func(a control.Account) bool { return a.Name == "eve" }); i < 0 ||
		len(accounts[i].AppPasswords) != 1 || accounts[i].AppPasswords[0].ID != password.ID {
		t.Errorf("accounts %+v", accounts)
	}
	if now, err := maple.Certificate(t.Context()); err != nil || now.Fingerprint != certificate.Fingerprint {
		t.Errorf("certificate %s, %v; want %s", now.Fingerprint, err, certificate.Fingerprint)
	}
	for deadline := time.Now().Add(30 * time.Second); !listed(maple) || !listed(oak); {
		if time.Now().After(deadline) {
			t.Fatalf("what maple shares is listed: at maple %v, at oak %v", listed(maple), listed(oak))
		}
	}
	echo(t, oak, 7000)
	conn, err := maple.Dial(t.Context(), kith.Address{Host: "oak", Port: 7000})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := exchange(conn, "hello again"); err != nil {
		t.Error(err)
	}
}
