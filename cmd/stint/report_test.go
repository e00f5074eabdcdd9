package main

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stint-run/stint/client/wire"
	"github.com/stint-run/stint/cmd/internal/rig"
	"github.com/stint-run/stint/internal/pgtest"
	"github.com/stint-run/stint/internal/redistest"
	"github.com/stint-run/stint/internal/report"
)

// A migration during which one worker is drained by a command and another is killed. Its report tells both, and the proof.
func TestTheReportOfAMigrationTellsOfItsDrainItsKillAndItsVerification(t *testing.T) {
	t.Parallel()
	src := rig.Plain(t, size(rows, 300_000, 3_000_000))
	r := rig.New(t, redistest.New(t), rig.Connection{Name: "legacy", URL: src.URL()}, rig.Connection{Name: "cloud", URL: pgtest.New(t)})
	r.Start("scheduler")
	job := r.Submit("legacy", "cloud", "--chunk-rows", "50000", "--batch-rows", "1000")
	drained, killed := r.Worker(), r.Worker()
	r.Ready(drained)
	r.Ready(killed)
	r.Until(time.Minute, "a worker is in the middle of a chunk", func(context.Context) (bool, error) {
		return len(heldBy(r.View(job), drained.ID)) > 0, nil
	})
	var ws []wire.Worker
	r.JSON(&ws, "workers", "drain", drained.ID, "--wait", "--timeout", "1m")
	r.Until(time.Minute, "the other is in the middle of a chunk", func(context.Context) (bool, error) {
		return len(heldBy(r.View(job), killed.ID)) > 0, nil
	})
	killed.Kill()
	r.Worker()
	r.Ended(job, 2*time.Minute)
	var proof struct{ Equal bool }
	r.JSON(&proof, "verify", job)

	file := filepath.Join(r.Dir, "report.json")
	if p := r.Start("jobs", "report", job, "--out", file); p.Wait(time.Minute) != 0 {
		t.Fatal(p.Log())
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var got wire.Report
	if err := json.Unmarshal(text, &got); err != nil {
		t.Fatal(err)
	}
	if sum, err := report.Digest(text); err != nil || sum != got.Digest {
		t.Errorf("digest %s, of the file %s, %v", got.Digest, sum, err)
	}
	if len(got.Drains) != 1 || got.Drains[0].Worker != drained.ID || got.Drains[0].State != wire.DrainSafe || got.Drains[0].Why != wire.DrainByRequest || got.Drains[0].By == "" || got.Drains[0].GivenBack+got.Drains[0].Ended != got.Drains[0].Held {
		t.Errorf("drains: %+v", got.Drains)
	}
	if len(got.Losses) != 1 || got.Losses[0].Worker != killed.ID || got.Losses[0].Steps == 0 || got.Losses[0].Again != got.Losses[0].Steps {
		t.Errorf("losses: %+v", got.Losses)
	}
	if len(got.Verifications) != 1 || got.Verifications[0].Equal != proof.Equal || !proof.Equal {
		t.Errorf("verifications: %+v", got.Verifications)
	}
	if len(got.Workers) != 3 || len(got.Gaps) != 0 || !strings.HasPrefix(got.Source, "sqlite:") || !strings.HasPrefix(got.Target, "postgres://") || got.SubmittedBy == "" {
		t.Errorf("%+v", got)
	}
	page := r.Start("jobs", "report", job, "--format", "html")
	if page.Wait(time.Minute) != 0 {
		t.Fatal(page.Log())
	}
	for _, want := range []string{drained.ID, killed.ID, "Every row that was read is accounted for", "Verified row by row by " + got.Verifications[0].ID, got.Digest} {
		if !strings.Contains(string(page.Out()), want) {
			t.Errorf("the page lacks %q", want)
		}
	}
}
