package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"time"

	"github.com/spf13/cobra"

	"github.com/stint-run/stint/client/wire"
	"github.com/stint-run/stint/internal/store"
	"github.com/stint-run/stint/tasks"
	"github.com/stint-run/stint/tasks/dedupe"
	"github.com/stint-run/stint/tasks/dedupe/record"
)

func (c *command) dedupeApply() *cobra.Command {
	d := &deduping{}
	var recency float64
	cmd := &cobra.Command{
		Use:   "apply ANALYSIS -d DELETIONS --limit-deletions N",
		Short: "Delete at most N of the data sets that an analysis says may go",
		Long: `Carries out an analysis: a file that stint dedupe analyze has written, or the job that made it. One that has been changed by a byte, is
older than a day (dedupe.apply.max_age), or says that nothing may be carried out is refused. Each data set is checked again just
before it goes, and archived as it goes.

A longer --recency-days than that of the analysis protects more; a shorter one is refused. Interrupt it, kill it: the same command goes
on with the same job. A deletion that somebody has paused it leaves alone.`,
		Example: "  stint dedupe apply analysis.jsonl -d deletions.jsonl --limit-deletions 10\n  stint dedupe apply ded-7k2m -d deletions.jsonl --limit-deletions 10 --server https://stint.internal:7800",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			var more *float64
			if cmd.Flags().Changed("recency-days") {
				more = &recency
			}
			return c.runApply(cmd, d, args[0], more)
		},
	}
	connectionFlag(cmd)
	cmd.Flags().StringVarP(&d.deletions, "deletions", "d", "", "write what was deleted into this `FILE` (default: it is kept with the job)")
	limitFlag(cmd)
	cmd.Flags().Float64Var(&recency, "recency-days", 0, "how many days a data set stays after its last sync; not fewer than those of the analysis (default: the same)")
	d.workFlags(cmd)
	return cmd
}

// aJob is what the id of a job that analyses or deletes looks like.
var aJob = regexp.MustCompile(`^de[dl]-[a-z0-9-]+$`)

// isJob tells the id of a job from the name of a file.
func isJob(arg string) bool {
	_, err := os.Stat(arg)
	return err != nil && aJob.MatchString(arg)
}

// defaultMaxAge is how old an analysis may be that is carried out, where nobody has said; the engine goes by the same.
const defaultMaxAge = 24 * time.Hour

// fresh says what is wrong when an analysis is too old to be carried out.
func (c *command) fresh(a *analysisAnswer) error {
	age := c.config.Dedupe.Apply.MaxAge
	if age <= 0 {
		age = defaultMaxAge
	}
	return a.header.Fresh(c.Now(), age)
}

func (c *command) runApply(cmd *cobra.Command, d *deduping, arg string, recency *float64) (err error) {
	if err := c.load(cmd); err != nil {
		return err
	}
	limit, err := c.limit()
	if err != nil {
		return err
	}
	if err := writable(d.deletions); err != nil {
		return err
	}
	var a *analysisAnswer
	byJob := isJob(arg)
	if !byJob {
		if a, err = readAnalysisFile(arg); err != nil {
			return err
		}
	}
	named := ""
	if cmd.Flags().Changed("connection") { // the analysis knows its store
		at, err := c.dedupeStore(cmd.Context())
		if err != nil {
			return err
		}
		named = at.name
	}
	s, err := c.join(cmd)
	if err != nil {
		return err
	}
	defer c.leave(s, &err)
	ctx := cmd.Context()
	if byJob {
		if a, err = c.getAnalysis(ctx, s, arg, "", -1); err != nil {
			return err
		}
	}
	if a.Stopped != "" {
		return tasks.WithHint(nil, "look at the analysis; exempt customers or raise the bound, and analyse again", "nothing is deleted: %s", a.Stopped)
	}
	if err := c.fresh(a); err != nil {
		return usage(err)
	}
	if s.app != nil {
		if err := engine(ctx, s.app); err != nil {
			return err
		}
	}
	apply := c.applyOf(limit)
	apply.RecencyDays, apply.Digest = recency, a.Digest
	hash, err := askedFor("apply", a.Job, apply)
	if err != nil {
		return err
	}
	apply.Window = max(d.window, 1) // a data set at a time, where nothing is said
	apply.Labels = map[string]string{labelAsked: hash}
	done, err := c.carryOut(ctx, s, d.deletions, func(ctx context.Context) (*asked, error) {
		last, err := latestOf(ctx, s, dedupe.KindDeletion, hash)
		if err != nil {
			return nil, err
		}
		if last != nil && !last.State.Ended() {
			c.say("job %s goes on", last.ID)
			return &asked{id: last.ID}, nil
		}
		key := "dedupe-" + hash
		if last != nil {
			key = keyAfter(hash, last)
		}
		return c.appliedTo(ctx, s, a, named, d.tenant, key, apply)
	})
	if done == nil {
		return err
	}
	return errors.Join(c.print(done, done.write), err)
}

// appliedTo lets an analysis be carried out, in the store that was named if one was. An analysis whose job is forgotten is still among the
// artifacts: then the store has to be named.
func (c *command) appliedTo(ctx context.Context, s *session, a *analysisAnswer, named, tenant, key string, apply wire.Apply) (*asked, error) {
	v, err := s.Job(ctx, a.Job)
	switch {
	case isNotFound(err) && named != "":
		spec, err := json.Marshal(dedupe.DeletionSpec{Job: a.Job, Store: named, Digest: a.Digest, Apply: dedupe.ApplySpec{Limit: apply.Limit, RecencyDays: apply.RecencyDays, Batch: apply.Batch,
			Busy: apply.Busy, MaxLag: apply.MaxLag, MaxProbe: apply.MaxProbe, MaxWaiting: apply.MaxWaiting, MaxAge: apply.MaxAge}})
		if err != nil {
			return nil, fmt.Errorf("encode spec: %w", err)
		}
		return c.submitted(ctx, s, key, wire.Submission{Kind: dedupe.KindDeletion, Tenant: tenant, Spec: spec, Labels: apply.Labels, Window: apply.Window})
	case isNotFound(err):
		return nil, fmt.Errorf("%w%w", tasks.WithHint(nil, "is this the data folder, or the server, on which it was made? If the job was forgotten, add -c STORE", "there is no job %s, which made the analysis", a.Job), silent{store.ErrNotFound})
	case err != nil:
		return nil, err
	}
	var spec dedupe.Spec
	if err := json.Unmarshal(v.Spec, &spec); err != nil {
		return nil, fmt.Errorf("read the spec of job %s: %w", v.ID, err)
	}
	if named != "" && named != spec.Store {
		return nil, usage(tasks.WithHint(nil, "leave --connection away, or analyse the other store", "the analysis is of the store %s, and not of %s", spec.Store, named))
	}
	return c.applied(ctx, s, a.Job, key, apply)
}

// applied lets the analysis of a job be carried out.
func (c *command) applied(ctx context.Context, s *session, analysis, key string, apply wire.Apply) (*asked, error) {
	done, err := s.Apply(ctx, analysis, key, apply)
	if err != nil {
		return nil, err
	}
	c.say("job %s deletes at most %s", done.ID, plural(apply.Limit, "data set"))
	return &asked{id: done.ID}, nil
}

// submitted submits a job under a key, which stands for it when Redis loses it.
func (c *command) submitted(ctx context.Context, s *session, key string, sub wire.Submission) (*asked, error) {
	done, err := s.Submit(ctx, key, sub)
	if err != nil {
		return nil, err
	}
	c.say("job %s", done.ID)
	return &asked{id: done.ID, again: &sub, key: key}, nil
}

// carryOut waits for a deletion and keeps what it has done. The answer is nil when nothing is known of it.
func (c *command) carryOut(ctx context.Context, s *session, file string, begin func(ctx context.Context) (*asked, error)) (*deletionAnswer, error) {
	job, err := begin(ctx)
	if err != nil {
		return nil, err
	}
	v, err := c.await(ctx, s, job)
	if err != nil {
		return nil, err
	}
	why := failed(v)
	if why != nil { // what was deleted until then is told where it is known
		if has, err := hasOutput(ctx, s, v.ID, dedupe.OutputDeletions); err != nil || !has {
			return nil, errors.Join(why, err)
		}
	}
	d, err := c.getDeletions(ctx, s, v.ID, file)
	if err != nil {
		return nil, errors.Join(why, err)
	}
	if c.output != "json" {
		fmt.Fprintln(c.Stdout)
	}
	if err := c.summary(ctx, s, v.ID, dedupe.OutputDeleted); err != nil {
		return nil, errors.Join(why, err)
	}
	if why == nil {
		why = d.wrong()
	}
	return d, why
}

func (d *deletionAnswer) write(w io.Writer) {
	if d.File == "" {
		fmt.Fprintf(w, "\nwhat was deleted: stint jobs outputs %s --save deletions.jsonl\n", d.Job)
	} else {
		fmt.Fprintf(w, "\nwhat was deleted is in %s (job %s)\n", d.File, d.Job)
	}
	if d.Outcomes[record.Deleted].Sets > 0 {
		what := d.File
		if what == "" {
			what = d.Job
		}
		fmt.Fprintf(w, "to put it back: stint dedupe undo %s\n", what)
	}
}
