// Package datasets knows the store of a sync service, in which each client's database is a data set: rows of some tables that
// carry the customer's and the database's id. It lists data sets, reads the GUIDs of one entity, deletes a data set in batches that
// are archived before they are committed, and puts it back.
//
// PostgreSQL, MariaDB (MySQL) and SQLite. What it keeps for itself stands in the store's own database (stint_deletions), in the
// transactions of the deletions: it is the truth about them, whatever dies.
package datasets

import (
	"encoding/hex"
	"time"
)

// Layout says where a store keeps its data sets. Names are those of the database; tables may be written schema.table. The zero value
// is the default of each name.
type Layout struct {
	Registry Registry `json:"registry"`
	// Tables hold the rows of data sets. Empty means every table but the registry, in its schema, that has the registry's customer and
	// database columns, by name.
	Tables []Table `json:"tables,omitempty"`
	// Entity chooses whose GUIDs are compared: a table's name, or table/value where the table has a Kind column. "" is the most
	// common: the one with the most rows.
	Entity string `json:"entity,omitempty"`
}

// Registry is the table with one row a data set, which the sync service itself keeps.
type Registry struct {
	Table    string `json:"table,omitempty"`     // "" is data_set
	Customer string `json:"customer,omitempty"`  // "" is customer_id
	Database string `json:"database,omitempty"`  // "" is database_id
	LastSync string `json:"last_sync,omitempty"` // when the sync service last heard of it; "" is last_synced_at
	// Complete is a column that is NULL, false or 0 as long as the first upload has not ended. "" is none: nobody can tell.
	Complete string `json:"complete,omitempty"`
	// Deleting is a boolean column that is set, and committed, before the first row goes, so that the sync service can refuse
	// to write. "" is none.
	Deleting string `json:"deleting,omitempty"`
}

// Table holds rows of data sets.
type Table struct {
	Table    string `json:"table"`
	Customer string `json:"customer,omitempty"` // "" is the registry's name
	Database string `json:"database,omitempty"` // "" is the registry's name
	GUID     string `json:"guid,omitempty"`     // "" is guid where there is such a column; else the table's GUIDs cannot be compared
	// Kind is a column whose value says of which entity a row is, where one table holds several. "" is none.
	Kind string `json:"kind,omitempty"`
}

// ID names a data set, in the text form of its columns: numbers in decimal, UUIDs in lower case.
type ID struct {
	Customer string `json:"customer"`
	Database string `json:"database"`
}

// String returns customer/database.
func (id ID) String() string { return id.Customer + "/" + id.Database }

// Set is a data set as the registry has it.
type Set struct {
	ID
	LastSync *time.Time `json:"last_sync,omitempty"` // UTC; nil is unknown
	Complete bool       `json:"complete"`            // its first upload has ended, as far as anybody can tell
}

// GUID is a GUID in its 16 bytes, whatever form the store writes it in: upper or lower case, with braces, without dashes, as bytes.
// A text that is none is taken by the first 16 bytes of its SHA-256, so that two that differ are different.
type GUID [16]byte

// String returns the usual form, 8-4-4-4-12.
func (g GUID) String() string {
	var b [36]byte
	hex.Encode(b[:8], g[:4])
	hex.Encode(b[9:13], g[4:6])
	hex.Encode(b[14:18], g[6:8])
	hex.Encode(b[19:23], g[8:10])
	hex.Encode(b[24:], g[10:])
	b[8], b[13], b[18], b[23] = '-', '-', '-', '-'
	return string(b[:])
}

// Row is one row of the entity, as a scan gives it.
type Row struct {
	Set  int32 // what the scan's lookup gave for its data set
	Null bool  // it has no GUID, or one that says so: of nothing, or of zeros
	GUID GUID
}

// Range bounds a scan by GUIDs, in the order of the store's own index: From is in it, To is not. "" is no bound. Bounds are written as
// Borders gives them. Rows without a GUID are in the range that has no From.
type Range struct {
	From string `json:"from,omitempty"`
	To   string `json:"to,omitempty"`
}

// Scan says what is read.
type Scan struct {
	// Customers are whose rows are read, in any order.
	Customers []string
	// Database bounds it to one data set of the one customer that is named. "" is all.
	Database string
	Range    Range
	// Lookup gives the number of a data set, that of the rows of it; a negative one leaves them out. It is called once for each run of
	// rows of a data set at most, not for each row.
	Lookup func(ID) int32
}

// Part is a piece of an archive: the rows that one transaction deleted from one table. It is a row of stint_deletions.
type Part struct {
	Job      string    `json:"job"`
	Set      ID        `json:"set"`
	Number   int       `json:"number"` // from 1, without a gap
	Table    string    `json:"table"`
	Rows     int64     `json:"rows"`
	Bytes    int64     `json:"bytes"` // of the rows as text, before they are compressed
	Key      string    `json:"key"`   // of the artifact
	Size     int64     `json:"size"`  // of the artifact, bytes
	Digest   string    `json:"digest"`
	At       time.Time `json:"at"`
	Restored bool      `json:"restored,omitempty"` // its rows have been put back
}

// State says how far the deletion of a data set is.
type State string

// The states of a deletion. Only Held and Gone are followed by rows of parts.
const (
	None     State = ""         // nothing has been done
	Held     State = "held"     // it was checked and marked; rows may be gone
	Gone     State = "gone"     // all rows and the registry's row are gone
	Stopped  State = "stopped"  // somebody wrote to it meanwhile: what was gone is being put back
	Restored State = "restored" // all of it has been put back
)

// Progress is what the store knows about the deletion of one data set by one job.
type Progress struct {
	State  State     `json:"state"`
	Reason string    `json:"reason,omitempty"` // of Stopped and Restored, in words
	Since  time.Time `json:"since"`            // when it was held
	Sync   time.Time `json:"sync"`             // the last sync that the check saw; a later one stops the deletion
	Parts  []Part    `json:"parts,omitempty"`  // in their order
}

// Health is how a database feels. A value that cannot be known is zero.
type Health struct {
	Lag     time.Duration // of the replica that is furthest behind
	Waiting int           // sessions that wait for a lock
	Probe   time.Duration // how long a read of one row took
}
