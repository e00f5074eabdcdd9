package deploy_test

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// metrics are those that docs/reference/metrics.md has, which is made from a scrape, with their labels.
func metrics(t *testing.T) map[string][]string {
	t.Helper()
	all := map[string][]string{}
	for _, m := range regexp.MustCompile("(?m)^\\| `(stint_\\w+)` \\| (\\w+) \\|([^|]*)\\|").FindAllStringSubmatch(read(t, "docs/reference/metrics.md"), -1) {
		labels := []string{"instance", "job"}
		for _, l := range regexp.MustCompile("`(\\w+)`").FindAllStringSubmatch(m[3], -1) {
			labels = append(labels, l[1])
		}
		if m[2] != "histogram" {
			all[m[1]] = labels
			continue
		}
		for _, part := range []string{"_bucket", "_count", "_sum"} {
			all[m[1]+part] = append(slices.Clone(labels), map[string][]string{"_bucket": {"le"}}[part]...)
		}
	}
	if len(all) < 40 {
		t.Fatalf("found %d metrics, want more: is the page still written the same way?", len(all))
	}
	return all
}

var (
	selector = regexp.MustCompile(`(stint_\w+)(?:\{([^}]*)\})?`)
	matcher  = regexp.MustCompile(`(\w+)\s*(?:=~|!~|!=|=)\s*"`)
	grouping = regexp.MustCompile(`\b(?:by|on|without|ignoring)\s*\(([^)]*)\)`)
)

// unknown says what an expression names that is in no scrape.
func unknown(known map[string][]string, expr string) (list []string) {
	var labels []string
	for _, m := range selector.FindAllStringSubmatch(expr, -1) {
		have, ok := known[m[1]]
		if !ok {
			list = append(list, "the metric "+m[1])
		}
		labels = append(labels, have...)
		for _, l := range matcher.FindAllStringSubmatch(m[2], -1) {
			if ok && !slices.Contains(have, l[1]) {
				list = append(list, fmt.Sprintf("the label %s of %s", l[1], m[1]))
			}
		}
	}
	if len(labels) == 0 && len(list) == 0 {
		list = append(list, "no metric at all")
	}
	for _, m := range grouping.FindAllStringSubmatch(expr, -1) {
		for l := range strings.SplitSeq(m[1], ",") {
			if l = strings.TrimSpace(l); l != "" && !slices.Contains(labels, l) {
				list = append(list, "the label "+l)
			}
		}
	}
	return list
}

func TestAnExpressionOverWhatNobodyCollectsIsNoticed(t *testing.T) {
	t.Parallel()
	known := metrics(t)
	for expr, wrong := range map[string]int{
		`max by (queue) (stint_queue_latency_seconds{queue="a"}) > 3`:                 0,
		`histogram_quantile(0.9, sum by (le) (rate(stint_drain_seconds_bucket[5m])))`: 0,
		`stint_queue_latency`:                       1,
		`stint_workers{zone="a"}`:                   1,
		`sum by (le) (stint_workers)`:               1,
		`rate(stint_drain_seconds[5m])`:             1,
		`up`:                                        1,
		`sum by (kind) (stint_rows_total{who="x"})`: 1,
	} {
		if got := unknown(known, expr); len(got) != wrong {
			t.Errorf("%s: %q, want %d", expr, got, wrong)
		}
	}
}

// alertRule is a rule of deploy/prometheus/rules.yml.
type alertRule struct {
	Alert       string
	Expr        string
	Labels      map[string]string
	Annotations map[string]string
}

func alertRules(t *testing.T) []alertRule {
	t.Helper()
	var file struct{ Groups []struct{ Rules []alertRule } }
	if err := yaml.Unmarshal([]byte(read(t, "deploy/prometheus/rules.yml")), &file); err != nil || len(file.Groups) != 1 {
		t.Fatalf("%d groups: %v", len(file.Groups), err)
	}
	return file.Groups[0].Rules
}

func TestAlertsOnStintSayWhatIsWrongAndWhatToDo(t *testing.T) {
	t.Parallel()
	known := metrics(t)
	rules := alertRules(t)
	if len(rules) < 12 {
		t.Errorf("only %d rules", len(rules))
	}
	for _, r := range rules {
		for _, what := range unknown(known, r.Expr) {
			t.Errorf("%s asks for %s", r.Alert, what)
		}
		if !strings.HasSuffix(r.Annotations["summary"], ".") || !strings.HasSuffix(r.Annotations["action"], ".") {
			t.Errorf("%s does not say what is wrong (summary) and what to do (action): %v", r.Alert, r.Annotations)
		}
		if !slices.Contains([]string{"critical", "warning", "info"}, r.Labels["severity"]) {
			t.Errorf("%s: severity %q", r.Alert, r.Labels["severity"])
		}
	}
}

// promtool runs it, where it is installed; CI installs it.
func promtool(t *testing.T, args ...string) {
	t.Helper()
	if _, err := exec.LookPath("promtool"); err != nil {
		t.Fatal("there is no promtool; scripts/install-test-deps.sh installs it")
	}
	if out, err := exec.CommandContext(t.Context(), "promtool", args...).CombinedOutput(); err != nil {
		t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

func TestPrometheusTakesTheFilesAndTheAlertsFireWhenTheyShould(t *testing.T) {
	t.Parallel()
	promtool(t, "check", "config", "--syntax-only", "prometheus/prometheus.yml")
	promtool(t, "test", "rules", "prometheus/rules_test.yml")
}

// panel is what Grafana shows in one frame.
type panel struct {
	ID                       int
	Type, Title, Description string
	GridPos                  struct{ X, Y, W, H int }
	FieldConfig              struct{ Defaults struct{ Unit string } }
	Targets                  []struct{ Expr, RefID string }
}

func board(t *testing.T) []panel {
	t.Helper()
	var d struct {
		UID, Title string
		Panels     []panel
	}
	if err := json.Unmarshal([]byte(read(t, "deploy/grafana/stint.json")), &d); err != nil {
		t.Fatal(err)
	}
	if d.UID == "" || d.Title == "" || len(d.Panels) < 20 {
		t.Fatalf("uid %q, title %q, %d panels", d.UID, d.Title, len(d.Panels))
	}
	return d.Panels
}

func TestPanelsOfTheDashboardShowWhatIsCollected(t *testing.T) {
	t.Parallel()
	known := metrics(t)
	shown := map[string]bool{}
	rules := "groups:\n- name: panels\n  rules:\n"
	for _, p := range board(t) {
		if p.Type == "row" {
			continue
		}
		if p.Title == "" || p.Description == "" || p.FieldConfig.Defaults.Unit == "" || len(p.Targets) == 0 {
			t.Errorf("panel %d %q: want a title, a description, a unit and a query", p.ID, p.Title)
		}
		for _, target := range p.Targets {
			for _, what := range unknown(known, target.Expr) {
				t.Errorf("%s asks for %s", p.Title, what)
			}
			for _, m := range selector.FindAllStringSubmatch(target.Expr, -1) {
				shown[m[1]] = true
			}
			expr := strings.NewReplacer("$__rate_interval", "5m", "$kind", ".*").Replace(target.Expr)
			rules += fmt.Sprintf("  - {record: 'panel:%d:%s', expr: %q}\n", p.ID, target.RefID, expr)
		}
	}
	if len(shown) < 20 {
		t.Errorf("the panels show %d metrics, want more", len(shown))
	}
	file := filepath.Join(t.TempDir(), "panels.yml")
	if err := os.WriteFile(file, []byte(rules), 0o600); err != nil {
		t.Fatal(err)
	}
	promtool(t, "check", "rules", file)
}

func TestPanelsOfTheDashboardDoNotOverlap(t *testing.T) {
	t.Parallel()
	taken := map[[2]int]string{}
	ids := map[int]bool{}
	for _, p := range board(t) {
		g := p.GridPos
		if ids[p.ID] || g.W < 1 || g.H < 1 || g.X < 0 || g.X+g.W > 24 {
			t.Errorf("panel %d %q: its id or its place is wrong: %+v", p.ID, p.Title, g)
		}
		ids[p.ID] = true
		for x := g.X; x < g.X+g.W; x++ {
			for y := g.Y; y < g.Y+g.H; y++ {
				if other := taken[[2]int{x, y}]; other != "" {
					t.Fatalf("%q lies on %q", p.Title, other)
				}
				taken[[2]int{x, y}] = p.Title
			}
		}
	}
}
