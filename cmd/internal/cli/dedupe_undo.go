package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"

	"github.com/spf13/cobra"

	"github.com/stint-run/stint/client/wire"
	"github.com/stint-run/stint/internal/datasets"
	"github.com/stint-run/stint/internal/store"
	"github.com/stint-run/stint/tasks"
	"github.com/stint-run/stint/tasks/dedupe"
)

func (c *command) dedupeUndo() *cobra.Command {
	d := &deduping{}
	var sets []string
	cmd := &cobra.Command{
		Use:   "undo DELETIONS",
		Short: "Put back what was deleted, exactly as it was",
		Long: `Restores data sets from the archives of a deletion: a file that stint dedupe run or apply has written, or the job that deleted. Without
--data-set it is all that is gone. A data set that there is again, because its client has uploaded it meanwhile, is left as it is, and the
command ends with 1 and says so. Archives are kept for dedupe.keep_archives.

Run it again whenever you like: what has been put back is not put back twice.`,
		Example: "  stint dedupe undo deletions.jsonl\n  stint dedupe undo deletions.jsonl --data-set 7/1204 --data-set 9/88\n  stint dedupe undo del-9xq4",
		Args:    cobra.ExactArgs(1),
		RunE:    func(cmd *cobra.Command, args []string) error { return c.runUndo(cmd, d, args[0], sets) },
	}
	connectionFlag(cmd)
	cmd.Flags().StringArrayVar(&sets, "data-set", nil, "only this one, `CUSTOMER/DATABASE`; may be repeated")
	d.workFlags(cmd)
	return cmd
}

// undoAnswer is what undo has come to; its JSON is a contract.
type undoAnswer struct {
	Job      string          `json:"job"`      // that put it back
	Deletion string          `json:"deletion"` // the job that deleted
	Restored int64           `json:"rows_restored"`
	Left     []tasks.Finding `json:"left"` // what was not put back, and why
}

func (c *command) runUndo(cmd *cobra.Command, d *deduping, arg string, names []string) (err error) {
	if err := c.load(cmd); err != nil {
		return err
	}
	var done *deletionAnswer
	byJob := isJob(arg)
	if !byJob {
		if done, err = readDeletionsFile(arg); err != nil {
			return err
		}
	}
	named := ""
	if cmd.Flags().Changed("connection") { // the deletion knows its store
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
		if done, err = c.ofJob(ctx, s, arg); err != nil {
			return err
		}
	}
	sets, err := done.chosen(names)
	if err != nil {
		return err
	}
	if len(done.sets) == 0 && !done.Ended.IsZero() {
		return c.print(undoAnswer{Deletion: done.Job, Left: []tasks.Finding{}}, func(w io.Writer) { fmt.Fprintf(w, "job %s has deleted nothing\n", done.Job) })
	}
	if s.app != nil {
		if err := engine(ctx, s.app); err != nil {
			return err
		}
	}
	job, err := c.undone(ctx, s, d, done, named, sets)
	if err != nil {
		return err
	}
	v, err := c.await(ctx, s, job)
	if err != nil {
		return err
	}
	return c.tellUndo(ctx, s, v, done.Job)
}

// ofJob reads what a job has deleted; of one that was stopped before it could write that down nothing but its id is known.
func (c *command) ofJob(ctx context.Context, s *session, id string) (*deletionAnswer, error) {
	has, err := hasOutput(ctx, s, id, dedupe.OutputDeletions)
	if err != nil {
		return nil, err
	}
	if !has {
		return &deletionAnswer{Job: id}, nil
	}
	return c.getDeletions(ctx, s, id, "")
}

// readDeletionsFile reads what a deletion has written.
func readDeletionsFile(name string) (*deletionAnswer, error) {
	file, err := os.Open(name)
	if err != nil {
		return nil, usage(tasks.WithHint(err, "name the file that stint dedupe run or apply has written, or the job that deleted", "the deletions cannot be read"))
	}
	defer func() { _ = file.Close() }()
	d, err := readDeletions(file)
	if err != nil {
		return nil, usage(fmt.Errorf("%s: %w", name, err))
	}
	return d, nil
}

// chosen finds the data sets of some names; of no names it is all that is gone, which the engine knows best.
func (d *deletionAnswer) chosen(names []string) ([]wire.DataSet, error) {
	var sets []wire.DataSet
	for _, name := range names {
		found := false
		for _, x := range d.sets {
			id := datasets.ID{Customer: x.Customer, Database: x.Database}
			if id.String() == name {
				sets, found = append(sets, wire.DataSet(id)), true
			}
		}
		if !found {
			return nil, usage(tasks.WithHint(nil, "write CUSTOMER/DATABASE as in the lines of the file that have an archive", "job %s has deleted no data set %s", d.Job, name))
		}
	}
	return sets, nil
}

// undone asks for a restoration, or finds the one that the same command has asked for before.
func (c *command) undone(ctx context.Context, s *session, d *deduping, done *deletionAnswer, named string, sets []wire.DataSet) (*asked, error) {
	hash, err := askedFor("undo", done.Job, sets)
	if err != nil {
		return nil, err
	}
	last, err := latestOf(ctx, s, dedupe.KindRestoration, hash)
	if err != nil {
		return nil, err
	}
	if last != nil && !last.State.Ended() {
		c.say("job %s goes on", last.ID)
		return &asked{id: last.ID}, nil
	}
	key, labels, window := keyAfter(hash, last), map[string]string{labelAsked: hash}, d.window
	if window <= 0 {
		window = 2 * c.config.Worker.Concurrency
	}
	answer, err := s.Undo(ctx, done.Job, key, wire.Undo{Sets: sets, Labels: labels, Window: window})
	if isNotFound(err) && named != "" { // the job was forgotten; the archives and what the store itself remembers are there
		spec := dedupe.RestorationSpec{Job: done.Job, Store: named}
		for _, id := range sets {
			spec.Sets = append(spec.Sets, datasets.ID(id))
		}
		text, err := json.Marshal(spec)
		if err != nil {
			return nil, fmt.Errorf("encode spec: %w", err)
		}
		return c.submitted(ctx, s, key, wire.Submission{Kind: dedupe.KindRestoration, Tenant: d.tenant, Spec: text, Labels: labels, Window: window})
	}
	if isNotFound(err) {
		return nil, fmt.Errorf("%w%w", tasks.WithHint(nil, "is this the data folder, or the server, on which it ran? If the job was forgotten, add -c STORE", "there is no job %s that deletes", done.Job), silent{store.ErrNotFound})
	}
	if err != nil {
		return nil, err
	}
	c.say("job %s", answer.ID)
	return &asked{id: answer.ID}, nil
}

// tellUndo answers. What could not be put back makes the command end with 1.
func (c *command) tellUndo(ctx context.Context, s *session, v *wire.Job, deletion string) error {
	report, err := s.Report(ctx, v.ID)
	if err != nil {
		return err
	}
	left := slices.DeleteFunc(report.Findings, func(f tasks.Finding) bool { return f.Level != tasks.LevelDifference })
	answer := undoAnswer{Job: v.ID, Deletion: deletion, Restored: v.Counters.Written, Left: append([]tasks.Finding{}, left...)}
	err = c.print(answer, func(w io.Writer) {
		fmt.Fprintf(w, "%s put back (job %s)\n", plural64(answer.Restored, "row"), v.ID)
		for _, f := range left {
			fmt.Fprintf(w, "left as it is: %s\n", printable(findingText(f)))
		}
	})
	if err == nil {
		err = failed(v)
	}
	if err == nil && v.Findings > 0 && len(left) > 0 {
		err = errReported
	}
	return err
}

// plural64 writes 1 row, 2,491,409 rows.
func plural64(n int64, word string) string {
	if n == 1 {
		return "1 " + word
	}
	return thousands(n) + " " + word + "s"
}
