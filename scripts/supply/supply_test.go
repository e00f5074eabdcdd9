package main

import (
	"bytes"
	"debug/buildinfo"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/modfile"
)

const root = "../.."

func read(t *testing.T, name string) []byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, name))
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestTheSnapshotKnowsEachModuleOfGoMod(t *testing.T) {
	t.Parallel()
	h, reports, err := readSnapshot(read(t, keptFile))
	if err != nil {
		t.Fatal(err)
	}
	if len(reports) < 100 || h.Date.IsZero() || !strings.Contains(h.Licence, "creativecommons.org/licenses/by/4.0") {
		t.Errorf("%d reports, %+v", len(reports), h)
	}
	m, err := modfile.Parse("go.mod", read(t, "go.mod"), nil)
	if err != nil {
		t.Fatal(err)
	}
	modules := []string{"stdlib", "toolchain"}
	for _, r := range m.Require {
		modules = append(modules, r.Mod.Path)
	}
	if missing := h.uncovered(modules); len(missing) > 0 {
		t.Errorf("it says nothing of %v: run `go run ./scripts/supply snapshot`", missing)
	}
}

func TestWhatASnapshotDoesNotKnowOrIsTooOldForIsSaid(t *testing.T) {
	t.Parallel()
	text := []byte(`{"database":"x@v1","date":"2026-11-05T00:00:00Z","modules":["example.com/known","stdlib"]}
{"id":"GO-1","summary":"It breaks","affected":[{"package":{"name":"example.com/known","ecosystem":"Go"},"ranges":[{"type":"SEMVER","events":[{"introduced":"0"},{"fixed":"1.2.3"}]}]}]}
`)
	at := time.Date(2026, 11, 6, 0, 0, 0, 0, time.UTC)
	with := func(modules ...string) *buildinfo.BuildInfo {
		info := new(buildinfo.BuildInfo)
		for _, m := range modules {
			info.Deps = append(info.Deps, &debug.Module{Path: m})
		}
		return info
	}
	var out bytes.Buffer
	folder := t.TempDir()
	if err := fromSnapshot(&out, folder, text, with("example.com/known"), at); err != nil {
		t.Fatal(err)
	}
	if index, err := os.ReadFile(filepath.Join(folder, "index", "modules.json")); err != nil || !strings.Contains(string(index), `"fixed":"1.2.3"`) {
		t.Errorf("the index: %s, %v", index, err)
	}
	if strings.Contains(out.String(), "WARNING") || !strings.Contains(out.String(), "2026-11-05") {
		t.Errorf("the next day it says: %s", out.String())
	}
	if err := fromSnapshot(&out, folder, text, with("example.com/known"), at.Add(old)); err != nil || !strings.Contains(out.String(), "WARNING: the snapshot is 46 days old") {
		t.Errorf("when it is old: %v, %s", err, out.String())
	}
	if err := fromSnapshot(&out, folder, text, with("example.com/known", "example.com/new"), at); err == nil || !strings.Contains(err.Error(), "says nothing of example.com/new") {
		t.Errorf("with a module that it does not know: %v", err)
	}
	if err := fromSnapshot(&out, folder, nil, with(), at); err == nil {
		t.Error("an empty snapshot has checked something")
	}
}

func TestAWeaknessIsAnErrorUnlessItIsNotLinkedOrAcceptedForThisVersion(t *testing.T) {
	t.Parallel()
	said := `{"osv":{"id":"GO-1","summary":"It breaks"}}
{"finding":{"osv":"GO-1","fixed_version":"v1.2.0","trace":[{"module":"example.com/m","version":"v1.1.0"}]}}
{"finding":{"osv":"GO-1","fixed_version":"v1.2.0","trace":[{"module":"example.com/m","version":"v1.1.0","package":"example.com/m/p","function":"F"}]}}
{"osv":{"id":"GO-2","summary":"Elsewhere"}}
{"finding":{"osv":"GO-2","trace":[{"module":"example.com/n","version":"v1.0.0","package":"example.com/n"}]}}`
	found, reports, err := readFindings(strings.NewReader(said))
	if err != nil || reports != 2 || len(found) != 2 || found[0].level != ofFunction || found[1].level != ofPackage {
		t.Fatalf("%+v, %d reports, %v", found, reports, err)
	}
	for _, c := range []struct {
		accepted string
		want     bool
	}{{"", false}, {"GO-1 example.com/m@v1.1.0 nobody calls it", true}, {"GO-1 example.com/m@v1.0.0 of another version", false}, {"GO-1 example.com/m@v1.1.0", false}, {"# GO-1 example.com/m@v1.1.0 no", false}} {
		var out bytes.Buffer
		if err := judge(&out, found, c.accepted); (err == nil) != c.want {
			t.Errorf("accepted %q: %v\n%s", c.accepted, err, out.String())
		}
		if !strings.Contains(out.String(), "GO-1 example.com/m@v1.1.0, fixed in v1.2.0: It breaks") || !strings.Contains(out.String(), "GO-2 example.com/n@v1.0.0, fixed in no version yet") {
			t.Errorf("accepted %q says %s", c.accepted, out.String())
		}
	}
}

// program builds a small program of this module that has modules of others in it: this one.
func program(t *testing.T) string {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "supply")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", binary, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return binary
}

// A check that finds nothing is worth something only when it would have found something.
func TestAWeaknessThatIsInABinaryIsFoundAndWithoutReportsNothingPasses(t *testing.T) {
	t.Parallel()
	binary := program(t)
	report := func(module, pkg, symbol string) []report {
		var all []report
		text := `[{"id":"GO-9999-0001","summary":"A control","affected":[{"package":{"name":"` + module + `","ecosystem":"Go"},"ranges":[{"type":"SEMVER","events":[{"introduced":"0"}]}],
			"ecosystem_specific":{"imports":[{"path":"` + pkg + `","symbols":["` + symbol + `"]}]}}]}]`
		if err := json.Unmarshal([]byte(text), &all); err != nil {
			t.Fatal(err)
		}
		return all
	}
	for _, c := range []struct{ module, pkg, symbol, want string }{
		{"golang.org/x/mod", "golang.org/x/mod/semver", "Compare", "1 weaknesses are in the binary"},
		{"golang.org/x/mod", "golang.org/x/mod/semver", "NotThere", ""},
		{"example.com/other", "example.com/other", "F", "nothing was checked"},
	} {
		folder := t.TempDir()
		if err := lay(folder, header{Date: time.Now()}, report(c.module, c.pkg, c.symbol)); err != nil {
			t.Fatal(err)
		}
		var out bytes.Buffer
		err := vuln(t.Context(), &out, binary, "file://"+filepath.ToSlash(folder))
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s.%s: %v, want %q\n%s", c.pkg, c.symbol, err, c.want, out.String())
		}
	}
}

func TestTheLicencesOfAllModulesAreAllowedAndThePageNamesThem(t *testing.T) {
	t.Parallel()
	all, err := parts(t.Context(), root)
	if err != nil {
		t.Fatal(err)
	}
	for _, wrong := range refused(all) {
		t.Error(wrong)
	}
	if got := string(read(t, licencesPage)); got != page(all) {
		t.Errorf("%s is not what the modules say: make docs", licencesPage)
	}
}

func TestALicenceThatIsNotOnTheListIsRefused(t *testing.T) {
	t.Parallel()
	gpl := part{path: "example.com/gpl", version: "v1.0.0", licences: []string{"GPL-3.0"}}
	mixed := part{path: "example.com/mixed", version: "v1.0.0", licences: []string{"MIT", "unknown (COPYING)"}}
	if got := refused([]part{gpl, mixed, {path: "example.com/none"}, {path: "example.com/fine", licences: []string{"MIT"}}}); len(got) != 3 {
		t.Errorf("refused %q", got)
	}
	if list, sure := licencesOf([]byte("You may look at this, and nothing else.")); sure || len(list) > 0 {
		t.Errorf("a text of one's own is %v, sure %v", list, sure)
	}
}

func TestTheBillOfMaterialsNamesEachModuleOfTheBinary(t *testing.T) {
	t.Parallel()
	binary := program(t)
	text, err := materials(binary)
	if err != nil {
		t.Fatal(err)
	}
	again, err := materials(binary)
	if err != nil || !bytes.Equal(text, again) {
		t.Errorf("the same binary gives another bill: %v", err)
	}
	info, err := buildinfo.ReadFile(binary)
	if err != nil {
		t.Fatal(err)
	}
	if len(info.Deps) < 3 {
		t.Fatalf("the program has %d modules", len(info.Deps))
	}
	for _, want := range append([]string{`"bomFormat": "CycloneDX"`, `"purl": "pkg:golang/stdlib@`, `"alg": "SHA-256"`}, urls(info)...) {
		if !strings.Contains(string(text), want) {
			t.Errorf("it does not have %s", want)
		}
	}
}

func urls(info *buildinfo.BuildInfo) []string {
	var list []string
	for _, d := range info.Deps {
		list = append(list, `"purl": "pkg:golang/`+d.Path+`@`+d.Version+`"`)
	}
	return list
}
