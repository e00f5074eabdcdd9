package builder

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/stint-run/stint/tasks"
	"github.com/stint-run/stint/tasks/builder/junit"
)

// Report says what was built, of what, by whom, and where it went.
func (f *Family) Report(ctx context.Context, job tasks.Job) (tasks.FamilyReport, error) {
	b, begun, err := f.open(ctx, job)
	if err != nil || !begun {
		return tasks.FamilyReport{}, err
	}
	out := tasks.FamilyReport{Source: b.spec.Repository}
	v, c := b.start.Version, b.start.Commit
	about := tasks.ReportSection{Title: fmt.Sprintf("%s %s", b.pipeline.Name, v.Version), Text: strings.Join(v.Why, " "), Columns: []string{"", ""}}
	add := func(name, value string) {
		if value != "" {
			about.Rows = append(about.Rows, []string{name, value})
		}
	}
	add("commit", c.SHA)
	add("ref", c.Ref)
	add("channel", string(v.Channel))
	add("file version", v.File)
	out.Sections = append(out.Sections, about)
	steps, tests, err := b.stepSections(ctx)
	if err != nil {
		return out, err
	}
	out.Sections = append(out.Sections, steps)
	if len(tests.Rows) > 0 {
		out.Sections = append(out.Sections, tests)
	}
	return out, b.leftBehind(ctx, &out)
}

// stepSections are a table of the steps, and one of their tests.
func (b *build) stepSections(ctx context.Context) (steps, tests tasks.ReportSection, err error) {
	steps = tasks.ReportSection{Title: "Steps", Columns: []string{"step", "result", "agent", "took", "files changed"}}
	tests = tasks.ReportSection{Title: "Tests", Columns: []string{"step", "tests", "failed", "skipped", "first failures"}}
	for i := range b.pipeline.Steps {
		name := b.pipeline.Steps[i].Name
		r, err := b.result(ctx, name)
		if err != nil {
			return steps, tests, err
		}
		word := "passed"
		if r == nil {
			var f failure
			if found, err := getJSON(ctx, b.files, b.failureKey(name), &f); err != nil || !found {
				steps.Rows = append(steps.Rows, []string{name, "not yet", "", "", ""})
				continue
			}
			r, word = &f.Result, "failed: "+f.Error
		} else if r.Reused != "" {
			word = "that of " + r.Reused
		}
		steps.Rows = append(steps.Rows, []string{name, word, r.Agent, r.Ended.Sub(r.Began).Round(time.Millisecond).String(), fmt.Sprint(r.Stats.NewFiles)})
		if t := r.Tests; t != nil {
			tests.Rows = append(tests.Rows, []string{name, fmt.Sprint(t.Tests), fmt.Sprint(t.Failed + t.Errors), fmt.Sprint(t.Skipped), strings.Join(firstFailures(t, 5), "; ")})
		}
	}
	return steps, tests, nil
}

// firstFailures are some of the tests that failed, in a few words.
func firstFailures(r *junit.Report, most int) (list []string) {
	for _, suite := range r.Suites {
		for _, c := range suite.Cases {
			if c.Outcome != junit.Failed && c.Outcome != junit.Errored {
				continue
			}
			if len(list) == most {
				return append(list, "…")
			}
			text := strings.TrimPrefix(c.Class+"."+c.Name, ".")
			if first, _, _ := strings.Cut(c.Message, "\n"); first != "" {
				text += ": " + first
			}
			list = append(list, text)
		}
	}
	return list
}

// leftBehind adds packages, where they went, and the tag.
func (b *build) leftBehind(ctx context.Context, out *tasks.FamilyReport) error {
	made, err := b.packages(ctx)
	if err != nil || made == nil {
		return err
	}
	files := tasks.ReportSection{Title: "Packages", Columns: []string{"file", "bytes", "digest"}}
	for _, f := range made.Files {
		files.Rows = append(files.Rows, []string{f.Name, fmt.Sprint(f.Size), string(f.Digest)})
	}
	out.Sections = append(out.Sections, files)
	var sent []published
	if found, err := getJSON(ctx, b.files, b.key("published.json"), &sent); err != nil {
		return err
	} else if found {
		to := tasks.ReportSection{Title: "Published", Columns: []string{"file", "target", "where"}}
		for _, p := range sent {
			to.Rows = append(to.Rows, []string{p.Package, p.Target, p.At})
		}
		out.Sections = append(out.Sections, to)
	}
	var t tagged
	found, err := getJSON(ctx, b.files, b.key("tagged.json"), &t)
	if err == nil && found {
		out.Sections = append(out.Sections, tasks.ReportSection{Title: "Tag", Text: t.Name + " on " + t.Commit})
	}
	return err
}

// About reads what was built out of the first section of a report: the product, its version and its channel.
func About(sections []tasks.ReportSection) (product, version, channel string) {
	if len(sections) == 0 {
		return "", "", ""
	}
	product, version, _ = strings.Cut(sections[0].Title, " ")
	for _, row := range sections[0].Rows {
		if len(row) == 2 && row[0] == "channel" {
			channel = row[1]
		}
	}
	return product, version, channel
}
