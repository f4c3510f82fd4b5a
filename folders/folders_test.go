package folders

import (
	"os"
	"path/filepath"
	"testing"
)

func TestHoldsHome(t *testing.T) {
	top := t.TempDir()
	home := filepath.Join(top, "home", "ada")
	if err := os.MkdirAll(filepath.Join(home, "photos"), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("HOME", home)
	t.Setenv("USERPROFILE", home)
	link := filepath.Join(top, "link")
	if err := os.Symlink(filepath.Dir(home), link); err != nil {
		t.Skip("the system lets nobody make links: ", err)
	}
	for dir, want := range map[string]bool{
		home: true, filepath.Dir(home): true, top: true, string(filepath.Separator): true, link: true,
		filepath.Join(home, "photos"): false, filepath.Join(top, "nowhere"): false, t.TempDir(): false,
	} {
		if got := HoldsHome(dir); got != want {
			t.Errorf("%s: %v, want %v", dir, got, want)
		}
	}
}

func TestExpand(t *testing.T) {
	home := t.TempDir()
	t.Setenv("HOME", home)
	t.Setenv("USERPROFILE", home)
	for path, want := range map[string]string{"~": home, " ~/a ": home + "/a", "~ada/x": "~ada/x", "/a/~": "/a/~", "": ""} {
		if got := Expand(path); got != want {
			t.Errorf("%q: %q, want %q", path, got, want)
		}
	}
}

func TestFree(t *testing.T) {
	if free, err := Free(t.TempDir()); err != nil || free <= 0 {
		t.Errorf("%d, %v", free, err)
	}
	if _, err := Free(filepath.Join(t.TempDir(), "nowhere")); err == nil {
		t.Error("there is room in a folder that is not there")
	}
}
