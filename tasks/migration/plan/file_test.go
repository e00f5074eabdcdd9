package plan_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/stint-run/stint/internal/artifact"
	"github.com/stint-run/stint/tasks/migration/plan"
)

func TestNoPlanWritesFilesAmongStintsOwnRecords(t *testing.T) {
	t.Parallel()
	problem := func(folder string) plan.Problem {
		_, _, err := plan.Parse("plan.yaml", []byte(strings.Replace(stage(""), "to: {table: t}", "to: {file: {format: ndjson, folder: '"+folder+"'}}", 1)))
		var problems plan.Problems
		if err != nil && !errors.As(err, &problems) {
			t.Fatalf("%s: %v", folder, err)
		}
		if len(problems) == 0 {
			return plan.Problem{}
		}
		return problems[0]
	}
	refused := []string{"environments/ci", "builds/jobs", "releases", "dedupe/job/archive", "enviro~1/ci", "builds~2", "stint-~1.x"}
	for _, folder := range append(refused, artifact.Own()...) {
		p := problem(folder)
		if !strings.Contains(p.String(), `stages[0].to.file.folder: in "`+folder+`" of the store of artifacts stint keeps its own records`) || !strings.Contains(p.Hint, "exports/"+folder) {
			t.Errorf("%s: %s (%s)", folder, p, p.Hint)
		}
	}
	for _, folder := range []string{"./environments", "a/../environments", "Environments/ci", "environments.", "/environments", `x\environments`} { // none is a key
		if p := problem(folder); !strings.Contains(p.String(), "no key for an artifact") {
			t.Errorf("%s: %s", folder, p)
		}
	}
	for _, folder := range []string{"", "exports", "exports/environments", "environments-of-x", "build", "my~20folder", "a~b"} {
		if p := problem(folder); p.Hint != "" {
			t.Errorf("%s: %s", folder, p)
		}
	}
}
