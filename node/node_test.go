package node_test

import (
	"testing"

	"kith.alt/kith/kithtest"
)

func TestMeet(t *testing.T) {
	m := kithtest.New(t, "maple", "oak", "elm")
	_ = m
}
