package account

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"kith.alt/kith"
	"kith.alt/kith/store/sqlite"
)

// open returns accounts with ada and ben. The path, where given, is of the
// database to use.
func open(t *testing.T, path ...string) *Accounts {
	t.Helper()
	path = append(path, filepath.Join(t.TempDir(), "kith.db"))
	store, err := sqlite.Open(t.Context(), path[0])
	if err != nil {
		t.Fatal(err)
	}
	store.Single()
	t.Cleanup(func() { store.Close() })
	a, err := Open(t.Context(), store)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"ada", "ben"} {
		if err := a.Add(t.Context(), name); err != nil && !errors.Is(err, kith.Exists) {
			t.Fatal(err)
		}
	}
	return a
}

// wantKind checks that err is of a kind, or nil where the kind is "".
func wantKind(t *testing.T, what string, err error, want kith.Kind) {
	t.Helper()
	if want == "" && err != nil || want != "" && !errors.Is(err, want) {
		t.Errorf("%s: error %v, want kind %q", what, err, want)
	}
}

func TestAdd(t *testing.T) {
	a := open(t)
	for name, want := range map[string]kith.Kind{
		"carl":                  "",
		"x-1":                   "",
		"ada":                   kith.Exists,
		"":                      kith.Invalid,
		"Ada":                   kith.Invalid,
		"a b":                   kith.Invalid,
		"postmaster":            kith.Invalid,
		strings.Repeat("a", 64): kith.Invalid,
	} {
		wantKind(t, fmt.Sprintf("add %q", name), a.Add(t.Context(), name), want)
	}
	list, err := a.List(t.Context())
	if err != nil || len(list) != 4 || list[0].Name != "ada" || list[1].Name != "ben" || list[0].Password {
		t.Errorf("list: %+v, %v; want ada first, without a password", list, err)
	}
	if names := a.Names(); !slices.Equal(names, []string{"ada", "ben", list[2].Name, list[3].Name}) {
		t.Errorf("names: %v", names)
	}
	if age := time.Since(list[0].Created); age < 0 || age > time.Hour {
		t.Errorf("ada was created %v ago", age)
	}
}

func TestPassword(t *testing.T) {
	a := open(t)
	ctx := t.Context()
	for password, want := range map[string]kith.Kind{
		"nine 6789":                 kith.Invalid,
		"ééééééééé":                 kith.Invalid,
		strings.Repeat("x", 1025):   kith.Invalid,
		"control \x07 character":    kith.Invalid,
		"not UTF-8 \xff\xfe\xfd...": kith.Invalid,
	} {
		wantKind(t, fmt.Sprintf("set password %.20q", password), a.SetPassword(ctx, "ada", password), want)
	}
	wantKind(t, "set the password of nobody", a.SetPassword(ctx, "nobody", "just 10 ch"), kith.NotFound)

	check := func(name, password string, want kith.Kind) {
		t.Helper()
		wantKind(t, fmt.Sprintf("check %s with %.20q", name, password), a.CheckPassword(ctx, name, password, "test"), want)
	}
	check("ada", "", kith.Denied) // she has none yet
	const password = "correct horse é"
	wantKind(t, "set password", a.SetPassword(ctx, "ada", password), "")
	check("ada", password, "")
	check("ada", "correct\u00a0horse e\u0301", "") // RFC 8265 4.2.2: another space, another normal form
	check("ada", "correct horse", kith.Denied)
	check("ada", "", kith.Denied)
	check("ben", password, kith.Denied)
	check("nobody", password, kith.Denied)
	check("ada", strings.Repeat("x", 1025), kith.Denied)

	list, err := a.List(ctx)
	if err != nil || !list[0].Password || list[1].Password {
		t.Errorf("list: %+v, %v; want a password for ada only", list, err)
	}
	wantKind(t, "remove password", a.SetPassword(ctx, "ada", ""), "")
	check("ada", password, kith.Denied)
	check("ada", "", kith.Denied)

	ended, cancel := context.WithCancel(ctx)
	cancel()
	if err := a.CheckPassword(ended, "ada", password, "test"); !errors.Is(err, context.Canceled) {
		t.Errorf("check with a cancelled context: %v", err)
	}
}

func TestPasswordIsStoredHashed(t *testing.T) {
	a := open(t)
	first, err := a.newHash(t.Context(), "long enough")
	if err != nil {
		t.Fatal(err)
	}
	second, err := a.newHash(t.Context(), "long enough")
	if err != nil {
		t.Fatal(err)
	}
	if first == second || !strings.HasPrefix(first, "$argon2id$v=19$m=19456,t=2,p=1$") {
		t.Errorf("hashes %s and %s of one password; want two of Argon2id", first, second)
	}
	for _, bad := range []string{"x", first[1:], first[:len(first)-1], hashPrefix, hashPrefix + "$", hashPrefix + "AAAA$AAAA"} {
		if _, _, err := parseHash(bad); err == nil {
			t.Errorf("parse %q: no error", bad)
		}
	}
}

func TestAppPassword(t *testing.T) {
	path := filepath.Join(t.TempDir(), "kith.db")
	a := open(t, path)
	ctx := t.Context()
	phone, secret, err := a.AddAppPassword(ctx, "ada", " the phone \xff")
	if err != nil {
		t.Fatal(err)
	}
	laptop, other, err := a.AddAppPassword(ctx, "ada", "laptop")
	if err != nil {
		t.Fatal(err)
	}
	if groups := strings.Split(secret, "-"); len(groups) != 6 || len(secret) != 29 || secret != strings.ToLower(secret) || secret == other {
		t.Errorf("secrets %s and %s; want six groups of four", secret, other)
	}
	check := func(name, secret, wantID string, want kith.Kind) {
		t.Helper()
		id, err := a.CheckAppPassword(ctx, name, secret, "test")
		wantKind(t, "check app password", err, want)
		if id != wantID {
			t.Errorf("check app password: it is %q, want %q", id, wantID)
		}
	}
	check("ada", secret, phone, "")
	check("ada", other, laptop, "")
	check("ada", strings.ToUpper(strings.ReplaceAll(secret, "-", " ")), phone, "")
	check("ada", strings.ReplaceAll(secret, "-", ""), phone, "")
	check("ada", secret[1:], "", kith.Denied)
	check("ada", "", "", kith.Denied)
	check("ben", secret, "", kith.Denied)
	check("nobody", secret, "", kith.Denied)
	check("ada", strings.Repeat("x", 1025), "", kith.Denied)
	wantKind(t, "app password as password", a.CheckPassword(ctx, "ada", secret, "test"), kith.Denied)

	again := open(t, path) // the salt must be the same
	if id, err := again.CheckAppPassword(ctx, "ada", secret, "test"); err != nil || id != phone {
		t.Errorf("check after a restart: %q, %v", id, err)
	}

	list, err := a.List(ctx)
	if err != nil || len(list[0].AppPasswords) != 2 || len(list[1].AppPasswords) != 0 {
		t.Fatalf("list: %+v, %v", list, err)
	}
	for _, p := range list[0].AppPasswords {
		if p.ID == phone && p.Label != "the phone ?" || p.LastUsed.IsZero() || p.Created.IsZero() {
			t.Errorf("app password %+v", p)
		}
	}
	revoked, untouched := a.Revoked("ada"), a.Revoked("ben")
	wantKind(t, "remove from another account", a.RemoveAppPassword(ctx, "ben", phone), kith.NotFound)
	select {
	case <-revoked:
		t.Error("nothing was removed, and the account's sessions end")
	default:
	}
	wantKind(t, "remove", a.RemoveAppPassword(ctx, "ada", phone), "")
	select {
	case <-revoked:
	default:
		t.Error("sessions do not learn of the removal")
	}
	select {
	case <-untouched:
		t.Error("sessions of another account end")
	case <-a.Revoked("ada"):
		t.Error("new sessions end, too")
	default:
	}
	wantKind(t, "remove again", a.RemoveAppPassword(ctx, "ada", phone), kith.NotFound)
	check("ada", secret, "", kith.Denied)
	check("ada", other, laptop, "")

	_, _, err = a.AddAppPassword(ctx, "ada", strings.Repeat("é", 100))
	wantKind(t, "longest label", err, "")
	_, _, err = a.AddAppPassword(ctx, "ada", strings.Repeat("é", 100)+".")
	wantKind(t, "label too long", err, kith.Invalid)
	_, _, err = a.AddAppPassword(ctx, "nobody", "")
	wantKind(t, "add for nobody", err, kith.NotFound)
	for range maxAppPasswords {
		_, _, err = a.AddAppPassword(ctx, "ada", "")
	}
	wantKind(t, "one too many", err, kith.Quota)
}

func TestAppPasswordLastUsed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := open(t)
		_, secret, err := a.AddAppPassword(t.Context(), "ada", "phone")
		if err != nil {
			t.Fatal(err)
		}
		lastUsed := func() time.Time {
			list, err := a.List(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			return list[0].AppPasswords[0].LastUsed
		}
		if used := lastUsed(); !used.IsZero() {
			t.Errorf("last used %v, want never", used)
		}
		for range 3 {
			time.Sleep(time.Hour)
			for range 2 {
				if _, err := a.CheckAppPassword(t.Context(), "ada", secret, "test"); err != nil {
					t.Fatal(err)
				}
				if age := time.Since(lastUsed()); age > usedStep {
					t.Errorf("last used %v ago", age)
				}
				time.Sleep(time.Second)
			}
		}
	})
}

func TestAttemptsAreLimited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := open(t)
		ctx := t.Context()
		_, secret, err := a.AddAppPassword(ctx, "ada", "")
		if err != nil {
			t.Fatal(err)
		}
		try := func(what, name, secret, source string, want kith.Kind) {
			t.Helper()
			_, err := a.CheckAppPassword(ctx, name, secret, source)
			wantKind(t, what, err, want)
		}
		for range 25 {
			try("what succeeds is not counted", "ada", secret, "here", "")
			try("what is repeated is counted once", "ada", "an old one", "here", kith.Denied)
		}
		for i := range 59 {
			try("wrong", fmt.Sprint("name", i), fmt.Sprint("wrong", i), "here", kith.Denied)
		}
		try("61st from one source", "ada", secret, "here", kith.Quota)
		try("from another source", "ada", secret, "there", "")
		time.Sleep(10 * time.Second)
		try("from the source after a while", "ada", secret, "here", "")

		for i := range 20 {
			try("wrong", "ben", fmt.Sprint("wrong", i), fmt.Sprint("source", i), kith.Denied)
		}
		try("21st on one account", "ben", "wrong", "there", kith.Quota)
		try("on another account", "ada", secret, "there", "")
		wantKind(t, "dashboard of the account", a.CheckPassword(ctx, "ben", "wrong", "there"), kith.Denied)
		time.Sleep(30 * time.Second)
		try("on the account after a while", "ben", "wrong", "there", kith.Denied)

		for range 20 {
			if _, err := a.attempt("password of carl", "there"); err != nil {
				t.Fatal(err)
			}
		}
		wantKind(t, "21st password", a.CheckPassword(ctx, "carl", "wrong", "there"), kith.Quota)
	})
}

func TestLimiterIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLimiter(2, time.Second)
		for i := range 2 * maxLimited {
			l.take(fmt.Sprint(i))
		}
		if len(l.full) > maxLimited {
			t.Errorf("%d keys, at most %d", len(l.full), maxLimited)
		}
		time.Sleep(time.Minute)
		l.take("one")
		if len(l.full) != 1 {
			t.Errorf("%d keys after a minute, want 1", len(l.full))
		}
		if !l.spent("one") || l.spent("unknown") {
			t.Error("spent does not tell what was used")
		}
		l.giveBack("one")
		l.giveBack("unknown")
		if len(l.full) != 0 {
			t.Errorf("%d keys, want none", len(l.full))
		}
	})
}

func TestSignIn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := open(t)
		ctx := t.Context()
		newSignIn := func(account string) string {
			t.Helper()
			token, err := a.NewSignIn(ctx, account)
			if err != nil {
				t.Fatal(err)
			}
			return token
		}
		signIn := func(token, want string, kind kith.Kind) {
			t.Helper()
			account, err := a.SignIn(ctx, token)
			wantKind(t, "sign in", err, kind)
			if account != want {
				t.Errorf("signed in as %q, want %q", account, want)
			}
		}
		first, ben := newSignIn(""), newSignIn("ben")
		if len(first) != 26 || first == ben {
			t.Errorf("tokens %s and %s, want 26 characters each", first, ben)
		}
		signIn(ben, "ben", "")
		signIn(ben, "", kith.NotFound)
		signIn("", "", kith.NotFound)
		time.Sleep(linkLife - 1)
		signIn(first, "ada", "")
		late := newSignIn("")
		time.Sleep(linkLife)
		signIn(late, "", kith.Expired)

		_, err := a.NewSignIn(ctx, "nobody")
		wantKind(t, "link for nobody", err, kith.NotFound)

		oldest := newSignIn("")
		for range maxLinks {
			time.Sleep(time.Millisecond)
			newSignIn("")
		}
		signIn(oldest, "", kith.NotFound)
	})
}

func TestSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := open(t)
		ctx := t.Context()
		newSession := func(account string) string {
			t.Helper()
			token, err := a.NewSession(ctx, account)
			if err != nil {
				t.Fatal(err)
			}
			return token
		}
		session := func(token, want string, kind kith.Kind) {
			t.Helper()
			account, err := a.Session(ctx, token)
			wantKind(t, "session", err, kind)
			if account != want {
				t.Errorf("session of %q, want %q", account, want)
			}
		}
		firefox := newSession("ada")
		safari := newSession("ben")
		session(firefox, "ada", "")
		session("", "", kith.NotFound)
		session(SessionID(firefox), "", kith.NotFound)

		time.Sleep(sessionLife - time.Second) // a visit prolongs it
		session(firefox, "ada", "")
		time.Sleep(time.Second)
		session(safari, "", kith.Expired)
		time.Sleep(sessionLife - 2*time.Second)
		session(firefox, "ada", "")
		time.Sleep(time.Second)
		curl := newSession("ada")

		if err := a.EndSession(ctx, "ben", SessionID(firefox)); err != nil {
			t.Error(err)
		}
		session(firefox, "ada", "")
		if err := a.EndSession(ctx, "ada", SessionID(firefox)); err != nil {
			t.Error(err)
		}
		session(firefox, "", kith.NotFound)
		other := newSession("ada")
		safari = newSession("ben")
		if err := a.EndSessions(ctx, "ada", SessionID(curl)); err != nil {
			t.Error(err)
		}
		session(other, "", kith.NotFound)
		session(curl, "ada", "")
		if err := a.EndSessions(ctx, "ada", ""); err != nil {
			t.Error(err)
		}
		session(curl, "", kith.NotFound)
		session(safari, "ben", "")

		_, err := a.NewSession(ctx, "nobody")
		wantKind(t, "session of nobody", err, kith.NotFound)
		oldest := newSession("ada")
		for range maxSessions {
			time.Sleep(time.Second)
			newSession("ada")
		}
		session(oldest, "", kith.NotFound)
	})
}
