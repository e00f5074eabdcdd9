package all_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stint-run/stint/internal/sqldb"
	"github.com/stint-run/stint/tasks"
	"github.com/stint-run/stint/tasks/all"
	"github.com/stint-run/stint/tasks/migration"
)

// FuzzAnySpecIsTakenOrRefusedInWords holds that each family takes a spec or says what is wrong with it, the same each time and however the
// spec is spaced, and that the name of what a job is about is always the same.
func FuzzAnySpecIsTakenOrRefusedInWords(f *testing.F) {
	families := all.Families(all.Options{Databases: migration.NewDatabases(func(name string) (sqldb.Location, error) {
		if name != "a" && name != "b" {
			return sqldb.Location{}, errors.New("no such connection")
		}
		return sqldb.ParseURL("sqlite:/nowhere/" + name)
	}, 1)})
	for i := range families {
		for _, seed := range []string{`{"source":"a","target":"b"}`, `{"source":"a","target":"b","tables":["x"],"chunk_rows":10,"window":3}`, `{"source":"a","target":"b","plan":{"name":"p","source":"a","target":"b","stages":[{"name":"s","from":{"table":"t","key":["id"]},"map":{"x":"id + 1"},"to":{"table":"u","mode":"upsert","key":["x"]}}]}}`,
			`{"connection":"a","threshold":25,"containment":0.9,"recency_days":7,"limit_deletions":5}`, `{"apply":{"analysis":"x","limit":1}}`, `{"undo":"ded-1"}`, `{"rule":"r"}`, `{"days":30}`, `{"job":"mig-1"}`, `{"repository":"https://x/y.git","ref":"main","pipeline":{"name":"p","version":1,"steps":[{"name":"s","run":["true"]}]}}`, `{}`, `null`, `[]`, `{"a":`, `"x"`, `{"source":"a","source":"b"}`, `{"plan":{"stages":[[]]}}`} {
			f.Add(i, []byte(seed))
		}
	}
	f.Fuzz(func(t *testing.T, which int, spec []byte) {
		if which < 0 || which >= len(families) || len(spec) == 0 { // without any spec nothing is asked for
			t.Skip()
		}
		family := families[which]
		checker, ok := family.(tasks.Checker)
		if !ok {
			t.Skip()
		}
		err := checker.Check(spec)
		if again := checker.Check(spec); fmt.Sprint(again) != fmt.Sprint(err) {
			t.Errorf("%s: %v, and then %v", family.Kind(), err, again)
		}
		if err != nil {
			if text := err.Error() + tasks.HintOf(err); text == "" || utf8.Valid(spec) && !utf8.ValidString(text) {
				t.Errorf("%s: %q", family.Kind(), text)
			}
			return
		}
		var compact bytes.Buffer
		if err := json.Compact(&compact, spec); err != nil {
			t.Errorf("%s takes what is no JSON: %s: %v", family.Kind(), spec, err)
			return
		}
		if err := checker.Check(compact.Bytes()); err != nil {
			t.Errorf("%s takes %s and not %s: %v", family.Kind(), spec, compact.Bytes(), err)
		}
		if keyer, ok := family.(tasks.Keyer); ok {
			key := func(spec []byte) string {
				k, err := keyer.Key(tasks.Job{ID: "x-1", Kind: family.Kind(), Spec: spec, CreatedAt: time.Unix(0, 0)})
				return fmt.Sprint(k, err)
			}
			if a, b := key(spec), key(compact.Bytes()); a != b || key(spec) != a {
				t.Errorf("%s names %s %q, and %s %q", family.Kind(), spec, a, compact.Bytes(), b)
			}
		}
	})
}
