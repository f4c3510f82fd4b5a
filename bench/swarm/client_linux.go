package main

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
)

// A client is a program that brings a file from one host to others.
type client struct {
	name  string
	lacks func() string // what is not installed, "" if nothing
	share func(*swarm)  // has the seed give the file, and returns when takers may come

	// prepare does on a taker what comes before the clock starts, and settle on all
	// together; take has the taker begin, and returns what reports whether its file is
	// complete. Prepare and take are done again when a taker comes back that was stopped.
	prepare func(*host)
	settle  func(*swarm) // nil: there is nothing to do
	take    func(*host) (complete func() bool)
}

// chosen are the clients to measure, without those that lack something.
func (o options) chosen(all []client) (list []client) {
	for _, c := range all {
		if !strings.Contains(c.name, o.client) {
			continue
		}
		if lacks := c.lacks(); lacks != "" {
			fmt.Fprintf(os.Stderr, "%s is left out: %s\n", c.name, lacks)
			continue
		}
		list = append(list, c)
	}
	return list
}

// programs says which of these is not installed.
func programs(names ...string) func() string {
	return func() string {
		for _, name := range names {
			if _, err := exec.LookPath(name); err != nil {
				return name + " is not installed"
			}
		}
		return ""
	}
}
