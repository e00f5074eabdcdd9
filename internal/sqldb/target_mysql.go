package sqldb

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/stint-run/stint/tasks"
)

func (mysqlDialect) mapColumn(m *schemaMap, i, j int) {
	t, src := &m.dst.Tables[i], &m.src.Tables[i].Columns[j]
	c := &t.Columns[j]
	if !m.src.Dialect.words().enforces() {
		widen32(c)
	}
	if c.Kind == KindOther {
		m.note("Column %s of table %s becomes text: MySQL has no %s.", c.Name, t.FullName(), c.Type)
	}
	precision := c.Precision
	toMySQLType(c)
	switch {
	case c.Kind == KindNumeric && c.Precision != precision:
		m.note("Column %s of table %s becomes %s: values with more than %d digits before the point, or %d behind it, are set aside.", c.Name, t.FullName(),
			c.Type, c.Precision-c.Scale, c.Scale)
	case c.Kind == KindTimestampTZ:
		m.note("Column %s of table %s becomes datetime(6), in UTC.", c.Name, t.FullName())
	}
	length := keyLength(&m.src.Tables[i], src.Name)
	sized := strings.HasPrefix(c.Type, "varchar(") && c.Length <= length
	if sized || c.Kind != KindText && c.Kind != KindBytes && c.Kind != KindJSON || !inKey(&m.src.Tables[i], src.Name) {
		return
	}
	// A key holds no text without a length, and none that is longer than its share.
	if src.Length > 0 {
		length = min(length, src.Length)
	}
	c.Type, c.Length = fmt.Sprintf("varchar(%d)", length), length
	if c.Kind == KindBytes {
		c.Type = fmt.Sprintf("varbinary(%d)", length)
	} else {
		c.Kind = KindText
	}
	if src.Length != length {
		m.note("Column %s of table %s becomes %s, as it is part of a key: longer values are set aside.", c.Name, t.FullName(), c.Type)
	}
}

// widen32 takes the widest type where a source promises nothing.
func widen32(c *Column) {
	c.Length = 0
	switch c.Kind {
	case KindInt16, KindInt32:
		c.Kind = KindInt64
	case KindFloat32:
		c.Kind = KindFloat64
	}
}

// inKey reports whether a column is part of a primary key, a unique key or a foreign key, or is referred to.
func inKey(t *Table, column string) bool {
	return t.PrimaryKey != nil && slices.Contains(t.PrimaryKey.Columns, column) ||
		slices.ContainsFunc(t.Uniques, func(k Key) bool { return slices.Contains(k.Columns, column) }) ||
		slices.ContainsFunc(t.ForeignKeys, func(k ForeignKey) bool { return slices.Contains(k.Columns, column) })
}

// keyLength returns how many characters a text in the keys of a table may have, so that each key has room for all of its columns.
func keyLength(t *Table, column string) int {
	length := plainVarchar
	share := func(columns []string) {
		if slices.Contains(columns, column) {
			length = min(length, maxMySQLKey/maxUTF8/len(columns))
		}
	}
	if t.PrimaryKey != nil {
		share(t.PrimaryKey.Columns)
	}
	for _, k := range t.Uniques {
		share(k.Columns)
	}
	for _, k := range t.ForeignKeys {
		share(k.Columns)
	}
	return length
}

// mapRows keeps the numbering of the first column of the primary key: another cannot number itself. It also sees to the limits of
// rows, and drops what a foreign key there cannot say.
func (mysqlDialect) mapRows(m *schemaMap, i int) {
	t := &m.dst.Tables[i]
	t.RowID, t.Autoincr, t.Only = "", false, false
	if t.PrimaryKey != nil {
		for _, name := range t.PrimaryKey.Columns {
			t.Column(name).NotNull = true
		}
	}
	for j := range t.Columns {
		c := &t.Columns[j]
		if c.Identity && (t.PrimaryKey == nil || t.PrimaryKey.Columns[0] != c.Name || !isIntKind(c.Kind)) {
			c.Identity, t.LastValue = false, nil
			m.note("Column %s of table %s no longer gets its values by itself: MySQL does that for the first column of a key only.", c.Name, t.FullName())
		}
	}
	for k := range t.ForeignKeys {
		fk := &t.ForeignKeys[k]
		if fk.Deferrable || fk.OnDelete == "SET DEFAULT" || fk.OnUpdate == "SET DEFAULT" {
			m.note("That the foreign key %s is deferrable, or sets a default, is left out.", fkWords(t, *fk))
		}
		fk.Deferrable, fk.Deferred = false, false
		fk.OnDelete, fk.OnUpdate = strings.TrimPrefix(fk.OnDelete, "SET DEFAULT"), strings.TrimPrefix(fk.OnUpdate, "SET DEFAULT")
	}
	rowBytes := func() (sum int) {
		for j := range t.Columns {
			if n := mysqlKeyBytes(&t.Columns[j]); n > 0 {
				sum += n + 2
			} else {
				sum += 12
			}
		}
		return sum
	}
	for j := range t.Columns {
		c := &t.Columns[j]
		if rowBytes() > maxMySQLRow && strings.HasPrefix(c.Type, "varchar(") && !inKey(&m.src.Tables[i], m.src.Tables[i].Columns[j].Name) {
			m.note("Column %s of table %s becomes longtext instead of %s, as the row is too long.", c.Name, t.FullName(), c.Type)
			c.Type, c.Length = "longtext", 0
		}
	}
	if WalkOf(t).Kind != WalkKey {
		t.RowID = RowHash(t)
	}
}

func (mysqlDialect) hasSchemas() bool       { return false }
func (mysqlDialect) sharesNames() bool      { return false }
func (mysqlDialect) namesKeys() bool        { return true }
func (mysqlDialect) partialIndexes() bool   { return false }
func (mysqlDialect) strictReferences() bool { return true }

// taken avoids what no name there can be: one that ends in a blank, or has characters beyond the basic plane.
func (mysqlDialect) taken(name string, what nameOf) string {
	name = strings.Map(func(r rune) rune {
		if r > 0xffff || r == 0xfffd || r == 0 {
			return '_'
		}
		return r
	}, strings.TrimRight(name, " "))
	if what == nameOfIndex && strings.EqualFold(name, "PRIMARY") {
		return name + "_"
	}
	return name
}

func (mysqlDialect) writeDefault(l literal, kind Kind) string { return l.in(MySQL, kind) }
func (mysqlDialect) ownDefault(e string, _ literal) string    { return e }
func (mysqlDialect) createTypes(*Schema) []Statement          { return nil }

func (mysqlDialect) createTable(t *Table) []string {
	const d = MySQL
	var parts []string
	for i := range t.Columns {
		parts = append(parts, mysqlColumnSQL(&t.Columns[i]))
	}
	if t.PrimaryKey != nil {
		parts = append(parts, "PRIMARY KEY ("+d.QuoteList(t.PrimaryKey.Columns)+")")
	}
	parts = append(parts, numberingKey(t)...)
	return []string{fmt.Sprintf("CREATE TABLE IF NOT EXISTS %s (\n  %s\n) %s", d.QuoteTable(t.Schema, t.Name), strings.Join(parts, ",\n  "), mysqlTable)}
}

// numberingKey returns the key that a column which numbers itself must have from the beginning, when it is not the primary one.
func numberingKey(t *Table) []string {
	for i := range t.Columns {
		c := &t.Columns[i]
		if !c.Identity || t.PrimaryKey != nil && t.PrimaryKey.Columns[0] == c.Name {
			continue
		}
		for _, u := range t.Uniques {
			if u.Columns[0] == c.Name {
				return []string{"UNIQUE KEY " + MySQL.Quote(u.Name) + " (" + MySQL.QuoteList(u.Columns) + ")"}
			}
		}
		return []string{"KEY (" + MySQL.Quote(c.Name) + ")"}
	}
	return nil
}

// mysqlTable are the options of a table. Texts are compared by their characters alone, as elsewhere: by case, and with the blanks
// at their ends. MariaDB and MySQL have other names for that.
const mysqlTable = "ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 /*M!100202 COLLATE=utf8mb4_nopad_bin *//*!80017 COLLATE=utf8mb4_0900_bin */ ROW_FORMAT=DYNAMIC"

func mysqlColumnSQL(c *Column) string {
	def := MySQL.Quote(c.Name) + " " + c.Type
	if strings.HasPrefix(c.Type, "timestamp") && !c.NotNull {
		def += " NULL" // which is not what it is by itself on every server
	}
	if c.NotNull {
		def += " NOT NULL"
	}
	switch {
	case c.Identity:
		def += " AUTO_INCREMENT"
	case c.Default != "":
		def += " DEFAULT " + c.Default
	}
	if c.Kind == KindJSON && c.Type == "longtext" {
		def += " CHECK (json_valid(" + MySQL.Quote(c.Name) + "))"
	}
	return def
}

// createIndexes cuts the texts of an index to what a key has room for; those of a unique key have a length already.
func (mysqlDialect) createIndexes(t *Table) []Statement {
	const d = MySQL
	var made []Statement
	table := d.QuoteTable(t.Schema, t.Name)
	for _, u := range t.Uniques {
		made = append(made, Statement{u.Name, "CREATE UNIQUE INDEX " + d.Quote(u.Name) + " ON " + table + " (" + d.QuoteList(u.Columns) + ")"})
	}
	for i := range t.Indexes {
		ix := &t.Indexes[i]
		parts := make([]string, len(ix.Columns))
		room := maxMySQLKey / len(ix.Columns)
		for k, p := range ix.Columns {
			parts[k] = d.Quote(p.Column)
			c := t.Column(p.Column)
			if n := mysqlKeyBytes(c); !ix.Unique && (n == 0 || n > room) {
				if c.Kind != KindBytes {
					parts[k] += fmt.Sprintf("(%d)", min(plainVarchar, room/maxUTF8))
				} else {
					parts[k] += fmt.Sprintf("(%d)", min(plainVarchar, room))
				}
			}
			if p.Desc {
				parts[k] += " DESC"
			}
		}
		create, _ := indexOn(d, t, ix)
		made = append(made, Statement{ix.Name, create + d.Quote(ix.Name) + " ON " + table + " (" + strings.Join(parts, ", ") + ")"})
	}
	return made
}

// made reports whether an error says that an index or a constraint is there already.
func (mysqlDialect) made(err error) bool {
	n := mysqlNumber(err)
	return n == 1061 || n == 1826 // duplicate key name, duplicate foreign key name
}

func (mysqlDialect) asItIs(context.Context, *DB, *Table) error { return nil }

func (mysqlDialect) hasTable(ctx context.Context, db *DB, t *Table) (found bool, err error) {
	err = queryRow(ctx, db, "SELECT EXISTS (SELECT 1 FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = $1 "+
		"AND TABLE_TYPE IN ('BASE TABLE', 'SYSTEM VERSIONED'))", []any{t.Name}, &found)
	return found, err
}

// checkLoadable refuses a table that cannot take its rows in any order, or does something else with them, or that keeps what a
// transaction wrote when it is undone.
func (mysqlDialect) checkLoadable(ctx context.Context, db *DB, t *Table) error {
	var found, undo []string
	var what, name string
	err := db.queryAll(ctx, `
		SELECT 'foreign key', CONSTRAINT_NAME FROM information_schema.TABLE_CONSTRAINTS
		WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = $1 AND CONSTRAINT_TYPE = 'FOREIGN KEY'
		UNION ALL SELECT 'trigger', TRIGGER_NAME FROM information_schema.TRIGGERS
		WHERE EVENT_OBJECT_SCHEMA = DATABASE() AND EVENT_OBJECT_TABLE = $1 AND EVENT_MANIPULATION = 'INSERT'
		UNION ALL SELECT 'engine', COALESCE(ENGINE, '') FROM information_schema.TABLES
		WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = $1 AND ENGINE NOT IN ('InnoDB', 'RocksDB', 'TokuDB')`, []any{t.Name}, func(scan func(...any) error) error {
		if err := scan(&what, &name); err != nil {
			return err
		}
		found = append(found, "the "+what+" "+name)
		table := MySQL.Quote(t.Name)
		switch what {
		case "foreign key":
			undo = append(undo, "ALTER TABLE "+table+" DROP FOREIGN KEY "+MySQL.Quote(name)+";")
		case "trigger":
			undo = append(undo, "DROP TRIGGER "+MySQL.Quote(name)+";")
		default:
			undo = append(undo, "ALTER TABLE "+table+" ENGINE=InnoDB;")
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("look for foreign keys of %s: %w", t.FullName(), Classify(err))
	}
	if len(found) == 0 {
		return nil
	}
	return tasks.Permanent(tasks.WithHint(nil, "take them away for the load: "+strings.Join(undo, " ")+
		" The foreign keys of the source are added when all rows are there; make triggers again afterwards",
		"table %s of the target, whose rows are still to come, has %s", t.FullName(), strings.Join(found, ", ")))
}

// refer adds foreign keys without a look at the rows that are there, and counts those that break them.
func (mysqlDialect) refer(ctx context.Context, db *DB, t *Table) ([]Orphans, error) {
	if len(t.ForeignKeys) == 0 {
		return nil, nil
	}
	conn, err := db.SQL.Conn(ctx)
	if err != nil {
		return nil, fmt.Errorf("add foreign keys to %s: %w", t.FullName(), Classify(err))
	}
	defer conn.Close()
	if _, err := conn.ExecContext(ctx, "SET foreign_key_checks = 0"); err != nil {
		return nil, fmt.Errorf("add foreign keys to %s: %w", t.FullName(), Classify(err))
	}
	defer func() {
		if _, err := conn.ExecContext(context.WithoutCancel(ctx), "SET foreign_key_checks = 1"); err != nil {
			endSession(conn)
		}
	}()
	var found []Orphans
	for i := range t.ForeignKeys {
		fk := &t.ForeignKeys[i]
		there := 0
		err := conn.QueryRowContext(ctx, "SELECT count(*) FROM information_schema.TABLE_CONSTRAINTS WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = ? "+
			"AND CONSTRAINT_NAME = ? AND CONSTRAINT_TYPE = 'FOREIGN KEY'", t.Name, fk.Name).Scan(&there)
		if err == nil && there == 0 {
			_, err = conn.ExecContext(ctx, fmt.Sprintf("ALTER TABLE %s ADD CONSTRAINT %s %s", MySQL.Quote(t.Name), MySQL.Quote(fk.Name), foreignKeyClause(MySQL, *fk)))
		}
		if err != nil && !(mysqlDialect{}).made(err) {
			return found, fmt.Errorf("add foreign key %s to %s: %w", fk.Name, t.FullName(), Classify(err))
		}
		var n int64
		if err := conn.QueryRowContext(ctx, orphansQuery(MySQL, t, fk)).Scan(&n); err != nil {
			return found, fmt.Errorf("count orphans of foreign key %s of %s: %w", fk.Name, t.FullName(), Classify(err))
		}
		if n > 0 {
			found = append(found, Orphans{fk.Name, fk.RefTable, n, true})
		}
	}
	return found, nil
}

// endSession ends a session of the server whose state is not known any more, instead of giving it back.
func endSession(conn *sql.Conn) {
	_ = conn.Raw(func(any) error { return driver.ErrBadConn }) // which is how to tell the pool
}

// setSequence moves the numbering behind the source's; what the rows hold it is behind already.
func (mysqlDialect) setSequence(ctx context.Context, db *DB, t *Table, c *Column) error {
	if t.LastValue == nil {
		return nil
	}
	var next *int64
	err := queryRow(ctx, db, "SELECT CAST(AUTO_INCREMENT AS SIGNED) FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = $1",
		[]any{t.Name}, &next)
	if errors.Is(err, sql.ErrNoRows) || err == nil && (next == nil || *next > *t.LastValue) {
		return nil
	}
	if err != nil {
		return err
	}
	return db.exec(ctx, fmt.Sprintf("ALTER TABLE %s AUTO_INCREMENT = %d", MySQL.Quote(t.Name), *t.LastValue+1))
}

// ledgerWords are the types of the ledger's columns. A key holds no text without a length, and no long one: where a key of a row
// is part of the primary key, its place is taken by a hash, which tells keys apart as well.
var ledgerWords = strings.NewReplacer("@TIME", "timestamp(6)", "@NOW", "current_timestamp(6)",
	"job text", "job varchar(255)", "stage text", "stage varchar(255)", "step text", "step varchar(255)", "table_name text", "table_name varchar(255)",
	"PRIMARY KEY (job, stage, step, from_key)", hashedKey("from_key"), "PRIMARY KEY (job, stage, step, row_key)", hashedKey("row_key"),
	"PRIMARY KEY (scope, entity, source_key)", "stint_id binary(32) NOT NULL DEFAULT (unhex(sha2(concat_ws(char(10), scope, entity, source_key), 256))), "+
		"PRIMARY KEY (stint_id), KEY stint_key (scope(100), entity(100), source_key(150))",
	"PRIMARY KEY (job, stage, row_key, target_key), UNIQUE (job, stage, target_key, row_key)", keptColumns,
	"round text", "round varchar(255)", "short_key text", "short_key varchar(255)",
	" text NOT NULL", " longtext NOT NULL")

func hashedKey(column string) string {
	return "stint_id binary(32) NOT NULL DEFAULT (unhex(sha2(concat_ws(char(10), job, stage, step, " + column + "), 256))), PRIMARY KEY (stint_id), " +
		"KEY stint_step (job, stage, step)"
}

func (mysqlDialect) ensureLedger(ctx context.Context, db *DB) error {
	var n int
	err := queryRow(ctx, db, "SELECT count(*) FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME IN ("+ledgerNames()+")", nil, &n)
	if err != nil || n == len(ledgerTables) {
		return err
	}
	for _, t := range ledgerTables {
		if err := db.exec(ctx, "CREATE TABLE IF NOT EXISTS "+t.name+" ("+ledgerWords.Replace(t.columns)+") "+mysqlTable); err != nil {
			return err
		}
	}
	return nil
}

func (mysqlDialect) lockStage(ctx context.Context, q querier, job, stage string) error {
	got := 0
	err := q.queryAll(ctx, "SELECT COALESCE(GET_LOCK($1, 10), 0)", []any{lockName("chunks", job, stage, "")}, func(scan func(...any) error) error { return scan(&got) })
	if err == nil && got != 1 {
		err = tasks.RetryAfter(errors.New("somebody else is deciding the chunks of this stage"), lockPatience)
	}
	return err
}

// lockingRead sees what others have committed since the transaction began.
func (mysqlDialect) lockingRead() string { return " FOR UPDATE" }

func (mysqlDialect) insertNew(insert, key string) string {
	first, _, _ := strings.Cut(key, ",")
	return insert + " ON DUPLICATE KEY UPDATE " + first + " = " + first
}

func (mysqlDialect) bigint(expression string) string { return "CAST(" + expression + " AS SIGNED)" }
func (mysqlDialect) encoding() encoding              { return encodeSQL }

func (mysqlDialect) sink(ctx context.Context, db *DB, m *Mapping, opts LoaderOptions) (loadSink, error) {
	return newMySQLSink(ctx, db, m, opts)
}
