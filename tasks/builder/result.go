package builder

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/stint-run/stint/internal/artifact"
	"github.com/stint-run/stint/tasks/builder/junit"
	"github.com/stint-run/stint/tasks/builder/snapshot"
)

// result is what became of a step of the pipeline that passed, or of the checkout.
type result struct {
	Step     string         `json:"step"`
	In       snapshot.ID    `json:"in"`
	Out      snapshot.ID    `json:"out"`
	Key      string         `json:"key,omitempty"`    // under which it is found again
	Reused   string         `json:"reused,omitempty"` // the build that it is of, where it is that of another
	Agent    string         `json:"agent"`
	Began    time.Time      `json:"began"`
	Ended    time.Time      `json:"ended"`
	Commands []ran          `json:"commands,omitempty"`
	Tests    *junit.Report  `json:"tests,omitempty"`
	Stats    snapshot.Stats `json:"stats"`
	Stamped  []string       `json:"stamped,omitempty"`
}

// ran is one command that ran.
type ran struct {
	Words     string        `json:"words"` // for people
	ExitCode  int           `json:"exit_code"`
	Signal    string        `json:"signal,omitempty"`
	Cause     string        `json:"cause,omitempty"` // what ended it before its time
	Took      time.Duration `json:"took"`
	CPU       time.Duration `json:"cpu"`
	MaxMemory int64         `json:"max_memory"` // bytes
	Left      int           `json:"left,omitempty"`
}

func (b *build) resultKey(step string) string { return b.key("results", artifact.Escape(step)+".json") }

// result reads what became of a step; nil when it has not passed.
func (b *build) result(ctx context.Context, step string) (*result, error) {
	var r result
	found, err := getJSON(ctx, b.files, b.resultKey(step), &r)
	if err != nil || !found {
		return nil, err
	}
	return &r, nil
}

// settle writes a result. An attempt that was thought dead may have written one before: that one counts.
func (b *build) settle(ctx context.Context, r *result) error {
	err := putJSON(ctx, b.files, b.resultKey(r.Step), r)
	if errors.Is(err, artifact.ErrExists) {
		return nil
	}
	return err
}

// input is what a step begins with: the files of the steps that it needs, together. They are merged one after the other, each with those
// before it, by what both have made of the files that both began with: those of the steps that come before both, or the checkout.
func (b *build) input(ctx context.Context, needs []string) (snapshot.ID, error) {
	if len(needs) == 0 {
		checkout, err := b.passed(ctx, stageCheckout)
		if err != nil {
			return "", err
		}
		return checkout.Out, nil
	}
	first, err := b.passed(ctx, needs[0])
	if err != nil {
		return "", err
	}
	got, in := first.Out, append(b.pipeline.Before(needs[0]), needs[0]) // the steps whose files are in got
	for _, name := range needs[1:] {
		next, err := b.passed(ctx, name)
		if err != nil {
			return "", err
		}
		if slices.Contains(in, name) {
			continue
		}
		with := append(b.pipeline.Before(name), name)
		common := slices.DeleteFunc(slices.Clone(in), func(step string) bool { return !slices.Contains(with, step) })
		base, err := b.input(ctx, b.pipeline.Ends(common))
		if err != nil {
			return "", err
		}
		if got, err = b.trees.Merge(ctx, base, []snapshot.ID{got, next.Out}); err != nil {
			return "", err
		}
		in = append(in, with...)
	}
	return got, nil
}

// passed is the result of a step that another one follows.
func (b *build) passed(ctx context.Context, step string) (*result, error) {
	r, err := b.result(ctx, step)
	if err == nil && r == nil {
		err = errors.New("the result of step " + step + " is not in the store of artifacts; has somebody removed it?")
	}
	return r, err
}
