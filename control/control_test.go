package control

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"kith.alt/kith"
)

// calls makes every call of Node but those for sockets, which networktest makes.
var calls = []struct {
	asked string
	call  func(context.Context, Node) (any, error)
	want  any
}{
	{"Status[]", func(ctx context.Context, n Node) (any, error) { return n.Status(ctx) }, fakeStatus},
	{"Doctor[]", func(ctx context.Context, n Node) (any, error) { return n.Doctor(ctx) },
		[]Finding{{Level: Problem, What: "w", Cause: "c", Remedy: "r"}}},
	{"Events[]", func(ctx context.Context, n Node) (any, error) { return n.Events(ctx) },
		[]Event{{Time: fakeTime, Text: "oak woke"}}},
	{"Sockets[]", func(ctx context.Context, n Node) (any, error) { return n.Sockets(ctx) },
		[]Socket{{Peer: "oak", Port: 80, By: "web", Opened: fakeTime, Sent: 1 << 60}}},
	{"Ping[oak]", func(ctx context.Context, n Node) (any, error) { return n.Ping(ctx, "oak") },
		Ping{Host: "oak", RTT: 1.5, Path: PathDirect, Carrier: "quic"}},
	{"Trace[oak]", func(ctx context.Context, n Node) (any, error) { return n.Trace(ctx, "oak") },
		Trace{Host: "oak", Hops: []Hop{{Host: "maple"}}, Tried: []Try{{Way: "w", Why: "y"}}}},
	{"Diagnose[oak]", func(ctx context.Context, n Node) (any, error) { return n.Diagnose(ctx, "oak") },
		[]Finding{{Level: Good, What: "w"}}},
	{"Configure[[] true <nil> {true 1 2 3}]", func(ctx context.Context, n Node) (any, error) {
		yes := true
		return nil, n.Configure(ctx, Settings{Public: &[]string{}, Introduce: &yes, Relay: &RelayLimits{true, 1, 2, 3}})
	}, nil},
	{"Stop[]", func(ctx context.Context, n Node) (any, error) { return nil, n.Stop(ctx) }, nil},
	{"Invite[{2 1h0m0s member false}]", func(ctx context.Context, n Node) (any, error) {
		return n.Invite(ctx, InviteRequest{Uses: 2, Expires: time.Hour, Role: "member"})
	}, fakeInvitation},
	{"Join[ticket]", func(ctx context.Context, n Node) (any, error) { return nil, n.Join(ctx, "ticket") }, nil},
	{"Trust[oak]", func(ctx context.Context, n Node) (any, error) { return nil, n.Trust(ctx, "oak") }, nil},
	{"Revoke[oak]", func(ctx context.Context, n Node) (any, error) { return nil, n.Revoke(ctx, "oak") }, nil},
	{"SetAdmin[oak true]", func(ctx context.Context, n Node) (any, error) { return nil, n.SetAdmin(ctx, "oak", true) }, nil},
	{"SetAdmin[oak false]", func(ctx context.Context, n Node) (any, error) { return nil, n.SetAdmin(ctx, "oak", false) }, nil},
	{"Leave[]", func(ctx context.Context, n Node) (any, error) { return nil, n.Leave(ctx) }, nil},
	{"Rename[{elm lab}]", func(ctx context.Context, n Node) (any, error) {
		return nil, n.Rename(ctx, RenameRequest{Host: "elm", Group: "lab"})
	}, nil},
	{"Accounts[]", func(ctx context.Context, n Node) (any, error) { return n.Accounts(ctx) },
		[]Account{{Name: "ada", Password: true, AppPasswords: []AppPassword{fakePassword}}}},
	{"AddAccount[ada]", func(ctx context.Context, n Node) (any, error) { return nil, n.AddAccount(ctx, "ada") }, nil},
	{"AddAppPassword[ada mail]", func(ctx context.Context, n Node) (any, error) {
		return n.AddAppPassword(ctx, "ada", "mail")
	}, fakePassword},
	{"RemoveAppPassword[ada 7]", func(ctx context.Context, n Node) (any, error) {
		return nil, n.RemoveAppPassword(ctx, "ada", "7")
	}, nil},
	{"SetPassword[ada s3cret]", func(ctx context.Context, n Node) (any, error) {
		return nil, n.SetPassword(ctx, "ada", "s3cret")
	}, nil},
	{"SignInLink[ada]", func(ctx context.Context, n Node) (any, error) { return n.SignInLink(ctx, "ada") },
		"http://localhost:8080/sign-in#x"},
	{"Open[mail lan]", func(ctx context.Context, n Node) (any, error) { return nil, n.Open(ctx, "mail", "lan") }, nil},
	{"Certificate[]", func(ctx context.Context, n Node) (any, error) { return n.Certificate(ctx) }, fakeCertificate},
}

// TestCalls: the client's answer and error are the node's own.
func TestCalls(t *testing.T) {
	node := new(fakeNode)
	c := serve(t, node, nil)
	for _, test := range calls {
		t.Run(test.asked, func(t *testing.T) {
			node.err = nil
			got, err := test.call(t.Context(), c)
			if err != nil || !reflect.DeepEqual(got, test.want) {
				t.Errorf("got %+v, error %v; want %+v", got, err, test.want)
			}
			if node.asked != test.asked {
				t.Errorf("the node was asked %s", node.asked)
			}
			node.err = fmt.Errorf("look up oak: %w", kith.NotFound)
			_, err = test.call(t.Context(), c)
			if !errors.Is(err, kith.NotFound) || err.Error() != "look up oak: not found" {
				t.Errorf("error %v, want the node's", err)
			}
		})
	}
}

func TestKindsCross(t *testing.T) {
	node := new(fakeNode)
	c := serve(t, node, nil)
	for _, kind := range []kith.Kind{kith.Invalid, kith.NotFound, kith.Exists, kith.Denied, kith.NotMember, kith.Refused,
		kith.Unreachable, kith.InUse, kith.Expired, kith.Quota, kith.Temporary, "a kind to come"} {
		node.err = fmt.Errorf("leave: %w", kind)
		if err := c.Leave(t.Context()); !errors.Is(err, kind) || err.Error() != node.err.Error() {
			t.Errorf("%v came back as %v", node.err, err)
		}
	}
	node.err = errors.New("disk on fire")
	var kind kith.Kind
	if err := c.Leave(t.Context()); err == nil || err.Error() != "disk on fire" || errors.As(err, &kind) {
		t.Errorf("an error without a kind: %v", err)
	}
}

func TestAPI(t *testing.T) {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /sites", func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		fmt.Fprintf(w, `{"got":%s}`, body)
	})
	mux.HandleFunc("GET /broken", func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "the folder is gone", http.StatusGone)
	})
	c := serve(t, new(fakeNode), map[string]http.Handler{"web": mux})
	var out struct{ Got struct{ Dir string } }
	if err := c.API(t.Context(), "web", "POST", "/sites", map[string]string{"dir": "/g"}, &out); err != nil || out.Got.Dir != "/g" {
		t.Errorf("%+v, %v", out, err)
	}
	if err := c.API(t.Context(), "web", "GET", "/broken", nil, nil); !errors.Is(err, kith.Expired) || err.Error() != "the folder is gone" {
		t.Errorf("an application's error: %v", err)
	}
	if err := c.API(t.Context(), "mail", "GET", "/", nil, nil); !errors.Is(err, kith.NotFound) {
		t.Errorf("an unknown application: %v", err)
	}
}

func TestLimits(t *testing.T) {
	node := new(fakeNode)
	c := serve(t, node, nil)
	if err := c.Join(t.Context(), strings.Repeat("x", kith.MaxRequest)); !errors.Is(err, kith.Quota) {
		t.Errorf("a request of over 1 MiB: %v", err)
	}
	for _, test := range []struct {
		method, path, body string
		want               kith.Kind
	}{
		{"POST", "/v1/fly", "{}", kith.NotFound},
		{"GET", "/v1/status", "", kith.NotFound},
		{"POST", "/v2/status", "{}", kith.NotFound},
		{"POST", "/v1/join", "{", kith.Invalid},
		{"POST", "/v1/join", "{}{}", kith.Invalid},
		{"POST", "/v1/join", `{"ticket":7}`, kith.Invalid},
		{"POST", "/v1/accept", `{"token":"x"}`, kith.NotFound},
	} {
		req, err := http.NewRequest(test.method, "http://kith"+test.path, strings.NewReader(test.body))
		if err != nil {
			t.Fatal(err)
		}
		resp, err := c.http.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		if err := kith.ReadError(resp); !errors.Is(err, test.want) {
			t.Errorf("%s %s %s: %v, want kind %q", test.method, test.path, test.body, err, test.want)
		}
		resp.Body.Close()
	}
	if err := c.call(t.Context(), "join", map[string]string{"ticket": "t", "of a later version": ""}, nil); err != nil {
		t.Errorf("an unknown field: %v", err)
	}
}

func TestMetrics(t *testing.T) {
	c := serve(t, new(fakeNode), nil)
	if err := c.Leave(t.Context()); err != nil {
		t.Fatal(err)
	}
	resp, err := c.http.Get("http://kith/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if want := `kith_control_requests_total{method="leave"} 1`; err != nil || !bytes.Contains(text, []byte(want)) {
		t.Errorf("metrics have no %s: %v\n%s", want, err, text)
	}
}

func TestNotRunning(t *testing.T) {
	dir := t.TempDir()
	check := func(when string) {
		t.Helper()
		if _, err := Dial(t.Context(), dir); !errors.Is(err, ErrNotRunning) || !errors.Is(err, kith.Unreachable) {
			t.Errorf("%s: Dial: %v", when, err)
		}
		c := NewClient(dir)
		if err := c.Leave(t.Context()); !errors.Is(err, ErrNotRunning) {
			t.Errorf("%s: Leave: %v", when, err)
		}
		if _, err := c.Dial(t.Context(), kith.Address{Host: "oak", Port: 80}); !errors.Is(err, ErrNotRunning) {
			t.Errorf("%s: dial: %v", when, err)
		}
	}
	check("never")
	if err := os.WriteFile(filepath.Join(dir, socketFile), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	check("a file without a path")
}

func TestCancel(t *testing.T) {
	release := make(chan struct{})
	c := serve(t, new(fakeNode), map[string]http.Handler{"slow": http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		<-r.Context().Done() // it learns that the caller has gone
		close(release)
	})})
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := c.API(ctx, "slow", "POST", "/", nil, nil); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v, want context.DeadlineExceeded", err)
	}
	<-release
}

// TestStaleSocket: what a killed node left does not stop the next.
func TestStaleSocket(t *testing.T) {
	for _, name := range []string{"short", strings.Repeat("long", 30)} {
		dir := filepath.Join(t.TempDir(), name)
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		killed, err := Listen(dir)
		if err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(dir, socketFile)
		if err := errors.Join(os.Rename(file, file+".left"), killed.Close(), os.Rename(file+".left", file)); err != nil {
			t.Fatal(err)
		}
		if _, err := connect(t.Context(), dir); !errors.Is(err, ErrNotRunning) {
			t.Errorf("%s: connect to what a killed node left: %v", name, err)
		}
		ln, err := Listen(dir)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { ln.Close() })
		if conn, err := connect(t.Context(), dir); err != nil {
			t.Errorf("%s: %v", name, err)
		} else {
			conn.Close()
		}
	}
}

func TestLongPath(t *testing.T) {
	dir := filepath.Join(t.TempDir(), strings.Repeat("d", 120))
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	ln, err := Listen(dir)
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(dir, socketFile))
	if err != nil {
		t.Fatal(err)
	}
	real := strings.TrimSpace(string(text))
	if info, err := os.Stat(filepath.Dir(real)); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("directory of the socket: %v %v", info, err)
	}
	t.Run("serve", func(t *testing.T) {
		node := new(fakeNode)
		serveOn(t, ln, node, nil)
		if err := NewClient(dir).Leave(t.Context()); err != nil || node.asked != "Leave[]" {
			t.Errorf("%v", err)
		}
	})
	for _, path := range []string{real, filepath.Dir(real), filepath.Join(dir, socketFile)} {
		if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s is left: %v", path, err)
		}
	}
}

// TestStatusFields keeps the names that programs read from kith status --json.
func TestStatusFields(t *testing.T) {
	text, err := json.Marshal(fakeStatus)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"id", "host", "group", "name", "listeners", "app", "protocol", "address",
		"members", "state", "path", "via", "carrier", "rtt_ms", "sockets"} {
		if !bytes.Contains(text, []byte(`"`+name+`":`)) {
			t.Errorf("status has no %q: %s", name, text)
		}
	}
}

// TestDialError: the error names the address as the program gave it.
func TestDialError(t *testing.T) {
	asked := kith.Address{Host: "maple", Port: 4000}
	resolved := func(err error) error {
		return &net.OpError{Op: "dial", Net: "kith", Addr: kith.Address{Host: kith.ID{1}.String(), Port: 4000}, Err: err}
	}
	for _, test := range []struct {
		err  error
		want string
		kind kith.Kind
	}{
		{resolved(fmt.Errorf("port 4000: %w", kith.Refused)), "dial maple:4000: nobody listens", kith.Refused},
		{resolved(fmt.Errorf("it sleeps: %w", kith.Unreachable)), "dial maple:4000: it sleeps: no path", kith.Unreachable},
		{fmt.Errorf("no host is called maple: %w", kith.NotFound), "no host is called maple: not found", kith.NotFound},
	} {
		if err := dialError(asked, test.err); err.Error() != test.want || !errors.Is(err, test.kind) {
			t.Errorf("%v, want %s", err, test.want)
		}
	}
}
