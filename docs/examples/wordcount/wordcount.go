// Package wordcount is the smallest family that does something: it counts the words of every text file of a folder. Each
// file is a step, and each result is a file of its own, so that what took effect can be seen in the folder.
//
// docs/adding-a-family.md walks through it. It is an example, and no part of the stint program.
package wordcount

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/stint-run/stint/tasks"
)

// Kind is the word that jobs name this family by.
const Kind = "wordcount"

// The stages of a job.
const (
	stageCount = "count" // a step for each file
	stageTotal = "total" // one step, when all files are counted
)

// Spec says what to count.
type Spec struct {
	In  string `json:"in"`  // the folder with the *.txt files
	Out string `json:"out"` // an existing folder: NAME.txt.count for each file, and total
}

// Family counts words. It keeps nothing between two calls, so one value serves any number of jobs.
type Family struct{}

// Kind returns the family's word.
func (Family) Kind() string { return Kind }

// Plan reads the spec and says which stages there are. It changes nothing.
func (Family) Plan(_ context.Context, job tasks.Job) ([]tasks.Stage, error) {
	if _, err := specOf(job); err != nil {
		return nil, err
	}
	return []tasks.Stage{{Name: stageCount}, {Name: stageTotal, After: []string{stageCount}}}, nil
}

// Split lists the files behind the cursor, which is the name of the last one, in the order of their names.
func (Family) Split(_ context.Context, job tasks.Job, st tasks.Stage, after tasks.Cursor, limit int) ([]tasks.Step, tasks.Cursor, error) {
	spec, err := specOf(job)
	if err != nil {
		return nil, nil, err
	}
	if st.Name == stageTotal {
		return []tasks.Step{{ID: "all"}}, nil, nil
	}
	names, err := filesOf(spec)
	if err != nil {
		return nil, nil, err
	}
	var steps []tasks.Step
	for _, name := range names {
		if name <= string(after) {
			continue
		}
		if len(steps) == limit {
			return steps, tasks.Cursor(steps[limit-1].ID), nil
		}
		steps = append(steps, tasks.Step{ID: name})
	}
	return steps, nil, nil
}

// Run counts one file, or adds all of them up.
func (Family) Run(ctx context.Context, a *tasks.Attempt) error {
	spec, err := specOf(a.Job)
	if err != nil {
		return err
	}
	if a.Stage.Name == stageTotal {
		return total(spec)
	}
	return count(ctx, a, spec)
}

// progress is a checkpoint: how much of the file has been read, and how many words that was.
type progress struct {
	Offset int64 `json:"offset"`
	Words  int64 `json:"words"`
}

// checkpointBytes is how much is counted between two checkpoints.
const checkpointBytes = 64 << 10

// count goes on where the last attempt stopped. Its effect is one rename: it is there as a whole or not at all, and doing it
// twice is doing it once.
func count(ctx context.Context, a *tasks.Attempt, spec Spec) error {
	var p progress
	if cursor := a.Cursor(); cursor != nil {
		if err := json.Unmarshal(cursor, &p); err != nil {
			return tasks.Permanent(fmt.Errorf("read checkpoint: %w", err))
		}
	}
	f, err := os.Open(filepath.Join(spec.In, a.Step.ID))
	if err != nil {
		return fmt.Errorf("open text: %w", err) // an ordinary error: tried again, with backoff, until the budget is spent
	}
	defer f.Close()
	if _, err := f.Seek(p.Offset, io.SeekStart); err != nil {
		return fmt.Errorf("go on in the text: %w", err)
	}
	lines := bufio.NewReader(f)
	for saved := p.Offset; ; {
		line, err := lines.ReadString('\n')
		p.Offset += int64(len(line))
		p.Words += int64(len(strings.Fields(line)))
		a.Count(tasks.Counters{Read: p.Words, Bytes: p.Offset}) // absolute: all that this step has done so far
		switch {
		case errors.Is(err, io.EOF):
			return write(spec, a.Step.ID+".count", p.Words)
		case err != nil:
			return fmt.Errorf("read text: %w", err)
		case ctx.Err() != nil:
			return context.Cause(ctx) // cut, or the lease is gone: change nothing any more
		}
		if draining := a.IsDraining(); draining || p.Offset-saved >= checkpointBytes {
			if err := checkpoint(ctx, a, p); err != nil {
				return err
			}
			if saved = p.Offset; draining {
				return tasks.ErrDrained
			}
		}
	}
}

func checkpoint(ctx context.Context, a *tasks.Attempt, p progress) error {
	cursor, err := json.Marshal(p)
	if err != nil {
		return fmt.Errorf("write checkpoint: %w", err)
	}
	return a.Checkpoint(ctx, cursor)
}

// total adds the results up. It is over in a moment, so it neither saves nor looks whether it is drained.
func total(spec Spec) error {
	names, err := filesOf(spec)
	if err != nil {
		return err
	}
	sum := int64(0)
	for _, name := range names {
		text, err := os.ReadFile(filepath.Join(spec.Out, name+".count"))
		if err != nil {
			return fmt.Errorf("read result: %w", err)
		}
		n, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
		if err != nil {
			return tasks.Permanent(tasks.WithHint(err, "remove it, and start the job again", "%s.count is not a result", name))
		}
		sum += n
	}
	return write(spec, "total", sum)
}

// write makes a result take effect at once: a new file takes the place of whatever is there.
func write(spec Spec, name string, n int64) error {
	f, err := os.CreateTemp(spec.Out, ".new-*")
	if err != nil {
		return fmt.Errorf("write result: %w", err)
	}
	defer os.Remove(f.Name()) // fails after the rename
	_, err = fmt.Fprintln(f, n)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("write result: %w", err)
	}
	return os.Rename(f.Name(), filepath.Join(spec.Out, name))
}

func specOf(job tasks.Job) (Spec, error) {
	var s Spec
	if err := json.Unmarshal(job.Spec, &s); err != nil {
		return s, tasks.Permanent(fmt.Errorf("read the spec of job %s: %w", job.ID, err))
	}
	if s.In == "" || s.Out == "" {
		return s, tasks.Permanent(tasks.WithHint(nil, "name two folders", "the spec of job %s lacks in or out", job.ID))
	}
	return s, nil
}

// filesOf lists the texts in the order of their names.
func filesOf(spec Spec) ([]string, error) {
	entries, err := os.ReadDir(spec.In)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, tasks.Permanent(tasks.WithHint(err, "make the folder, then: stint jobs retry", "there is no folder %s", spec.In))
	}
	if err != nil {
		return nil, fmt.Errorf("list texts: %w", err)
	}
	var names []string
	for _, e := range entries {
		if filepath.Ext(e.Name()) == ".txt" {
			names = append(names, e.Name())
		}
	}
	return names, nil
}
