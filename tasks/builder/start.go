package builder

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"
	"time"

	"github.com/stint-run/stint/internal/artifact"
	"github.com/stint-run/stint/tasks"
	"github.com/stint-run/stint/tasks/builder/pipeline"
	"github.com/stint-run/stint/tasks/builder/repository"
	"github.com/stint-run/stint/tasks/builder/snapshot"
	"github.com/stint-run/stint/tasks/builder/version"
)

// start is the start record: what a build is of. It is written once, and all of its steps go by it.
type start struct {
	Commit   repository.Commit `json:"commit"` // of a local build without a repository: zero
	Pipeline json.RawMessage   `json:"pipeline"`
	Number   int64             `json:"number,omitempty"` // 0 of a local build
	Facts    version.In        `json:"facts"`
	Version  version.Out       `json:"version"`
	Numbers  [4]int            `json:"numbers"` // of Version.File
	At       time.Time         `json:"at"`      // of the commit: the time in packages
	Began    time.Time         `json:"began"`
}

// Trees is the store of snapshots of builds in a store of artifacts.
func Trees(files artifact.Store) *snapshot.Store {
	return snapshot.New(files, snapshot.Options{Prefix: keyRoot})
}

// The keys in the store of artifacts.
const keyRoot = artifact.OwnBuilds

func jobKey(job string, parts ...string) string {
	return path.Join(append([]string{keyRoot, "jobs", artifact.Escape(job)}, parts...)...)
}

func (b *build) key(parts ...string) string { return jobKey(b.job, parts...) }

// open reads what a job is, and its start record if there is one.
func (f *Family) open(ctx context.Context, job tasks.Job) (b *build, begun bool, err error) {
	spec, err := parseSpec(job.Spec)
	if err != nil {
		return nil, false, tasks.Permanent(err)
	}
	files, err := f.o.Artifacts()
	if err != nil {
		return nil, false, err
	}
	b = &build{f: f, job: job.ID, tenant: job.Tenant, spec: spec, files: files, trees: Trees(files)}
	begun, err = getJSON(ctx, files, b.key("start.json"), &b.start)
	if err != nil || !begun {
		return b, false, err
	}
	b.start.Version.Numbers = b.start.Numbers
	b.pipeline, err = pipeline.Decode(b.start.Pipeline)
	if err != nil {
		return nil, false, tasks.Permanent(tasks.WithHint(err, "it may have been written by a newer version: let a newer agent build it", "the pipeline of the build cannot be read"))
	}
	return b, true, nil
}

// begin reads the start record, or finds out what it has to say and writes it.
func (f *Family) begin(ctx context.Context, job tasks.Job) (*build, error) {
	b, begun, err := f.open(ctx, job)
	if err == nil && f.o.Fleet && b.spec.Local != nil { // of a command that shares the fleet's queue: its own worker does it
		return nil, tasks.RetryAfter(errLocal, awayShort)
	}
	if err != nil || begun {
		return b, err
	}
	if b.spec.Local != nil {
		err = b.startLocal()
	} else {
		err = b.startFromRepository(ctx)
	}
	if err != nil {
		return nil, err
	}
	b.start.Numbers = b.start.Version.Numbers
	b.start.Began = time.Now().UTC()
	if err := putJSON(ctx, b.files, b.key("start.json"), b.start); err != nil && !errors.Is(err, artifact.ErrExists) {
		return nil, err
	}
	b, begun, err = f.open(ctx, job) // somebody else's, where they were first
	if err == nil && !begun {
		err = errors.New("the start record of the build is gone again")
	}
	return b, err
}

// startLocal takes what the command has found out.
func (b *build) startLocal() (err error) {
	l := b.spec.Local
	b.start = start{Commit: repository.Commit{SHA: l.Facts.SHA, Ref: l.Facts.Ref, Default: l.Facts.Default, Height: l.Facts.Height, Time: l.At}, Pipeline: l.Pipeline, Facts: l.Facts, At: l.At}
	b.start.Facts.CI = false // whatever it says
	if b.start.Version, err = version.Compute(b.start.Facts); err != nil {
		return tasks.Permanent(err)
	}
	_, err = pipeline.Decode(l.Pipeline)
	return tasks.Permanent(err)
}

// startFromRepository asks the repository, and for a number.
func (b *build) startFromRepository(ctx context.Context) error {
	r, s := b.f.o.Repositories, &b.spec
	if err := r.Check(s.Repository); err != nil {
		return tasks.Permanent(err)
	}
	var c repository.Commit
	var err error
	if s.Commit != "" {
		c, err = r.ResolveAt(ctx, s.Repository, s.Ref, s.Commit)
	} else {
		c, err = r.Resolve(ctx, s.Repository, s.Ref)
	}
	if err != nil {
		return fmt.Errorf("find what is to be built: %w", err)
	}
	p, err := b.readPipeline(ctx, c.SHA)
	if err != nil {
		return err
	}
	base, err := b.readBase(ctx, c.SHA, p.VersionFile)
	if err != nil {
		return err
	}
	b.start = start{Commit: c, Pipeline: p.Canonical(), At: c.Time.UTC()}
	in := version.In{Base: base, CI: b.f.o.Fleet, Ref: c.Ref, Default: c.Default, SHA: c.SHA, Height: c.Height, Tags: c.Tags}
	if in.CI {
		if b.start.Number, err = b.number(ctx, b.product(p.Name), c); err != nil {
			return err
		}
		in.Counter = b.start.Number
	}
	b.start.Facts = in
	if b.start.Version, err = version.Compute(in); err != nil {
		return tasks.Permanent(err)
	}
	return nil
}

func (b *build) readPipeline(ctx context.Context, sha string) (*pipeline.Pipeline, error) {
	file := b.spec.Pipeline
	if file == "" {
		file = pipeline.FileName
	}
	name := path.Join(b.spec.Dir, file)
	text, err := b.f.o.Repositories.ReadFile(ctx, b.spec.Repository, sha, name)
	if errors.Is(err, repository.ErrNotFound) {
		return nil, tasks.Permanent(tasks.WithHint(nil, "docs/builds-pipeline.md has a first one in ten lines", "commit %.12s has no %s", sha, name))
	}
	if err != nil {
		return nil, err
	}
	p, problems, err := pipeline.Read(name, text)
	if err == nil {
		err = problems.Err()
	}
	if err != nil {
		return nil, tasks.Permanent(err)
	}
	return p, nil
}

// readBase reads the version file: the one that is named, or the nearest VERSION from the product's folder upwards.
func (b *build) readBase(ctx context.Context, sha, file string) (string, error) {
	dir := b.spec.Dir
	if dir == "" {
		dir = "."
	}
	for {
		name := path.Join(dir, version.BaseFile)
		if file != "" {
			name = path.Join(dir, file)
		}
		text, err := b.f.o.Repositories.ReadFile(ctx, b.spec.Repository, sha, name)
		switch {
		case err == nil:
			return string(text), nil
		case !errors.Is(err, repository.ErrNotFound):
			return "", err
		case file != "" || dir == ".":
			return "", tasks.Permanent(tasks.WithHint(nil, "write MAJOR.MINOR into it, 1.0 say, and commit it", "commit %.12s has no %s", sha, name))
		}
		dir = path.Dir(dir)
	}
}

// number asks for the build's number: that of the same commit on the same branch is the same. A number is noted in the store of
// artifacts too, so that a Redis that has lost its memory does not give it away again.
func (b *build) number(ctx context.Context, product string, c repository.Commit) (int64, error) {
	sum := sha256.Sum256([]byte(strings.Join([]string{b.spec.Repository, b.spec.Dir, c.Ref, c.SHA}, "\x00")))
	of := hex.EncodeToString(sum[:])
	var least int64
	for {
		n, err := b.f.o.Number(ctx, product, of, least)
		if err != nil {
			return 0, err
		}
		_, err = artifact.PutOnce(ctx, b.files, numberKey(product, n), strings.NewReader(of), artifact.PutOptions{})
		switch {
		case err == nil:
			return n, nil
		case !errors.Is(err, artifact.ErrDigest):
			return 0, err
		}
		if least, err = b.lastNumber(ctx, product, n); err != nil {
			return 0, err
		}
		least++
	}
}

// product is the name that builds are numbered by: each tenant has its own.
func (b *build) product(name string) string {
	if b.tenant == "" {
		return name
	}
	return b.tenant + "/" + name
}

// tenantOf is the reverse of product.
func tenantOf(product string) (tenant, name string) {
	if tenant, name, ok := strings.Cut(product, "/"); ok {
		return tenant, name
	}
	return "", product
}

func numberKey(product string, n int64) string {
	return path.Join(keyRoot, "numbers", artifact.Escape(product), fmt.Sprintf("%08d", n))
}

// lastNumber is the highest number that is noted, at least n.
func (b *build) lastNumber(ctx context.Context, product string, n int64) (int64, error) {
	prefix := path.Dir(numberKey(product, 0)) + "/"
	after := numberKey(product, n)
	for {
		list, err := b.files.List(ctx, prefix, after, 1000)
		if err != nil || len(list) == 0 {
			return n, err
		}
		after = list[len(list)-1].Key
		if _, err := fmt.Sscanf(path.Base(after), "%d", &n); err != nil {
			return 0, tasks.Permanent(fmt.Errorf("read the number %s: %w", after, err))
		}
	}
}

// getJSON reads an artifact; false when there is none.
func getJSON(ctx context.Context, files artifact.Store, key string, into any) (bool, error) {
	r, _, err := files.Get(ctx, key, 0)
	if errors.Is(err, artifact.ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer r.Close()
	text, err := io.ReadAll(io.LimitReader(r, maxRecord))
	if err != nil {
		return false, err
	}
	if err := json.Unmarshal(text, into); err != nil {
		return false, tasks.Permanent(fmt.Errorf("read %s: %w", key, err))
	}
	return true, nil
}

// maxRecord bounds a record, in bytes.
const maxRecord = 64 << 20

// putJSON writes a record, unless there is one: ErrExists.
func putJSON(ctx context.Context, files artifact.Store, key string, v any) error {
	text, err := json.Marshal(v)
	if err != nil {
		return tasks.Permanent(err)
	}
	_, err = files.Put(ctx, key, bytes.NewReader(text), artifact.PutOptions{IfAbsent: true, ContentType: "application/json"})
	return err
}

// replaceJSON writes a record in place of the one that is there.
func replaceJSON(ctx context.Context, files artifact.Store, key string, v any) error {
	text, err := json.Marshal(v)
	if err != nil {
		return tasks.Permanent(err)
	}
	_, err = files.Put(ctx, key, bytes.NewReader(text), artifact.PutOptions{ContentType: "application/json"})
	return err
}
