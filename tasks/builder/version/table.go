package version

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"regexp"
	"slices"
	"strings"

	"github.com/stint-run/stint/tasks"
)

// Result is what the check of one row of a table gave.
type Result struct {
	Name  string `json:"name"`
	Equal bool   `json:"equal"`
	// Differences say what is not as the row wants it, one sentence for each value.
	Differences []string `json:"differences,omitempty"`
	// Ignored are facts of the row that the rule does not know.
	Ignored []string `json:"ignored,omitempty"`
}

// Table is a file of rows to hold the rule to: a list of {name, in, out}, or the lists of SemVer versions that are valid,
// invalid, in ascending order and equal.
type Table struct {
	rows []row
	sem  map[string][]json.RawMessage
}

// row is one line of a table: facts, and what they must give.
type row struct {
	Name string                     `json:"name"`
	In   map[string]json.RawMessage `json:"in"`
	Out  map[string]string          `json:"out"`
}

// ReadTable reads a table. An error says what is wrong with the file; that a row differs is none, Check says that.
func ReadTable(text []byte) (*Table, error) {
	text = bytes.TrimPrefix(text, []byte("\ufeff"))
	var t Table
	if trimmed := bytes.TrimSpace(text); len(trimmed) == 0 || trimmed[0] != '{' {
		if err := json.Unmarshal(text, &t.rows); err != nil {
			return nil, misread(text, err)
		}
		for i := range t.rows {
			if t.rows[i].Name == "" {
				t.rows[i].Name = fmt.Sprintf("row %d", i+1)
			}
			if t.rows[i].In == nil || len(t.rows[i].Out) == 0 {
				return nil, tasks.WithHint(nil, `write {"name": …, "in": {"base": "1.5", …}, "out": {"version": …}}`, "row %d (%q) lacks in or out", i+1, t.rows[i].Name)
			}
		}
		if len(t.rows) == 0 {
			return nil, tasks.WithHint(nil, "a table without rows would always be right", "the table has no rows")
		}
		return &t, nil
	}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(text, &fields); err != nil {
		return nil, misread(text, err)
	}
	t.sem = map[string][]json.RawMessage{}
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		var list []json.RawMessage
		if json.Unmarshal(fields[name], &list) != nil {
			continue // where the lists come from
		}
		if kindOf(name) == "" {
			return nil, tasks.WithHint(nil, "the lists end in valid or invalid, or begin with precedence_ascending or equal_precedence", "the list %q is none that can be checked", name)
		}
		t.sem[name] = list
	}
	if len(t.sem) == 0 {
		return nil, tasks.WithHint(nil, "write a list of rows, or an object with lists of versions", "the table has nothing to check")
	}
	return &t, nil
}

// misread gives a mistake in JSON its place.
func misread(text []byte, err error) error {
	offset := int64(-1)
	var syntax *json.SyntaxError
	var form *json.UnmarshalTypeError
	switch {
	case errors.As(err, &syntax):
		offset = syntax.Offset
	case errors.As(err, &form):
		offset = form.Offset
	}
	const hint = "a table is a JSON list of {name, in, out}, or an object with lists of SemVer versions"
	if offset < 0 || offset > int64(len(text)) {
		return tasks.WithHint(err, hint, "the table cannot be read")
	}
	before := text[:offset]
	line := bytes.Count(before, []byte("\n")) + 1
	return tasks.WithHint(err, hint, "%d:%d", line, max(1, len(before)-bytes.LastIndexByte(before, '\n')-1))
}

// kindOf says what a list of versions is about, by its name; "" for an unknown one.
func kindOf(list string) string {
	switch {
	case strings.HasPrefix(list, "precedence_ascending"), strings.HasPrefix(list, "equal_precedence"):
		return list[:strings.IndexByte(list, '_')]
	case strings.HasSuffix(list, "invalid"):
		return "invalid"
	case strings.HasSuffix(list, "valid"):
		return "valid"
	}
	return ""
}

// Check holds the rule to each row.
func (t *Table) Check() []Result {
	var out []Result
	for _, r := range t.rows {
		out = append(out, r.check())
	}
	for _, name := range slices.Sorted(maps.Keys(t.sem)) {
		for i, entry := range t.sem[name] {
			r := Result{Name: fmt.Sprintf("%s[%d] %s", name, i, compact(entry))}
			r.Differences = checkVersions(kindOf(name), entry)
			r.Equal = len(r.Differences) == 0
			out = append(out, r)
		}
	}
	return out
}

func compact(j json.RawMessage) string {
	var b bytes.Buffer
	_ = json.Compact(&b, j) // it has been read already
	return b.String()
}

// check computes one row, and compares what the row names.
func (r row) check() Result {
	result := Result{Name: r.Name}
	in, ignored, err := r.facts()
	result.Ignored = ignored
	got := map[string]string{}
	if err == nil {
		var o Out
		if o, err = Compute(in); err == nil {
			got = map[string]string{"version": o.Version, "file_version": o.File, "channel": string(o.Channel)}
		}
	}
	var e *Error
	switch {
	case errors.As(err, &e):
		got["err"] = string(e.Code)
	case err != nil:
		result.Differences = append(result.Differences, err.Error())
		return result
	}
	for _, key := range slices.Sorted(maps.Keys(r.Out)) {
		switch value, ok := got[key]; {
		case !ok && e != nil:
			result.Differences = append(result.Differences, fmt.Sprintf("%s: got the error %s, want %q", key, e.Code, r.Out[key]))
		case !ok && key == "err":
			result.Differences = append(result.Differences, fmt.Sprintf("err: got the version %s, want the error %s", got["version"], r.Out[key]))
		case !ok:
			result.Differences = append(result.Differences, fmt.Sprintf("%s: a version has nothing of this name, want %q", key, r.Out[key]))
		case value != r.Out[key]:
			result.Differences = append(result.Differences, fmt.Sprintf("%s: got %q, want %q", key, value, r.Out[key]))
		}
	}
	if _, expected := r.Out["err"]; e != nil && !expected && len(result.Differences) == 0 {
		result.Differences = append(result.Differences, "got the error "+string(e.Code))
	}
	result.Equal = len(result.Differences) == 0
	return result
}

// facts reads what a row gives, and names what it gives beyond.
func (r row) facts() (in In, ignored []string, err error) {
	fields := map[string]any{"base": &in.Base, "ci": &in.CI, "counter": (*counter)(&in.Counter), "ref": &in.Ref, "default": &in.Default,
		"sha": &in.SHA, "height": &in.Height, "dirty": &in.Dirty, "shallow": &in.Shallow, "tags_at_head": &in.Tags}
	for _, name := range slices.Sorted(maps.Keys(r.In)) {
		field, known := fields[name]
		if !known {
			ignored = append(ignored, name)
			continue
		}
		if e := json.Unmarshal(r.In[name], field); e != nil && err == nil {
			err = fmt.Errorf("in.%s: %s cannot be read", name, compact(r.In[name]))
		}
	}
	return in, ignored, err
}

// counter is a whole number of any size: one that does not fit is out of the rule's range like any other great one.
type counter int64

var wholeForm = regexp.MustCompile(`^-?\d+$`)

// UnmarshalJSON reads a whole number, or null for none.
func (c *counter) UnmarshalJSON(text []byte) error {
	var n json.Number
	if err := json.Unmarshal(text, &n); err != nil || text[0] == '"' {
		return fmt.Errorf("%s is no number", text)
	}
	if n == "" {
		return nil // null
	}
	if v, err := n.Int64(); err == nil {
		*c = counter(v)
		return nil
	}
	if !wholeForm.MatchString(n.String()) {
		return fmt.Errorf("%s is no whole number", n)
	}
	*c = math.MaxInt64
	if strings.HasPrefix(n.String(), "-") {
		*c = math.MinInt64
	}
	return nil
}

// checkVersions holds Parse and Compare to one entry of a list.
func checkVersions(kind string, entry json.RawMessage) []string {
	if kind == "valid" || kind == "invalid" {
		var s string
		if err := json.Unmarshal(entry, &s); err != nil {
			return []string{"is no text"}
		}
		v, err := Parse(s)
		switch {
		case kind == "valid" && err != nil:
			return []string{"is refused, and is valid"}
		case kind == "invalid" && err == nil:
			return []string{"is accepted, and is not valid"}
		case err == nil && v.String() != s:
			return []string{fmt.Sprintf("is written back as %q", v)}
		}
		return nil
	}
	var list []string
	if err := json.Unmarshal(entry, &list); err != nil || len(list) < 2 {
		return []string{"is no list of versions to compare"}
	}
	want := 0
	if kind == "precedence" {
		want = -1
	}
	versions := make([]SemVer, len(list))
	for i, s := range list {
		v, err := Parse(s)
		if err != nil {
			return []string{err.Error()}
		}
		versions[i] = v
	}
	var out []string
	for i, v := range versions {
		for j := i + 1; j < len(versions); j++ {
			if got, back := v.Compare(versions[j]), versions[j].Compare(v); got != want || back != -want {
				out = append(out, fmt.Sprintf("%s and %s: got %d and %d, want %d and %d", v, versions[j], got, back, want, -want))
			}
		}
	}
	return out
}
