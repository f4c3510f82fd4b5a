package bittorrent

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
)

func TestLayout(t *testing.T) {
	d, _ := describeGolden(t, false)
	block := 0
	for i, f := range d.Files {
		if d.First(i) != block {
			t.Errorf("file %d begins with block %d, want %d", i, d.First(i), block)
		}
		for at := int64(0); at*BlockSize < f.Size; at++ {
			file, in, length := d.Locate(block)
			if want := min(BlockSize, f.Size-at*BlockSize); file != i || int64(in) != at || int64(length) != want {
				t.Errorf("block %d: file %d, block %d, %d bytes; want file %d, block %d, %d bytes", block, file, in, length, i, at, want)
			}
			block++
		}
	}
	if d.Blocks() != block || d.Size() != 65536+100000+70000+16384+1 {
		t.Errorf("%d blocks of %d; %d bytes", d.Blocks(), block, d.Size())
	}

	var got []Span
	for i := range d.PieceCount() {
		got = append(got, d.Piece(i))
	}
	want := []Span{
		{0, 0, 65536, 65536, 0, 4},
		{1, 0, 65536, 65536, 4, 4}, {1, 65536, 34464, 65536, 8, 3},
		{3, 0, 65536, 65536, 11, 4}, {3, 65536, 4464, 65536, 15, 1},
		{4, 0, 16384, 65536, 16, 1},
		{5, 0, 1, 65536, 17, 1},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("pieces %+v", got)
	}
	for block := range d.Blocks() {
		piece, begin := d.PieceOf(block)
		if p := d.Piece(piece); block < p.First || block >= p.First+p.Blocks || begin != int64(block-p.First)*BlockSize {
			t.Errorf("block %d is in piece %d from %d", block, piece, begin)
		}
	}

	single, _ := describeGolden(t, true)
	if p := single.Piece(1); p.Padded != p.Size || p.Size != 34464 {
		t.Errorf("a single file is padded: %+v", p)
	}
}

func TestDescribeRefuses(t *testing.T) {
	root := [32]byte{1}
	file := func(path string) File { return File{Path: strings.Split(path, "/"), Size: 1, Root: root} }
	deep := file(strings.Repeat("a/", maxFolders) + "a")
	for _, test := range []struct {
		title, name string
		files       []File
		single      bool
		pieceLength int64
		pieces      int
		want        string
	}{
		{"no files", "oak", nil, false, 65536, 0, "no files"},
		{"name", "../oak", []File{file("a")}, false, 65536, 1, "slash"},
		{"not sorted", "oak", []File{file("b"), file("a")}, false, 65536, 2, "not sorted"},
		{"twice", "oak", []File{file("a"), file("a")}, false, 65536, 2, "not sorted"},
		{"file and folder", "oak", []File{file("a"), file("a/b")}, false, 65536, 2, "a file and a folder"},
		{"collide", "oak", []File{file("A"), file("a")}, false, 65536, 2, "one on Windows"},
		{"folders collide", "oak", []File{file("A/x"), file("a/y")}, false, 65536, 2, "one on Windows"},
		{"collide further down", "oak", []File{file("a/b/X"), file("a/b/c"), file("a/b/x")}, false, 65536, 3, "one on Windows"},
		{"file and folder collide", "oak", []File{file("A"), file("a/y")}, false, 65536, 2, "one on Windows"},
		{"no path", "oak", []File{{Size: 1, Root: root}}, false, 65536, 1, "no name"},
		{"path of a single", "oak", []File{file("a")}, true, 65536, 1, "one file"},
		{"deep", "oak", []File{deep}, false, 65536, 1, "nested"},
		{"long path", "oak", []File{file(strings.Repeat(strings.Repeat("x", 200)+"/", 20) + "x")}, false, 65536, 1, "path of"},
		{"negative", "oak", []File{{Path: []string{"a"}, Size: -1, Root: root}}, false, 65536, 0, "size"},
		{"huge", "oak", []File{{Path: []string{"a"}, Size: MaxSize + 1, Root: root}}, false, 65536, 0, "size"},
		{"huge together", "oak", []File{{Path: []string{"a"}, Size: MaxSize, Root: root}, file("b")}, false, 65536, 0, "more than"},
		{"no root", "oak", []File{{Path: []string{"a"}, Size: 1}}, false, 65536, 1, "root"},
		{"root of nothing", "oak", []File{{Path: []string{"a"}, Root: root}}, false, 65536, 0, "root"},
		{"piece length", "oak", []File{file("a")}, false, 65535, 1, "power of two"},
		{"no piece length", "oak", []File{file("a")}, false, 0, 1, "power of two"},
		{"short pieces", "oak", []File{file("a")}, false, 8192, 1, "power of two"},
		{"long pieces", "oak", []File{file("a")}, false, 1 << 31, 1, "power of two"},
		{"pieces", "oak", []File{file("a")}, false, 65536, 2, "hashes of pieces"},
	} {
		_, err := Describe(test.name, test.files, test.single, test.pieceLength, make([]byte, 20*test.pieces))
		if !errors.Is(err, ErrInvalid) || !strings.Contains(fmt.Sprint(err), test.want) {
			t.Errorf("%s: %v", test.title, err)
		}
	}
}

func TestDescribeAndParse(t *testing.T) {
	file := func(path string, size int64) File {
		return File{Path: strings.Split(path, "/"), Size: size, Root: [32]byte{byte(size), byte(size >> 8), byte(size >> 16)}}
	}
	for _, test := range []struct {
		title  string
		name   string
		files  []File
		single bool
	}{
		{"empty file", "a", []File{{}}, true},
		{"folder of an empty file", "a", []File{file("a", 0)}, false},
		{"folder of a file of its name", "oak", []File{file("oak", 70000)}, false},
		{"same folders under another", "oak", []File{file("a/b/c", 1), file("a/c", 2), file("b/a", 3), file("b/b/c", 4)}, false},
		{"names from everywhere", "Äpfel", []File{file("naïve", 1), file("ÉTÉ", 2), file("日本語", 3)}, false},
		{"whole pieces", "oak", []File{file("a", 65536), file("b", 131072)}, false},
	} {
		pieces := 0
		for _, f := range test.files {
			pieces += parts(f.Size, 65536)
		}
		d, err := Describe(test.name, test.files, test.single, 65536, make([]byte, 20*pieces))
		if err != nil {
			t.Errorf("%s: %v", test.title, err)
			continue
		}
		if got, err := ParseDescription(d.Raw); !reflect.DeepEqual(got, d) || err != nil {
			t.Errorf("%s: %+v, %v; want %+v", test.title, got, err, d)
		}
	}
}

// tree is a description of version 2 only with that file tree.
func tree(text string) string {
	return "d9:file tree" + text + "12:meta versioni2e4:name3:oak12:piece lengthi65536ee"
}

func leaf(name string) string {
	return fmt.Sprintf("%d:%sd0:d6:lengthi1e11:pieces root32:%032dee", len(name), name, 7)
}

func TestParseDescriptionRefuses(t *testing.T) {
	folder, _ := describeGolden(t, false)
	file, _ := describeGolden(t, true)
	changed := func(d *Description, old, new string) string {
		if strings.Count(string(d.Raw), old) == 0 {
			t.Fatalf("%q is not there", old)
		}
		return strings.Replace(string(d.Raw), old, new, 1)
	}
	for _, test := range []struct{ title, in, want string }{
		{"nothing", "", "ends"},
		{"a list", "le", "dictionary"},
		{"empty", "de", "meta version"},
		{"keys out of order", "d1:bi1e1:ai1ee", "after"},
		{"key twice", "d1:ai1e1:ai1ee", "after"},
		{"version 3", changed(folder, "versioni2e", "versioni3e"), "version 3"},
		{"negative piece length", changed(folder, "lengthi65536e6:pieces", "lengthi-65536e6:pieces"), "power of two"},
		{"huge number", changed(folder, "lengthi65536e6:pieces", "lengthi99999999999999999999e6:pieces"), "too large"},
		{"odd piece length", changed(folder, "lengthi65536e6:pieces", "lengthi65537e6:pieces"), "power of two"},
		{"name", changed(folder, "4:name3:oak", "4:name3:NUL"), "reserved"},
		{"no name", changed(folder, "4:name3:oak", ""), "name is missing"},
		{"large", strings.Repeat("x", MaxDescription+1), "at most"},

		{"no files", tree("de"), "is empty"},
		{"empty folder", tree("d1:adee"), "is empty"},
		{"root is a file", tree("d0:d6:lengthi0eee"), "is empty"},
		{"up", tree("d" + leaf("..") + "e"), "another folder"},
		{"here", tree("d" + leaf(".") + "e"), "another folder"},
		{"absolute", tree("d" + leaf("/etc") + "e"), "slash"},
		{"slash", tree("d" + leaf("a/../../b") + "e"), "slash"},
		{"backslash", tree("d" + leaf(`a\b`) + "e"), "slash"},
		{"NUL", tree("d" + leaf("a\x00b") + "e"), "control"},
		{"newline", tree("d" + leaf("a\nb") + "e"), "control"},
		{"not UTF-8", tree("d" + leaf("a\xffb") + "e"), "UTF-8"},
		{"trailing dot", tree("d" + leaf("a.") + "e"), "dot or space"},
		{"trailing space", tree("d" + leaf("a ") + "e"), "dot or space"},
		{"device", tree("d" + leaf("com1.txt") + "e"), "reserved"},
		{"stream", tree("d" + leaf("a:b") + "e"), "Windows"},
		{"device folder", tree("d3:auxd" + leaf("a") + "ee"), "reserved"},
		{"case", tree("d" + leaf("A") + leaf("a") + "e"), "one on Windows"},
		{"case of folders", tree("d1:Ad" + leaf("x") + "e1:ad" + leaf("y") + "ee"), "one on Windows"},
		{"sharp s", tree("d" + leaf("strasse") + leaf("straße") + "e"), "one on Windows"},
		{"composed", tree("d" + leaf("e\u0301") + leaf("\u00e9") + "e"), "one on Windows"},
		{"file and folder", tree("d1:ad0:d6:lengthi0ee" + leaf("b") + "ee"), "a file and a folder"},
		{"not sorted", tree("d" + leaf("b") + leaf("a") + "e"), "after"},
		{"twice", tree("d" + leaf("a") + leaf("a") + "e"), "after"},
		{"no length", tree("d1:ad0:deee"), "length"},
		{"negative", tree("d1:ad0:d6:lengthi-1eeee"), "-1"},
		{"huge", tree("d1:ad0:d6:lengthi9223372036854775807e11:pieces root32:" + strings.Repeat("x", 32) + "eee"), "between"},
		{"root missing", tree("d1:ad0:d6:lengthi1eeee"), "pieces root"},
		{"root of nothing", tree("d1:ad0:d6:lengthi0e11:pieces root32:" + strings.Repeat("x", 32) + "eee"), "pieces root"},
		{"root too short", tree("d1:ad0:d6:lengthi1e11:pieces root3:abceee"), "hash of 3 bytes"},
		{"root of zeros", tree("d1:ad0:d6:lengthi1e11:pieces root32:" + strings.Repeat("\x00", 32) + "eee"), "is zero"},
		{"a root with two sizes", tree("d" + leaf("a") + strings.Replace(leaf("b"), "i1e", "i2e", 1) + "e"), "have one root"},
		{"link", tree("d1:ad0:d6:lengthi0e12:symlink pathl1:beeee"), "symbolic"},
		{"deep", tree(strings.Repeat("d1:a", 2000) + "de" + strings.Repeat("e", 2000)), "nested"},

		{"pieces alone", "d6:pieces0:e", "version 1 only"},
		{"pieces too few", changed(file, "6:pieces40:", "6:pieces39:"), ""},
		{"file and folder in version 1", changed(file, "6:lengthi100000e12:", "5:filesle6:lengthi100000e12:"), "a file and a folder"},
		{"other length", changed(file, "6:lengthi100000e12:", "6:lengthi100001e12:"), "not what the file tree has"},
		{"other name", changed(file, "4:name5:a.txt", "4:name5:b.txt"), "not what the file tree has"},
		{"no length of version 1", changed(file, "6:lengthi100000e12:", "12:"), "length is missing"},
		{"other size", changed(folder, "d6:lengthi70000e4:path", "d6:lengthi70001e4:path"), "70001"},
		{"other file", changed(folder, "4:pathl1:Ze", "4:pathl1:Ye"), "another file"},
		{"shorter path", changed(folder, "4:pathl3:sub5:b.bine", "4:pathl3:sube"), "another file"},
		{"longer path", changed(folder, "4:pathl1:Ze", "4:pathl1:Z1:Ze"), "another file"},
		{"no path", changed(folder, "4:pathl1:Ze", ""), "another file"},
		{"a file less", changed(folder, "d6:lengthi0e4:pathl5:emptyee", ""), "another file"},
		{"the last file less", changed(folder, "d6:lengthi1e4:pathl5:z.endee", ""), "pad file"},
		{"the last files less", changed(folder, "d6:lengthi1e4:pathl5:z.endeed4:attr1:p6:lengthi65535e4:pathl4:.pad5:65535ee", ""), "5 files"},
		{"a file more", changed(folder, "4:pathl4:.pad5:65535ee", "4:pathl4:.pad5:65535eed6:lengthi0e4:pathl1:xee"), "more files"},
		{"no pad file", changed(folder, "d4:attr1:p6:lengthi31072e4:pathl4:.pad5:31072ee", ""), "does not begin with a piece"},
		{"shorter pad file", changed(folder, "d4:attr1:p6:lengthi31072e", "d4:attr1:p6:lengthi31071e"), "pad file"},
		{"pad file where none is due", changed(folder, "d4:attr1:p6:lengthi31072e", "d4:attr1:p6:lengthi65536ed4:attr1:p6:lengthi31072e"), ""},
		{"link in version 1", changed(folder, "d6:lengthi0e4:pathl5:emptyee", "d6:lengthi0e4:pathl5:emptye12:symlink pathl1:aee"), "symbolic"},
	} {
		_, err := ParseDescription([]byte(test.in))
		if !errors.Is(err, ErrInvalid) || !strings.Contains(fmt.Sprint(err), test.want) {
			t.Errorf("%s: %v", test.title, err)
		}
	}
}

func TestParseDescriptionAccepts(t *testing.T) {
	folder, _ := describeGolden(t, false)
	for title, in := range map[string]string{
		"a last file without padding": strings.Replace(string(folder.Raw), "d4:attr1:p6:lengthi65535e4:pathl4:.pad5:65535ee", "", 1),
		"pad files without a path":    strings.Replace(string(folder.Raw), "e4:pathl4:.pad5:65535e", "e", 1),
		"unknown keys":                strings.Replace(string(folder.Raw), "12:piece length", "4:news9:something12:piece length", 1),
		"an executable":               strings.Replace(string(folder.Raw), "5:emptyd0:d6:", "5:emptyd0:d4:attr1:x6:", 1),
		"case in different folders":   tree("d1:Ad" + leaf("x") + "e1:bd" + leaf("A") + leaf("X") + "ee"),
	} {
		d, err := ParseDescription([]byte(in))
		if err != nil {
			t.Errorf("%s: %v", title, err)
			continue
		}
		if string(d.Raw) != in || d.ID() == folder.ID() {
			t.Errorf("%s: not kept as it was", title)
		}
	}
	bare, err := ParseDescription([]byte(strings.Replace(string(folder.Raw), "d4:attr1:p6:lengthi65535e4:pathl4:.pad5:65535ee", "", 1)))
	if err != nil || bare.Piece(6).Padded != 1 || bare.Piece(5).Padded != 65536 {
		t.Errorf("last pieces %+v, %+v, %v", bare.Piece(5), bare.Piece(6), err)
	}
}

func TestTooManyFiles(t *testing.T) {
	var b strings.Builder
	b.WriteByte('d')
	for i := range MaxFiles + 1 {
		fmt.Fprintf(&b, "7:%07dd0:d6:lengthi0eee", i)
	}
	b.WriteByte('e')
	if _, err := ParseDescription([]byte(tree(b.String()))); !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), "more than") {
		t.Error(err)
	}
}

func FuzzParseDescription(f *testing.F) {
	for _, single := range []bool{false, true} {
		d, _ := describeGolden(f, single)
		f.Add(d.Raw)
	}
	f.Add([]byte(tree("d" + leaf("a") + "1:bd" + leaf("c") + "ee")))
	f.Fuzz(func(t *testing.T, raw []byte) {
		d, err := ParseDescription(raw)
		if err != nil {
			if !errors.Is(err, ErrInvalid) {
				t.Fatal(err)
			}
			return
		}
		for _, file := range d.Files {
			for _, name := range file.Path {
				if err := CheckName(name); err != nil {
					t.Fatal(err)
				}
			}
		}
		if err := d.checkFiles(); err != nil { // the rules for what we make are no others
			t.Fatal(err)
		}
		if n := d.Blocks(); n > 0 {
			if file, at, length := d.Locate(n - 1); d.First(file)+at != n-1 || length < 1 || length > BlockSize {
				t.Fatalf("last block %d: file %d, block %d, %d bytes", n-1, file, at, length)
			}
			last := d.Piece(d.PieceCount() - 1)
			if last.First+last.Blocks != n || last.Padded < last.Size || last.Padded > d.PieceLength {
				t.Fatalf("last piece %+v of %d blocks", last, n)
			}
		}
		if d.Hybrid {
			again, err := Describe(d.Name, d.Files, d.Single, d.PieceLength, d.Pieces)
			if err != nil {
				t.Fatal(err)
			}
			if parsed, err := ParseDescription(again.Raw); err != nil || len(parsed.Files) != len(d.Files) {
				t.Fatalf("%q: %v", again.Raw, err)
			}
		}
	})
}
