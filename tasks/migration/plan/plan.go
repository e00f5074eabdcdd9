// Package plan is the form in which people say what a migration does: stages that read from a source, map each row by
// expressions, and write it somewhere. docs/plans.md describes it field by field.
//
// A plan comes as YAML from a file (Parse, whose errors name file, line and column) or as JSON within a job's spec. It is frozen
// into the job when the job is accepted.
package plan

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
)

// Plan says what a migration does.
type Plan struct {
	Name   string `json:"name" yaml:"name" doc:"What people call it."`
	Source string `json:"source,omitempty" yaml:"source,omitempty" doc:"The connection to read from; --from says otherwise."`
	Target string `json:"target,omitempty" yaml:"target,omitempty" doc:"The connection to write to; --to says otherwise."`
	// State is the connection of the database that keeps stint's own tables.
	State string `json:"state,omitempty" yaml:"state,omitempty" doc:"The connection of the database that keeps stint's own tables (ledger, ids, quarantine). Default: the target, if that is a database; an API or files need one."`
	// IDs keeps the ids of what an API is sent.
	IDs     *IDs              `json:"ids,omitempty" yaml:"ids,omitempty" doc:"The Redis that keeps the ids which an API has given, for ref(): the name of its connection, or connection and max_ids. Default: the database of state."`
	Policy  Policy            `json:"policy,omitzero" yaml:"policy,omitempty" doc:"What becomes of rows that cannot be loaded."`
	Window  int               `json:"window,omitempty" yaml:"window,omitempty" doc:"Steps of the job that are out at once. Default: what the command or the server says."`
	Lookups map[string]Lookup `json:"lookups,omitempty" yaml:"lookups,omitempty" doc:"Constant tables for lookup(\"name\", key)."`
	Stages  []Stage           `json:"stages" yaml:"stages" doc:"What is moved, one entry for each kind of row."`
	Verify  Verify            `json:"verify,omitzero" yaml:"verify,omitempty" doc:"How much is compared at the end."`
}

// Lookup is a constant table: text to a string, a bool, a json.Number or nil.
type Lookup map[string]any

// UnmarshalJSON reads an object of scalars, and keeps the digits of its numbers.
func (l *Lookup) UnmarshalJSON(data []byte) error {
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	var rows map[string]any
	if err := d.Decode(&rows); err != nil {
		return errors.New("must be an object of key: value")
	}
	for key, v := range rows {
		switch v.(type) {
		case []any, map[string]any:
			return fmt.Errorf("%s: a table has one value for a key", key)
		}
	}
	*l = rows
	return nil
}

// Policy says what becomes of rows that cannot be loaded.
type Policy struct {
	OnReject   string `json:"on_reject,omitempty" yaml:"on_reject,omitempty" enum:"quarantine,stop" doc:"quarantine (default): set the row aside and go on. stop: the job fails at the first one."`
	MaxRejects *int64 `json:"max_rejects,omitempty" yaml:"max_rejects,omitempty" doc:"The job fails as soon as more rows than this are set aside. Default: no bound."`
	// OnDelete is for --catch-up.
	OnDelete string `json:"on_delete,omitempty" yaml:"on_delete,omitempty" enum:"delete,keep" doc:"What --catch-up does with rows that were deleted in the source. delete (default): delete them in the target. keep: leave them there."`
	Retries  int    `json:"retries,omitempty" yaml:"retries,omitempty" doc:"How many times a step that failed is tried again. Default: 8; -1: never."`
}

// What becomes of rows that cannot be loaded.
const (
	OnRejectQuarantine = "quarantine"
	OnRejectStop       = "stop"
)

// What a catch-up does with rows that were deleted in the source.
const (
	OnDeleteDelete = "delete"
	OnDeleteKeep   = "keep"
)

// Stage moves one kind of row.
type Stage struct {
	Name   string   `json:"name" yaml:"name" doc:"What ref() and reports call it."`
	After  []string `json:"after,omitempty" yaml:"after,omitempty" doc:"Stages that must have ended before. A stage that ref() names is waited for anyway."`
	From   From     `json:"from" yaml:"from" doc:"What is read."`
	Chunk  Chunk    `json:"chunk,omitzero" yaml:"chunk,omitempty" doc:"How much a step covers."`
	Filter string   `json:"filter,omitempty" yaml:"filter,omitempty" doc:"An expression; rows for which it is not true are skipped, and counted."`
	Each   Items    `json:"each,omitempty" yaml:"each,omitempty" doc:"An expression that gives a list, or a list of expressions: one row is written for each of its items, which map sees as item, with index."`
	Map    Map      `json:"map" yaml:"map" doc:"Target column: expression over the source's row."`
	To     To       `json:"to" yaml:"to" doc:"Where rows go."`
}

// From is what a stage reads.
type From struct {
	Table   string            `json:"table,omitempty" yaml:"table,omitempty" doc:"A table of the source; schema.table outside of its default schema."`
	Query   string            `json:"query,omitempty" yaml:"query,omitempty" doc:"A SELECT in the source's own SQL, instead of a table."`
	Key     []string          `json:"key,omitempty" yaml:"key,omitempty,flow" doc:"The columns that name a row, and by which rows are walked. Default: the table's primary key."`
	Where   string            `json:"where,omitempty" yaml:"where,omitempty" doc:"A condition in the source's own SQL. Rows that it leaves out are not read, and not counted."`
	As      map[string]string `json:"as,omitempty" yaml:"as,omitempty" doc:"Column: type, where the source's own is not what expressions should see: text, int, decimal, bool, date, time, timestamp, moment, uuid, json, bytes."`
	Changed string            `json:"changed,omitempty" yaml:"changed,omitempty" doc:"A column that grows with each change of a row (updated_at, a version): by it --catch-up finds what has changed. Without one it compares hashes of rows."`
}

// Chunk says how much a step covers: Rows, or as many rows as take about Time. The zero value means 10,000 rows.
type Chunk struct {
	Rows int      `json:"rows,omitempty" yaml:"rows,omitempty" doc:"Rows of a step."`
	Time Duration `json:"time,omitzero" yaml:"time,omitempty" doc:"How long a step should take, such as 1s; the rows of a step adapt to the target's speed."`
}

// To is where rows go: exactly one of Table, HTTP and File.
type To struct {
	Table string   `json:"table,omitempty" yaml:"table,omitempty" doc:"A table of the target. It is made when it is not there and the source is a table."`
	Mode  string   `json:"mode,omitempty" yaml:"mode,omitempty" enum:"insert,upsert,replace" doc:"insert (default): a row whose key is there is set aside. upsert: its mapped columns are overwritten. replace: the whole row is, columns that are not mapped get their defaults."`
	Key   []string `json:"key,omitempty" yaml:"key,omitempty,flow" doc:"The target's columns that name a row; upsert and replace need them, and a unique key over them."`
	ID    string   `json:"id,omitempty" yaml:"id,omitempty" doc:"The target's column that ref() gives other stages. Default: the key, if it is one column."`
	HTTP  *HTTP    `json:"http,omitempty" yaml:"http,omitempty" doc:"Requests to the target, which is an API."`
	File  *File    `json:"file,omitempty" yaml:"file,omitempty" doc:"Files in the artifact store."`
}

// Modes of To.
const (
	ModeInsert  = "insert"
	ModeUpsert  = "upsert"
	ModeReplace = "replace"
)

// Verify says how much is compared.
type Verify struct {
	Rows string `json:"rows,omitempty" yaml:"rows,omitempty" doc:"all (default), sample: 1%, count or none."`
}

// Assignment gives a column of the target its value.
type Assignment struct {
	Column string
	Expr   string
}

// Map is the columns of the target with their expressions, in the order in which they were written. In JSON and YAML it is an
// object; a value that is no text (5, true, null) is the constant that it is.
type Map []Assignment

// MarshalJSON writes an object.
func (m Map) MarshalJSON() ([]byte, error) {
	var b bytes.Buffer
	b.WriteByte('{')
	for i, a := range m {
		if i > 0 {
			b.WriteByte(',')
		}
		name, err := json.Marshal(a.Column)
		if err != nil {
			return nil, err
		}
		expr, err := json.Marshal(a.Expr)
		if err != nil {
			return nil, err
		}
		b.Write(name)
		b.WriteByte(':')
		b.Write(expr)
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}

// UnmarshalJSON reads an object and keeps its order.
func (m *Map) UnmarshalJSON(data []byte) error {
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return errors.Join(errors.New("map must be an object of column: expression"), err)
	}
	*m = Map{}
	for d.More() {
		name, err := d.Token()
		if err != nil {
			return err
		}
		value, err := d.Token()
		if err != nil {
			return err
		}
		a := Assignment{Column: name.(string)}
		switch v := value.(type) {
		case string:
			a.Expr = v
		case json.Number:
			a.Expr = v.String()
		case bool:
			a.Expr = fmt.Sprint(v)
		case nil:
			a.Expr = "nil"
		default:
			return fmt.Errorf("map.%s must be an expression", a.Column)
		}
		*m = append(*m, a)
	}
	_, err := d.Token()
	return err
}

// Items is an expression that gives a list. It may be written as a list of expressions.
type Items string

// UnmarshalJSON reads a text, or a list of texts.
func (i *Items) UnmarshalJSON(data []byte) error {
	var list []string
	if err := json.Unmarshal(data, &list); err == nil && list != nil {
		*i = Items("[" + strings.Join(list, ", ") + "]")
		return nil
	}
	var text string
	if err := json.Unmarshal(data, &text); err != nil {
		return errors.New("must be an expression, or a list of them")
	}
	*i = Items(text)
	return nil
}

// Get returns the expression of a column, and whether there is one.
func (m Map) Get(column string) (string, bool) {
	for _, a := range m {
		if a.Column == column {
			return a.Expr, true
		}
	}
	return "", false
}

// Duration is written as 1s, 500ms, 2m.
type Duration time.Duration

// MarshalText writes it as time.Duration does.
func (d Duration) MarshalText() ([]byte, error) { return []byte(time.Duration(d).String()), nil }

// UnmarshalText reads what time.ParseDuration does.
func (d *Duration) UnmarshalText(text []byte) error {
	v, err := time.ParseDuration(string(text))
	if err != nil {
		return fmt.Errorf("%q is no duration; write 500ms, 1s or 2m", text)
	}
	*d = Duration(v)
	return nil
}

// Stage returns the stage of a name, or nil.
func (p *Plan) Stage(name string) *Stage {
	for i := range p.Stages {
		if p.Stages[i].Name == name {
			return &p.Stages[i]
		}
	}
	return nil
}
