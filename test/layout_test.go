package test

import (
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const module = "kith.alt/kith"

type goPackage struct {
	ImportPath   string
	Doc          string
	Standard     bool
	Imports      []string
	TestImports  []string
	XTestImports []string
}

func packages(t *testing.T) []goPackage {
	t.Helper()
	out, err := exec.Command("go", "list", "-json=ImportPath,Doc,Imports,TestImports,XTestImports", module+"/...").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var list []goPackage
	for dec := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p goPackage
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return list
		} else if err != nil {
			t.Fatal(err)
		}
		list = append(list, p)
	}
}

// TestImports compares every import with the tables in docs/architecture.md.
func TestImports(t *testing.T) {
	text, err := os.ReadFile("../docs/architecture.md")
	if err != nil {
		t.Fatal(err)
	}
	layers := tableRows(string(text), "| package | may import from kith |")
	doors := tableRows(string(text), "| module | only in |")
	_, sentence, _ := strings.Cut(string(text), "Tests inside a package may import")
	sentence, _, _ = strings.Cut(sentence, "\n\n")
	tests := []string{"", sentence}
	if len(layers) < 10 || len(doors) == 0 {
		t.Fatalf("docs/architecture.md: %d layers, %d doors: the tables are not where this test looks", len(layers), len(doors))
	}
	for _, p := range packages(t) {
		self := short(p.ImportPath)
		row := rowOf(layers, self)
		if row == nil {
			t.Errorf("%s has no row in docs/architecture.md", self)
			continue
		}
		for _, imported := range p.Imports {
			switch {
			case isKith(imported):
				if name := short(imported); !mayImport(row, self, name) {
					t.Errorf("%s imports %s, which its row in docs/architecture.md does not allow", self, name)
				}
			case isOutside(imported):
				if row[2] == "standard library only" {
					t.Errorf("%s imports %s; its row says standard library only", self, imported)
				}
				for _, door := range doors {
					if only := unquote(door[1]); within(imported, unquote(door[0])) && self != only && !strings.HasPrefix(self, "bench") {
						t.Errorf("%s imports %s, which stands behind %s", self, imported, only)
					}
				}
			}
		}
		for _, imported := range slices.Concat(p.TestImports, p.XTestImports) {
			name := short(imported)
			if isKith(imported) && name != self && !mayImport(row, self, name) && !mayImport(tests, self, name) {
				t.Errorf("tests of %s import %s, which docs/architecture.md does not allow", self, name)
			}
		}
	}
}

// TestPackageDocs holds every package to one comment that says what it is.
func TestPackageDocs(t *testing.T) {
	for _, p := range packages(t) {
		if p.Doc == "" {
			t.Errorf("%s has no package comment", short(p.ImportPath))
		}
	}
}

func tableRows(text, header string) [][]string {
	_, rest, ok := strings.Cut(text, header)
	if !ok {
		return nil
	}
	var rows [][]string
	lines := strings.Split(rest, "\n")
	for _, line := range lines[min(2, len(lines)):] { // the header's end and the rule
		if !strings.HasPrefix(line, "|") {
			break
		}
		cells := strings.Split(strings.Trim(line, "| "), "|")
		for i := range cells {
			cells[i] = strings.TrimSpace(cells[i])
		}
		rows = append(rows, cells)
	}
	return rows
}

// rowOf finds the row whose pattern is the longest that matches name.
func rowOf(rows [][]string, name string) []string {
	var best []string
	for _, row := range rows {
		pattern := unquote(row[0])
		if matches(pattern, name) && (best == nil || len(pattern) > len(unquote(best[0])) ||
			len(pattern) == len(unquote(best[0])) && pattern == name) {
			best = row
		}
	}
	return best
}

var quoted = regexp.MustCompile("`([^`]+)`")

func mayImport(row []string, self, imported string) bool {
	if row[1] == "everything" || strings.HasPrefix(imported, self+"/") {
		return true
	}
	for _, m := range quoted.FindAllStringSubmatch(row[1], -1) {
		if matches(m[1], imported) {
			return true
		}
	}
	return false
}

// matches reports whether name is pattern, or below it: "gateway" matches
// gateway/loopback, "proto/*" matches proto/socks.
func matches(pattern, name string) bool {
	if pattern == "kith" {
		return name == "kith"
	}
	return within(name, strings.TrimSuffix(pattern, "/*"))
}

func within(name, root string) bool { return name == root || strings.HasPrefix(name, root+"/") }

func isKith(p string) bool { return within(p, module) }

func isOutside(p string) bool {
	first, _, _ := strings.Cut(p, "/")
	return strings.Contains(first, ".") && !isKith(p)
}

func short(importPath string) string {
	if importPath == module {
		return "kith"
	}
	return path.Clean(strings.TrimPrefix(importPath, module+"/"))
}

func unquote(cell string) string { return strings.Trim(cell, "`") }

// TestRFCs compares the citations in code with the table in docs/rfc.md.
func TestRFCs(t *testing.T) {
	text, err := os.ReadFile("../docs/rfc.md")
	if err != nil {
		t.Fatal(err)
	}
	listed := make(map[string]string) // number: folders
	for _, row := range tableRows(string(text), "| RFC | title |") {
		if len(row) != 4 {
			t.Fatalf("docs/rfc.md: row %q has not four cells", row)
		}
		listed[row[0]] = row[3]
	}
	cited := make(map[string][]string)
	out, err := exec.Command("git", "-C", "..", "grep", "--untracked", "-oE", `RFC ?[0-9]+`, "--", "*.go").Output()
	if err != nil {
		t.Fatalf("git grep: %v", err)
	}
	for line := range strings.Lines(string(out)) {
		file, match, _ := strings.Cut(strings.TrimSpace(line), ":")
		number := strings.TrimSpace(strings.TrimPrefix(match, "RFC"))
		if folder := path.Dir(file); !slices.Contains(cited[number], folder) {
			cited[number] = append(cited[number], folder)
		}
	}
	for number, folders := range cited {
		for _, folder := range folders {
			if folder == "." {
				folder = "kith"
			}
			if !slices.Contains(splitCell(listed[number]), folder) {
				t.Errorf("%s cites RFC %s, which docs/rfc.md does not list for it", folder, number)
			}
		}
	}
	for number, cell := range listed {
		for _, folder := range splitCell(cell) {
			if folder == "kith" {
				folder = "."
			}
			if !slices.Contains(cited[number], folder) {
				t.Errorf("docs/rfc.md lists RFC %s for %s, which does not cite it", number, folder)
			}
		}
	}
}

func splitCell(cell string) []string {
	return strings.FieldsFunc(cell, func(r rune) bool { return r == ' ' || r == ',' || r == '`' })
}
