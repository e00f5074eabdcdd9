package builder

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/stint-run/stint/internal/artifact"
	"github.com/stint-run/stint/tasks"
	"github.com/stint-run/stint/tasks/builder/pipeline"
	"github.com/stint-run/stint/tasks/builder/publish"
	"github.com/stint-run/stint/tasks/builder/repository"
)

// publications are the lines of the pipeline that this build's channel lets through.
func (b *build) publications() (list []pipeline.Publish) {
	for _, p := range b.pipeline.Publish {
		if slices.Contains(p.Channels, string(b.start.Version.Channel)) {
			list = append(list, p)
		}
	}
	return list
}

// tagName is the name of the tag that the build sets; "" is none.
func (b *build) tagName() string {
	t := b.pipeline.Tag
	if t == nil || b.spec.Local != nil || !slices.Contains(t.Channels, string(b.start.Version.Channel)) {
		return ""
	}
	return b.facts().Fill(t.Name)
}

// published says where a package has gone.
type published struct {
	Package string `json:"package"`
	Target  string `json:"target"`
	At      string `json:"at"`
	Already bool   `json:"already,omitempty"`
}

// publish sends the packages to where the pipeline says. Each target takes the same bytes again as a success, and no others.
func (b *build) publish(ctx context.Context, a *tasks.Attempt) error {
	made, err := b.packages(ctx)
	if err != nil {
		return err
	}
	if made == nil {
		return tasks.Permanent(errors.New("there are no packages to publish"))
	}
	var done []published
	for _, p := range b.publications() {
		target, err := b.f.o.Target(p.To)
		if err != nil {
			return tasks.Permanent(err)
		}
		for _, f := range made.Files {
			if f.Package == "" && len(p.Packages) > 0 || f.Package != "" && len(p.Packages) > 0 && !slices.Contains(p.Packages, f.Package) {
				continue
			}
			at, already, err := target.Publish(ctx, b.published(f))
			var c *publish.Conflict
			if errors.As(err, &c) && strings.HasPrefix(f.Name, fileProvenance) {
				at, already, err = c.At, true, nil // of the build that made these packages first: that one stays
			}
			if err != nil {
				return forGood(fmt.Errorf("publish %s to %s: %w", f.Name, p.To, err))
			}
			done = append(done, published{f.Name, p.To, at, already})
			a.Count(tasks.Counters{Written: int64(len(done))})
		}
	}
	return replaceJSON(ctx, b.files, b.key("published.json"), done)
}

// published is a file as a target takes it.
func (b *build) published(f packagedFile) publish.Artifact {
	return publish.Artifact{Product: b.pipeline.Name, Version: b.start.Version.Version, Channel: string(b.start.Version.Channel), Name: f.Name, Size: f.Size, Digest: f.Digest, ContentType: f.ContentType,
		Open: func(ctx context.Context) (io.ReadCloser, error) {
			r, _, err := b.files.Get(ctx, b.packageKey(f.Name), 0)
			return r, err
		}}
}

// enter notes which bytes a version is of, before they go anywhere: other bytes never are that version.
func (b *build) enter(ctx context.Context, made *packaged) error {
	r := publish.Release{Product: b.product(b.pipeline.Name), Version: b.start.Version.Version, Channel: string(b.start.Version.Channel), Commit: b.start.Commit.SHA, Ref: b.start.Commit.Ref, Job: b.job, At: b.start.Began}
	for _, f := range made.Files {
		if f.Package != "" {
			r.Packages = append(r.Packages, publish.Package{Name: f.Name, Size: f.Size, Digest: f.Digest})
		}
	}
	_, err := publish.NewCatalogue(b.files).Enter(ctx, r)
	return forGood(err)
}

// forGood makes a conflict with what is there an error that no retry helps.
func forGood(err error) error {
	var c *publish.Conflict
	if errors.As(err, &c) || errors.Is(err, publish.ErrRemoved) {
		return tasks.Permanent(err)
	}
	return err
}

// tagged says which tag was set.
type tagged struct {
	Name    string    `json:"name"`
	Commit  string    `json:"commit"`
	Already bool      `json:"already,omitempty"`
	At      time.Time `json:"at"`
}

// tag sets the tag, when all else has passed. One that is on this commit already is fine.
func (b *build) tag(ctx context.Context, _ *tasks.Attempt) error {
	name := b.tagName()
	message := b.pipeline.Tag.Message
	if message == "" {
		message = b.pipeline.Name + " {version}"
	}
	message = b.facts().Fill(message)
	already, err := b.f.o.Repositories.Tag(ctx, b.spec.Repository, b.start.Commit.SHA, name, message, b.start.At)
	var moved *repository.Moved
	if errors.As(err, &moved) {
		return tasks.Permanent(err)
	}
	if err != nil {
		return fmt.Errorf("tag the commit: %w", err)
	}
	err = putJSON(ctx, b.files, b.key("tagged.json"), tagged{name, b.start.Commit.SHA, already, time.Now().UTC()})
	if errors.Is(err, artifact.ErrExists) {
		return nil
	}
	return err
}
