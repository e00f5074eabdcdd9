package app

import (
	"encoding/json"
	"slices"
	"strings"

	"github.com/stint-run/stint/tasks"
	"github.com/stint-run/stint/tasks/all"
)

// CheckSpec says what is wrong with a job that a schedule of the configuration would start, and in which part of it: "kind" or
// "spec". It looks at words alone: no database is opened.
func CheckSpec(kind string, spec json.RawMessage) (part string, err error) {
	var kinds []string
	for _, f := range all.Families(all.Options{}) {
		if f.Kind() == kind {
			c, ok := f.(tasks.Checker)
			if !ok {
				return "", nil
			}
			if len(spec) == 0 {
				spec = json.RawMessage("{}")
			}
			return "spec", c.Check(spec)
		}
		kinds = append(kinds, f.Kind())
	}
	slices.Sort(kinds)
	return "kind", tasks.WithHint(nil, "this version knows "+strings.Join(kinds, ", "), "there are no jobs of kind %q", kind)
}
