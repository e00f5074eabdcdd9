package app

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"

	"github.com/stint-run/stint/client/wire"
	"github.com/stint-run/stint/config"
	"github.com/stint-run/stint/internal/artifact"
	"github.com/stint-run/stint/tasks/builder"
	"github.com/stint-run/stint/tasks/builder/allowed"
	"github.com/stint-run/stint/tasks/builder/pack"
	"github.com/stint-run/stint/tasks/builder/publish"
	"github.com/stint-run/stint/tasks/builder/repository"
	"github.com/stint-run/stint/tasks/builder/sandbox"
	"github.com/stint-run/stint/tasks/builder/tools"
)

// BuildsDir is the folder of this machine's workspaces, mirrors and tools.
func BuildsDir(b config.Builds, data string) string {
	dir := b.Dir
	if dir == "" {
		dir = filepath.Join(data, "builds")
	}
	if abs, err := filepath.Abs(dir); err == nil { // commands run in other folders
		return abs
	}
	return dir
}

// signer reads the key that builds are signed with; nil when there is none.
func signer(b config.Builds) (*pack.Signer, error) {
	if b.SigningKey.IsZero() {
		return nil, nil
	}
	s, err := pack.NewSigner([]byte(b.SigningKey.Reveal()))
	if err != nil {
		return nil, fmt.Errorf("builds.signing_key: %w", err)
	}
	return s, nil
}

// builds are the options of the family of builds.
func (a *App) builds(artifacts func() (artifact.Store, error)) builder.Options {
	b := a.o.Builds
	dir := BuildsDir(b, a.o.Data)
	o := builder.Options{Dir: dir, Artifacts: artifacts, Fleet: a.o.Fleet, Labels: a.o.Labels, Agents: a.agents, Number: a.Store.BuildNumber, Claim: a.Store.Claim,
		Environment: a.o.BuildEnvironment, Log: int64(b.Limits.Log), Logger: a.o.Log, Version: a.o.Version,
		Limits: sandbox.Limits{Memory: int64(b.Limits.Memory), CPU: b.Limits.CPU, Disk: int64(b.Limits.Disk), Processes: b.Limits.Processes}}
	lookup := func(name string) (string, bool) { v, ok := a.o.BuildEnvironment[name]; return v, ok }
	o.Repositories = repository.New(repository.Options{Dir: filepath.Join(dir, "mirrors"), Allowed: b.Repositories, Lookup: lookup, Credentials: credentials(b.Credentials)})
	o.Tools = tools.New(tools.Options{Dir: filepath.Join(dir, "tools"), Allowed: b.Tools})
	o.Secret = func(name string) (string, bool) {
		for _, s := range b.Secrets {
			if s.Name == name && !s.Value.IsZero() {
				return s.Value.Reveal(), true
			}
		}
		return "", false
	}
	targets := &buildTargets{list: b.Targets, open: map[string]publish.Target{}}
	a.onStop("targets of builds", func(context.Context) error { return targets.close() })
	o.Target = targets.target
	if len(b.Environments) > 0 {
		e := &publish.EnvironmentsOptions{}
		for _, env := range b.Environments {
			e.Order = append(e.Order, publish.Environment{Name: env.Name, Channels: env.Channels})
		}
		o.Environments = e
	}
	o.Signer = a.signer
	return o
}

// agents are the living workers that build.
func (a *App) agents(ctx context.Context) ([]builder.Agent, error) {
	list, err := a.Store.Workers(ctx, a.o.LostAfter)
	if err != nil {
		return nil, err
	}
	var agents []builder.Agent
	for _, w := range list {
		if w.State == wire.WorkerActive {
			agents = append(agents, builder.Agent{ID: w.ID, Labels: w.Labels})
		}
	}
	return agents, nil
}

// credentials finds what opens a repository. Patterns that cannot be read open none.
func credentials(list config.BuildCredentials) func(url string) (user, password string, ok bool) {
	opens := make([]allowed.List, len(list))
	for i, c := range list {
		opens[i], _ = allowed.Patterns(c.Repositories)
	}
	return func(url string) (string, string, bool) {
		at, err := allowed.Parse(url)
		if err != nil {
			return "", "", false
		}
		for i, c := range list {
			if opens[i].Allows(at) {
				return c.User, c.Password.Reveal(), true
			}
		}
		return "", "", false
	}
}

// buildTargets opens the places for packages when they are needed.
type buildTargets struct {
	list   config.BuildTargets
	mu     sync.Mutex
	open   map[string]publish.Target
	stores []artifact.Store
}

func (t *buildTargets) target(name string) (publish.Target, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if open := t.open[name]; open != nil {
		return open, nil
	}
	for _, c := range t.list {
		if c.Name != name {
			continue
		}
		open, err := t.make(c)
		if err != nil {
			return nil, fmt.Errorf("open the target %s: %w", name, err)
		}
		t.open[name] = open
		return open, nil
	}
	return nil, fmt.Errorf("there is no target %q; write it into builds.targets of the agents' configuration", name)
}

func (t *buildTargets) make(c config.BuildTarget) (publish.Target, error) {
	switch c.Type {
	case "http":
		return publish.NewHTTP(publish.HTTPOptions{URL: c.URL.Reveal(), Credentials: publish.Credentials{User: c.User, Password: c.Password.Reveal(), Token: c.Token.Reveal()}, Reach: publish.Reach{Private: c.Private}})
	case "nuget":
		return publish.NewNuGet(publish.NuGetOptions{Source: c.URL.Reveal(), APIKey: c.Token.Reveal(), Credentials: publish.Credentials{User: c.User, Password: c.Password.Reveal()}, Reach: publish.Reach{Private: c.Private}})
	}
	var s artifact.Store
	var err error
	if c.Type == "folder" {
		s, err = artifact.NewFolder(c.Dir)
	} else {
		s, err = OpenArtifacts(config.Artifacts{URL: c.URL, AccessKey: config.NewSecret(c.User), SecretKey: c.Password}, "")
	}
	if err != nil {
		return nil, err
	}
	t.stores = append(t.stores, s)
	return publish.NewStore(s), nil
}

func (t *buildTargets) close() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	var errs []error
	for _, s := range t.stores {
		errs = append(errs, s.Close())
	}
	return errors.Join(errs...)
}
