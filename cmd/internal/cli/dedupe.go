package cli

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/stint-run/stint/client"
	"github.com/stint-run/stint/client/wire"
	"github.com/stint-run/stint/cmd/internal/app"
	"github.com/stint-run/stint/config"
	"github.com/stint-run/stint/internal/datasets"
	"github.com/stint-run/stint/internal/sqldb"
	"github.com/stint-run/stint/internal/store"
	"github.com/stint-run/stint/tasks"
	"github.com/stint-run/stint/tasks/dedupe"
)

// dedupeKeys are the keys of the configuration that flags of stint dedupe set.
var dedupeKeys = map[string]string{
	"connection": "dedupe.store", "entity": "dedupe.layout.entity", "threshold": "dedupe.rules.threshold", "containment": "dedupe.rules.containment",
	"recency-days": "dedupe.rules.recency_days", "max-share": "dedupe.rules.max_share", "max-share-customer": "dedupe.rules.max_share_customer",
	"exempt": "dedupe.rules.exempt", "limit-deletions": "dedupe.apply.limit",
}

// dedupeAnnotation marks the commands whose flags these are.
const dedupeAnnotation = "dedupe"

func (c *command) dedupe() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "dedupe",
		Short: "Find data sets that were uploaded twice, and delete the older copies without fear",
		Long: `Finds the data sets of a sync service that the same customer has uploaded twice, and deletes the older copies.

An analysis says what is a copy of what, what may go, and why; it is written whole before anything is deleted. A deletion carries
one out: it checks each data set again just before it goes, archives what it deletes in the same transaction, and never deletes more
data sets than it is told. What is deleted can be put back. docs/dedupe.md has the rules, and what protects your data.

Where the data sets are, and by which rules they go, stands under dedupe in the configuration. To stop a deletion at any moment:
stint jobs pause JOB, or stint jobs cancel JOB.`,
		Example: "  stint dedupe analyze -c sync -a analysis.jsonl\n" +
			"  stint dedupe run -c sync -a analysis.jsonl -d deletions.jsonl --limit-deletions 10 --recency-days 7\n" +
			"  stint dedupe undo deletions.jsonl\n  stint dedupe list",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	for _, sub := range []*cobra.Command{c.dedupeRun(), c.dedupeAnalyze(), c.dedupeApply(), c.dedupeUndo(), c.dedupeList()} {
		sub.Annotations = map[string]string{dedupeAnnotation: "yes"}
		cmd.AddCommand(sub)
	}
	return cmd
}

// deduping is what the commands of stint dedupe are told, besides what the configuration says.
type deduping struct {
	analysis  string // files
	deletions string
	tenant    string
	window    int
	dryRun    bool
}

// connectionFlag adds the flag that names the store.
func connectionFlag(cmd *cobra.Command) {
	cmd.Flags().StringP("connection", "c", "", "the `STORE` of the sync service: a connection's name, or a URL: sqlite:FILE, postgres://, mysql:// (default: dedupe.store)")
}

// ruleFlags adds the flags that say when a data set may go. Their defaults are those of the configuration.
func ruleFlags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.Float64("recency-days", 0, "how many days a data set stays after its last sync (default: dedupe.rules.recency_days, 7)")
	f.Int("threshold", 0, "how many GUIDs two data sets share that are duplicates (default: dedupe.rules.threshold, 25)")
	f.Float64("containment", 0, "the share of the older one's GUIDs that has to stand in the newer one (default: dedupe.rules.containment, 0.9)")
	f.Float64("max-share-customer", 0, "the share of one customer's data that may go; more stops everything (default: dedupe.rules.max_share_customer, 0.75)")
	f.Float64("max-share", 0, "the share of all data that may go; more stops everything (default: dedupe.rules.max_share, 0.5)")
	f.StringSlice("exempt", nil, "customers of whom nothing goes, separated by commas (default: dedupe.rules.exempt)")
	f.String("entity", "", "whose GUIDs are compared: a `TABLE`, or TABLE/VALUE of its kind (default: dedupe.layout.entity, the one with the most rows)")
}

// workFlags adds those that are about the work, and not about the data.
func (d *deduping) workFlags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&d.tenant, "tenant", "", "whose job it is")
	f.IntVar(&d.window, "window", 0, "steps that are out at once (default: twice the worker's concurrency; of a deletion, 1)")
	f.Int("concurrency", 0, "steps that this process runs at once")
}

func limitFlag(cmd *cobra.Command) {
	cmd.Flags().Int("limit-deletions", 0, "the most data sets that are deleted, `N`; it has to be said, here or as dedupe.apply.limit")
}

// limit returns how many data sets may go, which somebody has to have said.
func (c *command) limit() (int, error) {
	if o, ok := c.origins.Of("dedupe.apply.limit"); !ok || o.Place == (config.Place{}) {
		return 0, usage(tasks.WithHint(nil, "add --limit-deletions N: the most data sets that are deleted; 0 deletes none", "how many data sets may be deleted?"))
	}
	return c.config.Dedupe.Apply.Limit, nil
}

// spec is what a dedupe job is asked for, by configuration and flags.
func (c *command) dedupeSpec(storeName string) dedupe.Spec {
	return app.DedupeSpec(c.config.Dedupe, storeName)
}

// apply is how an analysis is carried out, by configuration and flags.
func (c *command) applyOf(limit int) wire.Apply { return app.DedupeApply(c.config.Dedupe, limit) }

// dedupeStore resolves the store that is meant, and looks whether it is what the layout says, so that what is wrong is said before anything
// starts.
func (c *command) dedupeStore(ctx context.Context) (database, error) {
	at, err := c.database("--connection", c.config.Dedupe.Store)
	if err != nil || c.remote() {
		return at, err
	}
	switch at.at.Dialect {
	case sqldb.Postgres, sqldb.MySQL, sqldb.SQLite:
	default:
		return at, usage(tasks.WithHint(nil, "name a PostgreSQL, MariaDB or SQLite database", "%s cannot be the store of a sync service", at.at))
	}
	db, err := at.open(ctx, true)
	if err != nil {
		return at, err
	}
	defer func() { _ = db.Close() }()
	_, err = datasets.Open(ctx, db, c.dedupeSpec(at.name).Layout)
	return at, typo(err)
}

// writable says what is wrong with files that are to be written in the end, before there is anything to write.
func writable(files ...string) error {
	for _, name := range files {
		if name == "" {
			continue
		}
		info, err := os.Stat(filepath.Dir(name))
		if err == nil && !info.IsDir() {
			err = fmt.Errorf("%s is no folder", filepath.Dir(name))
		}
		if err != nil {
			return notWritable(err, name)
		}
		if info, err := os.Stat(name); err == nil && info.IsDir() {
			return notWritable(fmt.Errorf("it is a folder"), name)
		}
	}
	return nil
}

// csvBeside names the CSV that goes with an analysis.
func csvBeside(analysis string) string {
	return strings.TrimSuffix(analysis, filepath.Ext(analysis)) + ".csv"
}

// labelAsked is on the jobs of the command line: a hash of all that was asked for, by which the same command finds its jobs again.
const labelAsked = "dedupe_asked"

// askedFor hashes what a command is asked for.
func askedFor(what ...any) (string, error) {
	text, err := json.Marshal(what)
	if err != nil {
		return "", fmt.Errorf("encode what is asked for: %w", err)
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:8]), nil
}

// latestOf returns the newest job of a kind that was asked for in the same words, nil when there is none. One that is paused is
// an error: somebody has stopped it, and no command goes on with it behind their back.
func latestOf(ctx context.Context, s *session, kind, hash string) (*wire.Job, error) {
	for cursor := ""; ; {
		page, err := s.Jobs(ctx, client.Filter{Kind: kind, Labels: map[string]string{labelAsked: hash}, Cursor: cursor})
		switch {
		case err != nil:
			return nil, err
		case len(page.Jobs) > 0:
			return page.Jobs[0], pausedByHand(page.Jobs[0])
		case page.Next == "":
			return nil, nil
		}
		cursor = page.Next
	}
}

func pausedByHand(v *wire.Job) error {
	if v.State != tasks.Paused {
		return nil
	}
	return fmt.Errorf("%w%w", tasks.WithHint(nil, "stint jobs resume "+v.ID+" lets it go on, stint jobs cancel "+v.ID+" ends it; then run this again", "job %s of this command was paused", v.ID), silent{store.ErrConflict})
}

// keyAfter is the Idempotency-Key of the job that follows another of the same words. Two commands that follow the same one ask for one job.
func keyAfter(hash string, last *wire.Job) string {
	if last == nil {
		return "dedupe-" + hash + "-" + store.RandomID() // what Redis has lost may have been the first
	}
	return "dedupe-" + hash + "-after-" + last.ID
}
