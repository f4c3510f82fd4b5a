package admin

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"

	"kith.alt/kith"
	"kith.alt/kith/kithtest/require"
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

// A tab is a page of a headless Chromium. Its methods end the test when they
// fail.
type tab struct {
	t   *testing.T
	ctx context.Context

	mu       sync.Mutex
	messages []string // of the console
}

// openBrowser starts a Chromium with a profile of its own.
func openBrowser(t *testing.T) *tab {
	t.Helper()
	path := require.Tool(t, "chromium")
	ctx, cancel := chromedp.NewExecAllocator(t.Context(), append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(path), chromedp.NoSandbox, chromedp.DisableGPU, chromedp.NoFirstRun, chromedp.UserDataDir(t.TempDir()),
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-background-networking", true),
		chromedp.Flag("disable-component-update", true), chromedp.Flag("disable-sync", true))...)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	if err := chromedp.Do(ctx); err != nil {
		t.Fatal(err)
	}
	b := &tab{t: t, ctx: ctx}
	go func() {
		for m, err := range chromedp.Console(ctx) {
			if err != nil {
				return
			}
			b.mu.Lock()
			b.messages = append(b.messages, m.Text)
			b.mu.Unlock()
		}
	}()
	return b
}

func (b *tab) do(steps ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, 20*time.Second)
	defer cancel()
	if err := chromedp.Do(ctx, steps...); err != nil {
		b.t.Fatal(err)
	}
}

// open loads a page.
func (b *tab) open(address string) {
	b.t.Helper()
	b.do(chromedp.Navigate(address), chromedp.WaitReady("main"))
}

// signIn opens the printed link, and presses its button if it has one.
func (b *tab) signIn(address string) {
	b.t.Helper()
	b.open(address + "/signin?token=" + goodToken)
	if evaluate[bool](b, `!!document.querySelector("form[action='/signin']")`) {
		b.do(chromedp.Click("form[action='/signin'] button"))
	}
	b.do(chromedp.WaitVisible("nav.rail"))
}

// look sets the width of the window, and light or dark.
func (b *tab) look(width, height int, scheme string) {
	b.t.Helper()
	b.do(chromedp.EmulateViewport(int64(width), int64(height)), chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := chromedp.Call(b.ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
			Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}})
		return err
	}))
}

func (b *tab) text(selector string) string {
	b.t.Helper()
	return act(b, chromedp.Text(selector))
}

func evaluate[T any](b *tab, expression string) T {
	b.t.Helper()
	return act(b, chromedp.Evaluate[T](expression))
}

func act[T any](b *tab, action chromedp.Action[T]) T {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, 20*time.Second)
	defer cancel()
	result, err := chromedp.Run(ctx, action)
	if err != nil {
		b.t.Fatal(err)
	}
	return result
}
