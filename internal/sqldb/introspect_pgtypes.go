package sqldb

import (
	"fmt"

	"github.com/jackc/pgx/v5"
)

// pgType is a type as pg_type has it.
type pgType struct {
	name     string // typname
	schema   string // "" is the connection's default schema
	kind     string // typtype: b base, c composite, d domain, e enum, r range
	builtin  bool   // every server has it
	element  uint32 // of an array
	base     uint32 // of a domain
	modifier int32  // of the base of a domain
	baseText string // the base of a domain as it is written
	notNull  bool   // a domain may say so
	fallback string // the default of a domain
	labels   []string
}

// readTypes reads the types that are not built in, and those that are.
func (r *pgReader) readTypes() error {
	rows, err := r.tx.Query(r.ctx, `
		SELECT t.oid, t.typname::text, CASE WHEN n.nspname = current_schema() THEN '' ELSE n.nspname::text END, t.typtype::text,
		       n.nspname = 'pg_catalog', t.typelem, t.typbasetype, t.typtypmod, coalesce(format_type(nullif(t.typbasetype, 0), t.typtypmod), ''),
		       t.typnotnull, coalesce(t.typdefault, ''),
		       coalesce((SELECT array_agg(e.enumlabel::text ORDER BY e.enumsortorder) FROM pg_enum e WHERE e.enumtypid = t.oid), '{}')
		FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace LEFT JOIN pg_class c ON c.oid = t.typrelid
		WHERE coalesce(c.relkind, 'c') = 'c'`)
	if err != nil {
		return err
	}
	r.types = map[uint32]*pgType{}
	var oid uint32
	var t pgType
	_, err = pgx.ForEachRow(rows, []any{&oid, &t.name, &t.schema, &t.kind, &t.builtin, &t.element, &t.base, &t.modifier, &t.baseText,
		&t.notNull, &t.fallback, &t.labels}, func() error {
		read := t
		r.types[oid] = &read
		t.labels = nil
		return nil
	})
	return err
}

// setType fills in what a column holds. A domain becomes the type it is made of: the server sends its values as such, and
// its checks are left out with all others.
func (r *pgReader) setType(t *Table, c *Column, oid uint32, modifier int32) {
	typ := r.types[oid]
	for typ != nil && typ.kind == "d" {
		t.Notes = append(t.Notes, fmt.Sprintf("Column %s of table %s has the domain %s; it becomes %s, without the domain's checks.",
			c.Name, t.FullName(), typ.name, typ.baseText))
		c.NotNull = c.NotNull || typ.notNull
		if c.Default == "" {
			c.Default = typ.fallback
		}
		c.Type, oid, modifier = typ.baseText, typ.base, typ.modifier
		typ = r.types[oid]
	}
	c.Kind = KindOther
	if typ == nil {
		return
	}
	if typ.builtin && typ.kind == "b" {
		c.Kind, c.Precision, c.Scale, c.Length = kindOfPostgres(typ.name, modifier)
	}
	if element := r.types[typ.element]; element != nil && typ.kind == "b" {
		oid, typ = typ.element, element // what an array needs is what its elements need
	}
	switch {
	case typ.kind == "e" && !r.enums[oid]:
		r.enums[oid] = true
		r.schema.Enums = append(r.schema.Enums, Enum{Schema: typ.schema, Name: typ.name, Labels: typ.labels})
	case typ.kind != "e" && !typ.builtin:
		t.Notes = append(t.Notes, fmt.Sprintf("Column %s of table %s has the type %s, which is not built in: the target must have it.",
			c.Name, t.FullName(), c.Type))
	}
}
