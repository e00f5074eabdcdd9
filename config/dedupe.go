package config

import (
	"time"
)

// Dedupe says how data sets that were uploaded twice are found and deleted: what stint dedupe goes by where its flags say nothing. A
// job carries its whole spec, so that no later change reaches it.
type Dedupe struct {
	// Store is the connection of the sync service's database; "" means that --connection names it.
	Store string `key:"store"`
	// Layout says where the data sets are.
	Layout DedupeLayout `key:"layout"`
	// Rules say when a data set may go.
	Rules DedupeRules `key:"rules"`
	// Apply says how data sets are deleted.
	Apply DedupeApply `key:"apply"`
	// KeepArchives is how long what was deleted can be put back; 0 is for ever.
	KeepArchives time.Duration `key:"keep_archives"`
}

// DedupeLayout names the tables and columns of a sync service.
type DedupeLayout struct {
	// Registry is the table with one row for each data set.
	Registry DedupeRegistry `key:"registry"`
	// Tables hold the rows; none means every table that has the registry's customer and database columns.
	Tables DedupeTables `key:"tables"`
	// Entity is whose GUIDs are compared: a table, or table/value of its kind; "" is the one with the most rows.
	Entity string `key:"entity"`
}

// DedupeRegistry names the columns of the registry.
type DedupeRegistry struct {
	// Table is the registry; "" is data_set.
	Table string `key:"table"`
	// Customer is the column of the customer's id; "" is customer_id.
	Customer string `key:"customer"`
	// Database is the column of the database's id; "" is database_id.
	Database string `key:"database"`
	// LastSync is when the sync service last heard of it; "" is last_synced_at.
	LastSync string `key:"last_sync"`
	// Complete is NULL, false or 0 until the first upload has ended; "" is none.
	Complete string `key:"complete"`
	// Deleting is set before the first row goes, so that the sync service can refuse to write; "" is none.
	Deleting string `key:"deleting"`
}

// DedupeTable is a table with rows of data sets.
type DedupeTable struct {
	// Name is that of the table, with its schema if need be.
	Name string `key:"name" jsonschema:"required"`
	// Customer is the column of the customer's id; "" is that of the registry.
	Customer string `key:"customer"`
	// Database is the column of the database's id; "" is that of the registry.
	Database string `key:"database"`
	// GUID is the column of the GUIDs; "" is guid, where there is one.
	GUID string `key:"guid"`
	// Kind is a column that says of which entity a row is; "" is none.
	Kind string `key:"kind"`
}

// DedupeTables are in the order in which their names first appeared.
type DedupeTables []DedupeTable

// DedupeRules say when a data set may go.
type DedupeRules struct {
	// Threshold is how many GUIDs two data sets share that are duplicates, at least 1.
	Threshold int `key:"threshold"`
	// Containment is the share of the older one's GUIDs that the newer one has to have, above 0 to 1.
	Containment float64 `key:"containment"`
	// RecencyDays is how many days a data set stays after its last sync.
	RecencyDays float64 `key:"recency_days"`
	// MaxShareCustomer is the share of a customer's GUIDs that may go, 0 to 1; more stops the whole run.
	MaxShareCustomer float64 `key:"max_share_customer"`
	// MaxShare is the share of all GUIDs that may go, 0 to 1; more stops the whole run.
	MaxShare float64 `key:"max_share"`
	// Exempt are customers of whom nothing goes.
	Exempt []string `key:"exempt"`
	// TemplateCustomers is how many customers hold a GUID that the product ships; 0 is 3, or 2 where there are only two.
	TemplateCustomers int `key:"template_customers"`
}

// DedupeApply says how data sets are deleted. Zero values are the engine's defaults.
type DedupeApply struct {
	// Limit is the most data sets that a run deletes. It has to be said, here or with --limit-deletions; 0 deletes none.
	Limit int `key:"limit"`
	// Batch is how many rows a transaction deletes at most; 0 is 5,000.
	Batch int `key:"batch"`
	// Busy is the share of the time that the database is kept busy, to 1; 0 is 0.5.
	Busy float64 `key:"busy"`
	// MaxLag is how far a replica may be behind before the deletion pauses; 0 is 10s.
	MaxLag time.Duration `key:"max_lag"`
	// MaxProbe is how long a read of one row may take before the deletion pauses; 0 is 250ms.
	MaxProbe time.Duration `key:"max_probe"`
	// MaxWaiting is how many sessions may wait for locks before the deletion pauses; 0 is 5.
	MaxWaiting int `key:"max_waiting"`
	// MaxAge is how old an analysis may be that is carried out; 0 is 24h.
	MaxAge time.Duration `key:"max_age"`
}

// defaultDedupe is what holds where nobody has said anything.
var defaultDedupe = Dedupe{
	Rules:        DedupeRules{Threshold: 25, Containment: 0.9, RecencyDays: 7, MaxShareCustomer: 0.75, MaxShare: 0.5},
	KeepArchives: 90 * 24 * time.Hour,
}

func (k *checker) share(key string, share float64, hint string) {
	if share < 0 || share > 1 {
		k.add(key, hint, "want 0 to 1, got %v", share)
	}
}

func (d Dedupe) check(k *checker) {
	if d.Rules.Threshold < 1 {
		k.add("dedupe.rules.threshold", "25 is the default", "want 1 or more, got %d", d.Rules.Threshold)
	}
	if d.Rules.Containment <= 0 || d.Rules.Containment > 1 {
		k.add("dedupe.rules.containment", "0.9 is 90 %", "want more than 0 and at most 1, got %v", d.Rules.Containment)
	}
	k.share("dedupe.rules.max_share_customer", d.Rules.MaxShareCustomer, "0.75 is 75 %")
	k.share("dedupe.rules.max_share", d.Rules.MaxShare, "0.5 is 50 %")
	if d.Rules.RecencyDays < 0 {
		k.add("dedupe.rules.recency_days", "7 is a week", "want 0 or more, got %v", d.Rules.RecencyDays)
	}
	if d.Rules.TemplateCustomers == 1 || d.Rules.TemplateCustomers < 0 {
		k.add("dedupe.rules.template_customers", "0 is the default", "want 0, or 2 and more, got %d: what one customer holds is theirs", d.Rules.TemplateCustomers)
	}
	k.notNegative("dedupe.apply.limit", d.Apply.Limit, "0 deletes none")
	k.notNegative("dedupe.apply.batch", d.Apply.Batch, "0 is the default")
	k.notNegative("dedupe.apply.max_waiting", d.Apply.MaxWaiting, "0 is the default")
	k.share("dedupe.apply.busy", d.Apply.Busy, "0 is the default")
	for _, p := range []struct {
		key string
		d   time.Duration
	}{
		{"apply.max_lag", d.Apply.MaxLag}, {"apply.max_probe", d.Apply.MaxProbe}, {"apply.max_age", d.Apply.MaxAge}, {"keep_archives", d.KeepArchives},
	} {
		if p.d < 0 {
			k.add("dedupe."+p.key, "write a duration such as 250ms, 10s or 24h", "want 0 or more, got %s", p.d)
		}
	}
}
