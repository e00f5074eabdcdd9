package main

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/google/licensecheck"
)

// allowed are the licences that a module of the binary may have. All of them let a program under the MIT licence hold it; each asks for a
// notice, which docs/licences.md and the bill of materials are made for.
var allowed = []string{"0BSD", "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "BSL-1.0", "CC0-1.0", "ISC", "MIT", "MPL-2.0", "Unlicense", "Zlib", publicDomain}

// platforms are those that stint is built for, or may be: each brings modules of its own.
var platforms = []string{"linux/amd64", "linux/arm64", "darwin/arm64", "windows/amd64"}

// licencesPage is what writeLicences writes.
const licencesPage = "docs/licences.md"

// named are the files in which a folder says what may be done with it.
var named = regexp.MustCompile(`(?i)^(licen[cs]e|copying|unlicense|copyright)([-._].*)?$`)

// part is a module of the binary.
type part struct {
	path, version, folder string
	packages              []string // the folders of those that are in the binary
	licences              []string // SPDX names, in order
}

// parts finds the modules that are in the binary on any platform, with their licences.
func parts(ctx context.Context, root string) ([]part, error) {
	byPath := map[string]*part{}
	for _, p := range platforms {
		system, processor, _ := strings.Cut(p, "/")
		list := exec.CommandContext(ctx, "go", "list", "-deps", "-f", "{{with .Module}}{{if not .Main}}{{.Path}}|{{.Version}}|{{.Dir}}|{{$.Dir}}{{end}}{{end}}", "./cmd/stint")
		list.Dir = root
		list.Env = append(list.Environ(), "CGO_ENABLED=0", "GOOS="+system, "GOARCH="+processor)
		var wrong bytes.Buffer
		list.Stderr = &wrong
		text, err := list.Output()
		if err != nil {
			return nil, fmt.Errorf("list what is built for %s: %w: %s", p, err, wrong.String())
		}
		for line := range strings.Lines(string(text)) {
			w := strings.Split(strings.TrimSpace(line), "|")
			if len(w) != 4 {
				continue
			}
			if byPath[w[0]] == nil {
				byPath[w[0]] = &part{path: w[0], version: w[1], folder: w[2]}
			}
			if m := byPath[w[0]]; !slices.Contains(m.packages, w[3]) {
				m.packages = append(m.packages, w[3])
			}
		}
	}
	var all []part
	for _, m := range byPath {
		if err := m.read(); err != nil {
			return nil, err
		}
		all = append(all, *m)
	}
	slices.SortFunc(all, func(a, b part) int { return strings.Compare(a.path, b.path) })
	if len(all) == 0 {
		return nil, fmt.Errorf("no module is in the binary: nothing was checked")
	}
	return all, nil
}

// read finds the licences of a module: of its root, and of each folder on the way to a package that is in the binary.
func (m *part) read() error {
	folders := []string{m.folder}
	for _, p := range m.packages {
		for at := p; at != m.folder && len(at) > len(m.folder); at = filepath.Dir(at) {
			if !slices.Contains(folders, at) {
				folders = append(folders, at)
			}
		}
	}
	for _, folder := range folders {
		entries, err := os.ReadDir(folder)
		if err != nil {
			return err
		}
		for _, e := range entries {
			if !e.Type().IsRegular() || !isLicence(e) {
				continue
			}
			text, err := os.ReadFile(filepath.Join(folder, e.Name()))
			if err != nil {
				return err
			}
			list, sure := licencesOf(text)
			m.licences = append(m.licences, list...)
			if at := m.path + " " + e.Name(); !sure && readByHand[at] == "" {
				m.licences = append(m.licences, "unknown ("+e.Name()+")")
			} else if !sure {
				m.licences = append(m.licences, readByHand[at])
			}
		}
	}
	slices.Sort(m.licences)
	m.licences = slices.Compact(m.licences)
	return nil
}

func isLicence(e fs.DirEntry) bool {
	return named.MatchString(e.Name()) && !strings.HasSuffix(e.Name(), ".go")
}

// licencesOf names the licences whose text, or whose address, stands in a file. It is not sure where the file is mostly something else.
func licencesOf(text []byte) (list []string, sure bool) {
	cover := licensecheck.Scan(text)
	for _, m := range cover.Match {
		list = append(list, m.ID)
	}
	return list, cover.Percent >= 60
}

// readByHand are files that are mostly no text of a licence, and what somebody has found in them. Their other licences are found all the same.
var readByHand = map[string]string{
	"modernc.org/libc LICENSE-3RD-PARTY.md":   "MIT",        // notices of Go, musl and others, between their texts
	"modernc.org/sqlite LICENSE-3RD-PARTY.md": "MIT",        // tables of all that its modules hold, and the texts
	"modernc.org/sqlite LICENSE-SQLITE":       publicDomain, // SQLite's own words
	"modernc.org/memory LICENSE-LOGO":         publicDomain, // of a picture, which is in no binary
}

const publicDomain = "public domain"

// refused says what is wrong with the licences of modules.
func refused(all []part) []string {
	var out []string
	for _, m := range all {
		if len(m.licences) == 0 {
			out = append(out, m.path+" has no licence")
		}
		for _, l := range m.licences {
			if !slices.Contains(allowed, l) {
				out = append(out, fmt.Sprintf("%s %s has the licence %s, which is not on the list", m.path, m.version, l))
			}
		}
	}
	return out
}

// page is docs/licences.md.
func page(all []part) string {
	var b strings.Builder
	b.WriteString("# Licences of others\n\nstint is under the [MIT licence](../LICENSE). Its binary holds parts of these modules, on one platform or another. `make licences` makes this page, and refuses\n")
	fmt.Fprintf(&b, "a module whose licence is none of %s. What they ask for is that their notice goes along: it is in the source of each\nmodule, at the version that is named here, and `make sbom` lists them for a binary.\n\n", strings.Join(allowed, ", "))
	b.WriteString("The database of known weaknesses in `scripts/supply/vulndb.jsonl`, which is in no binary, is the [Go vulnerability database](https://go.dev/security/vuln/database),\nCC-BY 4.0, shortened to the modules that stint uses.\n\n| module | version | licence |\n|---|---|---|\n")
	for _, m := range all {
		fmt.Fprintf(&b, "| [%s](https://pkg.go.dev/%s) | %s | %s |\n", m.path, m.path, m.version, strings.Join(m.licences, ", "))
	}
	return b.String()
}

// writeLicences checks the licences and writes the page.
func writeLicences(ctx context.Context, root string) error {
	all, err := parts(ctx, root)
	if err != nil {
		return err
	}
	if wrong := refused(all); len(wrong) > 0 {
		return fmt.Errorf("licences:\n  %s\nuse another module, or read the licence and put it on the list in scripts/supply/licences.go with a reason", strings.Join(wrong, "\n  "))
	}
	return os.WriteFile(filepath.Join(root, licencesPage), []byte(page(all)), 0o644)
}
