package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/stint-run/stint/client/wire"
	"github.com/stint-run/stint/docs"
	"github.com/stint-run/stint/tasks/migration"
	"github.com/stint-run/stint/tasks/migration/plan"
)

func (c *command) plan() *cobra.Command {
	m := &move{}
	schema := false
	cmd := &cobra.Command{
		Use:   "plan --from SOURCE --to TARGET",
		Short: "Write the plan that migrate would follow, as YAML to edit",
		Long: `Reads the source's schema and prints the plan that migrate would follow: tables in the order of their foreign keys, what
walks each of them, the type of each column in the target, and what is left out. Reads the target's schema too, when it is
there, and says where a table differs. Writes nothing. A connection that --from or --to names is named in the plan as well; a
URL stands there without its password, with which it has to be named in the configuration.

Edit it (docs/plans.md has every entry, docs/expressions.md the language of its columns), try it with
stint migrate PLAN --dry-run, and run it with stint migrate PLAN. With --schema it prints the JSON Schema of plans
instead, by which editors complete and check them.`,
		Example: "  stint plan --from sqlite:legacy.db --to postgres://me@localhost/new > plan.yaml\n" +
			"  stint plan --schema > plan.schema.json",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if schema {
				_, err := c.Stdout.Write(docs.PlanSchema)
				return err
			}
			if err := c.load(cmd); err != nil {
				return err
			}
			from, to, err := c.both(m)
			if err != nil {
				return err
			}
			sub, err := c.submission(m, from, to)
			if err != nil {
				return err
			}
			return c.withDraft(cmd, sub, from, to, func(w io.Writer, p *migration.Outline) {
				_, _ = w.Write(plan.Render(p.Plan, p.Comments(), p.Notes))
			})
		},
	}
	m.flags(cmd)
	cmd.Flags().BoolVar(&schema, "schema", false, "print the JSON Schema of plans")
	return cmd
}

// withDraft prints what a migration would do.
func (c *command) withDraft(cmd *cobra.Command, sub wire.Submission, from, to database, people func(w io.Writer, p *migration.Outline)) (err error) {
	s, err := c.join(cmd)
	if err != nil {
		return err
	}
	defer c.leave(s, &err)
	sub.Continue = false // nothing is to be gone on with
	done := c.busy("reading the schemas")
	draft, err := s.Estimate(cmd.Context(), sub)
	done()
	if err != nil {
		return err
	}
	var p migration.Outline
	if err := json.Unmarshal(draft.Draft, &p); err != nil {
		return fmt.Errorf("read the plan: %w", err)
	}
	p.Source, p.Target = from.name, to.name // as they were written: the plan has absolute paths, and hosts of the server's network
	if !c.remote() {
		p.Source, p.Target = from.at.Redacted(), to.at.Redacted()
	}
	if p.Plan != nil {
		p.Plan.Source, p.Plan.Target = from.asked(), to.asked()
	}
	estimated := struct {
		*migration.Outline
		Estimate *wire.Estimate `json:"estimate"`
	}{&p, draft.Estimate}
	return c.print(estimated, func(w io.Writer) {
		people(w, &p)
		writeEstimate(w, draft.Estimate)
	})
}

// writeEstimate says how much it is, as a comment: what stands before it may be YAML.
func writeEstimate(w io.Writer, e *wire.Estimate) {
	switch {
	case e == nil:
	case e.Seconds == nil:
		fmt.Fprintf(w, "# %s rows; how long they take is not known before a first one into this target\n", thousands(e.Rows))
	default:
		fmt.Fprintf(w, "# %s rows, in about %s: %s\n", thousands(e.Rows), short(time.Duration(*e.Seconds*float64(time.Second))), e.Note)
	}
}

func writePlan(w io.Writer, p *migration.Outline) {
	fmt.Fprintf(w, "from %s\nto   %s\n\n", p.Source, p.Target)
	t := newTable("TABLE", "ROWS", "COLUMNS", "WALKED BY", "INDEXES", "FOREIGN KEYS")
	for _, s := range p.Stages {
		by := s.From.Walk
		if len(s.From.Key) > 0 {
			by = strings.Join(s.From.Key, ", ")
		}
		t.row(s.Name, thousands(s.Rows), fmt.Sprint(len(s.Map)), by, fmt.Sprint(s.Indexes), fmt.Sprint(s.ForeignKeys))
	}
	t.write(w)
	for _, n := range p.Notes {
		fmt.Fprintf(w, "note: %s\n", printable(n))
	}
	fmt.Fprintln(w, "\nNothing was written.")
}
