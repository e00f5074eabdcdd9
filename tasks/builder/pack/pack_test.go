package pack_test

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"github.com/stint-run/stint/internal/artifact"
	"github.com/stint-run/stint/tasks"
	"github.com/stint-run/stint/tasks/builder/pack"
	"github.com/stint-run/stint/tasks/builder/pipeline"
)

var commitTime = time.Date(2026, 11, 20, 8, 30, 1, 500, time.FixedZone("", 3600))

func file(name, content string, mode fs.FileMode) pack.File {
	return pack.File{Name: name, Mode: mode, Size: int64(len(content)), Open: func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(content)), nil }}
}

func link(name, to string) pack.File {
	return pack.File{Name: name, Mode: fs.ModeSymlink | 0o777, Link: to}
}

var metadata = map[string]string{"id": "Acme.Widgets", "authors": "Acme", "description": "Widgets <& more>", "license": "MIT", "dependencies": "Newtonsoft.Json 13.0.3; Acme.Base [1.0,2.0)"}

func spec(format string, files ...pack.File) pack.Spec {
	p := pipeline.Package{Name: "widgets", Format: format}
	if format == pipeline.NuGet {
		p.Metadata = metadata
	}
	return pack.Spec{Package: p, Version: "1.5.57", Time: commitTime, Files: files}
}

func write(t *testing.T, s pack.Spec) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := pack.Write(t.Context(), &b, s); err != nil {
		t.Fatalf("%s: %v (%s)", s.Package.Format, err, tasks.HintOf(err))
	}
	return b.Bytes()
}

var archives = []string{pipeline.Zip, pipeline.TarZstd, pipeline.TarGzip, pipeline.SFXUnix, pipeline.SFXWindows, pipeline.NuGet}

func TestTheNameOfAPackageHasItsVersionInIt(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		p    pipeline.Package
		v    string
		want string
	}{
		{pipeline.Package{Name: "w", Format: pipeline.Zip}, "1.5.57", "w-1.5.57.zip"},
		{pipeline.Package{Name: "w", Format: pipeline.TarZstd}, "1.5.57-br.b-x.gabc", "w-1.5.57-br.b-x.gabc.tar.zst"},
		{pipeline.Package{Name: "w", Format: pipeline.TarGzip}, "1.5.57", "w-1.5.57.tar.gz"},
		{pipeline.Package{Name: "w", Format: pipeline.SFXUnix}, "1.5.57", "w-1.5.57.sh"},
		{pipeline.Package{Name: "w", Format: pipeline.SFXWindows}, "1.5.57", "w-1.5.57.exe"},
		{pipeline.Package{Name: "w", Format: pipeline.Plain, Files: []pipeline.Files{{From: "bin/app.exe"}}}, "1.5.57", "w-1.5.57.exe"},
		{pipeline.Package{Name: "w", Format: pipeline.Plain, Files: []pipeline.Files{{From: "dist/*", To: "x.tar.gz"}}}, "1.5.57", "w-1.5.57.tar.gz"},
		{pipeline.Package{Name: "w", Format: pipeline.Plain, Files: []pipeline.Files{{From: "dist/*"}}}, "1.5.57", "w-1.5.57"},
		{pipeline.Package{Name: "w", Format: pipeline.NuGet, Metadata: metadata}, "1.5.57+x", "Acme.Widgets.1.5.57.nupkg"},
		{pipeline.Package{Name: "../w", Format: pipeline.Zip}, "1.5.57", ""},
		{pipeline.Package{Name: "nul", Format: pipeline.Zip}, "1.5.57", ""},
		{pipeline.Package{Name: "w", Format: pipeline.Zip}, "1.5", ""},
		{pipeline.Package{Name: "w", Format: pipeline.Zip}, "../1.5.0", ""},
		{pipeline.Package{Name: "w", Format: "rar"}, "1.5.57", ""},
		{pipeline.Package{Name: "w", Format: pipeline.NuGet, Metadata: map[string]string{"id": "a b", "authors": "x", "description": "y"}}, "1.5.57", ""},
		{pipeline.Package{Name: "w", Format: pipeline.NuGet, Metadata: map[string]string{"authors": "x"}}, "1.5.57", ""},
		{pipeline.Package{Name: "w", Format: pipeline.NuGet, Metadata: map[string]string{"authors": "x", "description": "y", "wrong": "z"}}, "1.5.57", ""},
	} {
		got, err := pack.FileName(c.p, c.v)
		if got != c.want || (err != nil) != (c.want == "") || err != nil && tasks.HintOf(err) == "" {
			t.Errorf("%s %s: got %q, %v", c.p.Name, c.v, got, err)
		}
	}
}

func TestTheSameFilesGiveTheSameBytesInWhateverOrderTheyStand(t *testing.T) {
	t.Parallel()
	files := []pack.File{file("b.txt", "b", 0o600), file("a/run", "#!/bin/sh\n", 0o711), file("ä/€ b.txt", strings.Repeat("x", 100_000), 0o664), file("a/"+strings.Repeat("n", 150), "", 0o644)}
	for _, format := range archives {
		one := write(t, spec(format, files...))
		backwards := slices.Clone(files)
		slices.Reverse(backwards)
		backwards[1].Mode, backwards[3].Mode = 0o644, 0o666 // another umask
		other := spec(format, backwards...)
		other.Time = commitTime.UTC().Add(-499)
		if !bytes.Equal(one, write(t, other)) {
			t.Errorf("%s differs", format)
		}
		// This changes with the modules that compress, and only on purpose: every package has other bytes then.
		if got := artifact.DigestOf(one).Hex()[:8]; got != wantDigests[format] {
			t.Errorf("%s is %s: the same files have other bytes than with the last version", format, got)
		}
	}
}

// entry is what a reader finds.
type entry struct {
	content, link string
	mode          fs.FileMode
}

func readZip(t *testing.T, b []byte) map[string]entry {
	t.Helper()
	z, err := zip.NewReader(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]entry{}
	for _, f := range z.File {
		r, err := f.Open()
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		e := entry{content: string(content), mode: f.Mode()}
		if f.Mode().Type() == fs.ModeSymlink {
			e = entry{link: string(content), mode: f.Mode()}
		}
		found[f.Name] = e
		if !f.Modified.Equal(commitTime.Truncate(time.Second)) {
			t.Errorf("%s is of %v", f.Name, f.Modified)
		}
	}
	return found
}

func readTar(t *testing.T, r io.Reader) map[string]entry {
	t.Helper()
	found := map[string]entry{}
	for a := tar.NewReader(r); ; {
		h, err := a.Next()
		if errors.Is(err, io.EOF) {
			return found
		}
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(a)
		if err != nil {
			t.Fatal(err)
		}
		found[h.Name] = entry{string(content), h.Linkname, h.FileInfo().Mode()}
		if !h.ModTime.Equal(commitTime.Truncate(time.Second)) || h.Uid != 0 || h.Uname != "" {
			t.Errorf("%s: %+v", h.Name, h)
		}
	}
}

func TestFilesComeOutAsTheyWentInWithTheirLinks(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("d/", 60) + "file"
	files := []pack.File{file("bin/app", "\x7fELF", 0o755), file("größe.txt", "ü", 0o640), file("empty", "", 0o644), file(long, "deep", 0o644), link("lib/current", "../bin/app")}
	want := map[string]entry{"bin/app": {"\x7fELF", "", 0o755}, "größe.txt": {"ü", "", 0o644}, "empty": {"", "", 0o644}, long: {"deep", "", 0o644}, "lib/current": {"", "../bin/app", fs.ModeSymlink | 0o777}}
	compare := func(format string, got map[string]entry) {
		t.Helper()
		if !maps.Equal(got, want) {
			t.Errorf("%s: got %v", format, got)
		}
	}
	compare("zip", readZip(t, write(t, spec(pipeline.Zip, files...))))
	z, err := gzip.NewReader(bytes.NewReader(write(t, spec(pipeline.TarGzip, files...))))
	if err != nil {
		t.Fatal(err)
	}
	compare("tar.gz", readTar(t, z))
	d, err := zstd.NewReader(bytes.NewReader(write(t, spec(pipeline.TarZstd, files...))))
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	compare("tar.zst", readTar(t, d))

	plain := spec(pipeline.Plain, file("bin/app", "as it is", 0o755))
	if got := string(write(t, plain)); got != "as it is" {
		t.Errorf("file: got %q", got)
	}
}

func TestOtherToolsReadTheArchives(t *testing.T) {
	t.Parallel()
	files := []pack.File{file("bin/app", "x", 0o755), file("größe.txt", "ü", 0o640), file(strings.Repeat("d/", 60)+"file", "deep", 0o644)}
	for format, command := range map[string][]string{pipeline.Zip: {"unzip", "-tq"}, pipeline.SFXWindows: {"unzip", "-tq"}, pipeline.NuGet: {"unzip", "-tq"}, pipeline.TarGzip: {"tar", "-tzf"}, pipeline.TarZstd: {"tar", "--zstd", "-tf"}} {
		if _, err := exec.LookPath(command[0]); err != nil {
			continue
		}
		name := filepath.Join(t.TempDir(), "package")
		if err := os.WriteFile(name, write(t, spec(format, files...)), 0o600); err != nil {
			t.Fatal(err)
		}
		if out, err := exec.CommandContext(t.Context(), command[0], append(command[1:], name)...).CombinedOutput(); err != nil {
			t.Errorf("%s: %v: %s", format, err, out)
		}
	}
}

func TestANuGetPackageHasItsParts(t *testing.T) {
	t.Parallel()
	got := readZip(t, write(t, spec(pipeline.NuGet, file("lib/net8.0/Acme Widgets+1.dll", "MZ", 0o644), file("tools/LICENSE", "MIT", 0o644))))
	names := slices.Sorted(maps.Keys(got))
	if want := []string{"Acme.Widgets.nuspec", "[Content_Types].xml", "_rels/.rels", "lib/net8.0/Acme%20Widgets%2B1.dll", "tools/LICENSE"}; !slices.Equal(names, want) {
		t.Errorf("there are %q", names)
	}
	for _, part := range []string{"Acme.Widgets.nuspec", "[Content_Types].xml", "_rels/.rels"} {
		var whole struct {
			Inner string `xml:",innerxml"`
		}
		if err := xml.Unmarshal([]byte(got[part].content), &whole); err != nil || whole.Inner == "" {
			t.Errorf("%s is no XML: %v", part, err)
		}
	}
	for part, texts := range map[string][]string{
		"Acme.Widgets.nuspec": {"<id>Acme.Widgets</id>", "<version>1.5.57</version>", "Widgets &lt;&amp; more&gt;", `<license type="expression">MIT</license>`,
			`<dependency id="Newtonsoft.Json" version="13.0.3">`, `version="[1.0,2.0)"`},
		"[Content_Types].xml": {`Extension="dll"`, `Extension="nuspec"`, `Extension="rels"`, `PartName="/tools/LICENSE"`},
		"_rels/.rels":         {`Target="/Acme.Widgets.nuspec"`},
	} {
		for _, text := range texts {
			if !strings.Contains(got[part].content, text) {
				t.Errorf("%s has no %s:\n%s", part, text, got[part].content)
			}
		}
	}
	for _, name := range []string{"_rels/.rels", "[content_types].XML", "other.nuspec", "package/services/x"} {
		if err := pack.Write(t.Context(), io.Discard, spec(pipeline.NuGet, file(name, "x", 0o644))); !errors.Is(err, pack.ErrName) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestNamesThatWouldNotComeOutAsTheyWentInAreRefused(t *testing.T) {
	t.Parallel()
	x := func(names ...string) (list []pack.File) {
		for _, n := range names {
			list = append(list, file(n, "x", 0o644))
		}
		return list
	}
	everywhere := [][]pack.File{
		x("../x"), x("a/../../x"), x("/etc/passwd"), x("C:/x"), x(`a\..\x`), x("a\nb"), x("a\x00b"), x("a//b"), x("./a"), x(""), x("."), x("a\u2028b"), x("\xff"), x(strings.Repeat("x", 2000)),
		x("a", "a"), x("a", "a/b"), append(x("a/b"), link("a", "c")), {link("l", "../x")}, {link("l", "/etc/passwd")}, {link("a/l", "../../x")}, {link("a/l", "b/../../../x")},
		{link("l", "d/.."), link("d", "x")}, {link("l", `..\x`)}, {link("l", "a\nb")}, {file("fifo", "", fs.ModeNamedPipe)}, {file("dir", "", fs.ModeDir|0o755)}, {},
	}
	for _, format := range archives {
		for i, files := range everywhere {
			var out bytes.Buffer
			err := pack.Write(t.Context(), &out, spec(format, files...))
			if err == nil || len(files) > 0 && !errors.Is(err, pack.ErrName) || tasks.HintOf(err) == "" || out.Len() > 0 {
				t.Errorf("%s %d: %v (%s), %d bytes written", format, i, err, tasks.HintOf(err), out.Len())
			}
		}
		for _, files := range [][]pack.File{x("README", "readme"), x("Straße", "STRAßE"), x("ab:c"), x("a?"), x("con.txt"), x("a/AUX"), x("a."), x("a /b"), x("k", "\u212a")} {
			err := pack.Write(t.Context(), io.Discard, spec(format, files...))
			onWindows := format == pipeline.Zip || format == pipeline.SFXWindows || format == pipeline.NuGet
			if onWindows != errors.Is(err, pack.ErrName) || !onWindows && err != nil {
				t.Errorf("%s %q: %v", format, files[0].Name, err)
			}
		}
	}
}

func TestAFileThatChangesWhileItIsPackedIsAnError(t *testing.T) {
	t.Parallel()
	for _, format := range append(archives, pipeline.Plain) {
		for _, size := range []int64{3, 5} {
			f := file("a", "four", 0o644)
			f.Size = size
			if err := pack.Write(t.Context(), io.Discard, spec(format, f)); !errors.Is(err, pack.ErrChanged) || tasks.HintOf(err) == "" {
				t.Errorf("%s, %d bytes said: %v", format, size, err)
			}
		}
	}
	n := 0
	f := file("a", "xxxx", 0o644)
	f.Open = func() (io.ReadCloser, error) {
		n++
		return io.NopCloser(strings.NewReader(fmt.Sprintf("%04d", n))), nil
	}
	if err := pack.Write(t.Context(), io.Discard, spec(pipeline.SFXUnix, f)); !errors.Is(err, pack.ErrChanged) {
		t.Errorf("other bytes of the same size: %v", err)
	}
	f.Open = func() (io.ReadCloser, error) { return nil, fs.ErrPermission }
	if err := pack.Write(t.Context(), io.Discard, spec(pipeline.Zip, f)); !errors.Is(err, fs.ErrPermission) {
		t.Errorf("cannot be opened: %v", err)
	}
}

func TestASecretInAFileRefusesThePackage(t *testing.T) {
	t.Parallel()
	found := errors.New("the secret TOKEN is in it")
	for _, format := range append(archives, pipeline.Plain) {
		s := spec(format, file("a", "my hunter2.", 0o644))
		s.Scan = func(name string, r io.Reader) error {
			b, err := io.ReadAll(r)
			if err == nil && bytes.Contains(b, []byte("hunter2")) {
				return found
			}
			return err
		}
		var out bytes.Buffer
		if err := pack.Write(t.Context(), &out, s); !errors.Is(err, found) || out.Len() > 0 {
			t.Errorf("%s: %v, %d bytes written", format, err, out.Len())
		}
	}
}

func TestPackingEndsWithItsContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancelCause(t.Context())
	why := errors.New("drained")
	cancel(why)
	if err := pack.Write(ctx, io.Discard, spec(pipeline.Zip, file("a", "x", 0o644))); !errors.Is(err, why) {
		t.Error(err)
	}
}

// zeros is a file that takes no place.
func zeros(name string, size int64) pack.File {
	return pack.File{Name: name, Size: size, Open: func() (io.ReadCloser, error) { return io.NopCloser(io.LimitReader(zeroReader{}, size)), nil }}
}

type zeroReader struct{}

func (zeroReader) Read(b []byte) (int, error) {
	clear(b)
	return len(b), nil
}

func TestMoreFilesAndBytesThanAnOldZipHoldsAreInIt(t *testing.T) {
	t.Parallel()
	many := make([]pack.File, 66_000)
	for i := range many {
		many[i] = file(fmt.Sprintf("f/%d", i), "", 0o644)
	}
	b := write(t, spec(pipeline.Zip, many...))
	if z, err := zip.NewReader(bytes.NewReader(b), int64(len(b))); err != nil || len(z.File) != len(many) {
		t.Errorf("many: %v", err)
	}
	if testing.Short() {
		t.Skip("4 GiB")
	}
	const size = 4<<30 + 7
	b = write(t, spec(pipeline.Zip, zeros("large", size), file("z", "behind it", 0o644)))
	z, err := zip.NewReader(bytes.NewReader(b), int64(len(b)))
	if err != nil || z.File[0].UncompressedSize64 != size {
		t.Fatalf("large: %v", err)
	}
	if got, err := fs.ReadFile(z, "z"); err != nil || string(got) != "behind it" {
		t.Errorf("behind the large one: %q, %v", got, err)
	}
}

// wantDigests are the beginnings of the digests of what TestTheSameFilesGiveTheSameBytesInWhateverOrderTheyStand packs.
var wantDigests = map[string]string{"zip": "f2585b96", "tar.zst": "ffb4a162", "tar.gz": "17334b65", "sfx-unix": "75ac12f1", "sfx-windows": "c17decf5", "nupkg": "e2d31f22"}
