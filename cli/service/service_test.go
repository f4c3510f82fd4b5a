package service

import (
	"encoding/json"
	"encoding/xml"
	"errors"
	"flag"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"kith.alt/kith"
)

var update = flag.Bool("update", false, "write the golden files")

var configs = []Config{
	{GOOS: "linux", Executable: "/home/ada/go/bin/kith", Args: []string{"up", "--data", "/home/ada/50% of $HOME/\"kith\""}, Home: "/home/ada"},
	{GOOS: "darwin", Executable: "/Users/ada/go/bin/kith", Args: []string{"up", "--data", "/Users/ada/Tom & Ada/kith"}, Home: "/Users/ada", UID: 501},
	{GOOS: "windows", Executable: `C:\Users\Ada L\go\bin\kith.exe`, Args: []string{"up", "--data", `C:\Users\Ada L\kith\`}, Temp: `C:\Temp`, User: `HOUSE\Ada`},
}

func TestPlans(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("the golden files have the paths of other systems")
	}
	for _, c := range configs {
		for _, plan := range []struct {
			name string
			make func(Config) (Plan, error)
		}{{"install", Install}, {"remove", Remove}, {"status", Status}} {
			t.Run(c.GOOS+" "+plan.name, func(t *testing.T) {
				p, err := plan.make(c)
				if err != nil {
					t.Fatal(err)
				}
				golden := filepath.Join("testdata", c.GOOS+"-"+plan.name+".txt")
				if *update {
					if err := os.WriteFile(golden, []byte(p.String()), 0o644); err != nil {
						t.Fatal(err)
					}
				}
				want, err := os.ReadFile(golden)
				if err != nil {
					t.Fatal(err)
				}
				if p.String() != string(want) {
					t.Errorf("got:\n%s\nwant %s:\n%s", p, golden, want)
				}
				for _, f := range p.Write {
					if strings.HasSuffix(f.Path, ".service") {
						continue
					}
					dec := xml.NewDecoder(strings.NewReader(f.Content))
					dec.CharsetReader = func(_ string, in io.Reader) (io.Reader, error) { return in, nil }
					for {
						if _, err := dec.Token(); errors.Is(err, io.EOF) {
							break
						} else if err != nil {
							t.Fatalf("not XML: %v", err)
						}
					}
				}
				if _, err := json.Marshal(p); err != nil {
					t.Error(err)
				}
			})
		}
	}
}

func TestRefused(t *testing.T) {
	if _, err := Install(Config{GOOS: "plan9", Executable: "/bin/kith"}); !errors.Is(err, kith.NotFound) {
		t.Errorf("plan9: %v", err)
	}
	c := configs[0]
	c.Args = []string{"up", "--data", "/a\nExecStart=/bin/evil"}
	if _, err := Install(c); !errors.Is(err, kith.Invalid) {
		t.Errorf("line break: %v", err)
	}
}

func TestQuoteWindows(t *testing.T) {
	for word, want := range map[string]string{
		``:               `""`,
		`up`:             `up`,
		`C:\a\`:          `C:\a\`,
		`C:\a b\`:        `"C:\a b\\"`,
		`say "hi"`:       `"say \"hi\""`,
		`a b\"c`:         `"a b\\\"c"`,
		`C:\Program F\x`: `"C:\Program F\x"`,
	} {
		if got := quoteWindows(word); got != want {
			t.Errorf("%s: %s, want %s", word, got, want)
		}
	}
}

// TestCarry carries plans out with commands that every system has.
func TestCarry(t *testing.T) {
	dir := t.TempDir()
	file, task := filepath.Join(dir, "a", "b"), filepath.Join(dir, "task.xml")
	p := Plan{
		Write:  []File{{Path: file, Content: "x\n"}, {Path: task, Content: "é\n", UTF16: true}},
		Run:    [][]string{{"go", "version"}},
		Delete: []string{filepath.Join(dir, "missing")},
	}
	var out strings.Builder
	if err := p.Carry(t.Context(), &out); err != nil || !strings.HasPrefix(out.String(), "go version") {
		t.Fatalf("%v: %s", err, &out)
	}
	if text, err := os.ReadFile(task); err != nil || string(text) != "\xff\xfe\xe9\x00\r\x00\n\x00" {
		t.Errorf("UTF-16: %q, %v", text, err)
	}
	p = Plan{Run: [][]string{{"go", "no-such-command"}, {"go", "version"}}, Delete: []string{file}}
	if err := p.Carry(t.Context(), &out); err == nil || !strings.Contains(err.Error(), "go no-such-command") {
		t.Errorf("a command that fails: %v", err)
	}
	if _, err := os.Stat(file); !os.IsNotExist(err) {
		t.Errorf("the file is left: %v", err)
	}
}
