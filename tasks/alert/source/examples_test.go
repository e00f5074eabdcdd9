package source_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stint-run/stint/internal/docsearch"
	"github.com/stint-run/stint/internal/sqldb"
	"github.com/stint-run/stint/tasks/alert/rule"
	"github.com/stint-run/stint/tasks/alert/source"
)

// examples are the rules of docs/examples/alerts.
func examples(t *testing.T) rule.Set {
	t.Helper()
	set, problems := rule.Load(rule.Options{Dir: filepath.Join("..", "..", "..", "docs", "examples", "alerts"), Sources: []string{"logs", "prom", "shop"},
		CheckQuery: docsearch.ParseQueryString})
	if len(problems) > 0 || len(set.Rules) != 5 {
		t.Fatalf("%d rules, %v", len(set.Rules), problems)
	}
	return set
}

// asks makes a query of a rule and a window that ends at t0.
func asks(r *rule.Rule, window time.Duration) source.Query {
	return source.Query{Index: r.Index, Text: r.Query, Filter: r.Filter, Field: r.Timestamp.Field, Type: r.Timestamp.Type, IDField: r.IDField, Step: source.StepFor(r.RunEvery),
		Start: t0.Add(-window), End: t0}
}

func TestTheExamplesAskWhatTheirSourcesUnderstand(t *testing.T) {
	t.Parallel()
	set := examples(t)
	ctx := context.Background()
	shop := source.NewSQL(database(t, sqldb.SQLite,
		"CREATE TABLE payments (id integer PRIMARY KEY, created_at datetime, status text, provider text)",
		"INSERT INTO payments VALUES (1, '2026-03-01 11:59:00', 'failed', 'a'), (2, '2026-03-01 11:59:30', 'paid', 'a'), (3, '2026-03-01 11:00:00', 'failed', 'a')",
		"CREATE TABLE shops (id integer PRIMARY KEY, country text)", "INSERT INTO shops VALUES (1, 'AT')",
		"CREATE TABLE orders (id integer PRIMARY KEY, placed integer, shop_id integer, test integer)",
		fmt.Sprintf("INSERT INTO orders VALUES (1, %d, 1, 0), (2, %d, 1, 1), (3, %d, 1, 0)", t0.Unix()-60, t0.Unix()-50, t0.Unix()-3600)))
	for _, name := range []string{"many failed payments", "no orders"} {
		if n, err := shop.Count(ctx, asks(set.Rule(name), 10*time.Minute)); err != nil || n != 1 {
			t.Errorf("%s: %d events, %v", name, n, err)
		}
	}
	var b strings.Builder
	b.WriteString("# TYPE node_filesystem_avail_bytes gauge\n")
	for i := range 60 {
		fmt.Fprintf(&b, "node_filesystem_avail_bytes{instance=\"a\",mountpoint=\"/\",fstype=\"ext4\"} %d %d\n", 1_000_000_000-i*10_000_000, t0.Unix()-int64(60*(60-i)))
	}
	b.WriteString("# TYPE node_load5 gauge\nnode_load5{instance=\"a\"} 8 ")
	fmt.Fprintf(&b, "%d\n# TYPE node_cpu_seconds gauge\n", t0.Unix()-120)
	for cpu := range 2 {
		fmt.Fprintf(&b, "node_cpu_seconds_total{instance=\"a\",mode=\"idle\",cpu=\"%d\"} 1 %d\n", cpu, t0.Unix()-120)
	}
	prom := prometheus(t, b.String()+"# EOF\n")
	hits := searchAll(t, prom, asks(set.Rule("disk fills up"), time.Minute))
	if len(hits) != 4 || hits[0].Doc["mountpoint"] != "/" {
		t.Errorf("the disk: %v", hits)
	}
	answer, n, err := prom.Aggregate(ctx, asks(set.Rule("load is high"), time.Minute), map[string]any{"m": map[string]any{"avg": map[string]any{"field": "value"}}})
	if err != nil || n != 4 || !strings.HasPrefix(fmt.Sprint(answer["m"]), "map[value:4") {
		t.Errorf("the load: %v of %d, %v", answer, n, err)
	}
}

func TestThePageOfSourcesHasTheExamplesAsTheyAre(t *testing.T) {
	t.Parallel()
	docs := filepath.Join("..", "..", "..", "docs")
	page, err := os.ReadFile(filepath.Join(docs, "alert-sources.md"))
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(docs, "examples", "alerts", "*.yaml"))
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil || !strings.Contains(string(page), "```yaml\n"+string(text)+"```") {
			t.Errorf("%s is not in the page as it is, %v", filepath.Base(file), err)
		}
	}
}
