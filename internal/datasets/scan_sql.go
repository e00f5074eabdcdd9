package datasets

import (
	"context"
	"database/sql"

	"github.com/stint-run/stint/internal/sqldb"
)

// scanSQL reads the rows of a query of three columns by database/sql.
func (s *Store) scanSQL(ctx context.Context, in reading, query string, c *collector) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	rows, err := in.sql.QueryContext(ctx, query)
	if err != nil {
		return err
	}
	defer rows.Close()
	t := &s.tables[s.entity.at]
	asText := func(b []byte) string { return string(b) }
	c.customer, c.database, c.guid = asText, asText, parseGUID
	if t.info.Column(t.GUID).Kind == sqldb.KindBytes {
		c.guid = bytesGUID
	}
	if s.db.Dialect == sqldb.SQLite {
		return c.readSQLite(rows)
	}
	var customer, database, guid sql.RawBytes
	for rows.Next() {
		if err := rows.Scan(&customer, &database, &guid); err != nil {
			return err
		}
		if customer != nil && database != nil && !c.add(customer, database, guid) {
			return nil
		}
	}
	return rows.Err()
}

// readSQLite reads rows of SQLite, where each value has a type of its own: a text in a column of bytes is read as text, and bytes in a
// column of text as bytes.
func (c *collector) readSQLite(rows *sql.Rows) error {
	var customer, database sql.RawBytes
	var value any
	var buffer []byte
	for rows.Next() {
		if err := rows.Scan(&customer, &database, &value); err != nil {
			return err
		}
		var guid []byte
		switch v := value.(type) {
		case nil:
		case string:
			buffer = append(buffer[:0], v...)
			guid, c.guid = buffer, parseGUID
		case []byte:
			guid, c.guid = v, bytesGUID
		default:
			return refuse("GUIDs are text or bytes", "a row of customer %s has the GUID %v", customer, value)
		}
		if value != nil && guid == nil {
			guid = []byte{}
		}
		if customer != nil && database != nil && !c.add(customer, database, guid) {
			return nil
		}
	}
	return rows.Err()
}
