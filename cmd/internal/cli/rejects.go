package cli

import (
	"bufio"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/stint-run/stint/client/wire"
	"github.com/stint-run/stint/internal/report"
	"github.com/stint-run/stint/internal/sqldb"
	"github.com/stint-run/stint/internal/store"
	"github.com/stint-run/stint/tasks"
	"github.com/stint-run/stint/tasks/migration"
)

// rejects is what the flags of jobs rejects say.
type rejects struct {
	stage, format, out, plan string
	again                    bool
}

func (c *command) rejectsCommand() *cobra.Command {
	f := &rejects{}
	cmd := c.jobCommand("rejects JOB", "List the rows that a migration has set aside, or send them again", func(cmd *cobra.Command, s *session, id string) error {
		switch {
		case f.again && (f.stage != "" || f.format != "" || f.out != ""):
			return usage(tasks.WithHint(nil, "list rows, or send all of them again", "--send-again does not go with --stage, --format or --out"))
		case f.again:
			return c.sendAgain(cmd, s, id, f.plan)
		case f.plan != "":
			return usage(tasks.WithHint(nil, "add --send-again", "a plan is for rows that are sent again"))
		}
		return c.listRejects(cmd.Context(), s, id, f)
	})
	cmd.Long = `Lists all rows that a migration has set aside: stage, key, column, code and reason. --format json and csv have the row too, as it
was read, or as the target or the API refused it. With --out they go into a file, by whose ending (.json, .csv) the format can
be told.

--send-again tries all of them again, as a job of its own: mend the rows in the source, or the plan, and give it with --plan. What
is loaded is set aside no more; of the others the reason is that of the last try. Run it as often as you like.`
	cmd.Example = "  stint jobs rejects mig-4f0h2n\n  stint jobs rejects mig-4f0h2n --stage invoices --out rejects.csv\n" +
		"  stint jobs rejects mig-4f0h2n --send-again --plan plan.yaml"
	fl := cmd.Flags()
	fl.StringVar(&f.stage, "stage", "", "of this `STAGE` alone; without a plan, of this table")
	fl.StringVar(&f.format, "format", "", "table, json or csv")
	fl.StringVar(&f.out, "out", "", "write them into this `FILE`")
	fl.BoolVar(&f.again, "send-again", false, "try to load them again")
	fl.StringVar(&f.plan, "plan", "", "the mended plan `FILE` by which they are sent again (default: the job's own)")
	return cmd
}

// rejectsAtOnce is how many rows are asked for at once.
const rejectsAtOnce = 1000

// eachReject goes through what a job has set aside; "" is of all stages.
func eachReject(ctx context.Context, s *session, id, stage string, do func(r *sqldb.Quarantined, body json.RawMessage) error) error {
	for cursor := ""; ; {
		page, err := s.Rejects(ctx, id, cursor, rejectsAtOnce)
		if err != nil {
			return err
		}
		for _, body := range page.Rejects {
			var r sqldb.Quarantined
			if err := json.Unmarshal(body, &r); err != nil {
				return fmt.Errorf("read a row that is set aside: %w", err)
			}
			if stage != "" && stageOf(&r) != stage {
				continue
			}
			if err := do(&r, body); err != nil {
				return err
			}
		}
		if cursor = page.Next; cursor == "" {
			return nil
		}
	}
}

// stageOf returns the plan's stage of a row; without a plan, its table.
func stageOf(r *sqldb.Quarantined) string {
	_, name, _ := strings.Cut(r.Stage, ":")
	return name
}

func (c *command) listRejects(ctx context.Context, s *session, id string, f *rejects) (err error) {
	format := f.format
	switch {
	case format == "" && f.out != "":
		format = strings.TrimPrefix(filepath.Ext(f.out), ".")
	case format == "" && c.output == "json":
		format = "json"
	case format == "":
		format = "table"
	}
	write := map[string]func(context.Context, io.Writer, *session, string, string) error{"table": rejectsTable, "json": rejectsJSON, "csv": rejectsCSV}[format]
	if write == nil {
		return usage(tasks.WithHint(nil, "write --format table, json or csv", "in which format?"))
	}
	if f.out == "" {
		return write(ctx, c.Stdout, s, id, f.stage)
	}
	// Beside it first: a file that is there is whole.
	file, err := os.CreateTemp(filepath.Dir(f.out), ".rejects-*")
	if err != nil {
		return usage(tasks.WithHint(err, "name a file in a folder that is there", "the rows cannot be written"))
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(file.Name()))
		}
	}()
	w := bufio.NewWriter(file)
	done := c.busy("fetching the rows")
	err = write(ctx, w, s, id, f.stage)
	done()
	if err := errors.Join(err, w.Flush(), file.Close()); err != nil {
		return err
	}
	if err := os.Rename(file.Name(), f.out); err != nil {
		return usage(tasks.WithHint(err, "name a file in a folder that is there", "the rows cannot be written"))
	}
	c.say("the rows are in %s", f.out)
	return nil
}

func rejectsTable(ctx context.Context, w io.Writer, s *session, id, stage string) error {
	t := newTable("STAGE", "KEY", "COLUMN", "CODE", "REASON")
	err := eachReject(ctx, s, id, stage, func(r *sqldb.Quarantined, _ json.RawMessage) error {
		t.row(stageOf(r), r.Key.String(), r.Column, r.Code, r.Reason)
		return nil
	})
	if err == nil {
		t.write(w)
	}
	return err
}

func rejectsJSON(ctx context.Context, w io.Writer, s *session, id, stage string) error {
	before := "[\n  "
	err := eachReject(ctx, s, id, stage, func(_ *sqldb.Quarantined, body json.RawMessage) error {
		_, err := fmt.Fprintf(w, "%s%s", before, body)
		before = ",\n  "
		return err
	})
	end := "\n]\n"
	if before == "[\n  " {
		end = "[]\n"
	}
	if err == nil {
		_, err = io.WriteString(w, end)
	}
	return err
}

func rejectsCSV(ctx context.Context, w io.Writer, s *session, id, stage string) error {
	out := csv.NewWriter(w)
	if err := out.Write([]string{"stage", "table", "key", "column", "code", "reason", "row"}); err != nil {
		return err
	}
	err := eachReject(ctx, s, id, stage, func(r *sqldb.Quarantined, _ json.RawMessage) error {
		return out.Write(report.Cells(stageOf(r), r.Table, r.Key.String(), r.Column, r.Code, r.Reason, r.Row))
	})
	out.Flush()
	return errors.Join(err, out.Error())
}

// sentAgain is what became of rows that were sent again.
type sentAgain struct {
	ID     string `json:"id"`     // of the job that has tried them; "" when there was nothing to try
	Loaded int64  `json:"loaded"` // those that a plan leaves out by now, or that are gone, included
	Aside  int64  `json:"set_aside"`
}

// sendAgain tries what a job has set aside again, by a job of its own.
func (c *command) sendAgain(cmd *cobra.Command, s *session, id, file string) error {
	ctx := cmd.Context()
	v, err := s.Job(ctx, id)
	if err != nil {
		return err
	}
	var spec migration.Spec
	if err := json.Unmarshal(v.Spec, &spec); err != nil || v.Kind != migration.Kind {
		return usage(tasks.WithHint(nil, "name a migration", "a %s has no rows that could be sent again", v.Kind))
	}
	if !v.State.Ended() {
		return fmt.Errorf("%w%w", tasks.WithHint(nil, "wait for its end, or cancel it: stint jobs cancel "+id, "job %s is %s", id, v.State), silent{store.ErrConflict})
	}
	if spec.Again == "" {
		spec.Again = id
	}
	before, err := countRejects(ctx, s, spec.Again)
	if err != nil {
		return err
	}
	if before == 0 {
		return c.print(sentAgain{}, func(w io.Writer) { fmt.Fprintln(w, "Nothing is set aside.") })
	}
	sub := wire.Submission{Kind: migration.Kind, Tenant: v.Tenant, Window: v.Window, Continue: true}
	if file != "" {
		err = c.mended(ctx, s, &spec, &sub, file)
	} else {
		sub.Spec, err = json.Marshal(spec)
	}
	if err != nil {
		return err
	}
	if s.app != nil {
		if err := engine(ctx, s.app); err != nil {
			return err
		}
	}
	job, err := c.begin(ctx, s, sub)
	if err != nil {
		return err
	}
	v, err = c.watch(ctx, s, &asked{id: job, again: &sub})
	if err != nil {
		return err
	}
	if err := failed(v); err != nil {
		return err
	}
	left, err := countRejects(ctx, s, spec.Again)
	if err != nil {
		return err
	}
	return c.print(sentAgain{job, before - left, left}, func(w io.Writer) {
		fmt.Fprintf(w, "%s loaded, %s still set aside\n", plural(int(before-left), "row"), thousands(left))
		if left > 0 {
			fmt.Fprintf(w, "see them with: stint jobs rejects %s\n", spec.Again)
		}
	})
}

// mended puts another plan into the submission, after it has been tried.
func (c *command) mended(ctx context.Context, s *session, spec *migration.Spec, sub *wire.Submission, file string) error {
	m := &move{}
	err := m.read(file)
	if err != nil {
		return err
	}
	if spec.Plan == nil {
		return usage(tasks.WithHint(nil, "leave --plan away: mend the rows in the source", "job %s was no migration by a plan", spec.Again))
	}
	spec.Plan = m.plan
	if sub.Spec, err = json.Marshal(spec); err != nil {
		return fmt.Errorf("encode spec: %w", err)
	}
	_, err = m.tryPlan(ctx, s, *sub)
	return err
}

func countRejects(ctx context.Context, s *session, id string) (n int64, err error) {
	err = eachReject(ctx, s, id, "", func(*sqldb.Quarantined, json.RawMessage) error { n++; return nil })
	return n, err
}
