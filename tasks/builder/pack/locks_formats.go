package pack

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/pelletier/go-toml/v2"
	"golang.org/x/mod/modfile"
)

// purl writes a package URL. Slashes of the name stand between its parts.
func purl(kind, name, version string) string {
	parts := strings.Split(name, "/")
	for i, p := range parts {
		parts[i] = partName(p)
	}
	return "pkg:" + kind + "/" + strings.Join(parts, "/") + "@" + partName(version)
}

// goModules reads go.mod, which since Go 1.17 names all modules that are built, and go.sum beside it.
func goModules(content []byte, companion func(string) ([]byte, error)) ([]Dependency, error) {
	f, err := modfile.ParseLax("go.mod", content, nil)
	if err != nil {
		return nil, err
	}
	// ParseLax leaves replacements out; a go.mod that cannot be read strictly has none that are known here.
	replaced := map[string]*modfile.Replace{}
	if strict, err := modfile.Parse("go.mod", content, nil); err == nil {
		for _, r := range strict.Replace {
			replaced[r.Old.String()] = r
		}
	}
	sums := map[string]string{}
	b, err := companion("go.sum")
	if err != nil {
		return nil, err
	}
	for line := range strings.Lines(string(b)) {
		if w := strings.Fields(line); len(w) == 3 && !strings.HasSuffix(w[1], "/go.mod") {
			sums[w[0]+"@"+w[1]] = w[2]
		}
	}
	var list []Dependency
	for _, r := range f.Require {
		m := r.Mod
		by := replaced[m.String()]
		if by == nil {
			by = replaced[m.Path]
		}
		if by != nil {
			if m = by.New; m.Version == "" { // a folder of this tree
				continue
			}
		}
		list = append(list, Dependency{Name: m.Path, Version: m.Version, URL: purl("golang", m.Path, m.Version), Sum: sums[m.String()]})
	}
	return list, nil
}

// npmPackage is an entry of npm's lock files: packages of version 2 and 3, dependencies of version 1.
type npmPackage struct {
	Name      string `json:"name"`
	Version   string `json:"version"`
	Integrity string `json:"integrity"`
	License   any    `json:"license"`
	Dev       bool   `json:"dev"`
	Link      bool   `json:"link"`
}

func npmLock(content []byte, _ func(string) ([]byte, error)) ([]Dependency, error) {
	var lock struct {
		LockfileVersion int                   `json:"lockfileVersion"`
		Packages        map[string]npmPackage `json:"packages"`
		Dependencies    json.RawMessage       `json:"dependencies"`
	}
	if err := json.Unmarshal(content, &lock); err != nil {
		return nil, err
	}
	if lock.LockfileVersion < 2 {
		return npmTree(lock.Dependencies, 0)
	}
	var list []Dependency
	for _, place := range slices.Sorted(maps.Keys(lock.Packages)) {
		p := lock.Packages[place]
		const folder = "node_modules/"
		i := strings.LastIndex(place, folder)
		if i < 0 || p.Link || p.Version == "" { // the product itself, and its own parts
			continue
		}
		if p.Name == "" {
			p.Name = place[i+len(folder):]
		}
		list = append(list, p.dependency())
	}
	return list, nil
}

// npmTree reads the nested form of version 1.
func npmTree(content json.RawMessage, depth int) ([]Dependency, error) {
	if len(content) == 0 {
		return nil, nil
	}
	if depth > 100 {
		return nil, fmt.Errorf("dependencies are nested more than %d deep", depth)
	}
	var level map[string]struct {
		npmPackage
		Inner json.RawMessage `json:"dependencies"`
	}
	if err := json.Unmarshal(content, &level); err != nil {
		return nil, err
	}
	var list []Dependency
	for _, name := range slices.Sorted(maps.Keys(level)) {
		p := level[name]
		p.Name = name
		if p.Version != "" && !strings.HasPrefix(p.Version, "file:") {
			list = append(list, p.dependency())
		}
		inner, err := npmTree(p.Inner, depth+1)
		if err != nil {
			return nil, err
		}
		list = append(list, inner...)
	}
	return list, nil
}

func (p npmPackage) dependency() Dependency {
	d := Dependency{Name: p.Name, Version: p.Version, URL: purl("npm", p.Name, p.Version), Development: p.Dev, Hashes: integrity(p.Integrity)}
	if l, ok := p.License.(string); ok && l != "" {
		d.Licences = []string{l}
	}
	return d
}

// hashes are the algorithms of lock files, by their names there.
var hashes = map[string]struct {
	name  string
	bytes int
}{"sha1": {"SHA-1", 20}, "sha256": {"SHA-256", 32}, "sha384": {"SHA-384", 48}, "sha512": {"SHA-512", 64}}

// integrity reads digests as browsers have them: sha512-BASE64, several with blanks between.
func integrity(s string) []Hash {
	var list []Hash
	for word := range strings.FieldsSeq(s) {
		algorithm, value, _ := strings.Cut(word, "-")
		value, _, _ = strings.Cut(value, "?")
		if b, err := base64.StdEncoding.DecodeString(value); err == nil && len(b) > 0 && len(b) == hashes[algorithm].bytes {
			list = append(list, Hash{hashes[algorithm].name, hex.EncodeToString(b)})
		}
	}
	return list
}

func nugetLock(content []byte, _ func(string) ([]byte, error)) ([]Dependency, error) {
	var lock struct {
		Dependencies map[string]map[string]struct {
			Type        string `json:"type"`
			Resolved    string `json:"resolved"`
			ContentHash string `json:"contentHash"`
		} `json:"dependencies"`
	}
	if err := json.Unmarshal(content, &lock); err != nil {
		return nil, err
	}
	var list []Dependency
	for _, framework := range slices.Sorted(maps.Keys(lock.Dependencies)) {
		for _, name := range slices.Sorted(maps.Keys(lock.Dependencies[framework])) {
			p := lock.Dependencies[framework][name]
			if p.Type == "Project" || p.Resolved == "" {
				continue
			}
			d := Dependency{Name: name, Version: p.Resolved, URL: purl("nuget", name, p.Resolved)}
			if p.ContentHash != "" {
				d.Hashes = integrity("sha512-" + p.ContentHash)
			}
			list = append(list, d)
		}
	}
	return list, nil
}

func cargoLock(content []byte, _ func(string) ([]byte, error)) ([]Dependency, error) {
	var lock struct {
		Package []struct {
			Name     string `toml:"name"`
			Version  string `toml:"version"`
			Source   string `toml:"source"`
			Checksum string `toml:"checksum"`
		} `toml:"package"`
	}
	if err := shallow(content); err != nil {
		return nil, err
	}
	if err := toml.Unmarshal(content, &lock); err != nil {
		return nil, err
	}
	var list []Dependency
	for _, p := range lock.Package {
		if p.Source == "" { // a part of the product
			continue
		}
		d := Dependency{Name: p.Name, Version: p.Version, URL: purl("cargo", p.Name, p.Version)}
		if isHex(p.Checksum, 64) {
			d.Hashes = []Hash{{"SHA-256", p.Checksum}}
		}
		if git, ok := strings.CutPrefix(p.Source, "git+"); ok {
			d.URL += "?vcs_url=git%2B" + strings.ReplaceAll(partName(git), "/", "%2F")
		}
		list = append(list, d)
	}
	return list, nil
}

var (
	pinned     = regexp.MustCompile(`^([A-Za-z0-9][A-Za-z0-9._-]*)\s*(?:\[[^\]]*\])?\s*={2,3}\s*([A-Za-z0-9][A-Za-z0-9.!+_-]*)\s*(?:;|--|#|$)`)
	pinnedHash = regexp.MustCompile(`--hash=(sha(?:256|384|512)):([0-9a-fA-F]+)`)
	separators = regexp.MustCompile(`[-_.]+`)
)

// pythonRequirements reads what is pinned with ==; a range is no version.
func pythonRequirements(content []byte, _ func(string) ([]byte, error)) ([]Dependency, error) {
	content = bytes.ReplaceAll(bytes.ReplaceAll(content, []byte("\r\n"), []byte("\n")), []byte("\\\n"), []byte(" "))
	var list []Dependency
	lines := bufio.NewScanner(bytes.NewReader(content))
	lines.Buffer(nil, maxLock)
	for lines.Scan() {
		line := strings.TrimSpace(lines.Text())
		m := pinned.FindStringSubmatch(line)
		if m == nil {
			continue
		}
		name := strings.ToLower(separators.ReplaceAllString(m[1], "-"))
		d := Dependency{Name: name, Version: m[2], URL: purl("pypi", name, m[2])}
		for _, h := range pinnedHash.FindAllStringSubmatch(line, -1) {
			if a := hashes[h[1]]; isHex(h[2], 2*a.bytes) {
				d.Hashes = append(d.Hashes, Hash{a.name, strings.ToLower(h[2])})
			}
		}
		list = append(list, d)
	}
	return list, lines.Err()
}

func composerLock(content []byte, _ func(string) ([]byte, error)) ([]Dependency, error) {
	type entry struct {
		Name    string   `json:"name"`
		Version string   `json:"version"`
		License []string `json:"license"`
		Dist    struct {
			Shasum string `json:"shasum"`
		} `json:"dist"`
	}
	var lock struct {
		Packages    []entry `json:"packages"`
		PackagesDev []entry `json:"packages-dev"`
	}
	if err := json.Unmarshal(content, &lock); err != nil {
		return nil, err
	}
	var list []Dependency
	for i, entries := range [][]entry{lock.Packages, lock.PackagesDev} {
		for _, p := range entries {
			d := Dependency{Name: p.Name, Version: p.Version, URL: purl("composer", p.Name, p.Version), Licences: p.License, Development: i == 1}
			if isHex(p.Dist.Shasum, 40) {
				d.Hashes = []Hash{{"SHA-1", p.Dist.Shasum}}
			}
			list = append(list, d)
		}
	}
	return list, nil
}

func isHex(s string, digits int) bool {
	b, err := hex.DecodeString(s)
	return err == nil && len(b)*2 == digits
}
