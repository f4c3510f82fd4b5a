// Package browser opens a headless Chromium for a test: a profile of its own,
// no traffic of its own, gone with the test.
package browser

import (
	"context"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"kith.alt/kith/kithtest/require"
)

// patience is how long a step may take on a busy machine.
const patience = 30 * time.Second

// A Tab is a page of a Chromium. Its methods end the test when they fail.
type Tab struct {
	t   testing.TB
	ctx context.Context
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
	return &Tab{t: t, ctx: ctx}
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

// Load goes to an address and waits for the page.
func (b *Tab) Load(address string) {
	b.t.Helper()
	b.Do(chromedp.Navigate(address), chromedp.WaitReady("body"))
}

// Evaluate returns what an expression is worth in the page.
func Evaluate[T any](b *Tab, expression string) T {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	result, err := chromedp.Run(ctx, chromedp.Evaluate[T](expression))
	if err != nil {
		b.t.Fatal(err)
	}
	return result
}

// Await evaluates the expression until it is true.
func (b *Tab) Await(expression string) {
	b.t.Helper()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); <-tick.C {
		if Evaluate[bool](b, "!!("+expression+")") {
			return
		}
	}
	b.t.Fatalf("never true in the page: %s", expression)
}
