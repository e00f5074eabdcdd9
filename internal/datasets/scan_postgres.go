package datasets

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"
)

// scanPostgres reads the rows of a query of three columns in the binary form, out of the connection's own buffer: nothing is allocated
// for a row.
func (s *Store) scanPostgres(ctx context.Context, conn *pgconn.PgConn, query string, c *collector) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	rr := conn.ExecParams(ctx, query, nil, nil, nil, []int16{1, 1, 1})
	if err := c.readsPostgres(rr.FieldDescriptions()); err != nil {
		cancel()
		_, closing := rr.Close()
		if closing != nil && len(rr.FieldDescriptions()) == 0 {
			return closing // the query failed
		}
		return err
	}
	for rr.NextRow() {
		v := rr.Values()
		if v[0] == nil || v[1] == nil {
			continue // of no data set
		}
		if !c.add(v[0], v[1], v[2]) {
			cancel()
			break
		}
	}
	_, err := rr.Close()
	return err
}

// readsPostgres chooses how values are read, by the types that the server says they have: those of a domain's base.
func (c *collector) readsPostgres(fields []pgconn.FieldDescription) (err error) {
	if len(fields) != 3 {
		return fmt.Errorf("asked for 3 columns, got %d", len(fields))
	}
	if c.customer, err = postgresID(fields[0]); err == nil {
		c.database, err = postgresID(fields[1])
	}
	switch fields[2].DataTypeOID {
	case pgtype.UUIDOID, pgtype.ByteaOID:
		c.guid = bytesGUID
	case pgtype.BPCharOID: // filled up with spaces, which mean nothing to the order
		c.guid = func(b []byte) (GUID, writing) { return parseGUID(bytes.TrimRight(b, " ")) }
	default:
		c.guid = parseGUID
	}
	return err
}

// postgresID returns what writes an id of a column in its canonical form.
func postgresID(f pgconn.FieldDescription) (func([]byte) string, error) {
	switch f.DataTypeOID {
	case pgtype.Int2OID:
		return func(b []byte) string { return strconv.Itoa(int(int16(binary.BigEndian.Uint16(b)))) }, nil
	case pgtype.Int4OID:
		return func(b []byte) string { return strconv.Itoa(int(int32(binary.BigEndian.Uint32(b)))) }, nil
	case pgtype.Int8OID:
		return func(b []byte) string { return strconv.FormatInt(int64(binary.BigEndian.Uint64(b)), 10) }, nil
	case pgtype.UUIDOID:
		return func(b []byte) string { return GUID(b).String() }, nil
	case pgtype.BPCharOID:
		return func(b []byte) string { return strings.TrimRight(string(b), " ") }, nil
	case pgtype.TextOID, pgtype.VarcharOID:
		return func(b []byte) string { return string(b) }, nil
	}
	return nil, refuse("ids of customers and databases are integers, text or uuid", "the column %s is of the type with the number %d", f.Name, f.DataTypeOID)
}
