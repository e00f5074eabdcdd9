package pack

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/stint-run/stint/internal/artifact"
	"github.com/stint-run/stint/tasks"
)

// What a statement says that it is.
const (
	StatementType = "https://in-toto.io/Statement/v1"
	PredicateType = "https://slsa.dev/provenance/v1"
	// BuildType is where the parameters of a build are described.
	BuildType = "https://github.com/stint-run/stint/blob/main/docs/builds-artifacts.md#provenance"
)

// Material is something that a build took in from outside: a tool.
type Material struct {
	Name   string
	URI    string
	Digest artifact.Digest
}

// ProvenanceInput is what is known about a build. Times are written in whole seconds of UTC; zero ones are left out.
type ProvenanceInput struct {
	Subjects []Sum // the packages; at least one
	// Repository is its URL; a password in it is not written. Ref is refs/heads/..., "" when none was built.
	Repository, Ref string
	Commit          string // 40 or 64 hexadecimal digits
	Product         string
	Version         string
	Pipeline        string          // the pipeline file's path in the repository
	PipelineDigest  artifact.Digest // of its bytes
	Tools           []Material
	// Builder is a URI that names who is trusted to have built it: the server, and the group of its agents.
	Builder        string
	BuilderVersion string // stint's own
	Invocation     string // the job's id
	Started        time.Time
	Finished       time.Time
}

type resource struct {
	Name   string            `json:"name,omitempty"`
	URI    string            `json:"uri,omitempty"`
	Digest map[string]string `json:"digest,omitempty"`
}

type statement struct {
	Type          string     `json:"_type"`
	Subject       []resource `json:"subject"`
	PredicateType string     `json:"predicateType"`
	Predicate     predicate  `json:"predicate"`
}

type predicate struct {
	BuildDefinition struct {
		BuildType            string         `json:"buildType"`
		ExternalParameters   map[string]any `json:"externalParameters"`
		ResolvedDependencies []resource     `json:"resolvedDependencies,omitempty"`
	} `json:"buildDefinition"`
	RunDetails struct {
		Builder struct {
			ID      string            `json:"id"`
			Version map[string]string `json:"version,omitempty"`
		} `json:"builder"`
		Metadata struct {
			InvocationID string `json:"invocationId,omitempty"`
			StartedOn    string `json:"startedOn,omitempty"`
			FinishedOn   string `json:"finishedOn,omitempty"`
		} `json:"metadata"`
	} `json:"runDetails"`
}

// Provenance returns a statement of in-toto with a predicate of SLSA 1.0 that says what the packages were made of, how and by whom. The
// same input gives the same bytes.
func Provenance(o ProvenanceInput) ([]byte, error) {
	for _, need := range []struct{ what, value string }{{"repository", o.Repository}, {"commit", o.Commit}, {"builder", o.Builder}} {
		if need.value == "" {
			return nil, tasks.WithHint(nil, "provenance is of a commit in a repository, built by somebody", "the build has no %s, and so no provenance", need.what)
		}
	}
	if len(o.Subjects) == 0 {
		return nil, tasks.WithHint(nil, "name a package in the pipeline file", "there is nothing to state the provenance of")
	}
	s := statement{Type: StatementType, PredicateType: PredicateType}
	for _, sum := range sorted(o.Subjects) {
		if len(sum.Digest.Hex()) != 64 {
			return nil, fmt.Errorf("state the provenance of %s: it has no digest", sum.Name)
		}
		s.Subject = append(s.Subject, resource{Name: sum.Name, Digest: map[string]string{"sha256": sum.Digest.Hex()}})
	}
	repository := withoutPassword(o.Repository)
	d := &s.Predicate.BuildDefinition
	d.BuildType = BuildType
	d.ExternalParameters = map[string]any{"repository": repository, "commit": o.Commit}
	for name, value := range map[string]string{"ref": o.Ref, "product": o.Product, "version": o.Version, "pipeline": o.Pipeline, "pipelineDigest": string(o.PipelineDigest)} {
		if value != "" {
			d.ExternalParameters[name] = value
		}
	}
	source := "git+" + repository
	if o.Ref != "" {
		source += "@" + o.Ref
	}
	d.ResolvedDependencies = []resource{{URI: source, Digest: map[string]string{"gitCommit": o.Commit}}}
	tools := slices.Clone(o.Tools)
	slices.SortFunc(tools, func(a, b Material) int { return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.URI, b.URI)) })
	for _, t := range tools {
		r := resource{Name: t.Name, URI: withoutPassword(t.URI)}
		if hex := t.Digest.Hex(); hex != "" {
			r.Digest = map[string]string{"sha256": hex}
		}
		d.ResolvedDependencies = append(d.ResolvedDependencies, r)
	}
	r := &s.Predicate.RunDetails
	r.Builder.ID, r.Metadata.InvocationID = o.Builder, o.Invocation
	if o.BuilderVersion != "" {
		r.Builder.Version = map[string]string{"stint": o.BuilderVersion}
	}
	r.Metadata.StartedOn, r.Metadata.FinishedOn = second(o.Started), second(o.Finished)
	b, err := json.Marshal(s)
	if err != nil {
		return nil, fmt.Errorf("encode the provenance: %w", err)
	}
	return append(b, '\n'), nil
}

func second(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Truncate(time.Second).Format(time.RFC3339)
}

// withoutPassword leaves of a URL what may be read by everybody. git@HOST:PATH, which is none, becomes one.
func withoutPassword(s string) string {
	if host, rest, ok := strings.Cut(s, ":"); ok && !strings.Contains(s, "://") && strings.Contains(host, "@") && !strings.Contains(host, "/") {
		s = "ssh://" + host + "/" + strings.TrimPrefix(rest, "/")
	}
	u, err := url.Parse(s)
	if err != nil {
		return ""
	}
	if u.Scheme == "ssh" && u.User != nil {
		u.User = url.User(u.User.Username()) // git@ is an address; of http it may be a token
	} else {
		u.User = nil
	}
	u.RawQuery, u.Fragment = "", ""
	return u.String()
}
