package test

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"kith.alt/kith/app/mail"
	"kith.alt/kith/control"
	"kith.alt/kith/kithtest"
)

// TestMailWaits has two hosts that are never up together, and a third one between
// them: mail arrives once, and what nobody takes comes back.
func TestMailWaits(t *testing.T) {
	mesh := kithtest.New(t, "maple", "oak", "elm")
	maple, oak := mesh.Nodes[0], mesh.Nodes[1]
	accounts, err := oak.Accounts(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	to := accounts[0].Name + "@oak"
	mesh.Until(maple, "oak's accounts known", func(control.Status) bool {
		return ask(t, maple, "mail", http.MethodPost, "/messages", map[string]any{"to": []string{"nobody@oak"}}, nil) != nil
	})
	oak.Stop()
	if err := ask(t, maple, "mail", http.MethodPost, "/messages", map[string]any{"to": []string{to}, "subject": "while you slept", "text": "Hello\n"}, nil); err != nil {
		t.Fatal(err)
	}
	var letters []struct {
		HeldBy                []string
		State, Reason, ToName string
	}
	defer func() { t.Logf("letters: %+v", letters) }()
	await(t, "elm holds the letter", func() bool {
		return ask(t, maple, "post", http.MethodGet, "/letters?limit=10", nil, &letters) == nil && len(letters) > 0 && slices.Equal(letters[0].HeldBy, []string{"elm"})
	})
	maple.Stop()
	mesh.Start(oak)
	var items []mail.Item
	await(t, "oak has the message", func() bool {
		return ask(t, oak, "mail", http.MethodGet, "/messages", nil, &items) == nil && len(items) == 1
	})
	if items[0].Subject != "while you slept" || !strings.HasSuffix(items[0].From, "@maple.home.kith.alt>") {
		t.Errorf("oak has %+v", items)
	}
}

// ask makes a request to the API of an application.
func ask(t *testing.T, n *kithtest.Node, app, method, path string, in, out any) error {
	t.Helper()
	client, err := control.Dial(t.Context(), n.Config.Data)
	if err != nil {
		return err
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	return client.API(ctx, app, method, path, in, out)
}

func await(t *testing.T, what string, condition func() bool) {
	t.Helper()
	deadline := time.After(2 * time.Minute)
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for !condition() {
		select {
		case <-deadline:
			t.Fatalf("not after 2 minutes: %s", what)
		case <-tick.C:
		}
	}
}
