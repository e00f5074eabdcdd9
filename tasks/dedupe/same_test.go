package dedupe

import (
	"fmt"
	"strings"
	"testing"
)

// rows puts rows from one number to another into a data set; guid writes that of each.
func (l *lab) rows(set string, from, to int, guid func(int) string) {
	for i := from; i < to; i++ {
		l.exec(fmt.Sprintf("INSERT INTO item (id, customer_id, database_id, guid) VALUES (%d, 1, '%s', '%s')", l.nextItem(), set, guid(i)))
	}
}

func (l *lab) nextItem() int { return len(l.late) }

func numbered(i int) string { return fmt.Sprintf("0b000000-0000-4000-8000-%012d", i) }

// sizes counts rows by data set, the very characters of its id.
func (l *lab) sizes() string {
	counts := map[string]int{}
	l.query("SELECT database_id FROM item", func(scan func(...any) error) error {
		var id string
		err := scan(&id)
		counts[id]++
		return err
	})
	return fmt.Sprint(counts)
}

// What a collation takes for the same id is another data set.
func TestNothingGoesOfADataSetWhoseIDIsTheSameToACollation(t *testing.T) {
	t.Parallel()
	of := map[string][2]string{ // the type of ids in the registry, and in the table
		"sqlite":   {"TEXT", "TEXT COLLATE NOCASE"},
		"postgres": {"varchar(40)", "varchar(40) COLLATE folding"},
		"mariadb":  {"varchar(40) COLLATE utf8mb4_bin", "varchar(40) COLLATE utf8mb4_general_ci"},
	}
	for _, d := range dialects {
		t.Run(d.name, func(t *testing.T) {
			t.Parallel()
			l := opened(t, d.url(t))
			if d.name == "postgres" {
				l.exec("CREATE COLLATION folding (provider = icu, locale = 'und-u-ks-level2', deterministic = false)")
			}
			l.exec("CREATE TABLE data_set (customer_id bigint NOT NULL, database_id " + of[d.name][0] + " NOT NULL, last_synced_at timestamp NULL, PRIMARY KEY (customer_id, database_id))")
			l.exec("CREATE TABLE item (id bigint PRIMARY KEY, customer_id bigint NOT NULL, database_id " + of[d.name][1] + " NOT NULL, guid varchar(36))")
			l.exec("CREATE INDEX item_set ON item (customer_id, database_id, guid)")
			l.exec("INSERT INTO data_set VALUES (1, 'aB3', '2020-01-01 00:00:00'), (1, 'zz9', '2021-01-01 00:00:00'), (1, 'Ab3', '2026-01-02 00:00:00')")
			l.rows("aB3", 0, 30, numbered)
			l.rows("zz9", 0, 30, numbered)
			l.rows("Ab3", 5000, 5100, numbered) // another one, which is at work
			layout := withComplete
			layout.Registry.Complete, layout.Entity = "", "item"
			job := l.job(Kind, Spec{Store: "store", Layout: layout, Rules: bold(), Apply: &ApplySpec{Limit: 5, Busy: 1}})
			if _, err := l.run(job); err != nil {
				t.Fatal(err)
			}
			if got := l.sizes(); got != "map[Ab3:100 zz9:30]" {
				t.Errorf("left are %s; %s", got, l.output(job, fileDeletions))
			}
			if out := l.output(job, fileDeletions); !strings.Contains(out, `"item":30`) {
				t.Errorf("of 30 rows: %s", out)
			}
		})
	}
}

// An empty text and the nil UUID are what programs write that have no GUID to write: such rows have nothing in common.
func TestRowsWithAnEmptyGUIDStandNowhereElse(t *testing.T) {
	t.Parallel()
	for name, empty := range map[string]string{"nothing": "", "blanks": "   ", "zeros": "00000000-0000-0000-0000-000000000000", "zeros in braces": "{00000000-0000-0000-0000-000000000000}"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newLab(t, nil)
			l.exec("CREATE TABLE data_set (customer_id INTEGER NOT NULL, database_id TEXT NOT NULL, last_synced_at TEXT, PRIMARY KEY (customer_id, database_id))")
			l.exec("CREATE TABLE item (id INTEGER PRIMARY KEY, customer_id INTEGER NOT NULL, database_id TEXT NOT NULL, guid TEXT)")
			l.exec("INSERT INTO data_set VALUES (1, 'old', '2020-01-01 00:00:00'), (1, 'new', '2021-01-01 00:00:00')")
			l.rows("old", 0, 30, numbered)
			l.rows("old", 30, 1030, func(int) string { return empty })
			l.rows("new", 0, 30, numbered)
			l.rows("new", 30, 31, func(int) string { return empty })
			layout := withComplete
			layout.Registry.Complete, layout.Entity = "", "item"
			job := l.job(Kind, Spec{Store: "store", Layout: layout, Rules: bold(), Apply: &ApplySpec{Limit: 5, Busy: 1}})
			if _, err := l.run(job); err != nil {
				t.Fatal(err)
			}
			if got := l.sizes(); got != "map[new:31 old:1030]" {
				t.Errorf("left are %s; %s", got, l.output(job, fileDeletions))
			}
		})
	}
}
