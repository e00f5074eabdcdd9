package config_test

import (
	"strings"
	"testing"

	"github.com/stint-run/stint/config"
)

func TestTablesOfDataSetsAreMergedByNameAlsoFromVariables(t *testing.T) {
	t.Parallel()
	file := write(t, map[string]string{
		"stint.yaml":      "dedupe:\n  store: sync\n  layout:\n    tables:\n      - name: Sync.Contacts\n        guid: id\n      - name: activities\n",
		"stint.prod.yaml": "dedupe:\n  layout:\n    tables:\n      - name: activities\n        kind: type\n",
	})
	c, origins := load(t, config.Options{File: file, Environment: "prod", Env: config.Env{"STINT_DEDUPE_LAYOUT_TABLES_SYNC_CONTACTS_CUSTOMER=client"}})
	want := config.DedupeTables{{Name: "Sync.Contacts", GUID: "id", Customer: "client"}, {Name: "activities", Kind: "type"}}
	if got := c.Dedupe.Layout.Tables; len(got) != 2 || got[0] != want[0] || got[1] != want[1] || c.Dedupe.Store != "sync" {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if o, ok := origins.Of("dedupe.layout.tables.activities.kind"); !ok || !strings.HasSuffix(o.Place.File, "stint.prod.yaml") {
		t.Errorf("the kind comes from %+v", o)
	}
	if w := origins.Warnings(); len(w) != 0 {
		t.Errorf("warnings: %v", w)
	}
}

func TestWhatCannotBeRightAboutDeletingIsToldWithItsPlace(t *testing.T) {
	t.Parallel()
	for line, want := range map[string]string{
		"rules: {threshold: 0}":                "dedupe.rules.threshold",
		"rules: {containment: 90}":             "dedupe.rules.containment",
		"rules: {recency_days: -1}":            "dedupe.rules.recency_days",
		"rules: {max_share: -1}":               "dedupe.rules.max_share",
		"rules: {max_share_customer: 1.1}":     "dedupe.rules.max_share_customer",
		"rules: {template_customers: 1}":       "dedupe.rules.template_customers",
		"apply: {limit: -1}":                   "dedupe.apply.limit",
		"apply: {batch: -1}":                   "dedupe.apply.batch",
		"apply: {busy: 2}":                     "dedupe.apply.busy",
		"apply: {max_lag: -1s}":                "dedupe.apply.max_lag",
		"apply: {max_waiting: -1}":             "dedupe.apply.max_waiting",
		"keep_archives: -1h":                   "dedupe.keep_archives",
		"keep_archives: 90d":                   "dedupe.keep_archives",
		"layout: {tables: [{name: 'a b'}]}":    "dedupe.layout.tables",
		"layout: {tables: [{name: a, id: b}]}": "dedupe.layout.tables.a.id",
		"layout: {registry: {name: a}}":        "dedupe.layout.registry.name",
	} {
		file := write(t, map[string]string{"stint.yaml": "dedupe:\n  " + line + "\n"})
		_, _, err := config.Load(config.Options{File: file})
		if err == nil || !strings.Contains(err.Error(), "stint.yaml:2:") || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", line, err)
		}
	}
}
