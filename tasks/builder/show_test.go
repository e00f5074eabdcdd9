package builder

import (
	"slices"
	"strings"
	"testing"

	"github.com/stint-run/stint/tasks"
)

func TestABuildShowsItsVersionItsStepsItsTestsAndWhichEnvironmentsTakeIt(t *testing.T) {
	t.Parallel()
	l := newLab(t, map[string]string{"VERSION": "2.1\n", "stint.build.yaml": `name: shown
steps:
  - name: test
    script: |
      echo '<testsuite><testcase classname="a" name="ok"/><testcase name="later"><skipped/></testcase></testsuite>' > junit.xml
    junit: [junit.xml]
  - name: make
    script: echo made > made.txt
packages:
  - {name: shown, format: zip, files: [{from: made.txt}]}
`})
	f := l.agent("a", nil)
	job := l.job(Spec{})
	if b, err := f.Build(t.Context(), job); err != nil || b.Version != "" || len(b.Steps) != 0 || b.Repository != l.url {
		t.Errorf("before its plan: %+v, %v", b, err)
	}
	if err := l.carryOut(f, job); err != nil {
		t.Fatal(err)
	}
	b, err := f.Build(t.Context(), job)
	if err != nil || b.Product != "shown" || b.Version != "2.1.1" || b.Channel != "release" || b.Ref != "refs/heads/main" || len(b.Commit) != 40 || len(b.Why) == 0 || b.Number != 1 {
		t.Fatalf("%+v, %v", b, err)
	}
	if s := b.Steps[0]; len(b.Steps) != 2 || s.State != tasks.BuildPassed || s.Tests == nil || s.Tests.Passed != 1 || s.Tests.Skipped != 1 || s.Agent != "a" || s.Began == nil {
		t.Errorf("the steps are %+v", b.Steps)
	}
	if !slices.Equal(b.Steps[1].Needs, []string{"test"}) {
		t.Errorf("the second step needs %v", b.Steps[1].Needs)
	}
	if len(b.Gates) != 2 || b.Gates[0].State != tasks.GateOpen || b.Gates[1].State != tasks.GateShut || b.Gates[1].Hint != "promote it to ci first" {
		t.Errorf("the gates are %+v", b.Gates)
	}
	if _, err := f.Promote(t.Context(), job, "ci", "ann"); err != nil {
		t.Fatal(err)
	}
	if b, err = f.Build(t.Context(), job); err != nil || b.Gates[0].State != tasks.GateHere || b.Gates[1].State != tasks.GateOpen || b.Gates[0].Stands != "2.1.1" {
		t.Errorf("after the promotion: %+v, %v", b.Gates, err)
	}
	again := l.job(Spec{})
	if err := l.carryOut(f, again); err != nil {
		t.Fatal(err)
	}
	if b, err = f.Build(t.Context(), again); err != nil || b.Steps[0].State != tasks.BuildCached || b.Steps[0].Reused != job.ID {
		t.Errorf("the same again: %+v, %v", b.Steps, err)
	}
}

func TestABuildShowsTheTestsThatFailed(t *testing.T) {
	t.Parallel()
	l := newLab(t, map[string]string{"VERSION": "2.1\n", "stint.build.yaml": `name: shown
steps:
  - name: test
    script: |
      echo '<testsuite><testcase classname="a" name="bad"><failure message="1 is not 2">at line 7</failure></testcase></testsuite>' > junit.xml
      exit 3
    junit: [junit.xml]
`})
	f := l.agent("a", nil)
	job := l.job(Spec{})
	if err := l.carryOut(f, job); err == nil {
		t.Fatal("it passes")
	}
	b, err := f.Build(t.Context(), job)
	if err != nil || len(b.Steps) != 1 {
		t.Fatalf("%+v, %v", b, err)
	}
	s := b.Steps[0]
	if s.State != tasks.BuildFailed || !strings.Contains(s.Error, "3") || s.Tests == nil || s.Tests.Failed != 1 {
		t.Fatalf("the step is %+v", s)
	}
	if got := s.Tests.Failures; len(got) != 1 || got[0].Name != "a.bad" || got[0].Message != "1 is not 2" || got[0].Text != "at line 7" {
		t.Errorf("the failures are %+v", got)
	}
}
