package migration

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/stint-run/stint/internal/expression"
	"github.com/stint-run/stint/internal/sqldb"
	"github.com/stint-run/stint/tasks"
)

// lookIDs finds the ids of keys of a stage, as far as they are known.
type lookIDs func(ctx context.Context, stage string, keys []string) (map[string]string, error)

// maker makes rows by a stage's expressions. It is a sqldb.Transform.
type maker struct {
	m       *mapped
	row     expression.Row
	values  []expression.Value // of reads, as they are converted
	cells   []sqldb.Cell
	buf     []byte // what was written for the cells that were made of the current row
	keyBuf  []byte
	key     string
	look    lookIDs
	known   map[string]map[string]string // stage → key → id
	unknown map[string]map[string]bool   // stage → keys that are to be looked up
	size    int
	looked  bool // since the last row that was shown to Look, what it needs has been looked up
}

// maxKnownIDs bounds the ids that one reader remembers.
const maxKnownIDs = 100_000

// mapping returns how a stage becomes rows of a target.
func (m *mapped) mapping(target *sqldb.Table, look lookIDs) *sqldb.Mapping {
	out := &sqldb.Mapping{Source: m.source, Target: target, KeepIDs: m.keeps}
	for _, o := range m.outs {
		out.Columns = append(out.Columns, sqldb.ColumnPair{Source: o.column, Target: o.column})
		out.Kinds = append(out.Kinds, o.kind)
	}
	kinds := make([]sqldb.Kind, len(m.outs))
	for i, o := range m.outs {
		kinds[i] = target.Column(o.column).Kind
	}
	out.Make = func() sqldb.Transform { return newMaker(m, kinds, look) }
	return out
}

func newMaker(m *mapped, kinds []sqldb.Kind, look lookIDs) *madeFor {
	k := &maker{m: m, look: look, values: make([]expression.Value, len(m.columns)), cells: make([]sqldb.Cell, len(m.outs)),
		known: map[string]map[string]string{}, unknown: map[string]map[string]bool{}}
	k.row.Values = k.values
	k.row.Resolve = k.resolveOne
	return &madeFor{k, kinds}
}

// madeFor is a maker that knows the kinds of its target's columns.
type madeFor struct {
	*maker
	kinds []sqldb.Kind
}

// Reads names the columns that are read.
func (k *maker) Reads() []sqldb.Input { return k.m.reads }

// Plain returns which input a column is.
func (k *maker) Plain(i int) int { return k.m.outs[i].plain }

// Ahead reports whether there are references to look up.
func (k *maker) Ahead() bool { return len(k.m.refs) > 0 }

// Key names the row that was made last.
func (k *maker) Key() string { return k.key }

// fill converts the cells that expressions look at.
func (k *maker) fill(row []sqldb.Cell) *sqldb.BadValue {
	k.row.Next()
	k.buf = k.buf[:0]
	for i := range k.m.reads {
		if !k.m.reads[i].Seen {
			continue
		}
		at := k.m.at[i]
		v, bad := toValue(k.m.columns[at].Name, &row[i], k.m.columns[at].Type)
		if bad != nil {
			return bad
		}
		k.values[at] = v
	}
	return nil
}

// Look collects the keys that a row refers to.
func (k *maker) Look(row []sqldb.Cell) {
	if k.looked && k.size > maxKnownIDs { // not while rows that have been shown still need what is known
		clear(k.known)
		k.size = 0
	}
	k.looked = false
	if k.fill(row) != nil {
		return
	}
	k.collect(k.m.filter)
	k.collect(k.m.each)
	if k.m.each == nil {
		k.collectOuts()
		return
	}
	items, err := k.items()
	if err != nil {
		return
	}
	for i, item := range items {
		k.row.Item, k.row.Index = item, int64(i)
		k.collectOuts()
	}
}

func (k *maker) collectOuts() {
	for i := range k.m.outs {
		k.collect(k.m.outs[i].prog)
	}
}

func (k *maker) collect(p *expression.Program) {
	if p == nil {
		return
	}
	for _, ref := range p.Refs() {
		key, ok := k.keyOf(ref.Key)
		if !ok {
			continue
		}
		if _, known := k.known[ref.Stage][key]; known {
			continue
		}
		if k.unknown[ref.Stage] == nil {
			k.unknown[ref.Stage] = map[string]bool{}
		}
		k.unknown[ref.Stage][key] = true
	}
}

func (k *maker) keyOf(parts []*expression.Program) (string, bool) {
	values := make([]expression.Value, len(parts))
	for i, p := range parts {
		v, err := p.Eval(&k.row)
		if err != nil || v.IsNull() {
			return "", false
		}
		values[i] = v
	}
	k.keyBuf = appendKey(k.keyBuf[:0], values)
	return string(k.keyBuf), true
}

// appendKey writes what names a row, as the map of ids keeps it: a JSON list of the parts as text, so that 5 names the same row
// whether it was a number or a text.
func appendKey(dst []byte, parts []expression.Value) []byte {
	dst = append(dst, '[')
	for i, v := range parts {
		if i > 0 {
			dst = append(dst, ',')
		}
		text, _ := json.Marshal(v.String()) // a string is always JSON
		dst = append(dst, text...)
	}
	return append(dst, ']')
}

// Resolve looks up what was collected.
func (k *maker) Resolve(ctx context.Context) error {
	k.looked = true
	for stage, keys := range k.unknown {
		if len(keys) == 0 {
			continue
		}
		list := make([]string, 0, len(keys))
		for key := range keys {
			list = append(list, key)
		}
		found, err := k.look(ctx, stage, list)
		if err != nil {
			return err
		}
		k.size += len(found)
		if k.known[stage] == nil {
			k.known[stage] = map[string]string{}
		}
		for key, id := range found {
			k.known[stage][key] = id
		}
		clear(keys)
	}
	return nil
}

// resolveOne gives ref() what is known.
func (k *maker) resolveOne(stage string, key []expression.Value) (expression.Value, bool, error) {
	k.keyBuf = appendKey(k.keyBuf[:0], key)
	id, ok := k.known[stage][string(k.keyBuf)]
	if !ok {
		return expression.Value{}, false, nil
	}
	v, err := parseID(id, k.m.refs[stage])
	return v, true, err
}

// parseID reads an id as the map of ids keeps it.
func parseID(id string, t expression.Type) (expression.Value, error) {
	switch t {
	case expression.Int:
		n, err := strconv.ParseInt(id, 10, 64)
		if err != nil {
			return expression.Value{}, fmt.Errorf("the id %q in stint_ids is no whole number", id)
		}
		return expression.OfInt(n), nil
	case expression.Decimal, expression.Float:
		return expression.ParseDecimal(id)
	case expression.UUID:
		if u, ok := sqldb.ParseUUID(id); ok {
			return expression.OfUUID(u), nil
		}
		return expression.Value{}, fmt.Errorf("the id %q in stint_ids is no UUID", id)
	case expression.Any: // of an API: JSON
		var v any
		if err := json.Unmarshal([]byte(id), &v); err != nil {
			return expression.OfText(id), nil
		}
		if s, ok := v.(string); ok {
			return expression.OfText(s), nil
		}
		if n, err := strconv.ParseInt(id, 10, 64); err == nil {
			return expression.OfInt(n), nil
		}
	}
	return expression.OfText(id), nil
}

// items returns what `each:` makes of the row; NULLs in the list make nothing.
func (k *maker) items() ([]expression.Value, error) {
	v, err := k.m.each.Eval(&k.row)
	if err != nil {
		return nil, err
	}
	items, err := v.Items()
	return slices.DeleteFunc(items, func(v expression.Value) bool { return v.IsNull() }), err
}

// Apply makes the rows of one row.
func (k *madeFor) Apply(row []sqldb.Cell, emit func(out []sqldb.Cell) *sqldb.BadValue) error {
	k.key = ""
	if bad := k.fill(row); bad != nil {
		return bad
	}
	if len(k.m.key) > 0 && k.m.keeps {
		if bad := k.name(); bad != nil {
			return bad
		}
	}
	if k.m.filter != nil {
		ok, err := k.m.filter.True(&k.row)
		if err != nil {
			return k.rowError("", err)
		}
		if !ok {
			return nil
		}
	}
	if k.m.each == nil {
		return k.emit(emit)
	}
	items, err := k.items()
	if err != nil {
		return k.rowError("", err)
	}
	for i, item := range items {
		k.row.Item, k.row.Index = item, int64(i)
		if err := k.emit(emit); err != nil {
			return err
		}
	}
	return nil
}

// name makes the key of the row.
func (k *maker) name() *sqldb.BadValue {
	parts := make([]expression.Value, len(k.m.key))
	for i, at := range k.m.key {
		if parts[i] = k.values[k.m.at[at]]; parts[i].IsNull() {
			return &sqldb.BadValue{Column: k.m.reads[at].Name, Code: "23502", Reason: "NULL in the key, which names the row for others"}
		}
	}
	k.key = string(appendKey(nil, parts))
	return nil
}

// emit evaluates the columns of one row.
func (k *madeFor) emit(emit func(out []sqldb.Cell) *sqldb.BadValue) error {
	for i := range k.m.outs {
		o := &k.m.outs[i]
		if o.plain >= 0 {
			continue
		}
		v, err := o.prog.Eval(&k.row)
		if err != nil {
			return k.rowError(o.column, err)
		}
		k.cells[i], k.buf = toCell(v, k.kinds[i], k.buf)
	}
	if bad := emit(k.cells); bad != nil {
		return bad
	}
	return nil
}

// rowError turns an error of an expression into that of a row, where it is the row's.
func (k *maker) rowError(column string, err error) error {
	var value *expression.ValueError
	if errors.As(err, &value) {
		return &sqldb.BadValue{Column: column, Reason: value.Reason, Code: value.Code}
	}
	var missing *expression.MissingRef
	if errors.As(err, &missing) {
		return &sqldb.BadValue{Column: column, Reason: missing.Error(), Code: sqldb.CodeDeferred}
	}
	return tasks.Permanent(err)
}
