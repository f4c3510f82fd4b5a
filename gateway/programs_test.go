package gateway

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"time"

	"kith.alt/kith/kithtest/require"
)

// TestCurl has curl fetch a site in every way that the gateway offers.
func TestCurl(t *testing.T) {
	curl := require.Tool(t, "curl")
	large := make([]byte, 5<<20)
	rand.NewChaCha8([32]byte{}).Read(large)
	site := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/large":
			http.ServeContent(w, r, "x.bin", time.Unix(1e9, 0), bytes.NewReader(large))
		case "/there":
			http.Redirect(w, r, "http://"+r.Host+"/large", http.StatusFound)
		default:
			fmt.Fprint(w, r.Host)
		}
	})
	g := newGroup()
	g.site(t, "maple", 80, site)
	g.site(t, "maple", 3000, site)
	g.name("quiet")
	r := start(t, g, nil)
	const name = "maple.home.kith.alt"
	for _, test := range []struct {
		args string
		want string // what is printed, "large", or curl's exit status
	}{
		{"WEB/large", "large"},
		{"-L WEB/there", "large"},
		{"WEB/", name},
		{"--socks5-hostname PROXY http://" + name + "/large", "large"},
		{"--socks5-hostname PROXY -L http://" + name + "/there", "large"},
		{"--socks5-hostname PROXY http://maple/", name},
		{"--socks5-hostname PROXY http://maple:3000/", "maple:3000"},
		{"--proxy http://PROXY http://" + name + "/large", "large"},
		{"--proxy http://PROXY -L http://" + name + "/there", "large"},
		{"--proxy http://PROXY -p http://" + name + "/large", "large"},
		{"--proxy http://PROXY -p http://maple/", name},
		{"--proxy http://PROXY -p http://maple:3000/", "maple:3000"},
		{"--proxy http://PROXY -A Mozilla/5.0 -L --noproxy localhost,.localhost http://maple/", name},
		{"--socks5-hostname PROXY http://quiet/", "exit status 97"},
		{"--socks5-hostname PROXY http://nobody/", "exit status 97"},
		{"--socks5-hostname PROXY http://localhost/", "exit status 97"},
		{"--socks5 PROXY http://127.0.0.1/", "exit status 97"},
		{"--socks4 PROXY http://127.0.0.1/", "exit status"},
		{"--proxy http://PROXY -f http://quiet/", "exit status 22"},
		{"--proxy http://PROXY -f http://127.0.0.1/", "exit status 22"},
		{"--proxy http://PROXY -p http://localhost/", "exit status"},
		{"-f http://WEBADDR/", "exit status 22"},
	} {
		args := strings.NewReplacer("WEBADDR", r.web, "WEB", r.origin("maple"), "PROXY", r.proxy).Replace(test.args)
		command := exec.Command(curl, append([]string{"-sS", "--max-time", "30"}, strings.Fields(args)...)...)
		command.Env = []string{"HOME=" + t.TempDir()}
		out, err := command.Output()
		ok := string(out) == test.want
		switch {
		case test.want == "large":
			ok = bytes.Equal(out, large)
		case strings.HasPrefix(test.want, "exit"):
			ok = err != nil && strings.HasPrefix(err.Error(), test.want)
			err = nil
		}
		if !ok || err != nil {
			t.Errorf("curl %s: %.200q, %v; want %s", test.args, out, err, test.want)
		}
	}
}

// TestOtherUser: a program of another user of this computer gets nothing.
func TestOtherUser(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("only Linux tells who connects")
	}
	require.Root(t)
	setpriv, curl := require.Tool(t, "setpriv"), require.Tool(t, "curl")
	g := newGroup()
	g.site(t, "maple", 80, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "secret") }))
	r := start(t, g, nil)
	for _, args := range [][]string{
		{r.origin("maple") + "/"},
		{"--socks5-hostname", r.proxy, "http://maple/"},
		{"--proxy", "http://" + r.proxy, "http://maple/"},
	} {
		args = append([]string{"-s", "--max-time", "30"}, args...)
		if out, err := exec.Command(curl, args...).Output(); err != nil || string(out) != "secret" {
			t.Errorf("the same user: curl %v: %q, %v", args, out, err)
		}
		args = append([]string{"--reuid=65534", "--regid=65534", "--clear-groups", curl}, args...)
		if out, err := exec.Command(setpriv, args...).Output(); err == nil || len(out) > 0 {
			t.Errorf("another user: curl %v: %q, %v", args, out, err)
		}
	}
}
