package builder

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/stint-run/stint/internal/artifact"
	"github.com/stint-run/stint/tasks"
	"github.com/stint-run/stint/tasks/builder/publish"
)

// environments are where builds are promoted to; an error when the configuration has none.
func (f *Family) environments(files artifact.Store) (*publish.Environments, error) {
	if f.o.Environments == nil {
		return nil, gate("write them into builds.environments", "there are no environments")
	}
	return publish.NewEnvironments(files, *f.o.Environments), nil
}

// gate is a tasks.ErrGate in words.
func gate(hint, format string, args ...any) error {
	return tasks.WithHint(tasks.ErrGate, hint, format, args...)
}

// Promote notes that a build's packages are in an environment now. No byte is moved.
func (f *Family) Promote(ctx context.Context, job tasks.Job, environment, by string) (tasks.Promotion, error) {
	b, begun, err := f.open(ctx, job)
	if err != nil {
		return tasks.Promotion{}, err
	}
	if !begun || b.spec.Local != nil {
		return tasks.Promotion{}, gate("promote what agents have built", "it is the build of a working copy, of which nobody knows what is in it")
	}
	made, err := b.packages(ctx)
	if err != nil {
		return tasks.Promotion{}, err
	}
	if made == nil {
		return tasks.Promotion{}, gate("a pipeline with packages leaves some", "the build has left no packages behind")
	}
	e, err := f.environments(b.files)
	if err != nil {
		return tasks.Promotion{}, err
	}
	r, already, err := e.Promote(ctx, publish.Promotion{Environment: environment, Product: b.product(b.pipeline.Name), Version: b.start.Version.Version, By: by, At: time.Now().UTC()})
	if errors.Is(err, publish.ErrGate) {
		return tasks.Promotion{}, fmt.Errorf("%w: %w", tasks.ErrGate, err)
	}
	if err != nil {
		return tasks.Promotion{}, fmt.Errorf("promote: %w", err)
	}
	out := promoted(r)
	out.Job, out.Already = b.job, already
	return out, nil
}

// Promoted lists what is in each environment.
func (f *Family) Promoted(ctx context.Context, tenant, product string) ([]tasks.Promotion, error) {
	if f.o.Environments == nil {
		return nil, nil
	}
	files, err := f.o.Artifacts()
	if err != nil {
		return nil, err
	}
	var list []tasks.Promotion
	err = f.eachStanding(ctx, files, func(r publish.Record) error {
		of, name := tenantOf(r.Product)
		if of != tenant || product != "" && name != product {
			return nil
		}
		p := promoted(r)
		if entry, err := publish.NewCatalogue(files).Get(ctx, r.Product, r.Version); err == nil {
			p.Job = entry.Job
		}
		list = append(list, p)
		return nil
	})
	return list, err
}

// eachStanding calls a function for what stands in each environment, in their order. What others have put there stops nobody.
func (f *Family) eachStanding(ctx context.Context, files artifact.Store, each func(publish.Record) error) error {
	if f.o.Environments == nil {
		return nil
	}
	e := publish.NewEnvironments(files, *f.o.Environments)
	for _, env := range f.o.Environments.Order {
		err := e.Products(ctx, env.Name, func(product string) error {
			now, err := e.Current(ctx, env.Name, product)
			if err != nil {
				return err
			}
			return each(now)
		}, func(key string) {
			f.o.Logger.WarnContext(ctx, "in the store of artifacts something lies among the records of promotions; it is passed over", "artifacts", files.String(), "key", key, "hint", "look at it, and delete it if nobody needs it")
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// promoted is a record as the API shows it.
func promoted(r publish.Record) tasks.Promotion {
	_, product := tenantOf(r.Product)
	p := tasks.Promotion{Environment: r.Environment, Product: product, Version: r.Version, Channel: r.Channel, Commit: r.Commit, By: r.By, At: r.At, Files: []tasks.Output{}}
	for _, f := range r.Packages {
		p.Files = append(p.Files, tasks.Output{Name: f.Name, Size: f.Size, Digest: string(f.Digest)})
	}
	return p
}
