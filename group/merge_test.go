package group

import (
	"crypto/ed25519"
	"crypto/sha256"
	"fmt"
	"math/rand"
	"slices"
	"strings"
	"testing"
	"time"

	"kith.alt/kith"
)

// testKey is the same key for the same name in every run.
func testKey(name string) ed25519.PrivateKey {
	seed := sha256.Sum256([]byte(name))
	return ed25519.NewKeyFromSeed(seed[:])
}

func testID(name string) kith.ID { return kith.IDOf(publicKey(testKey(name))) }

// A story is a set of entries made by hand: any author, on top of any others.
type story struct {
	t       testing.TB
	genesis Hash
	entries []*Entry
}

// tell begins a group founded by "founder".
func tell(t testing.TB) *story {
	s := &story{t: t}
	s.genesis = s.says("founder", body{Kind: kindGenesis, Group: "home", Host: "founder", Nonce: []byte{1}})
	return s
}

// says adds an entry by author on top of parents.
func (s *story) says(author string, b body, parents ...Hash) Hash {
	s.t.Helper()
	b.Parents = parents
	e, err := sign(testKey(author), b)
	if err != nil {
		s.t.Fatal(err)
	}
	s.entries = append(s.entries, e)
	return e.hash
}

func (s *story) admits(author, host string, parents ...Hash) Hash {
	s.t.Helper()
	return s.says(author, body{Kind: kindAdmit, Subject: testID(host), Host: host, Admin: true}, parents...)
}

func (s *story) revokes(author, host string, parents ...Hash) Hash {
	s.t.Helper()
	return s.says(author, body{Kind: kindRevoke, Subject: testID(host)}, parents...)
}

// chain has the founder admit hosts, one after the other, as admins.
func (s *story) chain(hosts ...string) Hash {
	s.t.Helper()
	last := s.genesis
	for _, host := range hosts {
		last = s.admits("founder", host, last)
	}
	return last
}

// merge merges the entries in several orders, with copies, and fails unless
// all agree.
func (s *story) merge() *Roster {
	s.t.Helper()
	r := Merge(s.genesis, s.entries)
	random := rand.New(rand.NewSource(1))
	for range 5 {
		mixed := append(slices.Clone(s.entries), s.entries[random.Intn(len(s.entries))])
		random.Shuffle(len(mixed), func(i, j int) { mixed[i], mixed[j] = mixed[j], mixed[i] })
		if again := describe(Merge(s.genesis, mixed)); again != describe(r) {
			s.t.Fatalf("another order gives\n%s\nnot\n%s", again, describe(r))
		}
	}
	return r
}

// members are the names of the members, admins with a star.
func members(r *Roster) string {
	var names []string
	for _, m := range r.Members() {
		name := m.Host
		if m.Admin {
			name += "*"
		}
		names = append(names, name)
	}
	return strings.Join(names, " ")
}

// describe is everything that a roster says.
func describe(r *Roster) string {
	var b strings.Builder
	b.WriteString(r.Group() + ": " + members(r) + "\n")
	for _, m := range r.Members() {
		b.WriteString(m.Entry.String() + m.Wanted + strings.Join(m.Former, ",") + "\n")
	}
	for _, removal := range r.Removed() {
		b.WriteString(removal.ID.Short() + string(removal.Why) + removal.Host + removal.Reason + "\n")
	}
	for i, n := range r.merge.nodes {
		b.WriteString(n.hash.String()[:8] + string('0'+byte(r.merge.counts[i])) + " ")
	}
	return b.String()
}

func wantMembers(t testing.TB, r *Roster, want string) {
	t.Helper()
	if got := members(r); got != want {
		t.Errorf("members are %q, want %q", got, want)
	}
}

func wantOut(t testing.TB, r *Roster, host string, why Why) {
	t.Helper()
	removal, ok := r.Removal(testID(host))
	if !ok || removal.Why != why {
		t.Errorf("%s: %+v, want out because %s", host, removal, why)
	}
	if removal.Reason == "" {
		t.Errorf("%s: no reason", host)
	}
}

func TestRevokeVoidsTheUnseen(t *testing.T) {
	s := tell(t)
	top := s.chain("ada", "bob")
	seen := s.admits("bob", "cat", top)
	s.revokes("ada", "bob", seen)
	hidden := s.admits("bob", "dan", seen) // bob's host had not heard of it, or says so
	s.admits("dan", "eve", hidden)
	r := s.merge()
	wantMembers(t, r, "ada* cat* founder*")
	wantOut(t, r, "bob", Revoked)
	wantOut(t, r, "dan", Voided)
	wantOut(t, r, "eve", Voided)
}

func TestBackdated(t *testing.T) {
	s := tell(t)
	top := s.chain("ada", "bob")
	last := s.revokes("ada", "bob", top)
	s.admits("ada", "cat", last)
	// With the stolen key, on top of what bob had seen long ago.
	s.admits("bob", "puppet", top)
	s.revokes("bob", "founder", top)
	s.says("bob", body{Kind: kindRename, Group: "stolen"}, top)
	r := s.merge()
	wantMembers(t, r, "ada* cat* founder*")
	wantOut(t, r, "puppet", Voided)
	if r.Group() != "home" {
		t.Errorf("group is %q", r.Group())
	}
}

func TestMutualRevocation(t *testing.T) {
	for _, hosts := range [][2]string{{"ada", "bob"}, {"bob", "ada"}} {
		s := tell(t)
		top := s.chain(hosts[0], hosts[1])
		a := s.revokes(hosts[0], hosts[1], top)
		b := s.revokes(hosts[1], hosts[0], top)
		r := s.merge()
		wantMembers(t, r, hosts[0]+"* founder*")
		if r.merge.overruled[r.merge.index[a]] || !r.merge.overruled[r.merge.index[b]] {
			t.Errorf("overruled: %v %v", r.merge.overruled[r.merge.index[a]], r.merge.overruled[r.merge.index[b]])
		}
		// It stays so when somebody has seen both.
		s.admits(hosts[0], "cat", a, b)
		wantMembers(t, s.merge(), strings.Join(sorted(hosts[0]+"*", "cat*", "founder*"), " "))
	}
}

func sorted(names ...string) []string { slices.Sort(names); return names }

func TestCircularRevocation(t *testing.T) {
	names := []string{"ada", "bob", "cat"}
	for _, circle := range [][3]int{{0, 1, 2}, {0, 2, 1}} {
		s := tell(t)
		top := s.chain(names...)
		for i, by := range circle {
			s.revokes(names[by], names[circle[(i+1)%3]], top)
		}
		r := s.merge()
		// The senior stays, its target is out, and what that said is void.
		wantMembers(t, r, strings.Join(sorted("ada*", names[circle[2]]+"*", "founder*"), " "))
	}
}

func TestJuniorRevokesSenior(t *testing.T) {
	s := tell(t)
	top := s.chain("ada", "bob", "cat")
	s.revokes("bob", "ada", top)
	s.revokes("ada", "cat", top) // unopposed by cat, and void: bob had not seen it
	wantMembers(t, s.merge(), "bob* cat* founder*")
}

func TestRevocationOfWhoAdmitted(t *testing.T) {
	// ada revokes bob behind cat's back; cat, whom bob admitted, revokes ada.
	s := tell(t)
	top := s.chain("bob")
	a := s.admits("founder", "ada", top)
	c := s.admits("bob", "cat", top)
	s.revokes("ada", "bob", a)
	s.revokes("cat", "ada", a, c)
	r := s.merge()
	if got := members(r); got != "ada* founder*" && got != "bob* cat* founder*" {
		t.Errorf("members are %q", got)
	}
}

func TestReadmission(t *testing.T) {
	s := tell(t)
	top := s.chain("ada", "bob")
	revoked := s.revokes("ada", "bob", top)
	s.admits("founder", "bob", revoked) // does not name it, so it does not lift it
	wantMembers(t, s.merge(), "ada* founder*")

	back := s.says("founder", body{Kind: kindAdmit, Subject: testID("bob"), Host: "bob", Overrides: []Hash{revoked}}, revoked)
	s.admits("bob", "backdated", top)
	wantMembers(t, s.merge(), "ada* bob founder*")

	// A revocation that the re-admission had not seen needs another.
	second := s.revokes("ada", "bob", revoked)
	wantMembers(t, s.merge(), "ada* founder*")
	s.says("founder", body{Kind: kindAdmit, Subject: testID("bob"), Host: "bob", Overrides: []Hash{revoked, second}}, back, second)
	wantMembers(t, s.merge(), "ada* bob founder*")
}

func TestUsesExceeded(t *testing.T) {
	s := tell(t)
	top := s.chain("ada")
	invite := s.says("ada", body{Kind: kindInvite, Key: make([]byte, 32), Uses: 1, Expires: 1, Admin: true}, top)
	redeem := func(by, host string, parents ...Hash) Hash {
		return s.says(by, body{Kind: kindAdmit, Subject: testID(host), Host: host, Admin: true, Invite: invite}, parents...)
	}
	one := redeem("ada", "one", invite)
	two := redeem("founder", "two", invite)
	loser := "two"
	if two.compare(one) < 0 {
		loser = "one"
	}
	redeem("ada", "three", one)
	redeem("founder", "two", two) // the same host again takes no use
	r := s.merge()
	if len(r.Members()) != 3 {
		t.Errorf("members are %q", members(r))
	}
	wantOut(t, r, loser, Exceeded)
	wantOut(t, r, "three", Exceeded)
	if invite := r.tickets[string(make([]byte, 32))]; len(invite.used) != 1 {
		t.Errorf("used by %d hosts", len(invite.used))
	}
}

func TestNeverWithoutAdmin(t *testing.T) {
	role := func(host string, admin bool) body { return body{Kind: kindRole, Subject: testID(host), Admin: admin} }
	s := tell(t)
	top := s.says("founder", body{Kind: kindAdmit, Subject: testID("kid"), Host: "kid"}, s.genesis)
	top = s.admits("founder", "ada", top)
	x := s.says("founder", role("ada", false), top)
	y := s.says("ada", role("founder", false), top)
	r := s.merge()
	wantMembers(t, r, "ada founder* kid")
	s.admits("founder", "bob", x, y)
	r = s.merge()
	wantMembers(t, r, "ada bob* founder kid") // bob was made one: the heir is not needed any more

	s = tell(t)
	top = s.says("founder", body{Kind: kindAdmit, Subject: testID("kid"), Host: "kid"}, s.genesis)
	top = s.admits("founder", "ada", top)
	x = s.says("founder", body{Kind: kindLeave}, top)
	y = s.says("ada", body{Kind: kindLeave}, top)
	wantMembers(t, s.merge(), "kid*")
	s.admits("kid", "bob", x, y)
	wantMembers(t, s.merge(), "bob* kid")
}

func TestNamesUnderPartition(t *testing.T) {
	s := tell(t)
	top := s.chain("ada")
	one := s.says("ada", body{Kind: kindAdmit, Subject: testID("one"), Host: "maple"}, top)
	two := s.says("founder", body{Kind: kindAdmit, Subject: testID("two"), Host: "maple"}, top)
	winner, loser := testID("one"), testID("two")
	if two.compare(one) < 0 {
		winner, loser = loser, winner
	}
	r := s.merge()
	if id, err := r.Resolve("maple"); err != nil || id != winner {
		t.Errorf("maple is %v, %v", id, err)
	}
	if id, err := r.Resolve("maple-" + loser.Short() + ".home.kith.alt"); err != nil || id != loser {
		t.Errorf("the loser is %v, %v", id, err)
	}
	if m, _ := r.Member(loser); m.Wanted != "maple" || m.Host != "maple-"+loser.Short() {
		t.Errorf("the loser is %+v", m)
	}
}

func TestForkByRestoredAuthor(t *testing.T) {
	s := tell(t)
	top := s.chain("ada")
	a := s.admits("ada", "bob", top)
	b := s.admits("ada", "cat", top) // its database was restored
	s.revokes("founder", "ada", a)
	r := s.merge()
	wantMembers(t, r, "bob* founder*")
	wantOut(t, r, "cat", Voided)
	_ = b
}

func TestStrangersDoNotCount(t *testing.T) {
	s := tell(t)
	top := s.chain("ada")
	s.admits("mallory", "mallory", top)
	s.revokes("mallory", "ada", top)
	kid := s.says("ada", body{Kind: kindAdmit, Subject: testID("kid"), Host: "kid"}, top)
	s.revokes("kid", "ada", kid)
	s.admits("kid", "puppet", kid)
	s.says("ada", body{Kind: "poll", Host: "x"}, kid)
	s.entries = append(s.entries, must(sign(testKey("ada"), body{Kind: kindRename, Host: "gone", Parents: []Hash{{1}}})))
	wantMembers(t, s.merge(), "ada* founder* kid")
}

func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

func TestKilledFounder(t *testing.T) {
	s := tell(t)
	top := s.chain("ada", "bob")
	top = s.revokes("ada", "founder", top)
	top = s.admits("bob", "cat", top)
	s.revokes("cat", "ada", top)
	wantMembers(t, s.merge(), "bob* cat*")
}

func TestMergeIsFast(t *testing.T) {
	s := manyEntries(t, 500)
	start := time.Now()
	r := Merge(s.genesis, s.entries)
	if took := time.Since(start); took > time.Second {
		t.Errorf("merged 500 entries in %s", took)
	}
	if len(r.merge.nodes) != 500 {
		t.Errorf("%d entries hang together", len(r.merge.nodes))
	}
}

func manyEntries(t testing.TB, n int) *story {
	s := tell(t)
	top := s.genesis
	for i := 1; i < n; i++ {
		name := "host" + strings.Repeat("x", i%50) + string('a'+rune(i%26))
		switch i % 10 {
		case 9:
			top = s.revokes("founder", name, top)
		default:
			top = s.admits("founder", name, top)
		}
	}
	return s
}

func BenchmarkMerge(b *testing.B) {
	s := manyEntries(b, 500)
	for b.Loop() {
		Merge(s.genesis, s.entries)
	}
}

// More hosts than a group may have: admins stay, and those admitted first.
func TestFullGroup(t *testing.T) {
	s := tell(t)
	top := s.genesis
	name := func(i int) string { return fmt.Sprintf("host%04d", i) }
	const hosts = MaxMembers + 10
	for i := range hosts { // the last one an admin
		top = s.says("founder", body{Kind: kindAdmit, Subject: testID(name(i)), Host: name(i), Admin: i == hosts-1}, top)
	}
	r := Merge(s.genesis, s.entries)
	if n := len(r.Members()); n != MaxMembers {
		t.Errorf("%d members", n)
	}
	if !r.IsAdmin(testID(name(hosts - 1))) {
		t.Error("an admin is out")
	}
	wantOut(t, r, name(hosts-2), Exceeded)
	s.says(name(0), body{Kind: kindLeave}, top)
	s.entries = append(s.entries[200:], s.entries[:200]...) // another order
	r = Merge(s.genesis, s.entries)
	wantOut(t, r, name(0), Left)
	wantOut(t, r, name(MaxMembers), Exceeded)
	if _, in := r.Member(testID(name(MaxMembers - 2))); !in || len(r.Members()) != MaxMembers {
		t.Errorf("nobody took the place of the host that left: %d members", len(r.Members()))
	}
}

// Everybody revokes everybody, at the same time: the worst that admins can do.
func TestAllAgainstAll(t *testing.T) {
	s := tell(t)
	var names []string
	for i := range 40 {
		names = append(names, fmt.Sprintf("host%02d", i))
	}
	top := s.chain(names...)
	for i := range names {
		for j := range names {
			if i != j {
				s.revokes(names[i], names[j], top)
			}
		}
	}
	start := time.Now()
	r := Merge(s.genesis, s.entries)
	if took := time.Since(start); took > 20*time.Second {
		t.Errorf("took %s", took)
	} else {
		t.Logf("%d entries in %s", len(r.merge.nodes), took)
	}
	wantMembers(t, r, "founder* host00*")
}
