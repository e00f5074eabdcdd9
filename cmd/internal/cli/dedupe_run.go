package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/stint-run/stint/client/wire"
	"github.com/stint-run/stint/tasks"
	"github.com/stint-run/stint/tasks/dedupe"
)

func (c *command) dedupeAnalyze() *cobra.Command {
	d := &deduping{dryRun: true}
	cmd := &cobra.Command{
		Use:   "analyze -c STORE -a ANALYSIS",
		Short: "Say which data sets are copies of others, what may go, and why; delete nothing",
		Long: `Reads the store and writes an analysis: a line for each data set with what may become of it and why, and for each pair that shares rows;
a CSV beside it; and a summary, which is shown. It changes nothing. Apply it with stint dedupe apply.

Interrupt it, kill it: the same command goes on. Run again after its end it makes a new analysis.`,
		Example: "  stint dedupe analyze -c sync -a analysis.jsonl\n  stint dedupe analyze -c postgres://me@localhost/sync -a analysis.jsonl --exempt 7,12",
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return c.runDedupe(cmd, d, "analyze") },
	}
	connectionFlag(cmd)
	cmd.Flags().StringVarP(&d.analysis, "analysis", "a", "", "write the analysis into this `FILE`, and the CSV beside it (default: it is kept with the job)")
	ruleFlags(cmd)
	d.workFlags(cmd)
	return cmd
}

func (c *command) dedupeRun() *cobra.Command {
	d := &deduping{}
	cmd := &cobra.Command{
		Use:   "run -c STORE -a ANALYSIS -d DELETIONS --limit-deletions N",
		Short: "Analyse, then delete at most N data sets that are copies of others",
		Long: `Makes an analysis, writes it whole, and then lets at most N data sets go that it says may go. Each is checked again just before it
goes, and archived as it goes: stint dedupe undo puts it back. DELETIONS says what became of each. Where more would go than the rules
allow of a customer's data, or of all, nothing goes at all, and the command ends with 1.

With --dry-run it only says what would go. Interrupt it, kill it: the same command goes on with the same jobs. Run again after its
end it begins anew. A deletion that somebody has paused it leaves alone.`,
		Example: "  stint dedupe run -c sync -a analysis.jsonl -d deletions.jsonl --limit-deletions 10 --recency-days 7 --dry-run\n" +
			"  stint dedupe run -c sync -a analysis.jsonl -d deletions.jsonl --limit-deletions 10 --recency-days 7",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return c.runDedupe(cmd, d, "run") },
	}
	connectionFlag(cmd)
	cmd.Flags().StringVarP(&d.analysis, "analysis", "a", "", "write the analysis into this `FILE`, and the CSV beside it (default: it is kept with the job)")
	cmd.Flags().StringVarP(&d.deletions, "deletions", "d", "", "write what was deleted into this `FILE` (default: it is kept with the job)")
	limitFlag(cmd)
	cmd.Flags().BoolVar(&d.dryRun, "dry-run", false, "say what would go, and delete nothing")
	ruleFlags(cmd)
	d.workFlags(cmd)
	return cmd
}

// dedupeAnswer is what run and analyze have come to; its JSON is a contract.
type dedupeAnswer struct {
	Analysis *analysisAnswer `json:"analysis"`
	WouldGo  []wouldGo       `json:"would_go,omitempty"`
	Deletion *deletionAnswer `json:"deletion,omitempty"`
}

// oneRun is one run of stint dedupe run or analyze.
type oneRun struct {
	*deduping
	c     *command
	s     *session
	spec  json.RawMessage
	apply wire.Apply
	limit int    // -1 where nothing is said of deleting
	hash  string // of all that was asked for
}

func (c *command) runDedupe(cmd *cobra.Command, d *deduping, verb string) (err error) {
	if err := c.load(cmd); err != nil {
		return err
	}
	r := &oneRun{deduping: d, c: c, limit: -1}
	if verb == "run" {
		if r.limit, err = c.limit(); err != nil {
			return err
		}
	}
	if err := d.files(); err != nil {
		return err
	}
	at, err := c.dedupeStore(cmd.Context())
	if err != nil {
		return err
	}
	spec := c.dedupeSpec(at.name)
	if keep := c.config.Dedupe.KeepArchives; !d.dryRun && keep > 0 { // whoever may delete may let old archives go
		spec.KeepArchives = keep.String()
	}
	if r.spec, err = json.Marshal(spec); err != nil {
		return fmt.Errorf("encode spec: %w", err)
	}
	if d.window <= 0 {
		d.window = 2 * c.config.Worker.Concurrency
	}
	r.apply = c.applyOf(max(r.limit, 0))
	if r.hash, err = askedFor(verb, d.tenant, spec, r.apply, d.dryRun); err != nil {
		return err
	}
	if r.s, err = c.join(cmd); err != nil {
		return err
	}
	defer c.leave(r.s, &err)
	if r.s.app != nil {
		if err := engine(cmd.Context(), r.s.app); err != nil {
			return err
		}
	}
	return r.carryOut(cmd.Context())
}

// files checks the names of the files that are to be written.
func (d *deduping) files() error {
	if d.analysis != "" && filepath.Ext(d.analysis) == ".csv" {
		return usage(tasks.WithHint(nil, "name the JSON lines, such as -a analysis.jsonl: the CSV is written beside them", "-a %s is where the CSV goes", d.analysis))
	}
	if d.deletions != "" && (filepath.Clean(d.deletions) == filepath.Clean(d.analysis) || d.analysis != "" && filepath.Clean(d.deletions) == filepath.Clean(csvBeside(d.analysis))) {
		return usage(tasks.WithHint(nil, "name two files", "-a and -d lead to the same file: %s", d.deletions))
	}
	return writable(d.analysis, d.deletions)
}

// carryOut has the analysis made, keeps it whole, and only then lets a deletion begin.
func (r *oneRun) carryOut(ctx context.Context) error {
	a, deletion, err := r.goOn(ctx)
	if err != nil {
		return err
	}
	if a == nil {
		if a, err = r.analyse(ctx); err != nil {
			return err
		}
	}
	out := dedupeAnswer{Analysis: a}
	switch {
	case a.Stopped != "":
		return r.end(out, tasks.WithHint(nil, "the analysis names them: look at it, then exempt customers or raise the bound", "nothing is deleted: %s", a.Stopped))
	case r.limit < 0:
		return r.end(out, nil)
	case r.dryRun:
		out.WouldGo = wouldGoOf(a.orders)
		return r.end(out, nil)
	}
	out.Deletion, err = r.c.carryOut(ctx, r.s, r.deletions, func(ctx context.Context) (*asked, error) {
		if deletion != nil {
			return &asked{id: deletion.ID}, nil
		}
		apply := r.apply
		apply.Digest, apply.Window, apply.Labels = a.Digest, r.window, map[string]string{labelAsked: r.hash}
		return r.c.applied(ctx, r.s, a.Job, "dedupe-of-"+a.Job, apply)
	})
	if err != nil && out.Deletion == nil {
		return err
	}
	return r.end(out, err)
}

// end answers; why is what the command ends with.
func (r *oneRun) end(out dedupeAnswer, why error) error {
	err := r.c.print(out, func(w io.Writer) {
		if a := out.Analysis; a.File == "" {
			fmt.Fprintf(w, "\nthe analysis: stint jobs outputs %s --save analysis.jsonl\n", a.Job)
		} else {
			fmt.Fprintf(w, "\nthe analysis is in %s and %s (job %s)\n", a.File, a.CSV, a.Job)
		}
		if r.dryRun && r.limit >= 0 && out.Analysis.Stopped == "" {
			writeWouldGo(w, out.WouldGo, out.Analysis.MayGo.Sets)
		}
		if out.Deletion != nil {
			out.Deletion.write(w)
		}
	})
	if err != nil {
		return err
	}
	return why
}

func writeWouldGo(w io.Writer, list []wouldGo, may int64) {
	fmt.Fprintf(w, "\n%s would go now, of %s that may\n", plural(len(list), "data set"), thousands(may))
	t := newTable("CUSTOMER", "DATA SET", "WITNESS", "ROWS", "NOWHERE ELSE")
	for _, g := range list {
		t.row(g.Customer, g.Database, g.Witness, thousands(g.Rows), thousands(g.OnlyHere))
	}
	if len(list) > 0 {
		t.write(w)
	}
}

// goOn finds what the same command has left undone: an analysis whose deletion never began, or has not ended. A run whose deletion has
// ended, or of which nothing may be carried out, is over.
func (r *oneRun) goOn(ctx context.Context) (*analysisAnswer, *wire.Job, error) {
	if r.dryRun {
		return nil, nil, nil
	}
	last, err := latestOf(ctx, r.s, dedupe.Kind, r.hash)
	if err != nil || last == nil || last.State != tasks.Succeeded || last.Counters.StepsFailed > 0 {
		return nil, nil, err
	}
	deletion, err := latestOf(ctx, r.s, dedupe.KindDeletion, r.hash)
	if err != nil {
		return nil, nil, err
	}
	if deletion != nil && tasks.AboutJob(deletion.Spec) == "" { // lists have no specs
		if deletion, err = r.s.Job(ctx, deletion.ID); err != nil {
			return nil, nil, err
		}
	}
	of := deletion != nil && tasks.AboutJob(deletion.Spec) == last.ID
	if of && deletion.State.Ended() {
		return nil, nil, nil
	}
	a, err := r.c.getAnalysis(ctx, r.s, last.ID, r.analysis, -1)
	if err != nil {
		return nil, nil, err
	}
	if of {
		r.c.say("job %s made the analysis; job %s goes on deleting", last.ID, deletion.ID)
		return a, deletion, nil
	}
	if a.Stopped != "" || r.c.fresh(a) != nil {
		return nil, nil, nil
	}
	r.c.say("job %s made the analysis; nothing of it has been deleted yet", last.ID)
	return a, nil, nil
}

// analyse has an analysis made, or goes on with the one that is being made, and keeps it.
func (r *oneRun) analyse(ctx context.Context) (*analysisAnswer, error) {
	last, err := latestOf(ctx, r.s, dedupe.Kind, r.hash)
	if err != nil {
		return nil, err
	}
	job := &asked{}
	if last != nil && !last.State.Ended() {
		r.c.say("job %s goes on", last.ID)
		job.id = last.ID
	} else {
		sub := wire.Submission{Kind: dedupe.Kind, Tenant: r.tenant, Spec: r.spec, Window: r.window, Labels: map[string]string{labelAsked: r.hash}}
		key := keyAfter(r.hash, last)
		done, err := r.s.Submit(ctx, key, sub)
		if err != nil {
			return nil, err
		}
		r.c.say("job %s", done.ID)
		job = &asked{id: done.ID, again: &sub, key: key}
	}
	v, err := r.c.await(ctx, r.s, job)
	if err != nil {
		return nil, err
	}
	if err := failed(v); err != nil {
		return nil, err
	}
	limit := -1
	if r.dryRun {
		limit = r.limit
	}
	a, err := r.c.getAnalysis(ctx, r.s, v.ID, r.analysis, limit)
	if err != nil {
		return nil, err
	}
	return a, r.c.summary(ctx, r.s, v.ID, dedupe.OutputSummary)
}
