package cli

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/stint-run/stint/internal/docsearch"
	"github.com/stint-run/stint/tasks"
	"github.com/stint-run/stint/tasks/alert/condition"
	"github.com/stint-run/stint/tasks/alert/replay"
)

// replayed is what became of behaviour tables; its JSON is a contract.
type replayed struct {
	Equal      int             `json:"equal"`
	Differ     int             `json:"differ"`
	Documented int             `json:"documented"` // of those that differ
	Tables     []replayedTable `json:"tables"`
}

type replayedTable struct {
	replay.Result
	File string `json:"file"`
	// Documented is why it differs, where that is on purpose.
	Documented string `json:"documented,omitempty"`
}

func (c *command) alertReplay() *cobra.Command {
	return &cobra.Command{
		Use:   "replay TABLE|DIR...",
		Short: "Run behaviour tables of ElastAlert through the evaluation of production, and compare",
		Long: `Runs behaviour tables: a rule, events, and what the original made of them, each in a JSON file. The rule is evaluated as in production, and
what it remembers is written down and read again before each step. Prints, per table, that it is equal, or each difference with its
place. Of a folder, all *.json are tables.

Some tables differ on purpose, as docs/alerts-differences.md says. Ends with 1 when another one does.`,
		Example: "  stint alert replay tables\n  stint alert replay tables/frequency__basic.json --output json",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usage(tasks.WithHint(nil, "stint alert replay TABLE.json, or a folder of them", "give a table"))
			}
			return nil
		},
		RunE: func(_ *cobra.Command, args []string) error {
			files, err := tableFiles(args)
			if err != nil {
				return err
			}
			x := replayed{Tables: []replayedTable{}}
			for _, file := range files {
				t, err := readTable(file)
				if err != nil {
					return err
				}
				x.add(file, replay.Run(t, replay.Options{Rule: replay.Rule, Condition: condition.Options{Matches: docsearch.Match}, Restart: true}))
			}
			if err := c.print(x, func(w io.Writer) { writeReplayed(w, &x) }); err != nil || x.Differ == x.Documented {
				return err
			}
			return errReported
		},
	}
}

// tableFiles are those that are named, and those of the folders that are.
func tableFiles(args []string) ([]string, error) {
	var files []string
	for _, path := range args {
		info, err := os.Stat(path)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return nil, usage(tasks.WithHint(nil, "give the right path", "there is no %s", path))
		case err != nil:
			return nil, usage(err)
		case !info.IsDir():
			files = append(files, path)
			continue
		}
		items, err := os.ReadDir(path)
		if err != nil {
			return nil, usage(tasks.WithHint(err, "may this user read it?", "%s cannot be read", path))
		}
		before := len(files)
		for _, item := range items {
			if filepath.Ext(item.Name()) == ".json" && !item.IsDir() {
				files = append(files, filepath.Join(path, item.Name()))
			}
		}
		if len(files) == before {
			return nil, usage(tasks.WithHint(nil, "name a folder that has some", "there is no table (*.json) in %s", path))
		}
	}
	return files, nil
}

func readTable(file string) (*replay.Table, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, usage(tasks.WithHint(err, "may this user read it?", "the table cannot be read"))
	}
	t, err := replay.Parse(b)
	if err != nil {
		return nil, usage(fmt.Errorf("%s: %w", file, err))
	}
	return t, nil
}

func (x *replayed) add(file string, r replay.Result) {
	t := replayedTable{Result: r, File: file}
	if r.Equal {
		x.Equal++
	} else {
		x.Differ++
		if t.Documented = replay.Documented[r.Name]; t.Documented != "" {
			x.Documented++
		}
	}
	x.Tables = append(x.Tables, t)
}

func writeReplayed(w io.Writer, x *replayed) {
	for _, t := range x.Tables {
		switch {
		case t.Equal:
			fmt.Fprintf(w, "%s: equal\n", printable(t.Name))
		case t.Documented != "":
			fmt.Fprintf(w, "%s: differs, as documented: %s\n", printable(t.Name), t.Documented)
		default:
			fmt.Fprintf(w, "%s: DIFFERS\n", printable(t.Name))
		}
		for _, d := range t.Differences {
			fmt.Fprintf(w, "    %s\n", printable(d))
		}
		for _, n := range t.Notes {
			fmt.Fprintf(w, "    note: %s\n", printable(n))
		}
	}
	fmt.Fprintf(w, "%d equal, %d differ, of which %d as documented in docs/alerts-differences.md\n", x.Equal, x.Differ, x.Documented)
}
