package sqldb

import (
	"database/sql"
	"errors"
	"fmt"
	"strings"

	"github.com/nakagami/firebirdsql"
)

// fbCounted is up to how many rows a table is counted: beyond, the index of its key is asked for an estimate.
const fbCounted = 1_000_000

// checks counts the CHECK constraints of tables and of the domains that their columns are of.
func (r *fbReader) checks() error {
	counts := map[string]int{}
	add := func(scan scanFunc) error {
		var table string
		var n int
		err := scan(&table, &n)
		counts[table] += n
		return err
	}
	err := r.each(`SELECT TRIM(RDB$RELATION_NAME), COUNT(*) FROM RDB$RELATION_CONSTRAINTS WHERE RDB$CONSTRAINT_TYPE = 'CHECK' GROUP BY 1`, add)
	if err == nil {
		err = r.each(`
			SELECT TRIM(rf.RDB$RELATION_NAME), COUNT(*) FROM RDB$RELATION_FIELDS rf JOIN RDB$FIELDS f ON f.RDB$FIELD_NAME = rf.RDB$FIELD_SOURCE
			WHERE COALESCE(rf.RDB$SYSTEM_FLAG, 0) = 0 AND f.RDB$VALIDATION_BLR IS NOT NULL GROUP BY 1`, add)
	}
	for _, name := range r.order {
		if n := counts[name]; n > 0 {
			r.tables[name].Notes = append(r.tables[name].Notes, fmt.Sprintf("CHECK constraints of table %s are left out: %d.", name, n))
		}
	}
	return err
}

// identities finds the columns that the database numbers: those that are declared so, from Firebird 3 on, and those that a
// trigger fills from a generator, which is how it has always been done.
func (r *fbReader) identities() error {
	type numbered struct{ table, column, generator, trigger string }
	var all []numbered
	if r.ods >= 12 {
		err := r.each(`SELECT TRIM(RDB$RELATION_NAME), TRIM(RDB$FIELD_NAME), TRIM(RDB$GENERATOR_NAME) FROM RDB$RELATION_FIELDS
			WHERE RDB$GENERATOR_NAME IS NOT NULL AND COALESCE(RDB$SYSTEM_FLAG, 0) = 0`, func(scan scanFunc) error {
			var x numbered
			err := scan(&x.table, &x.column, &x.generator)
			all = append(all, x)
			return err
		})
		if err != nil {
			return err
		}
	}
	// Trigger types 1 and 17 run before an insert; dependencies of type 14 are generators, of type 0 columns.
	err := r.each(`
		SELECT TRIM(t.RDB$RELATION_NAME), TRIM(c.RDB$FIELD_NAME), TRIM(g.RDB$DEPENDED_ON_NAME), TRIM(t.RDB$TRIGGER_NAME)
		FROM RDB$TRIGGERS t
		JOIN RDB$DEPENDENCIES g ON g.RDB$DEPENDENT_NAME = t.RDB$TRIGGER_NAME AND g.RDB$DEPENDENT_TYPE = 2 AND g.RDB$DEPENDED_ON_TYPE = 14
		JOIN RDB$DEPENDENCIES c ON c.RDB$DEPENDENT_NAME = t.RDB$TRIGGER_NAME AND c.RDB$DEPENDENT_TYPE = 2 AND c.RDB$DEPENDED_ON_TYPE = 0
		     AND c.RDB$DEPENDED_ON_NAME = t.RDB$RELATION_NAME AND c.RDB$FIELD_NAME IS NOT NULL
		WHERE COALESCE(t.RDB$SYSTEM_FLAG, 0) = 0 AND t.RDB$TRIGGER_TYPE IN (1, 17) AND COALESCE(t.RDB$TRIGGER_INACTIVE, 0) = 0
		ORDER BY 1, 4, 3`, func(scan scanFunc) error {
		var x numbered
		err := scan(&x.table, &x.column, &x.generator, &x.trigger)
		all = append(all, x)
		return err
	})
	if err != nil {
		return err
	}
	for _, x := range all {
		t := r.tables[x.table]
		if t == nil {
			continue
		}
		key := t.PrimaryKey != nil && len(t.PrimaryKey.Columns) == 1 && t.PrimaryKey.Columns[0] == x.column
		c := t.Column(x.column)
		if c == nil || c.Identity || !isIntKind(c.Kind) || x.trigger != "" && !key {
			continue
		}
		var last int64
		err := r.tx.QueryRowContext(r.ctx, "SELECT GEN_ID("+quoteDouble(x.generator)+", 0) FROM RDB$DATABASE").Scan(&last)
		switch {
		case err == nil:
			t.LastValue = &last
		case fbHas(fbSaid(err), firebirdsql.ISCNoPriv):
			t.Notes = append(t.Notes, fmt.Sprintf("The generator %s cannot be read by this user (GRANT USAGE ON SEQUENCE): numbers of %s.%s go on behind the greatest one.",
				x.generator, x.table, x.column))
		default:
			return fmt.Errorf("generator %s: %w", x.generator, err)
		}
		c.Identity = true
		r.numbers[x.generator] = x.table + "." + x.column
		if x.trigger != "" {
			t.Notes = append(t.Notes, fmt.Sprintf("Column %s of table %s is numbered by the database itself, no longer by the trigger %s and the generator %s.",
				x.column, x.table, x.trigger, x.generator))
		}
	}
	return nil
}

// triggers notes the triggers that somebody wrote; those of constraints are the constraints.
func (r *fbReader) triggers() error {
	return r.each(`SELECT TRIM(RDB$TRIGGER_NAME), COALESCE(TRIM(RDB$RELATION_NAME), '') FROM RDB$TRIGGERS
		WHERE COALESCE(RDB$SYSTEM_FLAG, 0) = 0 ORDER BY 2, 1`, func(scan scanFunc) error {
		var name, table string
		if err := scan(&name, &table); err != nil {
			return err
		}
		if t := r.tables[table]; t != nil {
			t.Notes = append(t.Notes, fmt.Sprintf("The trigger %s of table %s is left out.", name, table))
		} else if table == "" {
			r.schema.Notes = append(r.schema.Notes, fmt.Sprintf("The trigger %s of the database is left out.", name))
		}
		return nil
	})
}

// leftOut notes what a database holds beside tables: one sentence for each kind, as there may be hundreds.
func (r *fbReader) leftOut() error {
	for _, kind := range []struct{ words, query string }{
		{"Procedures", "SELECT TRIM(RDB$PROCEDURE_NAME) FROM RDB$PROCEDURES WHERE COALESCE(RDB$SYSTEM_FLAG, 0) = 0 ORDER BY 1"},
		{"Functions", "SELECT TRIM(RDB$FUNCTION_NAME) FROM RDB$FUNCTIONS WHERE COALESCE(RDB$SYSTEM_FLAG, 0) = 0 ORDER BY 1"},
		{"Generators", "SELECT TRIM(RDB$GENERATOR_NAME) FROM RDB$GENERATORS WHERE COALESCE(RDB$SYSTEM_FLAG, 0) = 0 ORDER BY 1"},
	} {
		var names []string
		err := r.each(kind.query, func(scan scanFunc) error {
			var name string
			err := scan(&name)
			if r.numbers[name] == "" {
				names = append(names, name)
			}
			return err
		})
		if err != nil {
			return err
		}
		if len(names) > 0 {
			r.schema.Notes = append(r.schema.Notes, fmt.Sprintf("%s are left out: %s.", kind.words, strings.Join(names, ", ")))
		}
	}
	return nil
}

// count says how many rows there are: exactly as far as that is quick, then by the selectivity of the key's index, which is
// as old as the last backup, or SET STATISTICS.
func (r *fbReader) count() error {
	for _, name := range r.order {
		t := r.tables[name]
		query := fmt.Sprintf("SELECT COUNT(*) FROM (SELECT FIRST %d 1 AS N FROM %s)", fbCounted, quoteDouble(name))
		if err := r.tx.QueryRowContext(r.ctx, query).Scan(&t.Rows); err != nil {
			return fmt.Errorf("table %s: %w", name, err)
		}
		if t.Rows < fbCounted {
			continue
		}
		var selectivity float64
		err := r.tx.QueryRowContext(r.ctx, `SELECT FIRST 1 RDB$STATISTICS FROM RDB$INDICES
			WHERE RDB$RELATION_NAME = ? AND RDB$UNIQUE_FLAG = 1 AND RDB$STATISTICS > 0 ORDER BY RDB$STATISTICS`, name).Scan(&selectivity)
		if err != nil && !errors.Is(err, sql.ErrNoRows) {
			return fmt.Errorf("table %s: %w", name, err)
		}
		if selectivity > 0 {
			t.Rows = max(t.Rows, int64(1/selectivity))
		}
	}
	return nil
}
