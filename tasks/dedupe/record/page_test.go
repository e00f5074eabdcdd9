package record_test

import (
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/stint-run/stint/tasks/dedupe/decide"
	"github.com/stint-run/stint/tasks/dedupe/record"
)

// members collects the names of the members of a value's JSON, with those of the structs of the packages of this family within.
func members(t reflect.Type, into map[string]bool) {
	switch t.Kind() {
	case reflect.Pointer, reflect.Slice, reflect.Map:
		members(t.Elem(), into)
	case reflect.Struct:
		if !strings.Contains(t.PkgPath(), "/tasks/dedupe/") {
			return
		}
		for i := range t.NumField() {
			f := t.Field(i)
			if name, _, _ := strings.Cut(f.Tag.Get("json"), ","); name != "" {
				into[name] = true
			}
			members(f.Type, into)
		}
	}
}

func TestThePageExplainsEachMemberReasonAndOutcome(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../../docs/dedupe-files.md")
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]bool{}
	for _, v := range []any{record.Header{}, decide.Set{}, decide.Decision{}, record.Pair{}, record.End{}, record.DeletionHeader{}, record.Deletion{}, record.DeletionEnd{}} {
		members(reflect.TypeOf(v), names)
	}
	for _, r := range []decide.Reason{decide.Duplicate, decide.Newest, decide.OnlyCopy, decide.NotDuplicate, decide.TemplateOnly, decide.Exempt, decide.Recent, decide.UnknownSync,
		decide.FutureSync, decide.SameSync, decide.NoLiveWitness, decide.WitnessUploading, decide.LowContainment, decide.ForeignShared, decide.Miscounted} {
		names[string(r)] = true
		if row := "| " + string(r.Action()) + " | `" + string(r) + "` |"; !strings.Contains(string(text), row) {
			t.Errorf("the page has no row %s", row)
		}
	}
	for _, o := range record.Outcomes {
		names[string(o)] = true
	}
	if len(names) < 60 {
		t.Fatalf("found only %d names", len(names))
	}
	for name := range names {
		if !strings.Contains(string(text), "`"+name+"`") {
			t.Errorf("the page does not explain `%s`", name)
		}
	}
}
