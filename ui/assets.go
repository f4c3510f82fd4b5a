package ui

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
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
var assets = func() map[string]asset {
	all := make(map[string]asset)
	entries, err := assetFiles.ReadDir("assets")
	if err != nil {
		panic(err) // the files are part of the program
	}
	for _, entry := range entries {
		name := entry.Name()
		content, err := assetFiles.ReadFile("assets/" + name)
		if err != nil {
			panic(err)
		}
		sum := sha256.Sum256(content)
		ext := path.Ext(name)
		all[name] = asset{
			address: AssetPath + strings.TrimSuffix(name, ext) + "." + hex.EncodeToString(sum[:6]) + ext,
			kind:    mediaType(ext),
			content: content,
		}
	}
	return all
}()

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
