package share

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"kith.alt/kith"
)

// FuzzLinks reads links and magnets: what one says, a link of ours says, too.
func FuzzLinks(f *testing.F) {
	content := kith.ContentID{1}
	f.Add(kith.Link{Content: content, Name: "a b", From: []kith.ID{maple, oak}}.String())
	f.Add("kith:" + content.String() + "?name=%00&from=&x=1")
	f.Add("magnet:?xt=urn:btmh:1220" + strings.Repeat("0f", 32) + "&dn=notes&xt=urn:btih:" + strings.Repeat("0", 40))
	f.Add("magnet:?xt=urn%3Abtmh%3A1220" + strings.Repeat("0F", 32) + "&dn=%ff;&tr=x")
	f.Fuzz(func(t *testing.T, word string) {
		link, ok, err := parseLink(word)
		if !ok || err != nil {
			return
		}
		if len(link.From) > kith.MaxLinkHosts {
			t.Fatalf("%q names %d hosts", word, len(link.From))
		}
		again, err := kith.ParseLink(link.String())
		if err != nil || !reflect.DeepEqual(again, link) {
			t.Errorf("%q is %+v, and then %+v, %v", word, link, again, err)
		}
	})
}

// FuzzAPI asks the API for anything: it answers with JSON, and an error has a kind.
func FuzzAPI(f *testing.F) {
	type request struct{ method, path, body string }
	name := func(word string) string { text, _ := json.Marshal(word); return string(text) }
	host := start(f)
	host.write(f, "notes.txt", "hello")
	entry := host.swarm.Offer(kith.Entry{Host: oak, Title: "Song", Name: "song.ogg", Kind: kith.EntryFiles}, map[string]string{"": "la la"})
	inside := func(path string) string { return name(filepath.Join(host.dir, filepath.Clean("/"+path))) }
	for i := range 14 {
		for _, word := range []string{"", "Song", "notes.txt", linkOf(entry.Content, ""), "oak/Song"} {
			f.Add(byte(i), word, "notes.txt")
		}
	}
	f.Add(byte(5), `{"what":1}`, "")
	f.Add(byte(10), `{"up":-1,"hours":[{"days":"x","from":"25:00"}]}`, "")
	f.Add(byte(13), "x?wait=-1&state=complete", "")
	f.Fuzz(func(t *testing.T, which byte, word, path string) {
		requests := []request{
			{"PUT", "/shares", `{"path":` + inside(path) + `,"title":` + name(word) + `}`},
			{"PUT", "/shares", `{"path":` + inside(path) + `,"follow":true,"work":` + name(word) + `}`},
			{"POST", "/take", `{"to":` + inside(path) + `,"what":` + name(word) + `}`},
			{"POST", "/take", `{"to":` + inside(path) + `,"what":` + name(word) + `,"replace":true,"follow":true}`},
			{"DELETE", "/shares", `{"what":` + name(word) + `}`},
			{"POST", "/pause", word}, {"POST", "/resume", word}, {"POST", "/pin", word},
			{"POST", "/verify", word}, {"POST", "/torrent", word},
			{"PUT", "/limits", word},
			{"POST", "/torrent", `{"what":` + name(word) + `}`},
			{"POST", "/verify", `{"what":` + name(word) + `,"work":` + name(path) + `}`},
			{"GET", "/shares/" + url.PathEscape(word) + "?wait=0&state=" + url.QueryEscape(path), ""},
		}
		in := requests[int(which)%len(requests)]
		r := httptest.NewRequest(in.method, in.path, strings.NewReader(in.body))
		w := httptest.NewRecorder()
		host.Service.API.ServeHTTP(w, r)
		answer := w.Result()
		switch {
		case answer.StatusCode == http.StatusInternalServerError:
			t.Errorf("%+v: %s", in, w.Body)
		case answer.StatusCode == http.StatusOK && !json.Valid(w.Body.Bytes()):
			t.Errorf("%+v: %q is no JSON", in, w.Body)
		}
	})
}
