package telemetry_test

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stint-run/stint/internal/telemetry"
)

var update = flag.Bool("update", false, "write docs/reference/metrics.md anew")

func TestTheReferenceOfTheMetricsIsTheOneInTheDocs(t *testing.T) {
	t.Parallel()
	tel := start(t, telemetry.Options{})
	everything(t.Context(), tel)
	all, err := tel.Families()
	if err != nil {
		t.Fatal(err)
	}
	kinds := map[string]string{}
	for _, m := range regexp.MustCompile(`(?m)^# TYPE (stint_\w+) (\w+)`).FindAllStringSubmatch(scrape(t, tel, "text/plain"), -1) {
		kinds[m[1]] = m[2]
	}
	var b strings.Builder
	b.WriteString("# Metrics\n\nEvery metric of stint at `/metrics`. This page is made from the program: `go test ./internal/telemetry -run Reference -update`.\n" +
		"[telemetry.md](../telemetry.md#metrics) says who tells what, and how to add them up; [deploy/prometheus/rules.yml](../../deploy/prometheus/rules.yml)\n" +
		"has alerts on them and [deploy/grafana](../../deploy/grafana) a dashboard.\n\n| metric | type | labels | means |\n|---|---|---|---|\n")
	for _, name := range slices.Sorted(maps.Keys(all)) {
		if !strings.HasPrefix(name, "stint_") {
			continue
		}
		labels := ""
		for _, l := range all[name].Labels {
			labels += "`" + l + "` "
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", name, kinds[name], strings.TrimSpace(labels), strings.TrimSuffix(all[name].Help, "."))
	}
	const path = "../../docs/reference/metrics.md"
	if *update {
		if err := os.WriteFile(path, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	kept, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(kept) != b.String() {
		t.Error("docs/reference/metrics.md is not what the program says; write it anew with: go test ./internal/telemetry -run Reference -update")
	}
}
