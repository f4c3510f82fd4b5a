package main

import (
	"cmp"
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// A kind of work, by the names of its functions.
type work struct {
	name  string
	parts []string // of a function's name
}

var works = []work{
	{"system calls", []string{"Syscall6", "syscall.rawVforkSyscall"}},
	{"SHA-256 (blocks)", []string{"sha256"}},
	{"SHA-1 (pieces, when it is shared)", []string{"sha1."}},
	{"AES (TLS)", []string{"aes", "gcm", "chacha20"}},
	{"copies", []string{"memmove", "memclr"}},
	{"wake-ups", []string{"futex", "runtime.findRunnable", "runtime.schedule", "runtime.netpoll", "runtime.usleep", "runtime.lock", "runtime.unlock", "procyield", "runtime.stealWork", "runtime.wakep", "runtime.mcall", "runtime.park", "runtime.ready", "runtime.runqgrab", "runtime.selectgo", "runtime.casgstatus"}},
	{"memory", []string{"runtime.malloc", "runtime.scan", "runtime.gc", "runtime.sweep", "runtime.mark", "runtime.greyobject", "runtime.(*mspan)", "runtime.(*mheap)", "runtime.(*mcache)", "runtime.(*mcentral)"}},
	{"all else", []string{""}},
}

// A sample is a function's share of the processor time of a profile.
type sample struct {
	function string
	share    float64 // per cent
}

// explain shows what the processors did at either end, where there are profiles.
func explain(legs []leg) error {
	for _, l := range legs {
		for _, path := range l.profiles {
			out, err := exec.Command("go", "tool", "pprof", "-top", "-nodefraction=0", "-nodecount=100000", path+".cpu").Output()
			if err != nil {
				return fmt.Errorf("profile %s: %w", path, err)
			}
			samples := parseTop(string(out))
			fmt.Printf("\n%s, from its start to its end (%s.cpu):", filepath.Base(path), path)
			for i, share := range sumUp(samples) {
				if share >= 0.5 {
					fmt.Printf(" %s %.0f %%;", works[i].name, share)
				}
			}
			fmt.Print(" most of all")
			for _, s := range samples[:min(len(samples), 6)] {
				fmt.Printf(" %s %.0f %%", s.function, s.share)
			}
			fmt.Println(".")
		}
	}
	return nil
}

// parseTop reads what "go tool pprof -top" prints: a line for each function, with the
// time spent in it and the share of that, a running sum, and the same with
// what it calls.
func parseTop(text string) (list []sample) {
	head := false
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		switch {
		case len(fields) >= 5 && fields[0] == "flat" && fields[1] == "flat%":
			head = true
		case head && len(fields) >= 6:
			share, err := strconv.ParseFloat(strings.TrimSuffix(fields[1], "%"), 64)
			if err != nil {
				continue
			}
			list = append(list, sample{strings.TrimSuffix(strings.Join(fields[5:], " "), " (inline)"), share})
		}
	}
	slices.SortStableFunc(list, func(a, b sample) int { return cmp.Compare(b.share, a.share) })
	return list
}

// sumUp is the share of each of works.
func sumUp(samples []sample) []float64 {
	shares := make([]float64, len(works))
	for _, s := range samples {
		kind := slices.IndexFunc(works, func(w work) bool {
			return slices.ContainsFunc(w.parts, func(part string) bool { return strings.Contains(s.function, part) })
		})
		shares[kind] += s.share
	}
	return shares
}
