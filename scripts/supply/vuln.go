package main

import (
	"bytes"
	"context"
	"debug/buildinfo"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// govulncheck is pinned: what it finds changes with its database, not with itself.
const govulncheck = "golang.org/x/vuln/cmd/govulncheck@v1.8.0"

// public is the database of the Go project.
const public = "https://vuln.go.dev"

// accepted are findings that somebody has looked at: "ID module@version why it does no harm" a line. They count for that version alone.
//
//go:embed accepted.txt
var accepted string

// finding is a weakness of a version of a module that is in the binary.
type finding struct {
	id, module, version, fixed, what string
	level                            int
}

// Levels of a finding: the module is there, the package is in the binary, the function is.
const (
	ofModule = iota
	ofPackage
	ofFunction
)

// vuln checks the modules of a binary, and its Go, against a database, and says which. It is an error when a weak function is in the
// binary and nobody has accepted that, and when there is no database: nothing found must not look like nothing looked at.
func vuln(ctx context.Context, out io.Writer, binary, database string) error {
	info, err := buildinfo.ReadFile(binary)
	if err != nil {
		return fmt.Errorf("%s: %w; `make build` makes it", binary, err)
	}
	switch {
	case database != "":
	case reachable(ctx, public):
		database = public
	default:
		folder, err := os.MkdirTemp("", "vulndb")
		if err != nil {
			return err
		}
		defer os.RemoveAll(folder)
		text, err := os.ReadFile(keptFile)
		if err != nil {
			return fmt.Errorf("%s does not answer, and there is no snapshot: nothing was checked: %w", public, err)
		}
		if err := fromSnapshot(out, folder, text, info, time.Now()); err != nil {
			return err
		}
		database = "file://" + filepath.ToSlash(folder)
	}
	// #nosec: the arguments are this program's own.
	check := exec.CommandContext(ctx, "go", "run", govulncheck, "-mode", "binary", "-format", "json", "-db", database, binary)
	var said, wrong bytes.Buffer
	check.Stdout, check.Stderr = &said, &wrong
	if err := check.Run(); err != nil {
		return fmt.Errorf("govulncheck has not checked: %w: %s", err, strings.TrimSpace(wrong.String()))
	}
	found, reports, err := readFindings(&said)
	if err != nil {
		return err
	}
	if reports == 0 {
		return fmt.Errorf("the database %s has no report of any module of %s, not even of the standard library: nothing was checked", database, binary)
	}
	fmt.Fprintf(out, "%s: %d modules and Go %s against %d reports of them\n", binary, len(info.Deps), info.GoVersion, reports)
	return judge(out, found, accepted)
}

// reachable reports whether a database answers.
func reachable(ctx context.Context, url string) bool {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/index/db.json", nil)
	if err != nil {
		return false
	}
	got, err := http.DefaultClient.Do(r)
	if err != nil {
		return false
	}
	defer got.Body.Close()
	return got.StatusCode == http.StatusOK
}

// fromSnapshot lays out the snapshot, and says how old it is. It is an error when there is a module that it does not cover.
func fromSnapshot(out io.Writer, folder string, text []byte, info *buildinfo.BuildInfo, now time.Time) error {
	h, reports, err := readSnapshot(text)
	if err != nil {
		return err
	}
	var modules []string
	for _, d := range info.Deps {
		modules = append(modules, d.Path)
	}
	if missing := h.uncovered(modules); len(missing) > 0 {
		return fmt.Errorf("%s does not answer, and %s says nothing of %s: `go run ./scripts/supply snapshot` makes it anew", public, keptFile, strings.Join(missing, ", "))
	}
	fmt.Fprintf(out, "%s does not answer: checked against the snapshot of %s (%s)\n", public, h.Date.Format(time.DateOnly), keptFile)
	if age := now.Sub(h.Date); age > old {
		fmt.Fprintf(out, "WARNING: the snapshot is %d days old; what has been found out since is not in it. Run `go run ./scripts/supply snapshot`.\n", int(age.Hours()/24))
	}
	return lay(folder, h, reports)
}

// readFindings reads what govulncheck prints, and says how many reports it has compared with.
func readFindings(r io.Reader) ([]finding, int, error) {
	var found []finding
	what := map[string]string{}
	for d := json.NewDecoder(r); ; {
		var m struct {
			OSV     *report `json:"osv"`
			Finding *struct {
				OSV   string `json:"osv"`
				Fixed string `json:"fixed_version"`
				Trace []struct{ Module, Version, Package, Function string }
			} `json:"finding"`
		}
		switch err := d.Decode(&m); {
		case errors.Is(err, io.EOF):
			for i := range found {
				found[i].what = what[found[i].id]
			}
			return found, len(what), nil
		case err != nil:
			return nil, 0, fmt.Errorf("read what govulncheck says: %w", err)
		case m.OSV != nil:
			what[m.OSV.ID] = m.OSV.Summary
		case m.Finding != nil && len(m.Finding.Trace) > 0:
			at := m.Finding.Trace[0]
			f := finding{id: m.Finding.OSV, module: at.Module, version: at.Version, fixed: m.Finding.Fixed}
			switch {
			case at.Function != "":
				f.level = ofFunction
			case at.Package != "":
				f.level = ofPackage
			}
			i := slices.IndexFunc(found, func(o finding) bool { return o.id == f.id && o.module == f.module })
			if i < 0 {
				found = append(found, f)
			} else if f.level > found[i].level {
				found[i] = f
			}
		}
	}
}

// judge prints each finding, and is an error where one is in the binary that nobody has accepted.
func judge(out io.Writer, found []finding, accepted string) error {
	reasons := map[string]string{}
	for line := range strings.Lines(accepted) {
		if words := strings.SplitN(strings.TrimSpace(line), " ", 3); len(words) == 3 && !strings.HasPrefix(line, "#") {
			reasons[words[0]+" "+words[1]] = words[2]
		}
	}
	open := 0
	for _, f := range found {
		reason, known := reasons[f.id+" "+f.module+"@"+f.version]
		state := ""
		switch {
		case f.level == ofModule:
			state = "not in the binary: of its module, but in no package that is linked"
		case f.level == ofPackage:
			state = "not in the binary: its functions are not linked"
		case known:
			state = "accepted: " + reason
		default:
			state = "OPEN: its functions are in the binary"
			open++
		}
		fix := f.fixed
		if fix == "" {
			fix = "no version yet"
		}
		fmt.Fprintf(out, "  %s %s@%s, fixed in %s: %s\n      %s\n", f.id, f.module, f.version, fix, f.what, state)
	}
	if open > 0 {
		return fmt.Errorf("%d weaknesses are in the binary: take the versions that mend them, or, where they do no harm, say why in scripts/supply/accepted.txt", open)
	}
	return nil
}
