//go:build !kithnode

package cli

import (
	"errors"

	"kith.alt/kith"
)

func apps() []kith.App { return nil }

func newNode(nodeConfig) (runner, error) { return nil, errors.New("this build has no node") }
