package sqldb

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/stint-run/stint/tasks"
)

// pgReader reads the schema of a PostgreSQL database within one snapshot.
type pgReader struct {
	ctx    context.Context
	tx     pgx.Tx
	schema *Schema
	types  map[uint32]*pgType
	tables map[uint32]*Table
	oids   []uint32        // of the wanted tables
	enums  map[uint32]bool // those that have been listed
}

func introspectPostgres(ctx context.Context, db *DB, only []string) (*Schema, error) {
	tx, err := db.Pool.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly})
	if err != nil {
		return nil, explainPostgres(db.Location, err)
	}
	defer func() { _ = tx.Rollback(context.WithoutCancel(ctx)) }() // nothing was written
	r := &pgReader{ctx: ctx, tx: tx, schema: &Schema{Dialect: Postgres}, tables: map[uint32]*Table{}, enums: map[uint32]bool{}}
	order, err := r.list(only)
	for _, read := range []func() error{r.readTypes, r.columns, r.sequences, r.constraints, r.indexes, r.leftOut, r.count} {
		if err == nil {
			err = read()
		}
	}
	if err != nil {
		return nil, fmt.Errorf("introspect %s: %w", db.Location, Classify(err))
	}
	for _, oid := range order {
		r.schema.Tables = append(r.schema.Tables, *r.tables[oid])
	}
	return r.schema, nil
}

// list reads the tables there are, and begins those that are wanted. Views and foreign tables are noted.
func (r *pgReader) list(only []string) ([]uint32, error) {
	type relation struct {
		oid      uint32
		schema   string
		name     string
		kind     string
		readable bool
	}
	var all []relation
	var names []string
	rows, err := r.tx.Query(r.ctx, `
		SELECT c.oid, CASE WHEN n.nspname = current_schema() THEN '' ELSE n.nspname::text END, c.relname::text, c.relkind::text,
		       has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(c.oid, 'SELECT')
		FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
		WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND NOT c.relispartition AND c.relpersistence <> 't'
		  AND n.nspname NOT LIKE 'pg\_%' AND n.nspname <> 'information_schema'
		  AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
		ORDER BY n.nspname <> current_schema(), n.nspname, c.oid`)
	if err != nil {
		return nil, err
	}
	for rows.Next() {
		var x relation
		if err := rows.Scan(&x.oid, &x.schema, &x.name, &x.kind, &x.readable); err != nil {
			return nil, err
		}
		full := (&Table{Schema: x.schema, Name: x.name}).FullName()
		switch {
		case isLedgerName(x.name):
		case x.kind == "v" || x.kind == "m":
			r.schema.Views = append(r.schema.Views, full)
		case x.kind == "f":
			r.schema.Notes = append(r.schema.Notes, fmt.Sprintf("The foreign table %s is left out.", full))
		default:
			all, names = append(all, x), append(names, full)
		}
	}
	if err := rows.Err(); err != nil {
		return nil, err
	}
	wanted, err := selectTables(Postgres, names, only)
	if err != nil {
		return nil, err
	}
	for i, x := range all {
		if !wanted[names[i]] {
			continue
		}
		if !x.readable {
			return nil, tasks.Permanent(tasks.WithHint(nil, "GRANT SELECT on it, and USAGE on its schema, to this user, or leave it out",
				"no permission to read table %s", names[i]))
		}
		r.oids = append(r.oids, x.oid)
		r.tables[x.oid] = &Table{Schema: x.schema, Name: x.name, Only: x.kind == "r"}
	}
	return r.oids, nil
}

// columns reads the columns of all wanted tables.
func (r *pgReader) columns() error {
	var oid, typeOID uint32
	var modifier int32
	var c Column
	var identity, generated, foreign string
	return r.each(`
		SELECT a.attrelid, a.attname::text, a.atttypid, a.atttypmod, format_type(a.atttypid, a.atttypmod), a.attnotnull,
		       a.attidentity::text, a.attgenerated::text, coalesce(pg_get_expr(d.adbin, d.adrelid), ''),
		       -- what the default needs beyond what every server has
		       coalesce((SELECT string_agg(DISTINCT coalesce(p.proname::text, s.relname::text), ', ')
		                 FROM pg_depend x
		                 LEFT JOIN pg_proc p ON x.refclassid = 'pg_proc'::regclass AND p.oid = x.refobjid
		                      AND p.pronamespace <> 'pg_catalog'::regnamespace
		                 LEFT JOIN pg_class s ON x.refclassid = 'pg_class'::regclass AND s.oid = x.refobjid AND s.relkind = 'S'
		                 WHERE x.classid = 'pg_attrdef'::regclass AND x.objid = d.oid), '')
		FROM pg_attribute a LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
		WHERE a.attrelid = ANY($1) AND a.attnum > 0 AND NOT a.attisdropped
		ORDER BY a.attrelid, a.attnum`,
		[]any{&oid, &c.Name, &typeOID, &modifier, &c.Type, &c.NotNull, &identity, &generated, &c.Default, &foreign}, func() error {
			t := r.tables[oid]
			col := c
			r.setType(t, &col, typeOID, modifier)
			col.Identity = identity != ""
			col.Generated = generated != ""
			switch {
			case col.Generated || strings.HasPrefix(col.Default, "NULL::"):
				col.Default = ""
			case foreign != "" && !strings.HasPrefix(col.Default, "nextval("):
				t.Notes = append(t.Notes, fmt.Sprintf("The default of column %s of table %s needs %s; it is left out.", col.Name, t.FullName(), foreign))
				col.Default = ""
			}
			t.Columns = append(t.Columns, col)
			return nil
		})
}

// sequences finds the columns that take their values from a sequence, and how far it came.
func (r *pgReader) sequences() error {
	var oid uint32
	var name string
	var last *int64
	var readable bool
	// A sequence that was made by hand is owned by no column and has no row here.
	err := r.each(`
		SELECT d.refobjid, a.attname::text, has_sequence_privilege(s.oid, 'SELECT, USAGE'),
		       CASE WHEN has_sequence_privilege(s.oid, 'SELECT, USAGE') THEN pg_sequence_last_value(s.oid) END
		FROM pg_class s
		JOIN pg_depend d ON d.classid = 'pg_class'::regclass AND d.objid = s.oid AND d.refclassid = 'pg_class'::regclass
		     AND d.deptype IN ('a', 'i')
		JOIN pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
		WHERE s.relkind = 'S' AND d.refobjid = ANY($1)`,
		[]any{&oid, &name, &readable, &last}, func() error {
			t := r.tables[oid]
			c := t.Column(name)
			if strings.HasPrefix(c.Default, "nextval(") {
				c.Identity, c.Default = true, ""
			}
			if c.Identity && !readable {
				t.Notes = append(t.Notes, fmt.Sprintf("No permission to read the sequence of column %s of table %s: numbering goes on "+
					"after its greatest value.", name, t.FullName()))
			}
			if c.Identity && last != nil {
				value := *last
				t.LastValue = &value
			}
			return nil
		})
	if err != nil {
		return err
	}
	for _, t := range r.tables {
		for i := range t.Columns {
			if c := &t.Columns[i]; strings.HasPrefix(c.Default, "nextval(") {
				t.Notes = append(t.Notes, fmt.Sprintf("The default of column %s of table %s, a sequence of its own, is left out: %s.", c.Name, t.FullName(), c.Default))
				c.Default = ""
			}
		}
	}
	return nil
}

// constraints reads primary keys, unique constraints and foreign keys, and notes the others.
func (r *pgReader) constraints() error {
	var oid uint32
	var kind, name, refSchema, refTable, onDelete, onUpdate string
	var columns, refColumns []string
	var deferrable, deferred, valid, matchFull bool
	const names = `(SELECT array_agg(a.attname::text ORDER BY k.n) FROM unnest(%s) WITH ORDINALITY AS k(num, n)
		                 JOIN pg_attribute a ON a.attrelid = %s AND a.attnum = k.num)`
	return r.each(`
		SELECT c.conrelid, c.contype::text, c.conname::text, coalesce(`+fmt.Sprintf(names, "c.conkey", "c.conrelid")+`, '{}'),
		       coalesce(`+fmt.Sprintf(names, "c.confkey", "c.confrelid")+`, '{}'),
		       coalesce(CASE WHEN n.nspname = current_schema() THEN '' ELSE n.nspname::text END, ''), coalesce(p.relname::text, ''),
		       c.confdeltype::text, c.confupdtype::text, c.condeferrable, c.condeferred, c.convalidated, c.confmatchtype = 'f'
		FROM pg_constraint c LEFT JOIN pg_class p ON p.oid = c.confrelid LEFT JOIN pg_namespace n ON n.oid = p.relnamespace
		WHERE c.conrelid = ANY($1) AND c.contype IN ('p', 'u', 'f', 'c', 'x') AND c.conparentid = 0
		ORDER BY c.conrelid, c.contype, c.oid`,
		[]any{&oid, &kind, &name, &columns, &refColumns, &refSchema, &refTable, &onDelete, &onUpdate, &deferrable, &deferred, &valid,
			&matchFull},
		func() error {
			t := r.tables[oid]
			note := func(format string, args ...any) { t.Notes = append(t.Notes, fmt.Sprintf(format, args...)) }
			switch kind {
			case "p":
				t.PrimaryKey = &Key{Name: name, Columns: slices.Clone(columns)}
			case "u":
				t.Uniques = append(t.Uniques, Key{Name: name, Columns: slices.Clone(columns)})
			case "c":
				note("The CHECK constraint %s of table %s is left out.", name, t.FullName())
			case "x":
				note("The EXCLUDE constraint %s of table %s is left out.", name, t.FullName())
			case "f":
				t.ForeignKeys = append(t.ForeignKeys, ForeignKey{Name: name, Columns: slices.Clone(columns), RefSchema: refSchema,
					RefTable: refTable, RefColumns: slices.Clone(refColumns), OnDelete: pgActions[onDelete],
					OnUpdate: pgActions[onUpdate], Deferrable: deferrable, Deferred: deferred})
				if !valid {
					note("The foreign key %s of table %s was never validated; rows may break it.", name, t.FullName())
				}
				if matchFull {
					note("That the foreign key %s of table %s is MATCH FULL is left out.", name, t.FullName())
				}
			}
			if deferrable && (kind == "p" || kind == "u") {
				note("That the constraint %s of table %s is deferrable is left out.", name, t.FullName())
			}
			return nil
		})
}

// pgActions are the letters of pg_constraint.
var pgActions = map[string]string{"r": "RESTRICT", "c": "CASCADE", "n": "SET NULL", "d": "SET DEFAULT"}

// indexes reads the indexes that belong to no constraint, and notes those that are more than columns in an order.
func (r *pgReader) indexes() error {
	var oid uint32
	var name, method, where string
	var columns []string
	var desc []bool
	var unique, expression, plainOrder, included, distinctNulls bool
	return r.each(`
		SELECT i.indrelid, c.relname::text, m.amname::text, i.indisunique, i.indexprs IS NOT NULL,
		       coalesce(pg_get_expr(i.indpred, i.indrelid), ''),
		       coalesce((SELECT array_agg(a.attname::text ORDER BY k.n) FROM unnest(i.indkey::int2[]) WITH ORDINALITY AS k(num, n)
		        JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.num WHERE k.n <= i.indnkeyatts), '{}'),
		       (SELECT array_agg(o.bits & 1 = 1 ORDER BY o.n) FROM unnest(i.indoption::int2[]) WITH ORDINALITY AS o(bits, n)),
		       -- default operator classes, and NULLs where each direction puts them
		       (SELECT bool_and(p.opcdefault) FROM unnest(i.indclass::oid[]) AS k(class) JOIN pg_opclass p ON p.oid = k.class)
		       AND (SELECT bool_and(o.bits IN (0, 3)) FROM unnest(i.indoption::int2[]) AS o(bits)),
		       i.indnatts > i.indnkeyatts, coalesce((to_jsonb(i) ->> 'indnullsnotdistinct')::bool, false)
		FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_am m ON m.oid = c.relam
		WHERE i.indrelid = ANY($1) AND i.indisvalid
		  AND NOT EXISTS (SELECT FROM pg_constraint k WHERE k.conindid = i.indexrelid AND k.contype IN ('p', 'u', 'x'))
		ORDER BY i.indrelid, i.indexrelid`,
		[]any{&oid, &name, &method, &unique, &expression, &where, &columns, &desc, &plainOrder, &included, &distinctNulls}, func() error {
			t := r.tables[oid]
			note := func(format string, args ...any) {
				t.Notes = append(t.Notes, fmt.Sprintf(format, append([]any{name, t.FullName()}, args...)...))
			}
			switch {
			case expression:
				note("The index %s of table %s, over an expression, is left out.")
				return nil
			case method != "btree":
				note("The index %s of table %s, by %s, is left out.", method)
				return nil
			case !plainOrder:
				note("The index %s of table %s is made with the default operators and order of NULLs.")
			}
			if included {
				note("The index %s of table %s is made without its INCLUDE columns.")
			}
			if distinctNulls {
				note("That the index %s of table %s takes NULLs as equal is left out.")
			}
			if unique && where == "" {
				t.Uniques = append(t.Uniques, Key{Name: name, Columns: slices.Clone(columns)})
				return nil
			}
			ix := Index{Name: name, Unique: unique, Where: where}
			for i, column := range columns {
				ix.Columns = append(ix.Columns, IndexPart{Column: column, Desc: desc[i]})
			}
			t.Indexes = append(t.Indexes, ix)
			return nil
		})
}

// leftOut notes what else hangs on the tables: triggers, row security.
func (r *pgReader) leftOut() error {
	var oid uint32
	var what, name string
	return r.each(`
		SELECT tgrelid, 'trigger', tgname::text FROM pg_trigger WHERE tgrelid = ANY($1) AND NOT tgisinternal
		UNION ALL
		SELECT polrelid, 'policy', polname::text FROM pg_policy WHERE polrelid = ANY($1)
		ORDER BY 1, 2, 3`,
		[]any{&oid, &what, &name}, func() error {
			t := r.tables[oid]
			t.Notes = append(t.Notes, fmt.Sprintf("The %s %s of table %s is left out.", what, name, t.FullName()))
			return nil
		})
}

// cheapCount is the size in bytes up to which rows are counted; above, the statistics have to do.
const cheapCount = 16 << 20

// count fills in the rows: exact for small tables, else by what the last ANALYZE or VACUUM saw, else by size.
func (r *pgReader) count() error {
	var oid uint32
	var size int64
	var known float64
	small := map[uint32]bool{}
	err := r.each(`
		SELECT c.oid, coalesce(sum(pg_table_size(l.oid)), 0)::int8, coalesce(sum(greatest(l.reltuples, 0)), 0)::float8
		FROM pg_class c CROSS JOIN LATERAL (
			SELECT c.oid, c.reltuples WHERE c.relkind <> 'p'
			UNION ALL SELECT x.oid, x.reltuples FROM pg_partition_tree(c.oid) p JOIN pg_class x ON x.oid = p.relid
			WHERE c.relkind = 'p' AND p.isleaf) l
		WHERE c.oid = ANY($1) GROUP BY c.oid`,
		[]any{&oid, &size, &known}, func() error {
			small[oid] = size <= cheapCount
			if r.tables[oid].Rows = int64(known); known == 0 {
				r.tables[oid].Rows = size / 100
			}
			return nil
		})
	if err != nil {
		return err
	}
	for oid, t := range r.tables {
		if !small[oid] && t.Rows > 0 {
			continue
		}
		if err := r.tx.QueryRow(r.ctx, "SELECT count(*) FROM "+t.from(Postgres)).Scan(&t.Rows); err != nil {
			return err
		}
	}
	return nil
}

// each runs a query with the wanted tables as $1 and calls f for each row, scanned into dest.
func (r *pgReader) each(query string, dest []any, f func() error) error {
	rows, err := r.tx.Query(r.ctx, query, r.oids)
	if err != nil {
		return err
	}
	_, err = pgx.ForEachRow(rows, dest, f)
	return err
}
