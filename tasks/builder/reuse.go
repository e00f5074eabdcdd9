package builder

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"runtime"
	"time"

	"github.com/stint-run/stint/internal/artifact"
	"github.com/stint-run/stint/tasks"
	"github.com/stint-run/stint/tasks/builder/pipeline"
	"github.com/stint-run/stint/tasks/builder/snapshot"
	"github.com/stint-run/stint/tasks/builder/version"
)

// depends is all that a step's result depends on. What is not in it must not change the result: the agent, the time, the other steps.
type depends struct {
	Tenant      string            `json:"tenant,omitempty"` // nobody gets what is another's
	Step        *pipeline.Step    `json:"step"`
	Environment map[string]string `json:"environment"` // the pipeline's
	Exclude     []string          `json:"exclude"`
	Tools       []pipeline.Tool   `json:"tools"`
	Files       string            `json:"files"` // all of them, or those that the step names
	Dir         string            `json:"dir"`
	Version     string            `json:"version,omitempty"` // and not how it came about: that tells of tags, and each build sets one
	Number      int64             `json:"number,omitempty"`
	Commit      string            `json:"commit,omitempty"`
	Channel     version.Channel   `json:"channel"` // what a branch has built goes into no release
	System      string            `json:"system"`
	Proofs      []string          `json:"proofs"` // what the agent's tools said of themselves
}

// cacheKey is the name of the step's result; "" when it has none that others may take.
func (s *step) cacheKey(ctx context.Context, in snapshot.ID, proofs []string) (string, error) {
	if s.Cache.Off || len(s.Secrets) > 0 { // what depends on a secret may hold it
		return "", nil
	}
	d := depends{Tenant: s.tenant, Step: s.Step, Environment: s.pipeline.Environment, Exclude: s.excluded(), Tools: s.toolList(), Files: string(in), Dir: s.spec.Dir, Channel: s.start.Version.Channel, System: runtime.GOOS + "/" + runtime.GOARCH, Proofs: proofs}
	if len(s.Cache.Inputs) > 0 {
		globs := make([]string, len(s.Cache.Inputs))
		for i, g := range s.Cache.Inputs {
			globs[i] = path.Join(s.spec.Dir, g)
		}
		files, err := s.trees.DigestOf(ctx, in, globs)
		if err != nil {
			return "", err
		}
		d.Files = string(files)
	}
	if s.versioned() {
		d.Version, d.Number, d.Commit = s.start.Version.Version, s.start.Number, s.start.Commit.SHA
	}
	text, err := json.Marshal(d)
	if err != nil {
		return "", tasks.Permanent(err)
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:]), nil
}

// toolList are the tools that the step uses.
func (s *step) toolList() (list []pipeline.Tool) {
	for _, name := range s.Step.Tools {
		for _, t := range s.pipeline.Tools {
			if t.Name == name {
				list = append(list, t)
			}
		}
	}
	return list
}

// remembered is what the cache has of a step: whose result it is, and what to check before it is believed.
type remembered struct {
	Job    string `json:"job"`
	Result result `json:"result"`
}

func cacheRecord(key string) string { return path.Join(keyRoot, "cache", key+".json") }

// reuse takes the result of an earlier step with the same key. One whose files are not whole any more is forgotten.
func (s *step) reuse(ctx context.Context, in snapshot.ID) (bool, error) {
	key := s.result.Key
	if key == "" || s.spec.Again {
		return false, nil
	}
	var r remembered
	found, err := getJSON(ctx, s.files, cacheRecord(key), &r)
	if err != nil && !tasks.IsPermanent(err) {
		return false, err
	}
	if err != nil || !found || r.Result.Key != key {
		return false, s.forget(ctx, key, err != nil || found)
	}
	out := r.Result.Out
	if err := s.trees.Verify(ctx, out); err != nil {
		if ctx.Err() != nil {
			return false, err
		}
		return false, s.forget(ctx, key, true)
	}
	if r.Result.In != in {
		out, err = s.trees.Graft(ctx, in, r.Result.In, r.Result.Out)
		var c *snapshot.Conflict
		if errors.As(err, &c) || errors.Is(err, artifact.ErrNotFound) {
			return false, nil
		}
		if err != nil {
			return false, err
		}
	}
	taken := r.Result
	taken.In, taken.Out, taken.Reused, taken.Agent = in, out, r.Job, s.a.Worker
	s.result = taken
	s.a.Count(tasks.Counters{Skipped: taken.Stats.Files})
	return true, s.settle(ctx, &s.result)
}

// forget removes an entry of the cache that cannot be believed.
func (s *step) forget(ctx context.Context, key string, there bool) error {
	if !there {
		return nil
	}
	err := s.files.Delete(ctx, cacheRecord(key))
	if errors.Is(err, artifact.ErrNotFound) {
		return nil
	}
	return err
}

// remember lets later builds take the result.
func (s *step) remember(ctx context.Context) error {
	if s.result.Key == "" {
		return nil
	}
	err := putJSON(ctx, s.files, cacheRecord(s.result.Key), remembered{s.job, s.result})
	if !errors.Is(err, artifact.ErrExists) {
		return err
	}
	if !s.spec.Again {
		return nil // a rival's, whose claim had been lost
	}
	if err := s.forget(ctx, s.result.Key, true); err != nil {
		return err
	}
	if err := putJSON(ctx, s.files, cacheRecord(s.result.Key), remembered{s.job, s.result}); !errors.Is(err, artifact.ErrExists) {
		return err
	}
	return nil
}

// How long a claim holds by itself, and how often it is kept.
const (
	claimFor   = 15 * time.Second
	claimEvery = 5 * time.Second
	claimAway  = time.Second // until a step asks again that another build is just carrying out
)

// alone does what only one of equal steps shall do at a time: of a hundred equal builds one executes, and the others take its result. It
// saves work and no more: when a claim is lost, two execute, and the first result counts.
func (s *step) alone(ctx context.Context, do func(ctx context.Context) error) error {
	if s.result.Key == "" || s.spec.Again || s.f.o.Claim == nil {
		return do(ctx)
	}
	name, who := "build "+s.result.Key, s.job+" "+s.a.ID
	holder, err := s.f.o.Claim(ctx, name, who, claimFor)
	if err != nil {
		return err
	}
	if holder != who {
		return tasks.RetryAfter(fmt.Errorf("another build is carrying out the same step with the same files: %s", holder), claimAway)
	}
	ctx, stop := context.WithCancel(ctx)
	kept := make(chan struct{})
	go func() {
		defer close(kept)
		tick := time.NewTicker(claimEvery)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				_, _ = s.f.o.Claim(ctx, name, who, claimFor) // one that is lost costs work that is done twice
			case <-ctx.Done():
				return
			}
		}
	}()
	err = do(ctx)
	stop()
	<-kept
	back, end := context.WithTimeout(context.WithoutCancel(ctx), closePatience)
	defer end()
	_, _ = s.f.o.Claim(back, name, who, 0) // it ends by itself
	return err
}
