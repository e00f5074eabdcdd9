package pipeline

import (
	"fmt"
	"maps"
	"net"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/stint-run/stint/tasks/builder/glob"
)

// anyPlatform is the key of a digest that holds everywhere.
const anyPlatform = "any"

var (
	platformForm = regexp.MustCompile(`^[a-z0-9]+/[a-z0-9]+$`)
	versionForm  = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._+-]{0,63}$`)
	packageName  = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$`)
	device       = regexp.MustCompile(`^(?i:con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?$`)
	urlWords     = regexp.MustCompile(`\{([^{}]*)\}`)
)

func (c *checker) tools() {
	seen := map[string]bool{}
	for i := range c.p.Tools {
		t, at := &c.p.Tools[i], index("tools", i)
		c.name(at+".name", t.Name, "a tool")
		if seen[t.Name] && t.Name != "" {
			c.add(at+".name", "take one of them away, or give it another name", "the tool %s is listed twice", quoted(t.Name))
		}
		seen[t.Name] = true
		switch {
		case t.Version == "":
			c.add(at+".version", "add version:, exactly", "the tool has no version")
		case !versionForm.MatchString(t.Version):
			c.add(at+".version", "write one version, such as 1.26.0", "%s is no version of a tool: it is a part of paths", quoted(t.Version))
		}
		c.url(t, at)
		c.digests(t, at+".sha256")
		if t.Strip < 0 || t.Strip > 16 {
			c.add(at+".strip", "from 0 to 16", "%d is out of range", t.Strip)
		}
		for j, p := range t.Path {
			if p != "." {
				c.pathIn(index(at+".path", j), p, "the archive")
			}
		}
		c.once(at+".path", t.Path)
	}
}

func (c *checker) url(t *Tool, at string) {
	at += ".url"
	if t.URL == "" {
		c.add(at, "add url:", "the tool has no URL")
		return
	}
	words := []string{"version", "os", "arch"}
	for _, m := range urlWords.FindAllStringSubmatch(t.URL, -1) {
		if !slices.Contains(words, m[1]) {
			c.add(at, or(c.near(m[1], words), "there are {version}, {os} and {arch}"), "%s is nothing that is filled in", m[0])
			return
		}
	}
	u, err := url.Parse(urlWords.ReplaceAllString(t.URL, "x"))
	switch {
	case err != nil || u.Host == "" || strings.Contains(beforePath(t.URL), "{"):
		c.add(at, "write https://HOST/PATH", "%s is no URL", quoted(t.URL))
	case u.User != nil:
		c.add(at, "have the file where it needs no password: its digest is what makes it safe", "a name or a password stands in the URL")
	case u.Scheme == "http" && !loopback(u.Hostname()):
		c.add(at, "write https://", "http is for this machine alone: anybody on the way could put another file there, or see which")
	case u.Scheme != "http" && u.Scheme != "https":
		c.add(at, "write https://HOST/PATH", "%s is no URL that a tool is fetched from", quoted(t.URL))
	}
}

// beforePath is a URL's scheme and host, as they are written.
func beforePath(u string) string {
	_, rest, _ := strings.Cut(u, "://")
	host, _, _ := strings.Cut(rest, "/")
	return host
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

func (c *checker) digests(t *Tool, at string) {
	if len(t.SHA256) == 0 {
		c.add(at, "add sha256:, which `sha256sum FILE` prints", "the tool has no digest: whoever has the server could put another program there")
		return
	}
	platforms := slices.Sorted(maps.Keys(t.SHA256))
	for _, p := range platforms {
		here, digest := join(at, p), t.SHA256[p]
		if p != anyPlatform && !platformForm.MatchString(p) {
			c.add(here, "write OS/ARCH with Go's words: linux/amd64, windows/amd64, darwin/arm64", "%s is no platform", quoted(p))
		}
		switch {
		case digestForm.MatchString(digest):
		case digestForm.MatchString(strings.ToLower(digest)):
			c.add(here, "write it with a-f", "a digest has small letters")
		case len(digest) != 64:
			c.add(here, "`sha256sum FILE` prints it", "a SHA-256 has 64 digits, and this one %d", len(digest))
		default:
			c.add(here, "`sha256sum FILE` prints it", "a SHA-256 has the digits 0-9 and a-f alone")
		}
	}
	if slices.Contains(platforms, anyPlatform) {
		if len(platforms) > 1 {
			c.add(at, "name each platform, or any alone", "any stands beside other platforms")
		}
		if strings.Contains(t.URL, "{os}") || strings.Contains(t.URL, "{arch}") {
			c.add(at, "write a digest for each: linux/amd64: …", "one digest cannot be that of the files of several platforms, which the URL names")
		}
	}
}

// metadata are the words of a .nuspec that may be given; the others are stint's to write.
var metadata = []string{"id", "authors", "title", "description", "summary", "language", "projectUrl", "licenseUrl", "license", "icon", "readme", "copyright", "tags",
	"releaseNotes", "requireLicenseAcceptance", "developmentDependency", "dependencies"}

// idForm is NuGet's rule.
var idForm = regexp.MustCompile(`^[A-Za-z0-9_]+([.-][A-Za-z0-9_]+)*$`)

// extension is what a package's file name ends with.
func extension(k *Package) string {
	switch k.Format {
	case SFXUnix:
		return ".sh"
	case SFXWindows:
		return ".exe"
	case Plain:
		if len(k.Files) != 1 {
			return ""
		}
		name := path.Base(or(k.Files[0].To, k.Files[0].From))
		ext := path.Ext(name)
		if path.Ext(strings.TrimSuffix(name, ext)) == ".tar" {
			ext = ".tar" + ext
		}
		return ext
	}
	return "." + k.Format
}

func (c *checker) packages() {
	if len(c.p.Packages) > MaxPackages {
		c.add("packages", "put more files into each, or make several pipelines", "%d packages are too many: %d is the most", len(c.p.Packages), MaxPackages)
		return
	}
	files := map[string]string{}
	for i := range c.p.Packages {
		k, at := &c.p.Packages[i], index("packages", i)
		switch {
		case k.Name == "":
			c.add(at+".name", "add name:", "the package has no name")
		case strings.Contains(k.Name, "{"):
			c.add(at+".name", "write the name alone: the version is put behind it", "%s has braces in it", quoted(k.Name))
		case !packageName.MatchString(k.Name) || strings.Contains(k.Name, "..") || strings.HasSuffix(k.Name, "."):
			c.add(at+".name", "write A-Z, a-z, 0-9, - . and _, up to 100, a letter or digit first", "%s is no name for a package", quoted(k.Name))
		case device.MatchString(k.Name):
			c.add(at+".name", "give it another name", "%s is what Windows calls a device", quoted(k.Name))
		}
		c.format(k, at)
		c.files(k, at)
		names := c.stepNames()
		for j, n := range k.After {
			if !slices.Contains(names, n) {
				c.add(index(at+".after", j), c.noSuchStep(n, names), "there is no step %s", quoted(n))
			}
		}
		c.once(at+".after", k.After)
		file := strings.ToLower(k.Name + "-VERSION" + extension(k))
		if k.Format == NuGet && k.Metadata["id"] != "" {
			file = strings.ToLower(k.Metadata["id"] + ".VERSION" + extension(k))
		}
		if other := files[file]; other != "" && k.Name != "" {
			c.add(at+".name", "give it another name", "its file has the name of that of %s", other)
		}
		files[file] = fmt.Sprintf("packages[%d], %s", i, k.Name)
	}
}

func (c *checker) format(k *Package, at string) {
	switch {
	case k.Format == "":
		c.add(at+".format", "add format: "+list(Formats), "the package has no format")
		return
	case !slices.Contains(Formats, k.Format):
		hint := c.near(k.Format, Formats)
		switch k.Format {
		case "tar", "tar.xz", "tar.bz2":
			hint = "write tar.zst, or tar.gz where a system is too old for it"
		case "sfx", "exe":
			hint = "write sfx-windows or sfx-unix"
		}
		c.add(at+".format", or(hint, "there are "+list(Formats)), "there is no format %s", quoted(k.Format))
		return
	}
	if len(k.Run) > 0 {
		if k.Format != SFXUnix && k.Format != SFXWindows {
			c.add(at+".run", "take it away, or write format: sfx-unix or sfx-windows", "a %s starts nothing", k.Format)
		} else {
			c.arguments(at+".run", k.Run)
		}
	}
	if k.Format != NuGet {
		if len(k.Metadata) > 0 {
			c.add(at+".metadata", "take it away, or write format: nupkg", "a %s has no metadata", k.Format)
		}
		return
	}
	for _, name := range []string{"id", "authors", "description"} {
		if strings.TrimSpace(k.Metadata[name]) == "" {
			c.add(at+".metadata", "add "+name+": below metadata:", "a nupkg has no %s, and NuGet wants one", name)
		}
	}
	if id := k.Metadata["id"]; id != "" && (!idForm.MatchString(id) || len(id) > 100) {
		c.add(join(at+".metadata", "id"), "write letters, digits and _, with . or - between, up to 100", "%s is no id for NuGet", quoted(id))
	}
	for _, name := range slices.Sorted(maps.Keys(k.Metadata)) {
		if name == "version" {
			c.add(join(at+".metadata", name), "take it away", "the version is the build's")
		} else if !slices.Contains(metadata, name) {
			c.add(join(at+".metadata", name), or(c.near(name, metadata), "there are "+list(metadata)), "NuGet knows no %s", quoted(name))
		}
	}
}

func (c *checker) files(k *Package, at string) {
	if len(k.Files) == 0 {
		c.add(at+".files", "add files:, such as out/**", "the package has no files")
		return
	}
	for i, f := range k.Files {
		here := index(at+".files", i)
		if f.From == "" {
			c.add(here+".from", "add from:, a pattern", "the entry names no file")
		} else if c.glob(here+".from", f.From) {
			if by := c.excluded(f.From); by != "" {
				c.add(here+".from", "exclude: "+by+" leaves it behind: make that narrower", "%s does not travel to the package", quoted(f.From))
			}
		}
		if f.To == "" || !c.pathIn(here+".to", f.To, "the package") {
			continue
		}
		asked, _ := facts(f.To)
		switch {
		case len(asked) > 0:
			c.add(here+".to", "the package's own name has the version", "%s is not filled in here", asked[0])
		case path.Clean(f.To) == "." && f.To != "./":
			c.add(here+".to", "write ./ for the package's own folder", "%s is no name for a file", quoted(f.To))
		case strings.HasSuffix(f.To, "/") || !glob.Special(f.From):
		case glob.Special(f.To):
			c.add(here+".to", "write a folder, with / at its end", "%s is a pattern", quoted(f.To))
		default:
			c.add(here+".to", "write "+f.To+"/ for a folder", "several files cannot all be called %s", quoted(f.To))
		}
	}
	if k.Format == Plain && (len(k.Files) > 1 || strings.HasSuffix(k.Files[0].To, "/")) {
		c.add(at+".files", "name one file, or write format: zip", "format: file is one file as it is")
	}
}

func (c *checker) publish() {
	var names []string
	for _, k := range c.p.Packages {
		names = append(names, k.Name)
	}
	if len(c.p.Publish) > 0 && len(names) == 0 {
		c.add("publish", "add packages:", "there is no package to publish")
	}
	if len(c.p.Publish) > MaxPublish || len(names) > MaxPackages {
		c.atMost("publish", len(c.p.Publish), MaxPublish)
		return
	}
	sent := map[string]bool{}
	for i, to := range c.p.Publish {
		at := index("publish", i)
		switch {
		case to.To == "":
			c.add(at+".to", "add to:, a target of the agents' configuration", "nothing says where to")
		case strings.Contains(to.To, "=") || !labelForm.MatchString(to.To):
			c.add(at+".to", "write the name of a target of the agents' configuration; addresses and passwords are there", "%s is no name of a target", quoted(to.To))
		}
		for j, n := range to.Packages {
			if !slices.Contains(names, n) && len(names) > 0 {
				c.add(index(at+".packages", j), or(c.near(n, names), "there are "+list(names)), "there is no package %s", quoted(n))
			}
		}
		c.once(at+".packages", to.Packages)
		c.channels(at+".channels", to.Channels)
		c.sentTwice(at, to, names, sent)
	}
}

func (c *checker) sentTwice(at string, to Publish, names []string, sent map[string]bool) {
	if len(to.Packages) > 0 {
		names = to.Packages
	}
	var twice string
	for _, n := range slices.Compact(slices.Sorted(slices.Values(names))) {
		for _, channel := range slices.Compact(slices.Sorted(slices.Values(to.Channels))) {
			key := strings.Join([]string{to.To, n, channel}, "\n")
			if sent[key] && twice == "" {
				twice = n
			}
			sent[key] = true
		}
	}
	if twice != "" && to.To != "" {
		c.add(at+".to", "take one of them away, or narrow packages: and channels:", "%s is sent to %s twice", twice, to.To)
	}
}
