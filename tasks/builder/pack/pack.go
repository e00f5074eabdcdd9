// Package pack makes the files that a build leaves behind: packages, checksums, a bill of materials, provenance and a signature.
//
// A package is a function of its Spec: the same files, version and time give the same bytes on every machine. So a step that was
// killed while it packed is simply run again, and a package that was built twice is published once.
//
//	order   entries stand in the order of their names
//	time    every entry has the time of the commit
//	mode    0755 where somebody may execute the file, else 0644: what an agent's umask says is not in it
//	owner   none
//	deflate and zstd are those of a module, so that they change with go.mod and not with the compiler
//
// Nothing is held in memory but the list of entries. What will be unpacked on somebody else's machine is checked before a byte is
// written: no name leads out of the folder, none falls together with another, no link leads out.
package pack

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/stint-run/stint/tasks"
	"github.com/stint-run/stint/tasks/builder/pipeline"
	"github.com/stint-run/stint/tasks/builder/version"
)

// What callers decide by.
var (
	// ErrChanged: a file had another size, or other bytes, than it was said to have. Nothing that was written is a package.
	ErrChanged = errors.New("file changed while it was packed")
	// ErrName: a name cannot be in a package of this format.
	ErrName = errors.New("name refused")
)

// File is one file of a package.
type File struct {
	// Name is its path in the package, with slashes. A plain file's is not used.
	Name string
	// Mode: a regular file or, with Link, a symbolic link. Of its bits only those for execution matter.
	Mode fs.FileMode
	// Size is what Open gives, in bytes: more or less is ErrChanged.
	Size int64
	// Open is called once or twice for each Write, and what it returns is closed.
	Open func() (io.ReadCloser, error)
	// Link is where a symbolic link leads, from its own folder, with slashes; "" is a regular file.
	Link string
}

// Spec says what is in a package. Write does not change it.
type Spec struct {
	Package pipeline.Package
	// Version is SemVer 2.0.0.
	Version string
	// Time is that of the commit, and of everything in the package, in whole seconds; before 1980 is 1980, as zip knows no earlier.
	Time time.Time
	// Files may stand in any order.
	Files []File
	// Scan is called with every regular file before anything is written, and refuses the package by an error: for secrets, which
	// nobody finds any more once they are compressed. nil looks at nothing.
	Scan func(name string, r io.Reader) error
}

var nameForm = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$`)

// FileName returns the name of a package's file: NAME-VERSION.FORMAT, with .sh and .exe for the self-extracting ones. A plain file
// keeps its extension, and a .nupkg is ID.VERSION.nupkg, as NuGet's own folders want it.
func FileName(p pipeline.Package, v string) (string, error) {
	if !version.Valid(v) {
		return "", tasks.WithHint(nil, "versions are MAJOR.MINOR.PATCH and what SemVer 2.0.0 allows after it", "%q is no version for a package", v)
	}
	if !nameForm.MatchString(p.Name) || strings.HasSuffix(p.Name, ".") || isDevice(p.Name) {
		return "", tasks.WithHint(ErrName, "use letters, digits and . _ -, up to 100, and not the name of a device", "%q cannot be the name of a package", p.Name)
	}
	base := p.Name + "-" + v
	switch p.Format {
	case pipeline.Zip, pipeline.TarZstd, pipeline.TarGzip:
		return base + "." + p.Format, nil
	case pipeline.SFXUnix:
		return base + ".sh", nil
	case pipeline.SFXWindows:
		return base + ".exe", nil
	case pipeline.Plain:
		return base + plainExtension(p), nil
	case pipeline.NuGet:
		m, err := newManifest(p, v)
		if err != nil {
			return "", err
		}
		return m.id + "." + m.version + ".nupkg", nil
	}
	return "", unknownFormat(p)
}

func unknownFormat(p pipeline.Package) error {
	return tasks.WithHint(nil, "choose one of zip, tar.zst, tar.gz, sfx-unix, sfx-windows, file, nupkg", "package %s has the unknown format %q", p.Name, p.Format)
}

// plainExtension is that of the file which the package says it is: .exe, .tar.gz, or "" where it says none.
func plainExtension(p pipeline.Package) string {
	if len(p.Files) == 0 {
		return ""
	}
	name := p.Files[0].To
	if name == "" || strings.HasSuffix(name, "/") {
		name = p.Files[0].From
	}
	name = path.Base(name)
	ext := path.Ext(name)
	if inner := strings.TrimSuffix(name, ext); path.Ext(inner) == ".tar" {
		ext = ".tar" + ext
	}
	if ext == name || strings.ContainsFunc(ext, func(r rune) bool { return r != '.' && !asciiWord(r) }) {
		return ""
	}
	return ext
}

func asciiWord(r rune) bool {
	return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '_'
}

// Write writes a package. An error leaves a part of one behind, which the caller throws away: ErrChanged, ErrName, the error of a
// file, of Scan, of the writer, or the context's cause.
func Write(ctx context.Context, w io.Writer, s Spec) error {
	if _, err := FileName(s.Package, s.Version); err != nil {
		return err
	}
	p, err := plan(s)
	if err != nil {
		return err
	}
	if err := p.scan(ctx); err != nil {
		return err
	}
	switch s.Package.Format {
	case pipeline.Zip:
		err = p.zip(ctx, w, nil, "")
	case pipeline.TarZstd:
		err = p.tarZstd(ctx, w)
	case pipeline.TarGzip:
		err = p.tarGzip(ctx, w)
	case pipeline.SFXUnix:
		err = p.sfxUnix(ctx, w)
	case pipeline.SFXWindows:
		err = p.sfxWindows(ctx, w)
	case pipeline.NuGet:
		err = p.nupkg(ctx, w)
	default:
		err = p.plain(ctx, w)
	}
	if err != nil {
		return fmt.Errorf("pack %s: %w", s.Package.Name, err)
	}
	return nil
}

// packing is a Spec that has been looked at.
type packing struct {
	Spec
	files []File // sorted, and their names are right
	time  time.Time
	run   []string // what a self-extracting archive starts; ./ is where it is
}

// earliest is the first moment that a zip can name.
var earliest = time.Date(1980, 1, 1, 0, 0, 0, 0, time.UTC)

func plan(s Spec) (*packing, error) {
	p := &packing{Spec: s, files: slices.Clone(s.Files), time: s.Time.UTC().Truncate(time.Second)}
	if p.time.Before(earliest) {
		p.time = earliest
	}
	if len(p.files) == 0 {
		return nil, tasks.WithHint(nil, "do the steps before make them, and do the globs of the package fit?", "package %s has no files", s.Package.Name)
	}
	if s.Package.Format == pipeline.Plain {
		if len(p.files) != 1 || p.files[0].Link != "" || !p.files[0].Mode.IsRegular() {
			return nil, tasks.WithHint(nil, "choose zip or another archive for more than one", "package %s is of the format file, which is one regular file, and has %d", s.Package.Name, len(p.files))
		}
		return p, nil
	}
	slices.SortFunc(p.files, func(a, b File) int { return cmp.Compare(a.Name, b.Name) })
	if err := checkNames(s.Package, p.files); err != nil {
		return nil, err
	}
	var err error
	p.run, err = p.command()
	return p, err
}

// command returns what is run after unpacking. A file of the package is ./NAME, so that no folder of PATH comes before it.
func (p *packing) command() ([]string, error) {
	run := slices.Clone(p.Package.Run)
	if len(run) == 0 {
		return nil, nil
	}
	for _, arg := range run {
		if strings.ContainsRune(arg, 0) || !utf8.ValidString(arg) {
			return nil, tasks.WithHint(ErrName, "use text", "package %s runs a command with the argument %q", p.Package.Name, arg)
		}
	}
	name := path.Clean(strings.ReplaceAll(run[0], `\`, "/"))
	has := slices.ContainsFunc(p.files, func(f File) bool { return f.Name == name })
	switch {
	case has:
		run[0] = "./" + name
	case run[0] == "" || strings.ContainsAny(run[0], `/\`):
		return nil, tasks.WithHint(nil, "name a file of the package, or a program that every machine has in its PATH", "package %s runs %q, which is not in it", p.Package.Name, run[0])
	}
	return run, nil
}

// windows reports whether a package of this format is unpacked on Windows, too.
func windows(format string) bool {
	return format == pipeline.Zip || format == pipeline.SFXWindows || format == pipeline.NuGet
}

// checkNames refuses what would not come out as it went in. The files are sorted.
func checkNames(p pipeline.Package, files []File) error {
	seen := make(map[string]string, len(files)) // as a file system sees it that takes a and A for the same
	refuse := func(name, hint, why string) error {
		return tasks.WithHint(ErrName, hint, "package %s: %q cannot be in it: %s", p.Name, name, why)
	}
	key := func(name string) string { return name }
	if windows(p.Format) {
		key = fold
	}
	for _, f := range files {
		if why := nameFault(f.Name, windows(p.Format)); why != "" {
			return refuse(f.Name, "rename the file, or choose another name with to:", why)
		}
		if f.Link == "" && !f.Mode.IsRegular() {
			return refuse(f.Name, "only regular files and symbolic links go into packages", "it is "+f.Mode.Type().String())
		}
		if f.Link != "" {
			if p.Format == pipeline.SFXWindows || p.Format == pipeline.NuGet {
				return refuse(f.Name, "put the file there that it leads to", "it is a symbolic link, which not everybody may make on Windows")
			}
			if why := linkFault(f.Name, f.Link); why != "" {
				return refuse(f.Name, "let it lead to a file of the package, without .. behind a name", why)
			}
		}
		if other, ok := seen[key(f.Name)]; ok {
			if other == f.Name {
				return refuse(f.Name, "two of the package's globs lead to the same name", "it is in it twice")
			}
			return refuse(f.Name, "rename one of them, or choose tar.gz or tar.zst, which are not unpacked on Windows", fmt.Sprintf("on Windows it is the same as %q", other))
		}
		seen[key(f.Name)] = f.Name
	}
	for _, f := range files {
		for dir := path.Dir(f.Name); dir != "."; dir = path.Dir(dir) {
			if other, ok := seen[key(dir)]; ok {
				return refuse(f.Name, "rename one of them", fmt.Sprintf("its folder is the file %q", other))
			}
		}
	}
	return nil
}

// fold makes one text of all that differ in upper and lower case alone.
func fold(name string) string {
	return strings.Map(func(r rune) rune {
		least := r
		for f := unicode.SimpleFold(r); f != r; f = unicode.SimpleFold(f) {
			least = min(least, f)
		}
		return least
	}, name)
}

// maxName is what every archive, and most file systems, can hold of a path in bytes.
const maxName = 1000

// nameFault says why a name cannot be in a package; "" when it can.
func nameFault(name string, windows bool) string {
	switch {
	case name == "" || name == "." || !fs.ValidPath(name):
		return "it is no path inside of the package"
	case len(name) > maxName:
		return fmt.Sprintf("it has more than %d bytes", maxName)
	case strings.ContainsFunc(name, func(r rune) bool { return unicode.IsControl(r) || r == '\u2028' || r == '\u2029' }):
		return "it has control characters in it"
	case strings.Contains(name, `\`):
		return `it has a \ in it, which is a slash on Windows`
	case len(name) > 1 && name[1] == ':' && asciiWord(rune(name[0])):
		return "it begins like a drive of Windows"
	}
	if !windows {
		return ""
	}
	for word := range strings.SplitSeq(name, "/") {
		switch {
		case strings.ContainsAny(word, `<>:"|?*`):
			return "it has a character in it that Windows does not know in names"
		case strings.HasSuffix(word, ".") || strings.HasSuffix(word, " "):
			return "a name that ends with a dot or a space is another one on Windows"
		case isDevice(word):
			return "it is the name of a device on Windows"
		}
	}
	return ""
}

// isDevice reports whether Windows takes a file of this name, whatever its extension, for a device.
func isDevice(word string) bool {
	name, _, _ := strings.Cut(strings.ToLower(word), ".")
	switch strings.TrimRight(name, " ") {
	case "con", "prn", "aux", "nul", "conin$", "conout$":
		return true
	}
	return len(name) == 4 && (name[:3] == "com" || name[:3] == "lpt") && name[3] >= '0' && name[3] <= '9'
}

// linkFault says why a link cannot be in a package. That .. stands at its beginning only is what makes it enough to look at the text:
// behind a name, which may be a link itself, it would lead wherever that one does.
func linkFault(name, link string) string {
	if strings.ContainsFunc(link, unicode.IsControl) || strings.Contains(link, `\`) || !utf8.ValidString(link) {
		return "it is a link to a name with characters that cannot be in one"
	}
	if strings.HasPrefix(link, "/") || len(link) > maxName {
		return "it is a link that leads out of the package"
	}
	inside, behind := strings.Count(name, "/"), false
	for word := range strings.SplitSeq(link, "/") {
		switch {
		case word == ".." && behind:
			return "it is a link with .. behind a name"
		case word == "..":
			inside--
		case word != "." && word != "":
			behind = true
		}
	}
	if inside < 0 {
		return "it is a link that leads out of the package"
	}
	return ""
}

// mode is what an entry gets.
func (f File) mode() fs.FileMode {
	switch {
	case f.Link != "":
		return fs.ModeSymlink | 0o777
	case f.Mode&0o111 != 0:
		return 0o755
	}
	return 0o644
}

// scan shows every file to the caller's Scan.
func (p *packing) scan(ctx context.Context) error {
	if p.Scan == nil {
		return nil
	}
	for _, f := range p.files {
		if f.Link != "" {
			continue
		}
		r, err := f.Open()
		if err != nil {
			return fmt.Errorf("pack %s: open %s: %w", p.Package.Name, f.Name, err)
		}
		err = p.Scan(f.Name, contextReader{ctx, r})
		_ = r.Close() // it was only read
		if err != nil {
			return fmt.Errorf("pack %s: %s: %w", p.Package.Name, f.Name, err)
		}
	}
	return nil
}

// plain writes the one file.
func (p *packing) plain(ctx context.Context, w io.Writer) error { return copyFile(ctx, w, p.files[0]) }

// copyFile writes what is in a file, which has to be as long as it says.
func copyFile(ctx context.Context, w io.Writer, f File) error {
	r, err := f.Open()
	if err != nil {
		return fmt.Errorf("open %s: %w", f.Name, err)
	}
	defer r.Close()
	n, err := io.Copy(w, io.LimitReader(contextReader{ctx, r}, f.Size))
	if err != nil {
		return fmt.Errorf("read %s: %w", f.Name, err)
	}
	more, err := io.CopyN(io.Discard, r, 1)
	if err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("read %s: %w", f.Name, err)
	}
	if n+more != f.Size {
		word := "more"
		if n < f.Size {
			word = "less"
		}
		return tasks.WithHint(ErrChanged, "does a process that a step has left behind still write it? Run the step again", "%s has %s than the %d bytes that it had", f.Name, word, f.Size)
	}
	return nil
}

// contextReader ends with its context.
type contextReader struct {
	ctx context.Context
	r   io.Reader
}

// Read implements io.Reader.
func (c contextReader) Read(b []byte) (int, error) {
	if err := context.Cause(c.ctx); err != nil {
		return 0, err
	}
	return c.r.Read(b)
}
