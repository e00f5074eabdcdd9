package cli

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/stint-run/stint/tasks/builder/git"
)

// workingCopy lists the files of a working copy that git does not ignore, from its root, and the time of a commit. It changes nothing.
func (c *command) workingCopy(ctx context.Context, root, commit string) (paths []string, at time.Time, err error) {
	g, err := git.Open(ctx, root, c.Vars.Lookup)
	if err != nil {
		return nil, at, err
	}
	list, err := g.Run(ctx, "ls-files", "-z", "--cached", "--others", "--exclude-standard")
	if err != nil {
		return nil, at, fmt.Errorf("list the files of %s: %w", printable(root), err)
	}
	for name := range strings.SplitSeq(list, "\x00") {
		if name != "" {
			paths = append(paths, name)
		}
	}
	when, err := g.Run(ctx, "log", "-1", "--no-show-signature", "--format=%ct", commit, "--")
	if err != nil {
		return nil, at, fmt.Errorf("read the time of commit %.12s: %w", commit, err)
	}
	seconds, err := strconv.ParseInt(strings.TrimSpace(when), 10, 64)
	return paths, time.Unix(seconds, 0).UTC(), err
}

// origin is the URL that a working copy was cloned from.
func (c *command) origin(ctx context.Context, root string) (string, error) {
	g, err := git.Open(ctx, root, c.Vars.Lookup)
	if err != nil {
		return "", err
	}
	url, err := g.Run(ctx, "config", "--get", "remote.origin.url")
	return strings.TrimSpace(url), err
}
