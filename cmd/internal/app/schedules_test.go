package app

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stint-run/stint/config"
	"github.com/stint-run/stint/scheduler"
)

// The sample of the documentation goes all the way: through the configuration to what the scheduler takes.
func TestTheSchedulesInTheDocumentationAreWhatTheSchedulerTakes(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../../docs/schedules.md")
	if err != nil {
		t.Fatal(err)
	}
	_, sample, _ := strings.Cut(string(text), "```yaml\n")
	sample, _, _ = strings.Cut(sample, "```")
	file := filepath.Join(t.TempDir(), "stint.yaml")
	if err := os.WriteFile(file, []byte(sample), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, _, err := config.Load(config.Options{File: file})
	if err != nil {
		t.Fatal(err)
	}
	list := schedules(cfg.Schedules)
	if len(list) != 3 {
		t.Fatalf("%+v", list)
	}
	if err := scheduler.CheckSchedules(list); err != nil {
		t.Error(err)
	}
	for _, sc := range cfg.Schedules {
		if _, err := CheckSpec(sc.Kind, sc.Spec); err != nil {
			t.Errorf("%s: %v", sc.Name, err)
		}
	}
	one, two := list[0], list[1]
	if one.Timezone != "Europe/Berlin" || one.Jitter != "5m0s" || one.Every != "" || one.Job.Tenant != "acme" || one.Job.Labels["team"] != "data" || len(one.Job.Spec) == 0 {
		t.Errorf("%+v", one)
	}
	if two.Every != "6h0m0s" || two.Timezone != "" || two.Missed != "skip" || two.Jitter != "" {
		t.Errorf("%+v", two)
	}
}
