package builder

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/stint-run/stint/internal/artifact"
	"github.com/stint-run/stint/tasks"
	"github.com/stint-run/stint/tasks/builder/buildlog"
	"github.com/stint-run/stint/tasks/builder/pack"
	"github.com/stint-run/stint/tasks/builder/pipeline"
)

// packaged is what a build leaves behind: its packages, and the files about them.
type packaged struct {
	Files []packagedFile `json:"files"`
}

type packagedFile struct {
	Name        string          `json:"name"`
	Package     string          `json:"package,omitempty"` // of the pipeline; "" is a file about them
	ContentType string          `json:"content_type"`
	Size        int64           `json:"size"`
	Digest      artifact.Digest `json:"digest"`
}

// The files about packages.
const (
	fileChecksums  = "SHA256SUMS"
	fileSBOM       = "sbom.cdx.json"
	fileProvenance = "provenance.intoto.json"
	suffixSigned   = ".dsse.json"
)

func (b *build) packageKey(name string) string { return b.key("packages", artifact.Escape(name)) }

// packages reads what the build has left behind; nil while there is nothing.
func (b *build) packages(ctx context.Context) (*packaged, error) {
	var p packaged
	found, err := getJSON(ctx, b.files, b.key("packages.json"), &p)
	if err != nil || !found {
		return nil, err
	}
	return &p, nil
}

// pack makes the packages. The same files give the same bytes, so an attempt after one that was killed finds its packages there.
func (b *build) pack(ctx context.Context, a *tasks.Attempt) error {
	if had, err := b.packages(ctx); err != nil || had != nil {
		return err
	}
	space, err := take(b.f.o.Dir)
	if err != nil {
		return err
	}
	defer space.leave()
	masker, err := buildlog.NewMasker(b.allSecrets())
	if err != nil {
		return tasks.Permanent(err)
	}
	var made packaged
	var inventory []pack.Content
	var tree *packedTree
	of := []string(nil)
	for i := range b.pipeline.Packages {
		p := &b.pipeline.Packages[i]
		if steps := b.pipeline.MadeOf(p); tree == nil || !slices.Equal(steps, of) {
			tree.close()
			if tree, err = b.filesOf(ctx, space, steps); err != nil {
				return err
			}
			of = steps
		}
		f, content, err := b.makePackage(ctx, tree, space.temp, *p, masker)
		if err != nil {
			tree.close()
			return fmt.Errorf("package %s: %w", p.Name, err)
		}
		made.Files = append(made.Files, f)
		inventory = append(inventory, pack.Content{Sum: pack.Sum{Name: f.Name, Digest: f.Digest}, Files: content})
	}
	defer tree.close()
	about, err := b.describe(ctx, tree, inventory)
	if err != nil {
		return err
	}
	for _, f := range about {
		f.file.Size, f.file.Digest = int64(len(f.text)), artifact.DigestOf(f.text)
		if _, err := artifact.PutOnce(ctx, b.files, b.packageKey(f.file.Name), bytes.NewReader(f.text), artifact.PutOptions{ContentType: f.file.ContentType}); err != nil {
			return err
		}
		made.Files = append(made.Files, f.file)
	}
	var size int64
	for _, f := range made.Files {
		size += f.Size
	}
	a.Count(tasks.Counters{Written: int64(len(made.Files)), Bytes: size})
	if b.spec.Local == nil {
		if err := b.enter(ctx, &made); err != nil {
			return err
		}
	}
	if err := putJSON(ctx, b.files, b.key("packages.json"), made); !errors.Is(err, artifact.ErrExists) {
		return err
	}
	return nil
}

// packedTree are restored files, of which packages are made.
type packedTree struct {
	root    *os.Root // of the folder that is built
	digests map[string]artifact.Digest
}

// close lets go of the folder; nil has none.
func (t *packedTree) close() {
	if t != nil {
		_ = t.root.Close() // it was read alone
	}
}

// filesOf restores the files that some steps have left, in place of those that are there.
func (b *build) filesOf(ctx context.Context, space *workspace, steps []string) (*packedTree, error) {
	if err := space.clear(); err != nil {
		return nil, err
	}
	in, err := b.input(ctx, steps)
	if err != nil {
		return nil, conflictOr(err)
	}
	if _, err := b.trees.Restore(ctx, in, space.src); err != nil {
		return nil, fmt.Errorf("restore the files: %w", err)
	}
	m, err := b.trees.Manifest(ctx, in)
	if err != nil {
		return nil, err
	}
	t := &packedTree{digests: map[string]artifact.Digest{}}
	for _, e := range m.Entries {
		if name, inside := strings.CutPrefix(e.Path, strings.TrimPrefix(b.spec.Dir+"/", "/")); inside {
			t.digests[name] = e.Digest
		}
	}
	t.root, err = os.OpenRoot(filepath.Join(space.src, filepath.FromSlash(b.spec.Dir)))
	return t, err
}

// allSecrets are those of all steps, which no package may hold.
func (b *build) allSecrets() map[string]string {
	found := map[string]string{}
	for i := range b.pipeline.Steps {
		for _, name := range b.pipeline.Steps[i].Secrets {
			if value, ok := b.f.o.Secret(name); ok {
				found[name] = value
			}
		}
	}
	return found
}

// makePackage writes a package into a temporary file, looks for secrets in what goes into it, and puts it.
func (b *build) makePackage(ctx context.Context, tree *packedTree, temp string, p pipeline.Package, masker *buildlog.Masker) (f packagedFile, content []pack.Sum, err error) {
	name, err := pack.FileName(p, b.start.Version.Version)
	if err != nil {
		return f, nil, tasks.Permanent(err)
	}
	files, content, err := tree.files(p)
	if err != nil {
		return f, nil, err
	}
	out, err := os.CreateTemp(temp, "package")
	if err != nil {
		return f, nil, err
	}
	defer out.Close()
	spec := pack.Spec{Package: p, Version: b.start.Version.Version, Time: b.start.At, Files: files, Scan: func(name string, r io.Reader) error { return scan(name, r, masker) }}
	if err := pack.Write(ctx, out, spec); err != nil {
		if errors.Is(err, pack.ErrName) {
			err = tasks.Permanent(err)
		}
		return f, nil, err
	}
	if _, err := out.Seek(0, io.SeekStart); err != nil {
		return f, nil, err
	}
	kind := contentTypes[p.Format]
	info, err := artifact.PutOnce(ctx, b.files, b.packageKey(name), out, artifact.PutOptions{ContentType: kind})
	if errors.Is(err, artifact.ErrDigest) {
		return f, nil, tasks.Permanent(tasks.WithHint(err, "an agent with another version of stint has begun to package it; build the commit again", "%s is there already, of other bytes", name))
	}
	if err != nil {
		return f, nil, err
	}
	return packagedFile{Name: name, Package: p.Name, ContentType: kind, Size: info.Size, Digest: info.Digest}, content, nil
}

// contentTypes of the formats of packages.
var contentTypes = map[string]string{
	pipeline.Zip: "application/zip", pipeline.TarZstd: "application/zstd", pipeline.TarGzip: "application/gzip", pipeline.SFXUnix: "application/x-sh",
	pipeline.SFXWindows: "application/vnd.microsoft.portable-executable", pipeline.NuGet: "application/zip", pipeline.Plain: "application/octet-stream",
}

// scan looks for secrets in a file.
func scan(file string, r io.Reader, masker *buildlog.Masker) error {
	name, at, err := masker.Contains(r)
	if err != nil {
		return err
	}
	if name != "" {
		return tasks.Permanent(tasks.WithHint(nil, "whoever gets the package would have it; keep it out of the file", "%s holds the secret %s, at byte %d", file, name, at))
	}
	return nil
}

// files lists the files of a package, with their names in it.
func (t *packedTree) files(p pipeline.Package) (list []pack.File, content []pack.Sum, err error) {
	for _, files := range p.Files {
		found, err := filesThatFit(t.root.Name(), files.From)
		if err != nil {
			return nil, nil, err
		}
		if len(found) == 0 {
			return nil, nil, tasks.Permanent(tasks.WithHint(nil, "which step makes it? let it say produces: ["+files.From+"]", "there is no %s", files.From))
		}
		if len(found) > 1 && files.To != "" && !strings.HasSuffix(files.To, "/") {
			return nil, nil, tasks.Permanent(tasks.WithHint(nil, "write "+files.To+"/ for a folder", "%d files fit %s, and to: %s is the name of one", len(found), files.From, files.To))
		}
		for _, name := range found {
			as, _ := files.Place(name) // it fits: filesThatFit found it
			f, err := fileOf(t.root, name, as)
			if err != nil {
				return nil, nil, err
			}
			list = append(list, f)
			if f.Link == "" {
				content = append(content, pack.Sum{Name: f.Name, Digest: t.digests[name]})
			}
		}
	}
	slices.SortFunc(list, func(a, b pack.File) int { return strings.Compare(a.Name, b.Name) })
	return list, content, nil
}

func fileOf(root *os.Root, name, as string) (pack.File, error) {
	local := filepath.FromSlash(name)
	info, err := root.Lstat(local)
	if err != nil {
		return pack.File{}, err
	}
	f := pack.File{Name: as, Mode: info.Mode().Perm(), Size: info.Size()}
	switch info.Mode().Type() {
	case 0:
		f.Open = func() (io.ReadCloser, error) { return root.Open(local) }
	case fs.ModeSymlink:
		f.Mode |= fs.ModeSymlink
		f.Link, err = root.Readlink(local)
	default:
		err = tasks.Permanent(fmt.Errorf("%s is no file", name))
	}
	return f, err
}

// aboutFile is a file about the packages.
type aboutFile struct {
	file packagedFile
	text []byte
}

// describe writes checksums, the bill of materials and, of what agents have built, the provenance; and signs them.
func (b *build) describe(ctx context.Context, tree *packedTree, inventory []pack.Content) (list []aboutFile, err error) {
	add := func(name, contentType string, text []byte) {
		list = append(list, aboutFile{packagedFile{Name: name, ContentType: contentType}, text})
	}
	c := b.start.Commit
	sums := make([]pack.Sum, len(inventory))
	for i := range inventory {
		sums[i] = inventory[i].Sum
	}
	add(fileChecksums, "text/plain; charset=utf-8", pack.Checksums(sums))
	dependencies, err := pack.FindLocks(ctx, tree.root.FS())
	if err != nil {
		return nil, tasks.Permanent(tasks.WithHint(err, "mend the file, or keep it out of the repository", "what the product depends on cannot be read"))
	}
	sbom, err := pack.SBOM(pack.SBOMInput{Product: b.pipeline.Name, Version: b.start.Version.Version, Commit: c.SHA, Repository: b.spec.Repository, Time: b.start.At, Packages: inventory, Dependencies: dependencies})
	if err != nil {
		return nil, fmt.Errorf("write the bill of materials: %w", err)
	}
	add(fileSBOM, "application/vnd.cyclonedx+json", sbom)
	if b.spec.Local == nil {
		provenance, err := b.provenance(sums)
		if err != nil {
			return nil, fmt.Errorf("write the provenance: %w", err)
		}
		add(fileProvenance, "application/vnd.in-toto+json", provenance)
	}
	if signer := b.f.o.Signer; signer != nil {
		for _, f := range slices.Clone(list) {
			signed, err := signer.Sign(f.file.ContentType, f.text)
			if err != nil {
				return nil, fmt.Errorf("sign %s: %w", f.file.Name, err)
			}
			add(f.file.Name+suffixSigned, "application/vnd.dsse+json", signed)
		}
	}
	return list, nil
}

// builderID names who has built it, in provenance.
const builderID = "https://github.com/stint-run/stint/agent"

func (b *build) provenance(sums []pack.Sum) ([]byte, error) {
	c := b.start.Commit
	file := b.spec.Pipeline
	if file == "" {
		file = pipeline.FileName
	}
	o := pack.ProvenanceInput{Subjects: sums, Repository: b.spec.Repository, Ref: c.Ref, Commit: c.SHA, Product: b.pipeline.Name, Version: b.start.Version.Version, Pipeline: path.Join(b.spec.Dir, file),
		PipelineDigest: artifact.DigestOf(b.start.Pipeline), Builder: builderID, BuilderVersion: b.f.o.Version, Invocation: b.job, Started: b.start.Began}
	for _, t := range b.pipeline.Tools {
		for system, digest := range t.SHA256 {
			o.Tools = append(o.Tools, pack.Material{Name: t.Name + " " + t.Version + " " + system, URI: t.URL, Digest: artifact.Digest("sha256:" + digest)})
		}
	}
	slices.SortFunc(o.Tools, func(x, y pack.Material) int { return strings.Compare(x.Name, y.Name) })
	return pack.Provenance(o)
}
