package plan

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/stint-run/stint/tasks"
)

// Types are those of From.As, and of what expressions see.
var Types = []string{"bool", "bytes", "date", "decimal", "float", "int", "json", "moment", "text", "time", "timestamp", "uuid"}

// MaxStages is how many stages a plan may have.
const MaxStages = 2_000

var stageName = regexp.MustCompile(`^[\pL\pN_][\pL\pN_.\- ]*$`)

// longestStageName is in characters; within the form it would be a hundred copies of it, and megabytes at the start of every command.
const longestStageName = 100

// checker collects what is wrong.
type checker struct{ problems Problems }

func (c *checker) add(path, hint, format string, args ...any) {
	c.problems = append(c.problems, Problem{Path: path, Hint: hint, Message: fmt.Sprintf(format, args...)})
}

// Check returns what is wrong with a plan as far as that can be told without the databases; nil when nothing is.
func (p *Plan) Check() Problems {
	c := &checker{}
	if len(p.Stages) == 0 {
		c.add("stages", "stint plan --from SOURCE --to TARGET writes a plan to begin with", "there are none")
	}
	if len(p.Stages) > MaxStages {
		c.add("stages", "make several plans", "%d are too many; the most is %d", len(p.Stages), MaxStages)
	}
	if p.Source != "" && p.Source == p.Target {
		c.add("target", "name two connections", "source and target are the same connection, %s", p.Source)
	}
	c.ids(p)
	if p.Window < 0 {
		c.add("window", "leave it away for the default", "must be positive")
	}
	c.oneOf("policy.on_reject", p.Policy.OnReject, "", OnRejectQuarantine, OnRejectStop)
	c.oneOf("policy.on_delete", p.Policy.OnDelete, "", OnDeleteDelete, OnDeleteKeep)
	if m := p.Policy.MaxRejects; m != nil && *m < 0 {
		c.add("policy.max_rejects", "0 stops at the first row that is set aside", "must not be negative")
	}
	if p.Policy.Retries < -1 {
		c.add("policy.retries", "-1 means never", "must be -1 or more")
	}
	names := map[string]bool{}
	for i := range p.Stages {
		s := &p.Stages[i]
		path := fmt.Sprintf("stages[%d]", i)
		switch {
		case !stageName.MatchString(s.Name) || utf8.RuneCountInString(s.Name) > longestStageName:
			c.add(path+".name", "letters, digits, _ - . and spaces; 100 at most", "%q is no name for a stage", s.Name)
		case names[s.Name]:
			c.add(path+".name", "give it another name", "two stages are called %s", s.Name)
		}
		names[s.Name] = true
	}
	tables := p.Tables()
	for i := range p.Stages {
		path := fmt.Sprintf("stages[%d]", i)
		c.stage(p, &p.Stages[i], path)
		c.expressions(p, &p.Stages[i], path, tables)
	}
	if circle := p.circle(); circle != "" {
		c.add("stages", "a row may refer to a row of its own stage, or of a stage before it", "these wait for each other: %s", circle)
	}
	if _, _, err := p.Verify.Share(); err != nil {
		c.add("verify.rows", "all, sample: 1%, count or none", "%s", err)
	}
	return c.problems
}

func (c *checker) oneOf(path, value string, allowed ...string) {
	if !slices.Contains(allowed, value) {
		c.add(path, "", "must be %s, not %q", strings.Join(slices.DeleteFunc(slices.Clone(allowed), func(s string) bool { return s == "" }), " or "), value)
	}
}

func (c *checker) stage(p *Plan, s *Stage, path string) {
	for j, name := range s.After {
		if p.Stage(name) == nil {
			c.add(fmt.Sprintf("%s.after[%d]", path, j), Near(name, p.names()), "there is no stage %q", name)
		}
	}
	c.from(s, path+".from")
	switch {
	case s.Chunk.Rows < 0 || s.Chunk.Time < 0:
		c.add(path+".chunk", "leave it away for the default", "must be positive")
	case s.Chunk.Rows > 0 && s.Chunk.Time > 0:
		c.add(path+".chunk", "take one of them", "rows and time cannot both be given")
	case s.Chunk.Rows > 10_000_000:
		c.add(path+".chunk.rows", "a step of a few thousand rows is given back sooner", "%d are too many", s.Chunk.Rows)
	}
	if len(s.Map) == 0 {
		c.add(path+".map", "name the target's columns, each with an expression", "is empty")
	}
	for _, a := range s.Map {
		if strings.TrimSpace(a.Expr) == "" {
			c.add(path+".map."+a.Column, "write nil for NULL", "has no expression")
		}
		if a.Column == "" {
			c.add(path+".map", "", "a column has no name")
		}
	}
	c.to(s, path+".to")
}

func (c *checker) from(s *Stage, path string) {
	f := &s.From
	switch {
	case f.Table == "" && f.Query == "":
		c.add(path, "write from: {table: NAME}", "names neither a table nor a query")
	case f.Table != "" && f.Query != "":
		c.add(path, "take one of them", "table and query cannot both be given")
	case f.Query != "" && len(f.Key) == 0:
		c.add(path+".key", "name the columns of the query that name a row", "a query needs a key, by which its rows are walked")
	case f.Query != "" && f.Where != "":
		c.add(path+".where", "put the condition into the query", "a query has its own")
	}
	// It would end the query that this stands in. What followed would run by itself, past what keeps a source from being written, and an
	// SQLite file from opening another one.
	for _, part := range []struct{ entry, text string }{{"query", f.Query}, {"where", f.Where}} {
		if strings.Contains(part.text, ";") {
			c.add(path+"."+part.entry, "leave the semicolon away; within a text write char(59), or chr(59)", "is used within another query, of which there is one")
		}
	}
	seen := map[string]bool{}
	for j, k := range f.Key {
		if seen[k] || k == "" {
			c.add(fmt.Sprintf("%s.key[%d]", path, j), "", "%q stands there twice, or is empty", k)
		}
		seen[k] = true
	}
	for column, typ := range f.As {
		if !slices.Contains(Types, typ) {
			c.add(path+".as."+column, Near(typ, Types), "%q is no type", typ)
		}
	}
}

func (c *checker) to(s *Stage, path string) {
	t := &s.To
	kinds := 0
	for _, there := range []bool{t.Table != "", t.HTTP != nil, t.File != nil} {
		if there {
			kinds++
		}
	}
	if kinds != 1 {
		c.add(path, "write to: {table: NAME}, or to: {http: ...}, or to: {file: ...}", "must name a table, an API's requests or files, and one of them alone")
		return
	}
	if t.HTTP != nil {
		c.http(t.HTTP, path+".http")
	}
	if t.Table == "" {
		if t.Mode != "" || len(t.Key) > 0 || t.ID != "" {
			c.add(path, "leave them away", "mode, key and id are for tables")
		}
		if t.File != nil {
			c.file(s, path+".file")
		}
		return
	}
	c.oneOf(path+".mode", t.Mode, "", ModeInsert, ModeUpsert, ModeReplace)
	if (t.Mode == ModeUpsert || t.Mode == ModeReplace) && len(t.Key) == 0 {
		c.add(path+".key", "name the target's columns by which a row is known again", "%s needs one", t.Mode)
	}
	for j, k := range t.Key {
		if slices.Contains(t.Key[:j], k) {
			c.add(fmt.Sprintf("%s.key[%d]", path, j), "leave one of them", "%q stands there twice", k)
			continue
		}
		if _, ok := s.Map.Get(k); !ok {
			c.add(fmt.Sprintf("%s.key[%d]", path, j), "give it an expression in map", "the key's column %s gets no value", k)
		}
	}
}

// http looks whether requests can be made. Its errors name the entry, as to.http.NAME.
func (c *checker) http(h *HTTP, path string) {
	err := h.Check()
	if err == nil {
		return
	}
	message := err.Error()
	if m := httpEntry.FindStringSubmatch(message); m != nil {
		path, message = path+"."+m[1], message[len(m[0]):]
	}
	c.add(path, tasks.HintOf(err), "%s", message)
}

var httpEntry = regexp.MustCompile(`^to\.http\.([a-z_.]+): `)

func (p *Plan) names() []string {
	var names []string
	for i := range p.Stages {
		names = append(names, p.Stages[i].Name)
	}
	return names
}

// circle names stages that wait for each other by after; "" when there are none.
func (p *Plan) circle() string {
	state := map[string]int{} // 1: on the way; 2: done
	var path []string
	var visit func(name string) bool
	visit = func(name string) bool {
		s := p.Stage(name)
		if s == nil || state[name] == 2 {
			return false
		}
		path = append(path, name)
		if state[name] == 1 {
			return true
		}
		state[name] = 1
		for _, a := range s.After {
			if visit(a) {
				return true
			}
		}
		state[name] = 2
		path = path[:len(path)-1]
		return false
	}
	for i := range p.Stages {
		if visit(p.Stages[i].Name) {
			return strings.Join(path[slices.Index(path, path[len(path)-1]):], " > ")
		}
	}
	return ""
}

// Share returns how much is to be compared: whether rows are compared at all, and the share of them, 1 being all. The share 0
// means that rows are only counted.
func (v Verify) Share() (compare bool, share float64, err error) {
	switch r := strings.TrimSpace(v.Rows); {
	case r == "" || r == "all":
		return true, 1, nil
	case r == "none":
		return false, 0, nil
	case r == "count":
		return true, 0, nil
	case strings.HasPrefix(r, "sample:"):
		text, ok := strings.CutSuffix(strings.TrimSpace(strings.TrimPrefix(r, "sample:")), "%")
		f, err := strconv.ParseFloat(strings.TrimSpace(text), 64)
		if !ok || err != nil || !(f > 0 && f <= 100) {
			return false, 0, fmt.Errorf("%q is no sample; write sample: 1%%", r)
		}
		return true, f / 100, nil
	}
	return false, 0, fmt.Errorf("%q is not known", v.Rows)
}
