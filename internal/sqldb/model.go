// Package sqldb knows SQL databases: it opens them, says what is in them, creates the same in another dialect, walks
// tables by key and loads rows exactly once. Dialects: SQLite, PostgreSQL and MySQL, which MariaDB is another server of; Firebird and SQL Server, and folders of files (Tabular), can be read.
package sqldb

// Dialect names a kind of database.
type Dialect string

// The dialects.
const (
	SQLite    Dialect = "sqlite"
	Postgres  Dialect = "postgres"
	MySQL     Dialect = "mysql"     // MariaDB too
	Firebird  Dialect = "firebird"  // source only
	SQLServer Dialect = "sqlserver" // source only
	Records   Dialect = "records"   // what goes to an API or into files: targets of a Batcher only
	Redis     Dialect = "redis"     // keeps ids, and has no rows: never opened as a DB
	Metrics   Dialect = "metrics"   // a Prometheus: samples for alert rules, never opened as a DB
	Search    Dialect = "search"    // Elasticsearch, OpenSearch: events for alert rules, never opened as a DB
	Files     Dialect = "files"     // folders of files, see Tabular: sources only
)

// Kind is what a column holds, in words that no dialect owns. It decides how values are converted and compared.
type Kind string

// The kinds of columns.
const (
	KindBool        Kind = "bool"
	KindInt16       Kind = "int16"
	KindInt32       Kind = "int32"
	KindInt64       Kind = "int64"
	KindFloat32     Kind = "float32"
	KindFloat64     Kind = "float64"
	KindNumeric     Kind = "numeric"     // exact decimal; Precision and Scale apply when Precision > 0
	KindText        Kind = "text"        // Length applies when > 0, in characters
	KindBytes       Kind = "bytes"       //
	KindDate        Kind = "date"        // a day, no zone
	KindTime        Kind = "time"        // a time of day, no zone
	KindTimestamp   Kind = "timestamp"   // day and time, no zone, microseconds
	KindTimestampTZ Kind = "timestamptz" // a moment
	KindUUID        Kind = "uuid"        //
	KindJSON        Kind = "json"        // json and jsonb
	KindOther       Kind = "other"       // travels as the database's own text form
)

// Schema is what a database holds, as far as a migration wants to know it.
type Schema struct {
	Dialect Dialect  `json:"dialect"`
	Tables  []Table  `json:"tables"`          // parents before children where foreign keys allow it
	Views   []string `json:"views,omitempty"` // left out of a migration, with a line in the report
	Enums   []Enum   `json:"enums,omitempty"` // PostgreSQL: the enum types that the tables use
	Notes   []string `json:"notes,omitempty"` // what was seen and is left out, apart from single tables, one sentence each
}

// Enum is a type of PostgreSQL whose values are labels.
type Enum struct {
	Schema string   `json:"schema,omitempty"` // "" is the connection's default schema
	Name   string   `json:"name"`
	Labels []string `json:"labels"` // in their order
}

// Table is one table: its columns and what holds them together.
type Table struct {
	Schema      string       `json:"schema,omitempty"` // PostgreSQL only; "" is the connection's default schema
	Name        string       `json:"name"`
	Columns     []Column     `json:"columns"`
	PrimaryKey  *Key         `json:"primary_key,omitempty"`
	Uniques     []Key        `json:"uniques,omitempty"` // unique constraints, and unique indexes on plain columns
	Indexes     []Index      `json:"indexes,omitempty"` // all other indexes
	ForeignKeys []ForeignKey `json:"foreign_keys,omitempty"`
	Rows        int64        `json:"rows,omitempty"`       // an estimate; exact where it is cheap
	RowID       string       `json:"row_id,omitempty"`     // an expression for the place of a row; SQLite: a name of the rowid, "" for WITHOUT ROWID
	Only        bool         `json:"only,omitempty"`       // PostgreSQL: not partitioned; its rows are its own, and not those of tables that inherit from it
	Query       string       `json:"query,omitempty"`      // the SELECT whose rows these are, in place of a table; it has no rowid or ctid
	Where       string       `json:"where,omitempty"`      // a condition on the rows, in the database's own SQL; likewise
	Place       bool         `json:"place,omitempty"`      // files: the rows are named by where they stand
	Autoincr    bool         `json:"autoincr,omitempty"`   // SQLite: AUTOINCREMENT
	LastValue   *int64       `json:"last_value,omitempty"` // last value of the identity or AUTOINCREMENT sequence, when it has one
	Notes       []string     `json:"notes,omitempty"`      // what was seen and is left out (checks, expression indexes, triggers), one sentence each
}

// Column is one column of a table.
type Column struct {
	Name      string `json:"name"`
	Type      string `json:"type"` // as its own database writes it
	Kind      Kind   `json:"kind"`
	Precision int    `json:"precision,omitempty"`
	Scale     int    `json:"scale,omitempty"`
	Length    int    `json:"length,omitempty"` // of text in characters; of MySQL's binary and varbinary in bytes
	NotNull   bool   `json:"not_null,omitempty"`
	Default   string `json:"default,omitempty"`   // an SQL expression in its own dialect; "" for none
	Identity  bool   `json:"identity,omitempty"`  // the database gives values: identity, serial, INTEGER PRIMARY KEY
	Generated bool   `json:"generated,omitempty"` // computed from other columns: created as a plain column, values are copied
	Unordered bool   `json:"unordered,omitempty"` // it is sorted otherwise than its values compare as they are read: no part of a walk
	Guessed   bool   `json:"guessed,omitempty"`   // files: its kind is that of a sample; a row whose value is of another kind is an UnreadableRow
}

// Key is a primary or unique key.
type Key struct {
	Name    string   `json:"name,omitempty"`
	Columns []string `json:"columns"`
}

// Index is an index that enforces nothing, or one over expressions or part of the rows.
type Index struct {
	Name    string      `json:"name"`
	Columns []IndexPart `json:"columns"`
	Unique  bool        `json:"unique,omitempty"`
	Where   string      `json:"where,omitempty"` // partial index: an SQL expression in its own dialect
}

// IndexPart is one column of an index.
type IndexPart struct {
	Column string `json:"column"`
	Desc   bool   `json:"desc,omitempty"`
}

// ForeignKey says that Columns name a row of RefTable by RefColumns.
type ForeignKey struct {
	Name       string   `json:"name,omitempty"`
	Columns    []string `json:"columns"`
	RefSchema  string   `json:"ref_schema,omitempty"`
	RefTable   string   `json:"ref_table"`
	RefColumns []string `json:"ref_columns"`
	OnDelete   string   `json:"on_delete,omitempty"` // CASCADE, SET NULL, ...; "" is NO ACTION
	OnUpdate   string   `json:"on_update,omitempty"`
	Deferrable bool     `json:"deferrable,omitempty"`
	Deferred   bool     `json:"deferred,omitempty"` // deferrable, and INITIALLY DEFERRED
}

// Column returns the column of that name, or nil.
func (t *Table) Column(name string) *Column {
	for i := range t.Columns {
		if t.Columns[i].Name == name {
			return &t.Columns[i]
		}
	}
	return nil
}

// FullName returns schema.name, or name alone in the default schema.
func (t *Table) FullName() string {
	if t.Schema == "" {
		return t.Name
	}
	return t.Schema + "." + t.Name
}
