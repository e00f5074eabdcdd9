package datasetstest

import (
	"context"
	"database/sql"
	"fmt"
	"strings"

	"github.com/stint-run/stint/internal/sqldb"
)

// insertRows is how many rows one statement inserts.
const insertRows = 500

// inserter inserts rows into a table, some hundred by a statement.
type inserter struct {
	ctx     context.Context
	tx      *sql.Tx
	into    string
	columns int
	many    *sql.Stmt
	args    []any
}

func (i *inserter) add(values ...any) (err error) {
	if i.args = append(i.args, values...); len(i.args) < insertRows*i.columns {
		return nil
	}
	if i.many == nil {
		if i.many, err = i.tx.PrepareContext(i.ctx, i.statement(insertRows)); err != nil {
			return err
		}
	}
	_, err = i.many.ExecContext(i.ctx, i.args...)
	i.args = i.args[:0]
	return err
}

// flush inserts what is left.
func (i *inserter) flush() error {
	if len(i.args) == 0 {
		return nil
	}
	_, err := i.tx.ExecContext(i.ctx, i.statement(len(i.args)/i.columns), i.args...)
	i.args = i.args[:0]
	return err
}

func (i *inserter) statement(rows int) string {
	places := "(?" + strings.Repeat(", ?", i.columns-1) + ")"
	return "INSERT INTO " + i.into + " VALUES " + places + strings.Repeat(", "+places, rows-1)
}

// Oracle finds the pairs that share at least so many GUIDs, with or without those that three customers hold or more, by the self-join
// that anybody would write; by customer, A and B. It is slow and needs much memory in the database; where the database cannot join by
// hashing it has an index made for it, which goes again.
func Oracle(ctx context.Context, db *sqldb.DB, threshold int64, withTemplates bool) ([]Pair, error) {
	without := ""
	if !withTemplates {
		without = " WHERE a.guid NOT IN (SELECT guid FROM entity_row GROUP BY guid HAVING count(DISTINCT customer_id) >= 3)"
	}
	query := fmt.Sprintf(`SELECT a.customer_id, a.database_id, b.database_id, count(*)
		FROM entity_row a JOIN entity_row b ON b.customer_id = a.customer_id AND b.guid = a.guid AND b.database_id > a.database_id%s
		GROUP BY a.customer_id, a.database_id, b.database_id HAVING count(*) >= %d ORDER BY 1, 2, 3`, without, threshold)
	if db.Pool == nil {
		if err := exec(ctx, db, "CREATE INDEX oracle_by_guid ON entity_row (customer_id, guid, database_id)"); err != nil {
			return nil, err
		}
	}
	pairs, err := pairsOf(ctx, db, query)
	if err != nil || db.Pool != nil {
		return pairs, err
	}
	drop := "DROP INDEX oracle_by_guid"
	if db.Dialect == sqldb.MySQL {
		drop += " ON entity_row"
	}
	return pairs, exec(ctx, db, drop)
}

func pairsOf(ctx context.Context, db *sqldb.DB, query string) ([]Pair, error) {
	var pairs []Pair
	take := func(scan func(...any) error) error {
		var p Pair
		err := scan(&p.Customer, &p.A, &p.B, &p.Shared)
		pairs = append(pairs, p)
		return err
	}
	if db.Pool != nil {
		rows, err := db.Pool.Query(ctx, query)
		if err != nil {
			return nil, err
		}
		defer rows.Close()
		for rows.Next() {
			if err := take(rows.Scan); err != nil {
				return nil, err
			}
		}
		return pairs, rows.Err()
	}
	rows, err := db.SQL.QueryContext(ctx, query)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		if err := take(rows.Scan); err != nil {
			return nil, err
		}
	}
	return pairs, rows.Err()
}
