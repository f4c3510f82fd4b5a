package ui

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"strings"
)

// AssetPath is where [Assets] is mounted, with its prefix.
const AssetPath = "/-/"

//go:embed assets
var assetFiles embed.FS

type asset struct {
	address string
	kind    string
	content []byte
}

// assets by name ("kith.css"); never changed.
var assets = readAssets(assetFiles, "assets", func(name string, content []byte) string {
	sum := sha256.Sum256(content)
	ext := path.Ext(name)
	return AssetPath + strings.TrimSuffix(name, ext) + "." + hex.EncodeToString(sum[:6]) + ext
})

// readAssets reads a folder that is part of the program.
func readAssets(files embed.FS, folder string, address func(name string, content []byte) string) map[string]asset {
	all := make(map[string]asset)
	entries, err := files.ReadDir(folder)
	if err != nil {
		panic(err)
	}
	for _, entry := range entries {
		name := entry.Name()
		content, err := files.ReadFile(folder + "/" + name)
		if err != nil {
			panic(err)
		}
		all[name] = asset{address: address(name, content), kind: mediaType(path.Ext(name)), content: content}
	}
	return all
}

// aloneStyle is the style sheet inside pages that refer to nothing.
var aloneStyle = string(assets["kith.css"].content)

func mediaType(ext string) string {
	switch ext { // the host's own table may differ
	case ".css":
		return "text/css; charset=utf-8"
	case ".js":
		return "text/javascript; charset=utf-8"
	case ".svg":
		return "image/svg+xml"
	}
	return mime.TypeByExtension(ext)
}

// Asset returns the address of an embedded file, with its hash in the name.
// It returns "" when there is no such file.
func Asset(name string) string { return assets[name].address }

// Assets serves the embedded files below [AssetPath]. Their names contain
// their hash, so browsers keep them for a year without asking again.
func Assets() http.Handler {
	byAddress := make(map[string]asset, len(assets))
	for _, a := range assets {
		byAddress[a.address] = a
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			w.Header().Set("Allow", "GET, HEAD")
			http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
			return
		}
		a, ok := byAddress[r.URL.Path]
		if !ok {
			http.NotFound(w, r)
			return
		}
		h := w.Header()
		Protect(h)
		h.Set("Content-Type", a.kind)
		h.Set("Cache-Control", "public, max-age=31536000, immutable")
		if r.Method == http.MethodGet {
			_, _ = w.Write(a.content)
		}
	})
}

// A Folder is the style sheets and modules of an application, embedded, for its own pages. It is safe for
// concurrent use.
type Folder struct{ files map[string]asset }

// NewFolder reads the files of a folder, which are served below prefix of the dashboard: the handler of
// "GET /-/{name}" of an application whose pages are at /web/ has the prefix "/web/-/". It panics where there is no such
// folder, as that is part of the program.
func NewFolder(files embed.FS, folder, prefix string) *Folder {
	return &Folder{readAssets(files, folder, func(name string, content []byte) string {
		sum := sha256.Sum256(content)
		return prefix + name + "?" + hex.EncodeToString(sum[:6])
	})}
}

// Asset returns the address of a file, which changes with it, for templates.
func (f *Folder) Asset(name string) (string, error) {
	a, ok := f.files[name]
	if !ok {
		return "", fmt.Errorf("no file %s: %w", name, fs.ErrNotExist)
	}
	return a.address, nil
}

// ServeHTTP serves the file that the request's value "name" names.
func (f *Folder) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a, ok := f.files[r.PathValue("name")]
	if !ok {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", a.kind)
	w.Header().Set("Cache-Control", "private, max-age=31536000, immutable")
	_, _ = w.Write(a.content) // fails where the reader has gone
}
