package builder

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/stint-run/stint/tasks"
	"github.com/stint-run/stint/tasks/builder/pipeline"
	"github.com/stint-run/stint/tasks/builder/sandbox"
	"github.com/stint-run/stint/tasks/builder/tools"
)

// How long a step is away that has come to an agent which cannot carry it out: another one is likely to claim it then.
const (
	awayShort = 500 * time.Millisecond // there is one that can
	awayLong  = 5 * time.Second        // there is none just now
)

// isAble gives the step to others when this agent has not what it requires, and says so when no living agent has.
func (s *step) isAble(ctx context.Context) error {
	lacks := missing(s.Requires, s.f.o.Labels)
	if len(lacks) == 0 {
		return nil
	}
	if !s.f.o.Fleet { // on one's own machine the proof is enough
		lacks = slices.DeleteFunc(lacks, func(r string) bool { return s.proofOf(r) != nil })
		if len(lacks) == 0 {
			return nil
		}
		return tasks.Permanent(tasks.WithHint(nil, "give the labels with --labels, if this machine has it, or build on a server whose agents have it", "step %s requires %s, which this machine does not have", s.Name, strings.Join(lacks, ", ")))
	}
	agents, err := s.f.o.Agents(ctx)
	if err != nil {
		return err
	}
	var able []string
	for _, a := range agents {
		if len(missing(s.Requires, a.Labels)) == 0 {
			able = append(able, a.ID)
		}
	}
	if len(able) == 0 {
		return tasks.RetryAfter(tasks.WithHint(nil, "start a worker with --labels "+labelled(s.Requires), "no living agent has %s, which step %s requires", strings.Join(s.Requires, " and "), s.Name), awayLong)
	}
	return tasks.RetryAfter(fmt.Errorf("step %s requires %s: it waits for %s", s.Name, strings.Join(s.Requires, " and "), strings.Join(able, " or ")), awayShort)
}

// missing lists what labels lack of what is required.
func missing(requires []string, labels map[string]string) (lacks []string) {
	for _, r := range requires {
		if name, want := pipeline.Label(r); labels[name] != want {
			lacks = append(lacks, r)
		}
	}
	return lacks
}

// labelled writes requirements as labels.
func labelled(requires []string) string {
	list := make([]string, len(requires))
	for i, r := range requires {
		name, value := pipeline.Label(r)
		list[i] = name + "=" + value
	}
	return strings.Join(list, ",")
}

// prove has this agent prove what the step requires, and returns what the proofs printed. An agent whose labels are wrong gives the
// step to others: it is no failure of the build.
func (s *step) prove(ctx context.Context) (printed []string, err error) {
	for _, c := range s.pipeline.Capabilities {
		if !slices.ContainsFunc(s.Requires, func(r string) bool { p := s.proofOf(r); return p != nil && p.Name == c.Name }) {
			continue
		}
		if err := tools.Prove(ctx, c, pairs(s.env), func(ctx context.Context, args, env []string) (string, int, error) {
			output, code, err := s.proof(ctx, args, env)
			printed = append(printed, output)
			return output, code, err
		}); err != nil {
			if ctx.Err() != nil {
				return nil, err
			}
			return nil, s.unproven(c, err)
		}
	}
	return printed, nil
}

// proofOf is how a requirement is proven; nil when the pipeline does not say.
func (s *step) proofOf(requires string) *pipeline.Capability {
	name, _ := pipeline.Label(requires)
	for i := range s.pipeline.Capabilities {
		if c := &s.pipeline.Capabilities[i]; c.Name == name {
			return c
		}
	}
	return nil
}

func (s *step) proof(ctx context.Context, args, env []string) (output string, code int, err error) {
	var out bytes.Buffer
	r, err := sandbox.Run(ctx, sandbox.Command{Args: args, Dir: s.space.src, Env: env, Stdout: &out, Stderr: &out, Timeout: proofTimeout, Limits: s.limits()})
	return out.String(), r.ExitCode, err
}

// proofTimeout is how long a proof may take.
const proofTimeout = time.Minute

func (s *step) unproven(c pipeline.Capability, err error) error {
	if !s.f.o.Fleet {
		return tasks.Permanent(err)
	}
	return tasks.RetryAfter(tasks.WithHint(err, "mend the agent, or take the label from it", "agent %s says that it has %s, and cannot prove it", s.a.Worker, c.Name), awayLong)
}
