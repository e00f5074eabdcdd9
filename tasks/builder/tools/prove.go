package tools

import (
	"context"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/stint-run/stint/tasks"
	"github.com/stint-run/stint/tasks/builder/pipeline"
)

// Prove runs the proof of a capability: the command ends with exit code 0, and what it prints matches. An agent that fails it has a
// label that is a lie, and must not get the step; the error says which, what was run and what came. Run runs a command such as a
// step's; env is for it alone.
func Prove(ctx context.Context, c pipeline.Capability, env []string, run func(ctx context.Context, args, env []string) (output string, exit int, err error)) error {
	if len(c.Run) == 0 {
		return tasks.Permanent(tasks.WithHint(nil, "write run: under it, in the pipeline file", "the capability %s has no command that proves it", c.Name))
	}
	match, err := regexp.Compile(c.Match)
	if err != nil {
		return tasks.Permanent(tasks.WithHint(err, "correct match: in the pipeline file", "what proves the capability %s cannot be read", c.Name))
	}
	output, exit, err := run(ctx, c.Run, env)
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	var came string
	switch {
	case err != nil:
		came = "it could not be run: " + err.Error()
	case exit != 0:
		came = fmt.Sprintf("it ended with exit code %d and printed %s", exit, quoted(output))
	case !match.MatchString(output):
		came = fmt.Sprintf("it printed %s, which does not match %s", quoted(output), strconv.Quote(c.Match))
	default:
		return nil
	}
	return tasks.WithHint(err, "install what it lacks on the agent, or take the label from it", "the agent's label %s is a lie: to prove it, %s was run, and %s", c.Name, quoted(strings.Join(c.Run, " ")), came)
}

// mostShown is how much of an output an error shows, in bytes.
const mostShown = 500

// quoted is a text on one line, without what a terminal would take for commands.
func quoted(text string) string {
	text = strings.TrimSpace(text)
	if len(text) > mostShown {
		text = strings.ToValidUTF8(text[:mostShown], "") + "…"
	}
	return strconv.Quote(text)
}
