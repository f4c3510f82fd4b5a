package sasl

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"strings"
	"testing"

	emersion "github.com/emersion/go-sasl"
	mellium "mellium.im/sasl"
)

var _ emersion.Server = (*Server)(nil)

var (
	errDenied = errors.New("denied")
	errQuota  = errors.New("too many")
)

// people are accounts with several passwords each, of one salt.
type people struct {
	passwords map[string][]string
	salt      []byte
	limited   bool
	source    string // of the last attempt
}

func newPeople() *people {
	return &people{salt: []byte("a salt"), passwords: map[string][]string{"user": {"pencil"}, "ann": {"first", "second"}, "x,y=z": {"comma"}}}
}

func (p *people) CheckAppPassword(_ context.Context, user, secret, source string) (string, error) {
	p.source = source
	account, _, _ := strings.Cut(user, "@")
	if p.limited {
		return "", errQuota
	}
	for _, password := range p.passwords[account] {
		if password == secret {
			return account, nil
		}
	}
	return "", errDenied
}

func (p *people) Salt(string) ([]byte, int) { return p.salt, 4096 }

func (p *people) CheckProof(_ context.Context, user, message string, proof []byte, source string) (string, []byte, error) {
	p.source = source
	account, _, _ := strings.Cut(user, "@")
	if p.limited {
		return "", nil, errQuota
	}
	for _, password := range p.passwords[account] {
		want, signature := scram(password, p.salt, message)
		if hmac.Equal(want, proof) {
			return account, signature, nil
		}
	}
	return "", nil, errDenied
}

// scram computes ClientProof and ServerSignature (RFC 5802 3).
func scram(password string, salt []byte, message string) (proof, signature []byte) {
	salted, err := pbkdf2.Key(sha256.New, password, salt, 4096, sha256.Size)
	if err != nil {
		panic(err)
	}
	mac := func(key []byte, text string) []byte {
		h := hmac.New(sha256.New, key)
		h.Write([]byte(text))
		return h.Sum(nil)
	}
	clientKey := mac(salted, "Client Key")
	stored := sha256.Sum256(clientKey)
	proof = mac(stored[:], message)
	subtle.XORBytes(proof, proof, clientKey)
	return proof, mac(mac(salted, "Server Key"), message)
}

func begin(t testing.TB, mechanism string, p *people) (server *Server, account *string) {
	t.Helper()
	account = new(string)
	server, err := New(context.Background(), mechanism, Config{Accounts: p, Source: "192.0.2.1", Success: func(name string) error {
		*account += name
		return nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	return server, account
}

func TestPlain(t *testing.T) {
	for _, c := range []struct {
		name, message string
		account       string
		err           error
	}{
		{"account", "\x00ann\x00first", "ann", nil},
		{"another app password", "\x00ann\x00second", "ann", nil},
		{"address", "\x00ann@maple.home.kith.alt\x00first", "ann", nil},
		{"as oneself", "ann\x00ann@maple.home.kith.alt\x00first", "ann", nil},
		{"as oneself by address", "ann@maple.home.kith.alt\x00Ann@maple.home.kith.alt\x00first", "", errDenied}, // the fake knows no case
		{"as somebody else", "user\x00ann\x00first", "", ErrIdentity},
		{"wrong", "\x00ann\x00pencil", "", errDenied},
		{"nobody", "\x00nobody\x00first", "", errDenied},
		{"nothing", "", "", ErrMalformed},
		{"one part", "ann", "", ErrMalformed},
		{"two parts", "ann\x00first", "", ErrMalformed},
		{"four parts", "\x00ann\x00first\x00", "", ErrMalformed},
		{"no user", "\x00\x00first", "", ErrMalformed},
		{"no password", "\x00ann\x00", "", ErrMalformed},
		{"not UTF-8", "\x00ann\x00first\xff", "", ErrMalformed},
		{"long", "\x00ann\x00" + strings.Repeat("x", 4096), "", ErrMalformed},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := newPeople()
			s, account := begin(t, "plain", p)
			challenge, done, err := s.Next([]byte(c.message))
			if !errors.Is(err, c.err) || done != (c.err == nil) || challenge != nil || *account != c.account {
				t.Errorf("%q, %v, %v, account %q; want %q, %v", challenge, done, err, *account, c.account, c.err)
			}
			if (c.err == nil || c.err == errDenied) && p.source != "192.0.2.1" {
				t.Errorf("source %q", p.source)
			}
			if _, _, err := s.Next([]byte(c.message)); !errors.Is(err, ErrMalformed) {
				t.Errorf("again: %v, want it over", err)
			}
		})
	}
}

// TestAsked has clients that send nothing with their command.
func TestAsked(t *testing.T) {
	for _, mechanism := range Mechanisms() {
		s, _ := begin(t, mechanism, newPeople())
		if challenge, done, err := s.Next(nil); err != nil || done || challenge == nil || len(challenge) > 0 {
			t.Errorf("%s: %v, %v, %v; want an empty challenge", mechanism, challenge, done, err)
		}
		if _, _, err := s.Next(nil); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: nothing again: %v", mechanism, err)
		}
	}
	if _, err := New(context.Background(), "SCRAM-SHA-256-PLUS", Config{}); !errors.Is(err, ErrMechanism) {
		t.Errorf("-PLUS: %v", err)
	}
}

// TestExample follows the example of RFC 7677 3.
func TestExample(t *testing.T) {
	p := newPeople()
	p.salt, _ = base64.StdEncoding.DecodeString("W22ZaJ0SNY7soEsUEjb6gQ==")
	s, account := begin(t, ScramSHA256, p)
	s.nonce = "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
	for _, step := range []struct {
		says, hears string
		done        bool
	}{
		{"n,,n=user,r=rOprNGfwEbeRWgbNEkqO", "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096", false},
		{"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
			"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=", false},
		{"", "", true},
	} {
		if *account != "" {
			t.Error("signed in before the end")
		}
		if heard, done, err := s.Next([]byte(step.says)); err != nil || string(heard) != step.hears || done != step.done {
			t.Fatalf("to %q: %q, %v, %v; want %q, %v", step.says, heard, done, err, step.hears, step.done)
		}
	}
	if *account != "user" {
		t.Errorf("account %q", *account)
	}
}

// TestClient signs in with somebody else's client.
func TestClient(t *testing.T) {
	for _, c := range []struct {
		name, user, password, identity string
		offers                         []string
		account                        string
		err                            error
	}{
		{"first", "ann", "first", "", nil, "ann", nil},
		{"second", "ann", "second", "", nil, "ann", nil},
		{"address", "ann@maple.home.kith.alt", "second", "", nil, "ann", nil},
		{"escapes", "x,y=z", "comma", "", nil, "x,y=z", nil},
		{"identity", "ann", "first", "ann", nil, "ann", nil},
		{"another identity", "ann", "first", "user", nil, "", ErrIdentity},
		{"wrong", "ann", "third", "", nil, "", errDenied},
		{"nobody", "nobody", "first", "", nil, "", errDenied},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, account := begin(t, ScramSHA256, newPeople())
			client := mellium.NewClient(mellium.ScramSha256, mellium.Credentials(func() ([]byte, []byte, []byte) {
				return []byte(c.user), []byte(c.password), []byte(c.identity)
			}))
			more, says, err := client.Step(nil)
			for range 4 {
				if err != nil {
					t.Fatal(err)
				}
				if !more && says == nil {
					says = []byte{}
				}
				hears, done, err2 := s.Next(says)
				if err2 != nil || done {
					if !errors.Is(err2, c.err) || *account != c.account {
						t.Errorf("%v, account %q; want %v, %q", err2, *account, c.err, c.account)
					}
					return
				}
				more, says, err = client.Step(hears)
			}
			t.Error("the conversation does not end")
		})
	}
}

func TestMalformedFirst(t *testing.T) {
	for _, message := range []string{
		"", "n", "n,", "n,,", ",,n=ann,r=x", "x,,n=ann,r=x", "p=tls-unique,,n=ann,r=x", "p=tls-exporter,,n=ann,r=x",
		"n,ann,n=ann,r=x", "n,a=,n=ann,r=x", "n,a==2,n=ann,r=x", "n,,n=,r=x", "n,,n=a=2c,r=x", "n,,n=a=,r=x", "n,,n=a\x00,r=x",
		"n,,r=x,n=ann", "n,,n=ann", "n,,n=ann,r=", "n,,n=ann,r=x y", "n,,n=ann,r=é", "n,,n=ann,x=y",
		"n,,m=1,n=ann,r=x", "n,,n=ann,r=x,m=1", "n,,n=ann,r=x,", "n,,n=ann,r=x,1=2", "n,,n=ann,r=x,a=", "n,,n=ann,r=x\xff",
		"n,,n=ann,r=" + strings.Repeat("x", maxMessage),
	} {
		s, _ := begin(t, ScramSHA256, newPeople())
		if answer, done, err := s.Next([]byte(message)); !errors.Is(err, ErrMalformed) || done || answer != nil {
			t.Errorf("%.60q: %q, %v, %v", message, answer, done, err)
		}
	}
	for _, message := range []string{"n,,n=ann,r=x", "y,,n=ann,r=x", "n,a=ann,n=ann,r=x", "n,,n=ann,r=x,t=ignored"} {
		s, _ := begin(t, ScramSHA256, newPeople())
		if answer, _, err := s.Next([]byte(message)); err != nil || !bytes.HasPrefix(answer, []byte("r=x"+s.nonce+",s=")) {
			t.Errorf("%q: %q, %v", message, answer, err)
		}
	}
}

// TestFinal has clients that send another final message than they should.
func TestFinal(t *testing.T) {
	right := func(first, withoutProof, server string) string {
		_, bare, _ := strings.Cut(first, ",,")
		proof, _ := scram("first", []byte("a salt"), bare+","+server+","+withoutProof)
		return withoutProof + ",p=" + base64.StdEncoding.EncodeToString(proof)
	}
	for _, c := range []struct {
		name  string
		first string
		final func(nonce, server string) string
		err   error
	}{
		{"right", "n,,n=ann,r=x", func(nonce, server string) string { return right("n,,n=ann,r=x", "c=biws,r="+nonce, server) }, nil},
		{"with an extension", "n,,n=ann,r=x", func(nonce, server string) string {
			return right("n,,n=ann,r=x", "c=biws,r="+nonce+",t=u", server)
		}, nil},
		{"thought there was binding", "y,,n=ann,r=x", func(nonce, server string) string {
			return right("y,,n=ann,r=x", "c=eSws,r="+nonce, server)
		}, nil},
		{"takes the flag back", "y,,n=ann,r=x", func(nonce, server string) string {
			return right("y,,n=ann,r=x", "c=biws,r="+nonce, server)
		}, ErrMalformed},
		{"another nonce", "n,,n=ann,r=x", func(nonce, server string) string {
			return right("n,,n=ann,r=x", "c=biws,r="+nonce+"x", server)
		}, ErrMalformed},
		{"its own nonce", "n,,n=ann,r=x", func(nonce, server string) string {
			return right("n,,n=ann,r=x", "c=biws,r=x", server)
		}, ErrMalformed},
		{"no proof", "n,,n=ann,r=x", func(nonce, _ string) string { return "c=biws,r=" + nonce }, ErrMalformed},
		{"an empty proof", "n,,n=ann,r=x", func(nonce, _ string) string { return "c=biws,r=" + nonce + ",p=" }, errDenied},
		{"a long proof", "n,,n=ann,r=x", func(nonce, _ string) string { return "c=biws,r=" + nonce + ",p=" + strings.Repeat("AAAA", 300) }, errDenied},
		{"no base64", "n,,n=ann,r=x", func(nonce, _ string) string { return "c=biws,r=" + nonce + ",p=!" }, ErrMalformed},
		{"lines", "n,,n=ann,r=x", func(nonce, server string) string { return right("n,,n=ann,r=x", "c=biws,r="+nonce, server) + "\r\n" }, ErrMalformed},
		{"nothing", "n,,n=ann,r=x", func(string, string) string { return "" }, ErrMalformed},
		{"the nonce first", "n,,n=ann,r=x", func(nonce, server string) string {
			return right("n,,n=ann,r=x", "r="+nonce+",c=biws", server)
		}, ErrMalformed},
		{"binding only", "n,,n=ann,r=x", func(string, string) string { return "c=biws,p=AAAA" }, ErrMalformed},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, account := begin(t, ScramSHA256, newPeople())
			server, _, err := s.Next([]byte(c.first))
			if err != nil {
				t.Fatal(err)
			}
			answer, done, err := s.Next([]byte(c.final("x"+s.nonce, string(server))))
			if !errors.Is(err, c.err) || done || (answer == nil) != (c.err != nil) {
				t.Errorf("%q, %v, %v; want %v", answer, done, err, c.err)
			}
			if c.err != nil {
				return
			}
			if _, done, err := s.Next([]byte{}); err != nil || !done || *account != "ann" {
				t.Errorf("end: %v, %v, account %q", done, err, *account)
			}
		})
	}
}

// TestSecrets: what fails says nothing that is secret, and limits pass through.
func TestSecrets(t *testing.T) {
	p := newPeople()
	p.limited = true
	s, _ := begin(t, Plain, p)
	if _, _, err := s.Next([]byte("\x00ann\x00hush")); !errors.Is(err, errQuota) || strings.Contains(err.Error(), "hush") {
		t.Errorf("error %v", err)
	}
	s, _ = begin(t, Plain, p)
	if _, _, err := s.Next([]byte("ann\x00hush")); !errors.Is(err, ErrMalformed) || strings.Contains(err.Error(), "hush") {
		t.Errorf("error %v", err)
	}
	failed := errors.New("no mailbox")
	s, err := New(t.Context(), Plain, Config{Accounts: newPeople(), Success: func(string) error { return failed }})
	if err != nil {
		t.Fatal(err)
	}
	if _, done, err := s.Next([]byte("\x00ann\x00first")); err != failed || done {
		t.Errorf("%v, %v; want the error of Success", done, err)
	}
}

// FuzzConversation has a client that says three things to both mechanisms. Nobody is
// signed in who did not prove anything.
func FuzzConversation(f *testing.F) {
	f.Add("n,,n=ann,r=x", "c=biws,r=NONCE,p=AAAA", "", false)
	f.Add("y,a=ann,n=a=2Cb=3D,r=x,t=u", "c=eSxhPWFubiw=,r=NONCE,x=y,p=AAAA", "x", false)
	f.Add("\x00ann\x00first", "", "", true)
	f.Add("user\x00ann\x00first", "", "", true)
	f.Fuzz(func(t *testing.T, first, second, third string, plain bool) {
		mechanism := ScramSHA256
		if plain {
			mechanism = Plain
		}
		s, account := begin(t, mechanism, newPeople())
		nonce := "x" + s.nonce
		for i, message := range []string{first, strings.ReplaceAll(second, "NONCE", nonce), third} {
			challenge, done, err := s.Next([]byte(message))
			if done != (*account != "") || done && err != nil || done && challenge != nil {
				t.Fatalf("message %d: %q, %v, %v, account %q", i, challenge, done, err, *account)
			}
			if plain && done && !strings.HasSuffix(first, "\x00"+(*account)+"\x00first") && !strings.Contains(first, "second") &&
				!strings.Contains(first, "pencil") && !strings.Contains(first, "comma") && !strings.Contains(first, "@") {
				t.Fatalf("%q signed in as %q", first, *account)
			}
			if !plain && done {
				t.Fatalf("%q, %q signed in as %q", first, second, *account) // nobody guesses a proof
			}
			if err != nil || done {
				if _, _, again := s.Next([]byte(message)); !errors.Is(again, ErrMalformed) {
					t.Fatalf("after %v: %v", err, again)
				}
				return
			}
		}
	})
}
