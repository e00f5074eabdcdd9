package cli

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/stint-run/stint/config"
	"github.com/stint-run/stint/tasks/migration"
	"github.com/stint-run/stint/tasks/migration/plan"
)

func TestTheLongestPlanHasRoomInARequest(t *testing.T) {
	t.Parallel()
	var text strings.Builder
	text.WriteString("source: old\ntarget: new\nstages:\n")
	for stage := 0; text.Len() < plan.MaxSize-64<<10; stage++ {
		fmt.Fprintf(&text, "  - name: s%d\n    from: {table: t}\n    map:\n", stage)
		for column := range 1_000 {
			fmt.Fprintf(&text, "      c%d: 'replace(a, \"x\", \"y\")'\n", column)
		}
		fmt.Fprintf(&text, "    to: {table: t%d}\n", stage)
	}
	p, _, err := plan.Parse("plan.yaml", []byte(text.String()))
	if err != nil {
		t.Fatal(err)
	}
	body, err := json.Marshal(migration.Spec{Source: "old", Target: "new", Plan: p})
	if err != nil {
		t.Fatal(err)
	}
	if room := config.Default(nil).API.MaxBody; len(body) > room-64<<10 {
		t.Errorf("a plan of %d bytes makes a request of %d, and %d are taken", text.Len(), len(body), room)
	}
}
