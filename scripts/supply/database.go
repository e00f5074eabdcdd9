package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/mod/module"
	"golang.org/x/mod/semver"
)

// The snapshot is what the Go vulnerability database (https://vuln.go.dev, CC-BY 4.0) says of the modules of go.sum and of the standard
// library: a line of JSON that says what it is, then one for each report.
const (
	keptFile = "scripts/supply/vulndb.jsonl"
	// old is when a snapshot is too old to say much: reports come each week.
	old = 45 * 24 * time.Hour
)

// header is the first line of a snapshot.
type header struct {
	Database string    `json:"database"` // module@version
	Licence  string    `json:"licence"`
	Date     time.Time `json:"date"`
	// Modules are those that were asked for. Of others the snapshot knows nothing, which is not the same as that nothing is known of them.
	Modules []string `json:"modules"`
}

// report is what govulncheck reads of one, in the format of https://ossf.github.io/osv-schema.
type report struct {
	ID        string     `json:"id"`
	Modified  time.Time  `json:"modified"`
	Published time.Time  `json:"published"`
	Withdrawn string     `json:"withdrawn,omitempty"`
	Aliases   []string   `json:"aliases,omitempty"`
	Summary   string     `json:"summary"`
	Affected  []affected `json:"affected"`
	Specific  any        `json:"database_specific,omitempty"`
}

type affected struct {
	Package struct {
		Name      string `json:"name"`
		Ecosystem string `json:"ecosystem"`
	} `json:"package"`
	Ranges []struct {
		Type   string `json:"type"`
		Events []struct {
			Introduced string `json:"introduced,omitempty"`
			Fixed      string `json:"fixed,omitempty"`
		} `json:"events"`
	} `json:"ranges"`
	Specific json.RawMessage `json:"ecosystem_specific,omitempty"`
}

// readSnapshot reads what is kept.
func readSnapshot(text []byte) (header, []report, error) {
	var h header
	var all []report
	lines := bufio.NewScanner(bytes.NewReader(text))
	lines.Buffer(nil, 4<<20)
	for n := 1; lines.Scan(); n++ {
		var err error
		if n == 1 {
			err = json.Unmarshal(lines.Bytes(), &h)
		} else {
			var r report
			err = json.Unmarshal(lines.Bytes(), &r)
			all = append(all, r)
		}
		if err != nil {
			return h, nil, fmt.Errorf("%s:%d: %w", keptFile, n, err)
		}
	}
	if err := lines.Err(); err != nil {
		return h, nil, fmt.Errorf("%s: %w", keptFile, err)
	}
	if len(all) == 0 || len(h.Modules) == 0 {
		return h, nil, fmt.Errorf("%s is empty: nothing would be checked; `go run ./scripts/supply snapshot` makes it anew", keptFile)
	}
	return h, all, nil
}

// uncovered are the modules of which a snapshot knows nothing.
func (h header) uncovered(modules []string) []string {
	var out []string
	for _, m := range modules {
		if !slices.Contains(h.Modules, m) {
			out = append(out, m)
		}
	}
	return out
}

// lay writes a snapshot into a folder as a database that govulncheck reads.
func lay(folder string, h header, reports []report) error {
	type mention struct {
		ID       string    `json:"id"`
		Modified time.Time `json:"modified"`
		Fixed    string    `json:"fixed,omitempty"`
	}
	type entry struct {
		Path  string    `json:"path"`
		Vulns []mention `json:"vulns"`
	}
	byPath := map[string]*entry{}
	var entries []*entry
	for _, r := range reports {
		if err := writeJSON(filepath.Join(folder, "ID", r.ID+".json"), r); err != nil {
			return err
		}
		for _, a := range r.Affected {
			e := byPath[a.Package.Name]
			if e == nil {
				e = &entry{Path: a.Package.Name}
				byPath[e.Path], entries = e, append(entries, e)
			}
			if !slices.ContainsFunc(e.Vulns, func(m mention) bool { return m.ID == r.ID }) {
				e.Vulns = append(e.Vulns, mention{ID: r.ID, Modified: h.Date, Fixed: a.lastFix()})
			}
		}
	}
	if err := writeJSON(filepath.Join(folder, "index", "modules.json"), entries); err != nil {
		return err
	}
	return writeJSON(filepath.Join(folder, "index", "db.json"), map[string]time.Time{"modified": h.Date})
}

// lastFix is the version from which on a module is not affected, or "": versions that have come back into the range count.
func (a affected) lastFix() string {
	fixed := ""
	for _, r := range a.Ranges {
		for _, e := range r.Events {
			switch {
			case e.Fixed != "" && semver.Compare("v"+e.Fixed, "v"+fixed) > 0:
				fixed = e.Fixed
			case e.Introduced != "" && fixed != "" && semver.Compare("v"+e.Introduced, "v"+fixed) > 0:
				fixed = ""
			}
		}
	}
	return fixed
}

func writeJSON(path string, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, b, 0o644)
}

// renew makes the snapshot anew from a version of the database, which is a Go module of data. "" means the latest.
func renew(ctx context.Context, version string) error {
	if version == "" {
		version = "latest"
	}
	var m struct{ Path, Version, Dir string }
	text, err := exec.CommandContext(ctx, "go", "mod", "download", "-json", "golang.org/x/vulndb@"+version).Output()
	if err == nil {
		err = json.Unmarshal(text, &m)
	}
	if err != nil {
		return fmt.Errorf("golang.org/x/vulndb cannot be had (try with its exact version, such as v0.0.0-20261105234957-e22db6528018): %w", err)
	}
	at, err := module.PseudoVersionTime(m.Version)
	if err != nil {
		return fmt.Errorf("the version of the database: %w", err)
	}
	h := header{Database: m.Path + "@" + m.Version, Licence: "https://creativecommons.org/licenses/by/4.0/ (shortened: affected modules only, without details and references)", Date: at}
	if h.Modules, err = sums("go.sum"); err != nil {
		return err
	}
	h.Modules = append(h.Modules, "stdlib", "toolchain")
	files, err := filepath.Glob(filepath.Join(m.Dir, "data", "osv", "*.json"))
	if err != nil || len(files) == 0 {
		return fmt.Errorf("%s has no reports: %v", m.Dir, err)
	}
	var out bytes.Buffer
	lines := json.NewEncoder(&out)
	lines.SetEscapeHTML(false)
	if err := lines.Encode(h); err != nil {
		return err
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		var r report
		if err := json.Unmarshal(text, &r); err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
		r.Affected = slices.DeleteFunc(r.Affected, func(a affected) bool { return !slices.Contains(h.Modules, a.Package.Name) })
		if len(r.Affected) == 0 || r.Withdrawn != "" {
			continue
		}
		if err := lines.Encode(r); err != nil {
			return err
		}
	}
	return os.WriteFile(keptFile, out.Bytes(), 0o644)
}

// sums are the modules that a go.sum names, in order.
func sums(path string) ([]string, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var list []string
	for line := range strings.Lines(string(text)) {
		name, _, _ := strings.Cut(line, " ")
		list = append(list, name)
	}
	slices.Sort(list)
	return slices.Compact(list), nil
}
