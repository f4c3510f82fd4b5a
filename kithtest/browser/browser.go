// Package browser opens a headless Chromium for a test: a profile of its own,
// no traffic of its own, gone with the test.
package browser

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"

	"kith.alt/kith/kithtest/require"
)

// patience is how long a step may take on a busy machine.
const patience = 30 * time.Second

// A Tab is a page of a Chromium. Its methods end the test when they fail.
type Tab struct {
	t   testing.TB
	ctx context.Context

	console *console
}

// console is what the pages have said.
type console struct {
	mu       sync.Mutex
	messages []string
}

// Open starts a Chromium with these flags beside the usual ones; the value "" is
// a flag without one.
func Open(t testing.TB, flags map[string]string) *Tab {
	t.Helper()
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(require.Tool(t, "chromium")), chromedp.NoSandbox, chromedp.DisableGPU, chromedp.NoFirstRun,
		chromedp.UserDataDir(t.TempDir()))
	for _, quiet := range []string{"disable-quic", "disable-background-networking", "disable-component-update", "disable-sync"} {
		options = append(options, chromedp.Flag(quiet, true))
	}
	for name, value := range flags {
		if value == "" {
			options = append(options, chromedp.Flag(name, true))
		} else {
			options = append(options, chromedp.Flag(name, value))
		}
	}
	ctx, cancel := chromedp.NewExecAllocator(context.Background(), options...)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	if err := chromedp.Do(ctx); err != nil { // starts it, for as long as ctx lives
		t.Fatal(err)
	}
	b := &Tab{t: t, ctx: ctx, console: new(console)}
	go b.console.listen(ctx)
	return b
}

func (c *console) listen(ctx context.Context) {
	for m, err := range chromedp.Console(ctx) {
		if err != nil {
			return
		}
		c.mu.Lock()
		c.messages = append(c.messages, m.Text)
		c.mu.Unlock()
	}
}

// For returns the same page for a subtest, which it ends when it fails.
func (b *Tab) For(t testing.TB) *Tab {
	return &Tab{t: t, ctx: b.ctx, console: b.console}
}

// Do runs steps one after the other.
func (b *Tab) Do(steps ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	if err := chromedp.Do(ctx, steps...); err != nil {
		b.t.Fatal(err)
	}
}

// Get runs a step that has a result.
func Get[T any](b *Tab, step chromedp.Action[T]) T {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	result, err := chromedp.Run(ctx, step)
	if err != nil {
		b.t.Fatal(err)
	}
	return result
}

// Load goes to an address and waits for the page.
func (b *Tab) Load(address string) {
	b.t.Helper()
	b.Do(chromedp.Navigate(address), chromedp.WaitReady("body"))
}

// SignIn opens a link to a dashboard, and presses its button if it has one.
func (b *Tab) SignIn(link string) {
	b.t.Helper()
	b.Load(link)
	if Evaluate[bool](b, `!!document.querySelector("form[action='/signin']")`) {
		b.Click("form[action='/signin'] button")
	}
	b.See("nav.rail")
}

// Click clicks on the element that a CSS selector finds, once it is visible.
func (b *Tab) Click(selector string) {
	b.t.Helper()
	b.Do(chromedp.Click(selector))
}

// See waits until the element that a CSS selector finds is visible.
func (b *Tab) See(selector string) {
	b.t.Helper()
	b.Do(chromedp.WaitVisible(selector))
}

// Text returns the visible text of the element that a CSS selector finds.
func (b *Tab) Text(selector string) string {
	b.t.Helper()
	return Get(b, chromedp.Text(selector))
}

// Press presses the keys of a text, or one of package kb.
func (b *Tab) Press(keys string) {
	b.t.Helper()
	b.Do(chromedp.KeyEvent(keys))
}

// Look sets the size of the window in pixels, and the colour scheme "light" or
// "dark".
func (b *Tab) Look(width, height int, scheme string) {
	b.t.Helper()
	media := emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}}
	b.Do(chromedp.EmulateViewport(int64(width), int64(height)), chromedp.Func(func(ctx context.Context, _ *chromedp.Target) error {
		_, err := chromedp.Call(ctx, emulation.SetEmulatedMedia, media)
		return err
	}))
}

// WithoutScripts loads the pages that follow without running their scripts.
func (b *Tab) WithoutScripts() {
	b.t.Helper()
	b.Do(chromedp.Func(func(ctx context.Context, _ *chromedp.Target) error {
		_, err := chromedp.Call(ctx, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true})
		return err
	}))
}

// Messages returns what the pages have said in the console so far.
func (b *Tab) Messages() []string {
	b.console.mu.Lock()
	defer b.console.mu.Unlock()
	return slices.Clone(b.console.messages)
}

// Evaluate returns what an expression is worth in the page.
func Evaluate[T any](b *Tab, expression string) T {
	b.t.Helper()
	return Get(b, chromedp.Evaluate[T](expression))
}

// Await evaluates the expression until it is true. While a page gives way to
// the next one an expression may fail: that is not yet true.
func (b *Tab) Await(expression string) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	var failed error
	for {
		value, err := chromedp.Run(ctx, chromedp.Evaluate[bool]("!!("+expression+")"))
		if err == nil && value {
			return
		}
		select {
		case <-ctx.Done():
			b.t.Fatalf("never true in the page: %s (last error: %v)", expression, failed)
		case <-tick.C:
			failed = err
		}
	}
}
