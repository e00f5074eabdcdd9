package repository

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/stint-run/stint/tasks"
	"github.com/stint-run/stint/tasks/builder/git"
)

// Moved is that a tag is on another commit already. It stays there.
type Moved struct {
	Name string
	Has  string // the commit that it is on
	Want string // the commit that it should be on
}

// Error names both commits.
func (e *Moved) Error() string {
	return fmt.Sprintf("the tag %s is on the commit %s already, and not on %s", e.Name, e.Has, e.Want)
}

// tagger is who sets tags: the same for all, so that all make the same object of it.
const tagger = "stint <stint@localhost>"

// Tag sets an annotated tag on a commit of the remote, or finds that it is there: already is true then, of whatever kind it is and
// whoever has set it. On another commit it is a *Moved, and is not touched. The same arguments make the same object, byte for byte, so
// that it does not matter how many agents do it at once, nor how often. When is written into it, in whole seconds: the commit's time, as
// a rule.
func (r *Repositories) Tag(ctx context.Context, url, sha, name, message string, when time.Time) (already bool, err error) {
	if err := r.Check(url); err != nil {
		return false, err
	}
	if err := full(sha); err != nil {
		return false, err
	}
	if err := refName(name); err != nil {
		return false, err
	}
	if message = strings.TrimSpace(strings.ReplaceAll(message, "\r\n", "\n")); strings.Contains(message, "\x00") {
		return false, tasks.Permanent(errors.New("the message of a tag has a zero byte in it"))
	}
	if message == "" {
		message = name
	}
	m, err := r.open(ctx, url)
	if err != nil {
		return false, err
	}
	if there, err := m.tagged(ctx, sha, name); there || err != nil {
		return there, err
	}
	text := fmt.Sprintf("object %s\ntype commit\ntag %s\ntagger %s %d +0000\n\n%s\n", sha, name, tagger, when.Unix(), message)
	object, err := m.object(ctx, sha, text)
	if err != nil {
		return false, err
	}
	err = m.push(ctx, object, name)
	if err == nil || ctx.Err() != nil {
		return false, err
	}
	// Another agent was faster, or the answer was lost on its way: what is there now decides.
	if there, look := m.tagged(context.WithoutCancel(ctx), sha, name); there || look != nil {
		return there, look
	}
	return false, err
}

// tagged reports whether the remote has the tag on the commit. On another one it is a *Moved.
func (m *mirror) tagged(ctx context.Context, sha, name string) (bool, error) {
	there, err := m.look(ctx, "refs/tags/"+name)
	if err != nil {
		return false, err
	}
	switch has := there.tags[name]; has {
	case "":
		return false, nil
	case sha:
		return true, nil
	default:
		return false, tasks.Permanent(tasks.WithHint(&Moved{Name: name, Has: has, Want: sha}, "a tag says what was built, and is never moved: build under another version, or see who has set it", "the commit is not tagged"))
	}
}

// object writes a tag's object into the mirror, beside the commit, and gives its name.
func (m *mirror) object(ctx context.Context, sha, text string) (string, error) {
	var name string
	err := m.with(ctx, sha, "", func(ctx context.Context) error {
		return m.locked(ctx, func(g *git.Git) error {
			out := &git.Capped{Most: 100}
			err := g.Pipe(ctx, strings.NewReader(text), out, "hash-object", "-t", "tag", "-w", "--stdin")
			name = strings.TrimSpace(out.String())
			return err
		})
	})
	return name, err
}

// push sends a tag's object, to a name that must not be there.
func (m *mirror) push(ctx context.Context, object, name string) error {
	ref := "refs/tags/" + name
	args := append([]string{"push", "--quiet", "--no-verify", "--force-with-lease=" + ref + ":"}, m.other("receive-pack")...)
	_, err := m.git.Run(ctx, append(args, "--", m.address.String(), object+":"+ref)...)
	var said *git.Error
	if !errors.As(err, &said) {
		return err
	}
	for line := range strings.Lines(said.All) {
		if strings.Contains(line, "[rejected]") || strings.Contains(line, "[remote rejected]") {
			return tasks.WithHint(err, "see whether the agents' account may set tags there", "%s takes no tag %s: %s", m.address, name, strings.TrimSpace(line))
		}
	}
	return m.explain(err)
}
