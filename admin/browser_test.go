package admin

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"kith.alt/kith"
	"kith.alt/kith/kithtest/browser"
	"kith.alt/kith/ui"
)

// echo is an application with a screen.
var echo = App{Name: "web", Title: "Web", Screens: []kith.Screen{{Path: "/", Title: "Web", Icon: "globe", Handler: http.HandlerFunc(echoScreen)}}}

func echoScreen(w http.ResponseWriter, r *http.Request) {
	ui.Write(w, r, http.StatusOK, ui.Page{Title: "Sites", Active: "/web/", Body: ui.Text(r.Method + " " + r.URL.Path + " " + r.PostFormValue("said"))})
}

// newDashboard is a dashboard of node, with an account and a link.
func newDashboard(node *fakeNode) (*Admin, *fakeAccounts) {
	accounts := new(fakeAccounts)
	return New(Config{Node: node, Accounts: accounts, Apps: []App{echo}, Log: slog.New(slog.DiscardHandler)}), accounts
}

// serve runs a dashboard of node on a free loopback port and returns its
// address without the last slash.
func serve(t *testing.T, node *fakeNode) string {
	t.Helper()
	dashboard, _ := newDashboard(node)
	server := httptest.NewServer(dashboard)
	t.Cleanup(server.Close)
	t.Cleanup(server.CloseClientConnections) // open streams
	return strings.Replace(server.URL, "127.0.0.1", "localhost", 1)
}

// signIn opens the printed link.
func signIn(b *browser.Tab, address string) {
	b.SignIn(address + "/signin?token=" + goodToken)
}
