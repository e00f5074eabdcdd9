package builder

import (
	"encoding/json"
	"path"
	"regexp"
	"strings"
	"time"

	"github.com/stint-run/stint/tasks"
	"github.com/stint-run/stint/tasks/builder/repository"
	"github.com/stint-run/stint/tasks/builder/snapshot"
	"github.com/stint-run/stint/tasks/builder/version"
)

// Spec is what a build is asked for: a commit of a repository, or the files of a working copy.
type Spec struct {
	// Repository is the URL of the product's repository, which the agents' configuration has to allow. Without it there is Local.
	Repository string `json:"repository,omitempty"`
	// Ref is what is built: a branch, a tag, or a full name such as refs/pull/42/merge; "" is the repository's default branch.
	Ref string `json:"ref,omitempty"`
	// Commit is the full name of a commit of Ref; "" is its last one, when the build begins.
	Commit string `json:"commit,omitempty"`
	// Dir is the folder of the product in the repository; "" is the root.
	Dir string `json:"dir,omitempty"`
	// Pipeline is the pipeline file, from Dir; "" is stint.build.yaml.
	Pipeline string `json:"pipeline,omitempty"`
	// Local are the files of a working copy.
	Local *Local `json:"local,omitempty"`
	// Again: no result of an earlier build is taken for a step.
	Again bool `json:"again,omitempty"`
}

// Local are the files of a working copy, as they were when the build was asked for.
type Local struct {
	Files    snapshot.ID     `json:"files"`    // in the store of artifacts
	Pipeline json.RawMessage `json:"pipeline"` // in its canonical form
	Facts    version.In      `json:"facts"`    // what the version is made of
	At       time.Time       `json:"at"`       // the time of the commit
}

var fullCommit = regexp.MustCompile(`^([0-9a-f]{40}|[0-9a-f]{64})$`)

func parseSpec(text json.RawMessage) (Spec, error) {
	var s Spec
	if err := tasks.DecodeStrictly(text, &s); err != nil {
		return s, tasks.WithHint(err, `write {"repository": "https://HOST/PATH", "ref": "BRANCH"}; docs/builds.md has the fields`, "the spec of the build cannot be read")
	}
	return s, nil
}

func (s *Spec) check(repositories *repository.Repositories) error {
	switch {
	case (s.Repository == "") == (s.Local == nil):
		return tasks.WithHint(nil, `write {"repository": "https://HOST/PATH"}; stint build run builds the files of a working copy`, "a build is of a repository")
	case s.Local != nil:
		return nil
	case s.Commit != "" && !fullCommit.MatchString(s.Commit):
		return tasks.WithHint(nil, "git rev-parse HEAD prints it", "%q is no full name of a commit", s.Commit)
	case strings.HasPrefix(s.Ref, "-") || strings.ContainsFunc(s.Ref, func(r rune) bool { return r < ' ' || r == 0x7f }):
		return tasks.WithHint(nil, "name a branch, a tag, or refs/…", "%q is no name of anything in a repository", s.Ref)
	}
	for name, p := range map[string]string{"dir": s.Dir, "pipeline": s.Pipeline} {
		if p != "" && (path.IsAbs(p) || path.Clean(p) != p || strings.HasPrefix(p, "..") || strings.ContainsAny(p, "\\\x00\n")) {
			return tasks.WithHint(nil, "write a path with slashes that stays inside", "%s %q does not lie in the repository", name, p)
		}
	}
	if repositories == nil { // of a process that builds nothing, such as one that reads a configuration
		return nil
	}
	return repositories.Check(s.Repository)
}
