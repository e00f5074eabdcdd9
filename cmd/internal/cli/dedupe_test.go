package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stint-run/stint/config"
	"github.com/stint-run/stint/tasks/dedupe/decide"
)

func TestTheConfigurationHasTheRulesThatTheEngineHas(t *testing.T) {
	t.Parallel()
	got, want := config.Default(nil).Dedupe.Rules, decide.Defaults()
	recency := time.Duration(got.RecencyDays * 24 * float64(time.Hour))
	if got.Threshold != want.Threshold || got.Containment != want.Containment || recency != want.Recency || got.MaxShareCustomer != want.MaxShareCustomer || got.MaxShare != want.MaxShare {
		t.Errorf("the configuration has %+v, the engine %+v", got, want)
	}
}

func TestWhatAFlagOfDedupeSetsIsAKeyOfTheConfiguration(t *testing.T) {
	t.Parallel()
	keys := strings.Join(config.Keys(), "\n") + "\n"
	for flag, key := range dedupeKeys {
		if !strings.Contains(keys, key+"\n") {
			t.Errorf("--%s sets %s, which is no key", flag, key)
		}
	}
}

func TestFilesThatWouldOverwriteOneAnotherAreRefused(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	for _, c := range []struct {
		analysis, deletions string
		fine                bool
	}{
		{"", "", true}, {at("a.jsonl"), at("d.jsonl"), true}, {at("a"), "", true}, {"", at("d.csv"), true},
		{at("a.csv"), at("d.jsonl"), false}, {at("a.jsonl"), at("./a.jsonl"), false}, {at("a.jsonl"), at("a.csv"), false}, {at("nowhere/a.jsonl"), "", false}, {dir, "", false},
	} {
		if err := (&deduping{analysis: c.analysis, deletions: c.deletions}).files(); (err == nil) != c.fine || err != nil && exitCode(err) != exitUsage {
			t.Errorf("-a %s -d %s: %v", c.analysis, c.deletions, err)
		}
	}
}

func TestAFileIsTakenForAFileAndAnIDForAJob(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "del-1")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for arg, want := range map[string]bool{"ded-hb5giq7exut6f7xb": true, "del-9xq4": true, file: false, "analysis.jsonl": false, "mig-4f0h2n": false, "del-9xq4.jsonl": false, "": false} {
		if isJob(arg) != want {
			t.Errorf("%q is a job: %v", arg, !want)
		}
	}
}

func TestTheShareIsComparedWithTheAnalysisBeforeOfTheSameStore(t *testing.T) {
	t.Parallel()
	of := func(store string, share float64) *pastRun {
		return &pastRun{Analysis: &analysisAnswer{Store: store, Share: share}}
	}
	list := []*pastRun{of("a", 0.5), {}, of("b", 0.25), of("a", 0.25)} // newest first
	compare(list)
	if list[0].Change == nil || *list[0].Change != 0.25 || list[1].Change != nil || list[2].Change != nil || list[3].Change != nil {
		t.Errorf("%+v %+v %+v %+v", list[0], list[1], list[2], list[3])
	}
}
