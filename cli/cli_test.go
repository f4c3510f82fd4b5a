package cli

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"kith.alt/kith"
	"kith.alt/kith/config"
	"kith.alt/kith/control"
	"kith.alt/kith/network/memory"
	"kith.alt/kith/node"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"kith": func() { os.Exit(Main(context.Background(), os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) },
	})
}

// TestScripts runs what can be shown without a node.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		Setup: func(e *testscript.Env) error {
			e.Setenv("HOME", filepath.Join(e.WorkDir, "home"))
			return nil
		},
	})
}

// TestCommands runs commands against a node that answers.
func TestCommands(t *testing.T) {
	for _, test := range []struct {
		args string
		out  string // is in what it prints
		err  string // is in what it tells
		code int
	}{
		{"status", "maple.home.kith.alt", "", 0},
		{"status", "relayed by elm (quic)", "", 0},
		{"status", "127.0.0.1:1080: port 1080 is taken", "", 0},
		{"status", "dashboard and sites  127.0.0.1:8080", "", 0},
		{"members", "12.3 ms", "", 0},
		{"members", "awake", "", 0},
		{"ca", "-----BEGIN CERTIFICATE-----\n", "SHA-256 AB:CD", 0},
		{"ca --json", `"names": [`, "", 0},
		{"backup cli_test.go", "", "To put the backup in its place: --replace", 6},
		{"backup none.kith", "", "the file is damaged, or no backup", 4},
		{"backup", "", "backup needs FILE", 2},
		{"backup verify cli_test.go", "", "the file is damaged, or no backup", 4},
		{"restore", "", "restore needs FILE", 2},
		{"membrs", "", "Did you mean members?", 2},
		{"up --port-base 0", "", "--port-base: port base 0 is not from", 4},
		{"up --overlay-port 0", "", "--overlay-port: port 0 is not from 1", 4},
		{"--version --json", `"go"`, "", 0},
		{"invite", "kithticket\n", "", 0},
		{"invite --json", `"uses": 1`, "", 0},
		{"invite --expires 2h --uses 3 --role member --json", `"uses": 3`, "", 0},
		{"--uses 3 --json invite", `"uses": 3`, "", 0},
		{"--json --role=member invite", `"role": "member"`, "", 0},
		{"invite --role owner", "", "the roles are admin and member", 4},
		{"invite --expires yesterday", "", `--expires cannot be "yesterday"; write a time such as 30m`, 2},
		{"revoke oak", "oak is no longer in the group", "", 0},
		{"oak revoke", "", "there is no command", 2},
		{"revoke", "", "revoke needs HOST", 2},
		{"revoke oak elm", "", `revoke does not take "elm"`, 2},
		{"admin add oak", "oak is an admin", "", 0},
		{"admin remove oak", "oak is no longer an admin", "", 0},
		{"admin", "", "admin needs add or remove", 2},
		{"leave", "maple has left the group home", "", 0},
		{"rename cedar", "This is maple.home.kith.alt now", "", 0},
		{"rename --group lab", "This is", "", 0},
		{"rename", "", "rename needs HOST, or --group NAME", 2},
		{"rename cedar --name fir", "", "two names", 2},
		{"account add eve", "The account eve is made", "", 0},
		{"account add ada", "", "there is an account ada already", 6},
		{"account add ada --app --label phone", "abcd-efgh\n", "shown this once", 0},
		{"account add ada --app --json", `"secret": "abcd-efgh"`, "", 0},
		{"account link ada", "http://localhost:8080/signin\n", "", 0},
		{"account link ada --json", `"link": "http://localhost:8080/signin"`, "", 0},
		{"account list", "phone, 8", "", 0},
		{"doctor", "good     Every listener accepts.", "", 0},
		{"members", "5 minutes  symmetric  the direct path was lost", "", 0},
		{"members", "Seen at    203.0.113.7:4747", "", 0},
		{"status", "Relays     2 connections now, 3.0 MiB of 10.0 GiB today", "", 0},
		{"ping oak -c 1", "oak answers: 12.34 ms, relayed by elm (quic)\n\n1 sent, 1 answered, 0% lost\nround trip min/avg/max = 12.34/12.34/12.34 ms\n", "", 0},
		{"ping elm -c 1", "1 sent, 0 answered, 100% lost", "To find out why: kith doctor elm", 10},
		{"ping elm -c 1 --json", `"loss_percent": 100`, "", 10},
		{"ping oak -c -1", "", "a number from 0", 2},
		{"trace oak", "2  elm    10.0 ms  192.0.2.1:4747", "", 0},
		{"trace oak", "Relayed by elm (quic) to oak, for 5 minutes: the direct path was lost", "", 0},
		{"trace oak", "quic 198.51.100.9:4747  timeout", "", 0},
		{"trace elm", "No path to elm.", "kith doctor elm", 10},
		{"doctor oak", "remedy: 'kith up --introduce dht' on both.", "", 1},
		{"relay", "Rate    2.0 MiB/s\nDaily   10.0 GiB\nAt once 64 connections", "", 0},
		{"relay --off --on", "", "not both", 2},
		{"relay --rate fast", "", "no size such as", 4},
		{"invite", "", "One of these helps", 0},
		{"invite --public here", "", "is not an IP address", 4},
		{"up --introduce tor", "", "neither dht nor off", 4},
		{"up --suspend-for 10m", "", "Stop it first", 11},
		{"up --suspend-for 1ms", "", "sockets wait for a path from", 4},
		{"join a-ticket", "Joined: this is maple", "", 0},
		{"join expired", "", "Ask for a new ticket", 12},
		{"join a-ticket --name fir", "", "then: kith rename fir", 2},
		{"join", "", "join needs TICKET", 2},
		{"up", "Kith is already running on maple, in the group home.", "", 0},
		{"", "signin", "", 0},
		{"--name maple", "ready\n", "", 0},
		{"up --name oak", "", "To change it: kith rename", 6},
		{"up --port-base 9000", "", "Stop it first: kith stop", 11},
		{"dial maple 0", "", `port "0" is not from 1`, 4},
	} {
		t.Run(test.args, func(t *testing.T) {
			p := newPrompt(t)
			p.withNode(t)
			out, told, code := p.run(t, strings.Fields(test.args)...)
			if !strings.Contains(out, test.out) || !strings.Contains(told, test.err) || code != test.code {
				t.Errorf("printed:\n%s\ntold:\n%s\nexit code %d; want %q, %q, %d", out, told, code, test.out, test.err, test.code)
			}
			if strings.Contains(test.args, "--json") && !json.Valid([]byte(out)) {
				t.Errorf("not JSON: %s", out)
			}
		})
	}
}

// TestSettings: what may change while a node runs reaches it.
func TestSettings(t *testing.T) {
	p := newPrompt(t)
	n := p.withNode(t)
	for _, test := range []struct{ args, want string }{
		{"relay --off --streams 5", `{"relay":{"off":true,"bytes_per_second":2097152,"bytes_per_day":10737418240,"streams":5}}`},
		{"relay --rate 2MB/s --daily 1.5GiB", `{"relay":{"off":false,"bytes_per_second":2000000,"bytes_per_day":1610612736,"streams":64}}`},
		{"invite --public 203.0.113.7:80,203.0.113.8", `{"public":["203.0.113.7:80","203.0.113.8"]}`},
		{"invite --public none --introduce off", `{"public":[],"introduce":false}`},
		{"up --introduce dht --no-port-mapping", `{"introduce":true,"port_mapping":false}`},
		{"join a-ticket --no-port-mapping=false", `{"port_mapping":true}`},
	} {
		if _, told, code := p.run(t, strings.Fields(test.args)...); code != 0 {
			t.Errorf("%s: %d %s", test.args, code, told)
		}
		if got, _ := json.Marshal(n.configured); string(got) != test.want {
			t.Errorf("%s: %s, want %s", test.args, got, test.want)
		}
	}
}

// TestInviteNote: ways are named only where there is none yet.
func TestInviteNote(t *testing.T) {
	e := &env{Env: kith.Env{Kith: []string{"go", "run", "./cmd/kith"}}}
	for _, test := range []struct {
		invitation control.Invitation
		want       string
	}{
		{control.Invitation{Open: true, Introduce: true}, ""},
		{control.Invitation{Through: []string{"elm"}}, "elm lets the newcomer through"},
		{control.Invitation{Introduce: true}, "may take some minutes"},
		{control.Invitation{}, "go run ./cmd/kith invite --introduce dht"},
	} {
		if got := e.inviteNote(test.invitation); !strings.Contains(got, test.want) || test.want == "" && got != "" {
			t.Errorf("%+v: %s", test.invitation, got)
		}
	}
}

func TestUp(t *testing.T) {
	p := newPrompt(t)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan int, 1)
	e := p.env
	go func() { done <- e.main(ctx, []string{"--name", "maple", "--port-base", "9000"}) }()
	n := <-p.made
	waitFor(t, &p.out, "ready\n")
	if n.cfg.Name != "maple" || n.cfg.PortBase != 9000 || n.cfg.Data != os.Getenv("KITH_DATA") {
		t.Errorf("the node was made with %+v", n.cfg)
	}
	out := p.out.String()
	if lines := strings.Split(strings.TrimSuffix(out, "\n"), "\n"); len(lines) > 14 || lines[len(lines)-1] != "ready" {
		t.Errorf("up printed:\n%s", out)
	}
	for _, want := range []string{"Kith is running on maple, in the group home.", "kith invite", "kith stop", "kith service install", "Not listening: proxy (SOCKS, HTTP)"} {
		if !strings.Contains(out, want) {
			t.Errorf("up does not say %q:\n%s", want, out)
		}
	}
	cancel()
	if code := <-done; code != 0 {
		t.Errorf("interrupted: exit code %d: %s", code, p.err.String())
	}
}

func TestStop(t *testing.T) {
	p := newPrompt(t)
	p.withNode(t)
	if _, told, code := p.run(t, "stop"); code != 0 {
		t.Errorf("stop: %d: %s", code, told)
	}
	if _, told, code := p.run(t, "stop"); code != 0 || !strings.Contains(told, "No node runs") {
		t.Errorf("stop again: %d: %s", code, told)
	}
}

func TestDoctorFindsProblem(t *testing.T) {
	p := newPrompt(t)
	p.withNode(t, "--name", "ill")
	out, told, code := p.run(t, "doctor")
	if code != exitFailure || told != "" || !strings.Contains(out, "remedy: Delete some.") {
		t.Errorf("%d: %s %s", code, out, told)
	}
}

// TestJoinRefused: a ticket that does not work leaves nothing.
func TestJoinRefused(t *testing.T) {
	p := newPrompt(t)
	data := filepath.Join(t.TempDir(), "new")
	_, told, code := p.run(t, "join", "expired", "--data", data)
	if code != 12 || !strings.HasPrefix(told, "kith: join: the ticket of yesterday has expired\n") {
		t.Errorf("%d: %s", code, told)
	}
	if _, err := os.Stat(data); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%s: %v", data, err)
	}
}

func TestExitCodes(t *testing.T) {
	seen := map[int]bool{0: true, exitFailure: true, exitUsage: true}
	for _, e := range exits {
		if seen[e.code] {
			t.Errorf("code %d twice", e.code)
		}
		seen[e.code] = true
		if got := exitCode(fmt.Errorf("x: %w", e.is)); got != e.code {
			t.Errorf("%v: %d, want %d", e.is, got, e.code)
		}
	}
	if got := exitCode(errors.New("x")); got != exitFailure {
		t.Errorf("no kind: %d", got)
	}
	if got := exitCode(usageError("x")); got != exitUsage {
		t.Errorf("usage: %d", got)
	}
}

// TestExplain: advice of an application goes to its own line, without the kind
// that ends the text.
func TestExplain(t *testing.T) {
	e := &env{Env: kith.Env{Kith: []string{"kith"}}, data: t.TempDir()}
	e.program = e.Kith
	for _, test := range []struct {
		err          error
		what, remedy string
	}{
		{fmt.Errorf("there is no folder a; b; check its name: %w", kith.NotFound), "there is no folder a; b", "Check its name"},
		{fmt.Errorf("/x is not published; kith sites shows what is: %w", kith.NotFound), "/x is not published", "kith sites shows what is"},
		{remedied{fmt.Errorf("the ticket is used up; ask for a new one: %w", kith.Denied), "Ask for a new ticket"}, "the ticket is used up", "Ask for a new ticket"},
		{fmt.Errorf("there is an account ada: %w", kith.Exists), "there is an account ada", ""},
		{fmt.Errorf("the host started; try again in a moment: %w", kith.Temporary), "the host started", "Try again in a moment"},
		{fmt.Errorf("lan: timeout; tls: timeout: %w", kith.Unreachable), "lan: timeout; tls: timeout: no path", "To find out why: kith doctor"},
		{fmt.Errorf("invite: %w", kith.NotMember), "invite: not a member", "To see who is in the group: kith members"},
		{&fs.PathError{Op: "open", Path: filepath.Join(e.data, "lock"), Err: fs.ErrPermission},
			"open " + filepath.Join(e.data, "lock") + ": permission denied", "Choose another folder: kith --data DIR"},
		{&fs.PathError{Op: "mkdir", Path: filepath.Dir(e.data), Err: fs.ErrPermission},
			"mkdir " + filepath.Dir(e.data) + ": permission denied", "Choose another folder: kith --data DIR"},
		{&fs.PathError{Op: "open", Path: filepath.Join(e.data, "..", "garden"), Err: fs.ErrPermission},
			"open " + filepath.Join(e.data, "..", "garden") + ": permission denied", ""},
	} {
		if what, remedy := e.explain("", test.err); what != test.what || remedy != test.remedy {
			t.Errorf("%v: %q, %q; want %q, %q", test.err, what, remedy, test.what, test.remedy)
		}
	}
}

// TestAnnounce: what a start has to say is said, and nothing that is not so.
func TestAnnounce(t *testing.T) {
	id := kith.ID{1}
	taken := control.Listener{App: control.AppGateway, Protocol: control.ProtocolHTTP, Address: "127.0.0.1:8080", Error: "port 8080 is taken: in use"}
	for _, test := range []struct {
		name   string
		status control.Status
		start  start
		has    []string
		hasNot []string
	}{
		{"no dashboard", control.Status{Host: "maple", Listeners: []control.Listener{taken}}, start{},
			[]string{"Dashboard   not available: port 8080 is taken\n"}, []string{"Your site", "Not listening", "was taken"}},
		{"moved", control.Status{Host: "maple", Dashboard: "http://localhost:8081/"}, start{moved: []config.Move{{Service: "http", From: 8080, To: 8081}}},
			[]string{"Port 8080 (http) was taken; it is 8081 here.\n"}, []string{"not available"}},
		{"another name", control.Status{ID: id, Host: "vm-" + id.Short(), Group: "home"}, start{joined: true},
			[]string{"The name vm was taken in home, so this is vm-" + id.Short() + ". To choose another: kith rename NAME\n"}, nil},
		{"a later start", control.Status{ID: id, Host: "vm-" + id.Short(), Group: "home"}, start{}, nil, []string{"was taken"}},
	} {
		var b strings.Builder
		e := &env{Env: kith.Env{Stdout: &b, Kith: []string{"kith"}}}
		if err := e.announce(t.Context(), statusNode{newFake(node.Config{}), test.status}, test.start); err != nil {
			t.Fatal(err)
		}
		for _, want := range test.has {
			if !strings.Contains(b.String(), want) {
				t.Errorf("%s: no %q in:\n%s", test.name, want, &b)
			}
		}
		for _, wrong := range test.hasNot {
			if strings.Contains(b.String(), wrong) {
				t.Errorf("%s: %q in:\n%s", test.name, wrong, &b)
			}
		}
	}
}

// statusNode is a node with a status of its own.
type statusNode struct {
	*fakeNode
	status control.Status
}

func (n statusNode) Status(context.Context) (control.Status, error) { return n.status, nil }

func TestNearest(t *testing.T) {
	commands := (&env{apps: allApps()}).commands()
	for word, want := range map[string]string{"membrs": "members", "memebrs": "members", "int": "", "uo": "up", "dail": "dial", "fly": "", "frobnicate": "", "statsu": "status", "acount": "account"} {
		if got := nearest(commands, word); got != want {
			t.Errorf("%s: %q, want %q", word, got, want)
		}
	}
}

// TestFlagsAgree: as flags may stand before the verb, one of a name takes a
// value everywhere or nowhere.
func TestFlagsAgree(t *testing.T) {
	e := &env{apps: allApps()}
	commands := e.commands()
	takes := takesValue(commands)
	names := make(map[string]bool)
	for _, c := range commands {
		if names[c.name] {
			t.Errorf("two commands %q", c.name)
		}
		names[c.name] = true
		for _, f := range flagsOf(c) {
			if f.takesValue != takes(f.name) {
				t.Errorf("%s --%s: takes a value is %v, elsewhere not", c.name, f.name, f.takesValue)
			}
		}
	}
}

func TestSplit(t *testing.T) {
	takes := func(name string) bool { return name == "data" || name == "o" }
	for _, test := range []struct {
		args  string
		words []string
		flags []setFlag
		fails bool
	}{
		{"", nil, nil, false},
		{"up", []string{"up"}, nil, false},
		{"--data d up -json", []string{"up"}, []setFlag{{"data", "d", true}, {"json", "", false}}, false},
		{"get --data=a=b link -o x", []string{"get", "link"}, []setFlag{{"data", "a=b", true}, {"o", "x", true}}, false},
		{"get -- --data -o", []string{"get", "--data", "-o"}, nil, false},
		{"get - x", []string{"get", "-", "x"}, nil, false},
		{"up --data", nil, nil, true},
		{"up --data --json", []string{"up"}, []setFlag{{"data", "--json", true}}, false},
	} {
		l, err := split(strings.Fields(test.args), takes)
		if (err != nil) != test.fails || !test.fails && (!slices.Equal(l.words, test.words) || !slices.Equal(l.flags, test.flags)) {
			t.Errorf("%q: %+v, %v", test.args, l, err)
		}
	}
}

func TestParseArguments(t *testing.T) {
	got := parseArguments("DIR [HOST] [FILE...]")
	want := []argument{{name: "DIR"}, {name: "HOST", optional: true}, {name: "FILE", optional: true, repeated: true}}
	if !slices.Equal(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

// TestAppCommands: an application's command gets its flags and words, wherever
// they stood, and is refused what it does not take.
func TestAppCommands(t *testing.T) {
	p := newPrompt(t)
	p.withNode(t)
	var at, got string
	var quick bool
	var env kith.Env
	p.env.apps = []kith.App{{Name: "web", Title: "Web", Commands: []kith.Command{{
		Name: "publish", Args: "DIR [MORE...]", Summary: "show a folder",
		Flags: func(set *flag.FlagSet) {
			set.StringVar(&at, "at", "/", "the `PATH`")
			set.BoolVar(&quick, "quick", false, "be quick")
		},
		Run: func(_ context.Context, e kith.Env, words []string) error {
			got, env = fmt.Sprintf("%s %v %s", at, quick, strings.Join(words, " ")), e
			return nil
		},
	}, {Name: "sites"}}}}
	for args, want := range map[string]string{
		"publish garden":                           "/ false garden",
		"publish garden --at /g":                   "/g false garden",
		"--at /g publish garden --json":            "/g false garden",
		"--quick publish -- -garden":               "/ true -garden",
		"--json publish --at=/g garden wild roses": "/g false garden wild roses",
	} {
		if _, told, code := p.run(t, strings.Fields(args)...); code != 0 || got != want {
			t.Errorf("%s: %v, want %s (%d: %s)", args, got, want, code, told)
		}
		if env.JSON != strings.Contains(args, "--json") || env.Line() != "kith" || env.API == nil || env.Dir == "" {
			t.Errorf("%s: env %+v", args, env)
		}
	}
	for args, want := range map[string]string{
		"publish":                "publish needs DIR",
		"sites now":              `sites does not take "now"`,
		"publish --of x":         "publish has no flag --of",
		"publish x --quick=slow": `--quick cannot be "slow"`,
	} {
		if _, told, code := p.run(t, strings.Fields(args)...); code != exitUsage || !strings.Contains(told, want) {
			t.Errorf("%s: %d, %s; want %s", args, code, told, want)
		}
	}
	if out, _, _ := p.run(t, "help"); !strings.Contains(out, "Web\n  publish DIR") {
		t.Errorf("help:\n%s", out)
	}
}

// TestDial: standard input goes out, its end is passed on, and the command ends
// when the far side has ended.
func TestDial(t *testing.T) {
	hub := memory.NewHub()
	id := kith.ID{1}
	network := hub.Network(id)
	ln, err := network.Listen(t.Context(), kith.Address{Port: 22})
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	go func() {
		conn, err := ln.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		question, _ := io.ReadAll(conn)
		conn.Write([]byte(strings.ToUpper(string(question))))
	}()
	p := newPrompt(t)
	n := p.withNode(t)
	n.dial = func() (net.Conn, error) {
		return network.Dial(context.Background(), kith.Address{Host: id.String(), Port: 22})
	}
	p.env.Stdin = strings.NewReader("hello\n")
	if out, told, code := p.run(t, "dial", "maple", "22"); out != "HELLO\n" || code != 0 {
		t.Errorf("%q %q %d", out, told, code)
	}

	// An input that never ends does not keep the command.
	go func() {
		conn, err := ln.Accept()
		if err != nil {
			return
		}
		conn.Write([]byte("bye\n"))
		conn.Close()
	}()
	endless, end := io.Pipe()
	defer end.Close()
	p.env.Stdin = endless
	if out, told, code := p.run(t, "dial", "maple", "22"); out != "bye\n" || code != 0 {
		t.Errorf("%q %q %d", out, told, code)
	}
}

func TestStartedAs(t *testing.T) {
	for path, want := range map[string]string{
		"/tmp/go-build3951/b001/exe/kith": "go run ./cmd/kith",
		"/root/.cache/go-build/5f/0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef-d/kith": "go run ./cmd/kith",
		"/cache/5f/0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef-d/kith":                "go run ./cmd/kith",
		"/home/ada/go-builds/kith": "./kith",
		"/usr/bin/kith":            "./kith",
	} {
		if got := startedAs(func() (string, error) { return path, nil }, "./kith"); strings.Join(got, " ") != want {
			t.Errorf("%s: %q, want %q", path, got, want)
		}
	}
}

func TestAgo(t *testing.T) {
	for d, want := range map[time.Duration]string{time.Second: "a minute", time.Hour: "60 minutes", 5 * time.Hour: "5 hours", 72 * time.Hour: "3 days"} {
		if got := ago(d); got != want {
			t.Errorf("%s: %s, want %s", d, got, want)
		}
	}
}

// waitFor waits until text is in what was written.
func waitFor(t *testing.T, b *lockedBuffer, text string) {
	t.Helper()
	for start := time.Now(); !strings.Contains(b.String(), text); {
		if time.Since(start) > 30*time.Second {
			t.Fatalf("no %q in:\n%s", text, b.String())
		}
		<-time.After(time.Millisecond)
	}
}

var _ runner = (*fakeNode)(nil)
var _ control.Node = (*fakeNode)(nil)

// FuzzSplit: a line that is put together again is taken apart the same.
func FuzzSplit(f *testing.F) {
	f.Add("--data d up --json\x00x", "DIR [PATH]")
	f.Add("get -o=p -- -x", "[A...] B")
	commands := (&env{apps: allApps()}).commands()
	takes := takesValue(commands)
	f.Fuzz(func(t *testing.T, args, arguments string) {
		parseArguments(arguments)
		first, err := split(strings.Split(args, " "), takes)
		if err != nil {
			if exitCode(err) != exitUsage {
				t.Errorf("%v is not a mistake in the line", err)
			}
			return
		}
		second, err := split(first.text(), func(string) bool { return false })
		if err != nil || !slices.Equal(first.words, second.words) || !slices.Equal(first.flags, second.flags) {
			t.Errorf("%q: %+v became %+v (%v)", args, first, second, err)
		}
		if _, _, err := find(commands, first.words); err != nil && exitCode(err) != exitUsage {
			t.Errorf("%v is not a mistake in the line", err)
		}
	})
}

// text puts the line together again.
func (l line) text() []string {
	var args []string
	for _, f := range l.flags {
		arg := dashed(f.name)
		if f.hasValue {
			arg += "=" + f.value
		}
		args = append(args, arg)
	}
	return append(append(args, "--"), l.words...)
}
