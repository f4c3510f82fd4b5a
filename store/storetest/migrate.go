package storetest

import (
	"errors"
	"testing"
	"testing/fstest"

	"kith.alt/kith"
)

// steps are migrations that work only in order and only once.
var steps = []string{
	"0001_rows.sql", `CREATE TABLE test_rows (id BIGINT NOT NULL PRIMARY KEY); INSERT INTO test_rows (id) VALUES (1);`,
	"0002_more.sql", `INSERT INTO test_rows (id) SELECT max(id) + 1 FROM test_rows`,
	"0003_text.sql", `ALTER TABLE test_rows ADD COLUMN text TEXT NOT NULL DEFAULT ''; INSERT INTO test_rows (id, text) VALUES (3, 'x');`,
}

func testMigrateInOrderAndOnce(t *testing.T, s kith.Store) {
	for _, known := range []int{1, 1, 3, 3} {
		if err := s.Migrate(t.Context(), "test", files(steps[:2*known]...)); err != nil {
			t.Fatal(err)
		}
		expectRows(t, s, known)
	}
	with := files(steps...)
	with["README.md"] = &fstest.MapFile{Data: []byte("not a migration")}
	with["0002_more.sql"] = &fstest.MapFile{Data: []byte(steps[3])}
	if err := s.Migrate(t.Context(), "test", with); err != nil {
		t.Errorf("migrate beside other files: %v", err)
	}
	if err := s.Migrate(t.Context(), "idle", files()); err != nil {
		t.Errorf("migrate without migrations: %v", err)
	}
}

func testMigrateAllOrNone(t *testing.T, s kith.Store) {
	if err := s.Migrate(t.Context(), "test", files(steps[:2]...)); err != nil {
		t.Fatal(err)
	}
	broken := append(append([]string(nil), steps[:4]...), "0003_text.sql", `INSERT INTO test_nowhere (id) VALUES (1)`)
	if err := s.Migrate(t.Context(), "test", files(broken...)); err == nil {
		t.Error("a migration that fails: no error")
	}
	expectRows(t, s, 1) // 0002 is undone
	if err := s.Migrate(t.Context(), "test", files(steps...)); err != nil {
		t.Errorf("migrate after one failed: %v", err)
	}
	expectRows(t, s, 3)
}

func testMigrateNewer(t *testing.T, s kith.Store) {
	if err := s.Migrate(t.Context(), "test", files(steps...)); err != nil {
		t.Fatal(err)
	}
	for _, known := range []int{0, 2} {
		if err := s.Migrate(t.Context(), "test", files(steps[:2*known]...)); !errors.Is(err, kith.Invalid) {
			t.Errorf("a program that knows %d of 3 migrations: %v, want kind %q", known, err, kith.Invalid)
		}
	}
	expectRows(t, s, 3)
}

func testMigrateEdited(t *testing.T, s kith.Store) {
	if err := s.Migrate(t.Context(), "test", files(steps[:2]...)); err != nil {
		t.Fatal(err)
	}
	edited := append([]string{"0001_rows.sql", `CREATE TABLE test_rows (id BIGINT)`}, steps[2:]...)
	if err := s.Migrate(t.Context(), "test", files(edited...)); !errors.Is(err, kith.Invalid) {
		t.Errorf("an edited migration: %v, want kind %q", err, kith.Invalid)
	}
	expectRows(t, s, 1)
}

func testMigrateBadNames(t *testing.T, s kith.Store) {
	const text = `CREATE TABLE test_bad (id BIGINT)`
	for _, names := range [][]string{
		{"1_rows.sql"}, {"0001.sql"}, {"0001_Rows.sql"}, {"rows.sql"},
		{"0000_rows.sql"}, {"0002_rows.sql"}, {"0001_rows.sql", "0003_more.sql"}, {"0001_rows.sql", "0001_same.sql"},
	} {
		dir := make(fstest.MapFS)
		for _, name := range names {
			dir[name] = &fstest.MapFile{Data: []byte(text)}
		}
		if err := s.Migrate(t.Context(), "test", dir); !errors.Is(err, kith.Invalid) {
			t.Errorf("migrations %v: %v, want kind %q", names, err, kith.Invalid)
		}
	}
	for _, owner := range []string{"", "two words", "UPPER"} {
		if err := s.Migrate(t.Context(), owner, files()); !errors.Is(err, kith.Invalid) {
			t.Errorf("owner %q: %v, want kind %q", owner, err, kith.Invalid)
		}
	}
}

// testMigrateOwners checks that owners have versions of their own, and may
// migrate at the same time.
func testMigrateOwners(t *testing.T, s kith.Store) {
	withTable(t, s)
	results := make(chan error)
	owners := []string{"web", "mail", "news", "chat"}
	for _, owner := range owners {
		go func() {
			results <- s.Migrate(t.Context(), owner, files(
				"0001_things.sql", `CREATE TABLE `+owner+`_things (id BIGINT)`,
				"0002_more.sql", `INSERT INTO `+owner+`_things (id) VALUES (1)`))
		}()
	}
	for range owners {
		if err := <-results; err != nil {
			t.Error(err)
		}
	}
}
