package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/stint-run/stint/client/wire"
	"github.com/stint-run/stint/cmd/internal/app"
	"github.com/stint-run/stint/internal/sqldb"
	"github.com/stint-run/stint/tasks"
	"github.com/stint-run/stint/tasks/migration"
	"github.com/stint-run/stint/tasks/migration/plan"
)

// read reads a plan; what it says of source and target holds unless the flags say otherwise.
func (m *move) read(file string) error {
	content, err := os.ReadFile(file)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return usage(tasks.WithHint(nil, "stint plan --from SOURCE --to TARGET writes one", "there is no plan %s", file))
	case err != nil:
		return usage(err)
	}
	if m.plan, m.places, err = plan.Parse(file, content); err != nil {
		return usage(err)
	}
	if len(m.tables) > 0 {
		return usage(tasks.WithHint(nil, "the plan's stages say what is moved", "a plan and --tables cannot both be given"))
	}
	if m.from == "" {
		m.from, m.planned.from = m.plan.Source, m.plan.Source != ""
	}
	if m.to == "" {
		m.to, m.planned.to = m.plan.Target, m.plan.Target != ""
	}
	if m.to == "" && m.plan.FilesOnly() {
		m.to = plan.Artifacts
	}
	return nil
}

// wrong says what is wrong with an entry of the plan, with its place in the file.
func (m *move) wrong(path, message, hint string) error {
	return usage(m.places.Locate(plan.Problems{{Path: path, Message: message, Hint: hint}}))
}

// entry resolves a database that an entry of the plan names. What is wrong with it is said of that entry.
func (c *command) entry(m *move, path, text string) (database, error) {
	d, err := c.database("", text)
	var typed *usageError
	if errors.As(err, &typed) {
		return d, m.wrong(path, err.Error(), tasks.HintOf(err))
	}
	return d, err
}

// stateOf names the Redis of ids, and the database of stint's own tables, where the target is none. In a process of its own that is a file in the data
// folder, unless the plan names another.
func (c *command) stateOf(m *move, to database, s *migration.Spec) error {
	if m.plan == nil {
		return nil
	}
	if m.plan.IDs != nil {
		ids, err := c.entry(m, "ids", m.plan.IDs.Connection)
		if err != nil {
			return err
		}
		if s.IDs = ids.name; !c.remote() && ids.at.Dialect != sqldb.Redis {
			return m.wrong("ids", ids.at.Redacted()+" is no Redis", "name a connection whose url begins with redis:// or rediss://, or leave ids: away")
		}
	}
	if m.plan.State != "" {
		state, err := c.entry(m, "state", m.plan.State)
		s.State = state.name
		return err
	}
	if c.remote() || to.at.IsDatabase() {
		return nil
	}
	dir := filepath.Join(c.config.Data, "state")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return tasks.WithHint(err, "choose another folder with --data", "the data folder cannot be written")
	}
	url := "sqlite:" + filepath.Join(dir, to.at.ID()+".db")
	at, err := sqldb.ParseURL(url)
	if err != nil {
		return err
	}
	s.State, err = app.KeepConnection(c.config.Data, url, at)
	return err
}

// tryPlan maps the first rows of each stage. Problems are located in the plan's file.
func (m *move) tryPlan(ctx context.Context, s *session, sub wire.Submission) (*migration.DryRun, error) {
	sub.Continue = false
	body, err := s.Draft(ctx, sub)
	if err != nil {
		return nil, err
	}
	d := &migration.DryRun{}
	if err := json.Unmarshal(body, d); err != nil {
		return nil, fmt.Errorf("read the dry run: %w", err)
	}
	if len(d.Problems) > 0 {
		return nil, usage(m.places.Locate(d.Problems))
	}
	return d, nil
}

// dryRun shows what a plan would do.
func (c *command) dryRun(cmd *cobra.Command, m *move, sub wire.Submission) (err error) {
	s, err := c.join(cmd)
	if err != nil {
		return err
	}
	defer c.leave(s, &err)
	done := c.busy("trying the first rows of each stage")
	d, err := m.tryPlan(cmd.Context(), s, sub)
	done()
	if err != nil {
		return err
	}
	return c.print(d, func(w io.Writer) { writeDryRun(w, d) })
}

func writeDryRun(w io.Writer, d *migration.DryRun) {
	fmt.Fprintf(w, "from %s\nto   %s\n", d.Source, d.Target)
	for i := range d.Stages {
		s := &d.Stages[i]
		made := ""
		if s.Made {
			made = " (would be made)"
		}
		fmt.Fprintf(w, "\n%s: %s to %s%s, %s rows\n", s.Name, s.From, s.To, made, thousands(s.Rows))
		t := newTable("COLUMN", "EXPRESSION", "GIVES", "BECOMES")
		for _, c := range s.Columns {
			null := ""
			if c.Null {
				null = ", may be NULL"
			}
			t.row(c.Name, shorten(c.Expr, 60), c.From+null, c.To)
		}
		t.write(w)
		fmt.Fprintf(w, "of the first %s: %s would be written", plural(s.Read, "row"), plural(s.Written, "row"))
		for _, part := range []struct {
			n    int
			what string
		}{{s.Skipped, "skipped by the filter"}, {s.Rejected, "set aside"}} {
			if part.n > 0 {
				fmt.Fprintf(w, ", %d %s", part.n, part.what)
			}
		}
		fmt.Fprintln(w)
		for _, p := range s.Sample {
			fmt.Fprintf(w, "  %s  %s\n", p.Key, shorten(printable(string(p.Row)), 160))
		}
		for _, p := range s.Rejects {
			fmt.Fprintf(w, "  set aside: row %s, %s\n", p.Key, printable(reasonOf(p)))
		}
	}
	for _, n := range d.Notes {
		fmt.Fprintf(w, "note: %s\n", printable(n))
	}
	fmt.Fprintln(w, "\nNothing was written.")
}

func reasonOf(p sqldb.Preview) string {
	if p.Column == "" {
		return p.Reason
	}
	return p.Column + ": " + p.Reason
}

// shorten cuts a text to a number of characters.
func shorten(s string, most int) string {
	s = strings.Join(strings.Fields(s), " ")
	if r := []rune(s); len(r) > most {
		return string(r[:most-1]) + "…"
	}
	return s
}
