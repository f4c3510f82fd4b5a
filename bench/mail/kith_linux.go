package main

import (
	"context"
	"fmt"

	"kith.alt/kith/bench/harness"
)

const (
	persons  = 21 // on a host
	idleEach = 50 // idle connections of one of them; a node has 64 at most
)

// people names a person.
func people(n int) string {
	if n == 0 {
		return "ann"
	}
	return fmt.Sprintf("person%d", n)
}

// kithSide is a node.
type kithSide struct {
	node      *harness.Node
	at        map[string]string // listeners by protocol
	passwords []string
}

func startKith(ctx context.Context, b *harness.Bench) (*kithSide, error) {
	node, err := b.Start(ctx, "maple")
	if err != nil {
		return nil, err
	}
	k := &kithSide{node: node, at: make(map[string]string)}
	for person := range persons {
		if err := node.AddAccount(ctx, people(person)); err != nil {
			return nil, err
		}
		password, err := node.AddAppPassword(ctx, people(person), "bench")
		if err != nil {
			return nil, err
		}
		k.passwords = append(k.passwords, password.Secret)
	}
	for _, protocol := range []string{"submission", "imap"} {
		if k.at[protocol], err = node.Listener(ctx, protocol); err != nil {
			return nil, err
		}
	}
	return k, nil
}

func (k *kithSide) name() string                       { return "kith" }
func (k *kithSide) smtp() string                       { return k.at["submission"] }
func (k *kithSide) imap() string                       { return k.at["imap"] }
func (k *kithSide) credentials(n int) (string, string) { return people(n), k.passwords[n] }
func (k *kithSide) recipient() string                  { return "ann@localhost" }
func (k *kithSide) signsIn() bool                      { return true }
func (k *kithSide) processes() ([]int, error)          { return []int{k.node.PID}, nil }
