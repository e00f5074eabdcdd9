// Package decide says which data sets of a customer are copies that may go. It is pure: the same input gives the same decisions, in
// the same order, and nothing is read or written.
//
// The rule: data sets are ranked by their last sync, the newest first. One goes only when a data set that stays, its witness, shares
// at least Threshold GUIDs with it and holds at least Containment of its GUIDs, both without the product's own template rows; when
// the witness was synced later and has been uploaded whole; and when it was not itself synced within Recency. So nothing goes by way
// of a third data set, and what stays is never taken away in the same run.
package decide

import "time"

// Rules are the parameters of a run. The zero value of none is usable: see Defaults.
type Rules struct {
	Threshold   int           `json:"threshold"`   // GUIDs that two data sets must share, 1 or more
	Containment float64       `json:"containment"` // share of the victim's GUIDs that must stand in the witness, above 0 to 1
	Recency     time.Duration `json:"recency"`     // ns; a data set synced within it stays
	// MaxShareCustomer and MaxShare are the shares of a customer's and of all GUIDs, 0 to 1, that may go; more stops the whole run.
	MaxShareCustomer float64 `json:"max_share_customer"`
	MaxShare         float64 `json:"max_share"`
	// Exempt are customers of whom nothing goes.
	Exempt []string `json:"exempt,omitempty"`
	// Now is the time of the analysis by the store's clock.
	Now time.Time `json:"now"`
}

// Skew is how far in the future a last sync may lie and still be taken for now: clocks differ. Beyond it nobody knows when it was.
const Skew = 5 * time.Minute

// Defaults returns the rules of a run that says nothing.
func Defaults() Rules {
	return Rules{Threshold: 25, Containment: 0.9, Recency: 7 * 24 * time.Hour, MaxShareCustomer: 0.75, MaxShare: 0.5}
}

// Set is a data set as it was counted.
type Set struct {
	Database    string     `json:"database"`
	LastSync    *time.Time `json:"last_sync,omitempty"` // nil is unknown, which counts as recent
	Complete    bool       `json:"complete"`            // its first upload has ended
	Rows        int64      `json:"rows"`                // of the entity, all of them
	GUIDs       int64      `json:"guids"`               // different ones, without template rows
	Templates   int64      `json:"templates"`           // GUIDs of template rows
	Nulls       int64      `json:"nulls,omitempty"`     // rows without a GUID: they stand nowhere else
	Fingerprint string     `json:"fingerprint"`         // of all GUIDs, whatever their order
}

// Signature is how many GUIDs stand in exactly these data sets of a customer, template rows left out.
type Signature struct {
	Sets    []int    `json:"sets"` // indexes into Customer.Sets, ascending
	GUIDs   int64    `json:"guids"`
	Samples []string `json:"samples,omitempty"` // some of them
}

// Customer is what was counted of a customer.
type Customer struct {
	ID         string      `json:"customer"`
	Sets       []Set       `json:"sets"`
	Signatures []Signature `json:"signatures,omitempty"`
	// Foreign are GUIDs, out of those that data sets share, which other customers turned out to hold too though they are not on the list
	// of template rows, by signature (index into Signatures): how many of how many looked at.
	Foreign map[int]Foreign `json:"foreign,omitempty"`
}

// Foreign says how many of the GUIDs of a signature that were looked at stand with other customers too.
type Foreign struct {
	Looked int64 `json:"looked"`
	Found  int64 `json:"found"`
}
