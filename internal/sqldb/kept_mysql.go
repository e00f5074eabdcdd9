package sqldb

import (
	"slices"
	"strings"
)

// keptHead is how many characters of a row's key are a column of their own in stint_rows: a key of an index has no room for all of them.
const keptHead = 150

// keptColumns are what stint_rows has besides in MySQL. Rows lie there in the order of the heads of their keys, so that neighbours are
// written and looked up together; what is longer than a head is told apart by a hash.
const keptColumns = "row_head varchar(150) NOT NULL DEFAULT (left(row_key, 150)), row_hash binary(32) NOT NULL DEFAULT (unhex(sha2(row_key, 256))), " +
	"target_hash binary(32) NOT NULL DEFAULT (unhex(sha2(target_key, 256))), PRIMARY KEY (job, stage, row_head, row_hash, target_hash), " +
	"KEY stint_target (job(100), stage(100), target_key(150))"

// byPrimary has rows found by the primary key: a server that has no figures yet of what was just loaded reads all rows, and locks them.
const byPrimary = " FORCE INDEX (PRIMARY)"

// keptRows finds rows by their heads, as no index has the whole of their keys.
func (mysqlDialect) keptRows(keys []string) someRows {
	seen := make(map[string]bool, len(keys))
	var heads []string
	for _, key := range keys {
		n := 0
		for at := range key {
			if n == keptHead {
				key = key[:at] // of characters, and not of bytes
				break
			}
			n++
		}
		if !seen[key] {
			seen[key] = true
			heads = append(heads, key)
		}
	}
	return someRows{table: "stint_rows", hint: byPrimary, condition: "row_head IN " + literals(MySQL, heads) + " AND row_key IN " + literals(MySQL, keys)}
}

func (mysqlDialect) keptTargets(keys []string) someRows {
	return someRows{table: "stint_rows", hint: " FORCE INDEX (stint_target)", condition: "target_key IN " + literals(MySQL, keys)}
}

func (mysqlDialect) keptPage(condition string) string {
	return "SELECT min(row_key) FROM stint_rows" + byPrimary + " WHERE job = $1 AND stage = $2 AND row_head >= left($3, 150) AND (row_head > left($3, 150) OR row_hash > unhex(sha2($3, 256)))" +
		condition + " GROUP BY row_head, row_hash ORDER BY row_head, row_hash LIMIT $4"
}

// exactRows compares texts by their bytes, besides what the column's collation calls equal: rows of the source whose keys differ in case
// alone are two.
func (mysqlDialect) exactRows(t *Table, columns []string, keys []RowKey) someRows {
	some := someRows{table: MySQL.QuoteTable(t.Schema, t.Name)}
	if t.PrimaryKey != nil && slices.Equal(t.PrimaryKey.Columns, columns) {
		some.hint = byPrimary
	}
	var sql strings.Builder
	for i, key := range keys {
		sql.WriteString([]string{"((", " OR ("}[min(i, 1)])
		for j, v := range key {
			if j > 0 {
				sql.WriteString(" AND ")
			}
			c, name := t.Column(columns[j]), MySQL.Quote(columns[j])
			sql.WriteString(name + " = " + MySQL.operand(c, v, &some.args))
			if text, ok := v.(string); ok && c != nil && c.Kind == KindText {
				if strings.HasPrefix(c.Type, "char") { // which has no blanks at its end
					text = strings.TrimRight(text, " ")
				}
				sql.WriteString(" AND CAST(CONVERT(" + name + " USING utf8mb4) AS BINARY) = CAST(? AS BINARY)")
				some.args = append(some.args, text)
			}
		}
		sql.WriteByte(')')
	}
	sql.WriteByte(')')
	some.condition = sql.String()
	return some
}

// sameExactly joins the rows of a mapping's temporary table s with those t of the target, like exactKey.
func sameExactly(t *Table, key []string) string {
	same := sameKey(MySQL, key)
	for _, k := range key {
		if c := t.Column(k); c != nil && c.Kind == KindText {
			k = MySQL.Quote(k)
			same += " AND CAST(t." + k + " AS BINARY) = CAST(s." + k + " AS BINARY)"
		}
	}
	return same
}

func (mysqlDialect) upsert(insert, _ string, set ...string) string {
	given := make([]string, len(set))
	for i, c := range set {
		given[i] = c + " = VALUES(" + c + ")"
	}
	return insert + " ON DUPLICATE KEY UPDATE " + strings.Join(given, ", ")
}

func (mysqlDialect) checksEachRow() bool { return true }

func (mysqlDialect) lockRows() string { return " FOR UPDATE" }

func (mysqlDialect) referred(err error) bool {
	n := mysqlNumber(err)
	return n == 1451 || n == 1217
}

// unsettled is also 1822 and 1215, with which MySQL says that what a foreign key refers to is not unique.
func (mysqlDialect) unsettled(err error) bool {
	switch mysqlNumber(err) {
	case 1062, 1586, 1822, 1215:
		return true
	}
	return false
}
