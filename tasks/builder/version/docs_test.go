package version_test

import (
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/stint-run/stint/tasks/builder/version"
)

// documented returns the rows of the table of docs/builds-version.md that has this heading row.
func documented(t *testing.T, heading string) [][]string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "..", "docs", "builds-version.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, found := strings.Cut(string(text), heading+"\n")
	if !found {
		t.Fatalf("no table begins with %s", heading)
	}
	var rows [][]string
	for line := range strings.Lines(rest) {
		if !strings.HasPrefix(line, "|") {
			break
		}
		if strings.HasPrefix(line, "|-") {
			continue
		}
		var cells []string
		for cell := range strings.SplitSeq(strings.Trim(strings.TrimSpace(line), "|"), "|") {
			cell = strings.TrimSpace(cell)
			if cell == "-" {
				cell = ""
			}
			cells = append(cells, cell)
		}
		rows = append(rows, cells)
	}
	if len(rows) < 5 {
		t.Fatalf("only %d rows", len(rows))
	}
	return rows
}

func TestTheDocumentedTableIsTheRule(t *testing.T) {
	t.Parallel()
	codes := map[string]bool{}
	for _, row := range documented(t, "| base | by | ref | default | number | files | version or error | file version | channel |") {
		in := version.In{Base: row[0], CI: row[1] == "agent", Ref: row[2], Default: row[3], SHA: sha, Height: 312, Dirty: row[5] == "dirty", Shallow: row[5] == "shallow"}
		if row[4] != "" {
			n, err := strconv.ParseInt(row[4], 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			in.Counter = n
		}
		out, err := version.Compute(in)
		got := []string{out.Version, out.File, string(out.Channel)}
		var e *version.Error
		if errors.As(err, &e) {
			got[0] = string(e.Code)
			codes[got[0]] = true
		}
		if strings.Join(got, " ") != strings.Join(row[6:], " ") {
			t.Errorf("%q: got %q", row, got)
		}
	}
	for _, code := range []version.Code{version.BaseInvalid, version.BaseOutOfRange, version.DirtyTreeOnCI, version.CounterMissing, version.CounterOutOfRange} {
		if !codes[string(code)] {
			t.Errorf("no row shows %s", code)
		}
	}
}

// states make the states of the comparison with other tools.
var states = map[string]func(r *repo){
	"three commits, no tag":    func(r *repo) { r.commit("2"); r.commit("3") },
	"tag v1.4.0 here":          func(r *repo) { r.git("tag", "v1.4.0") },
	"two commits after v1.4.0": twoAfter,
	"the same, dirty":          func(r *repo) { twoAfter(r); r.write("main.c", "x") },
	"the same, a file git does not know": func(r *repo) {
		twoAfter(r)
		r.write("new.c", "x")
	},
	"branch feature/JIRA-123_x, one commit on": func(r *repo) {
		twoAfter(r)
		r.git("checkout", "--quiet", "-b", "feature/JIRA-123_x")
		r.commit("4")
	},
	"tags v1.5.7 and release-7 here": func(r *repo) { r.git("tag", "v1.5.7"); r.git("tag", "release-7") },
	"v9.0.0 merged from elsewhere": func(r *repo) {
		r.git("checkout", "--quiet", "--orphan", "theirs")
		r.commit("theirs")
		r.git("tag", "v9.0.0")
		r.git("checkout", "--quiet", "main")
		r.git("merge", "--quiet", "--allow-unrelated-histories", "--no-edit", "theirs")
	},
	"tag v01.6.0 here": func(r *repo) { r.git("tag", "v01.6.0") },
	"a shallow clone without tags": func(r *repo) {
		r.commit("2")
		clone := filepath.Join(r.t.TempDir(), "clone")
		r.git("clone", "--quiet", "--depth=1", "--no-tags", "file://"+r.dir, clone)
		r.dir = clone
	},
}

func twoAfter(r *repo) {
	r.git("tag", "v1.4.0")
	r.commit("2")
	r.commit("3")
}

var commitName = regexp.MustCompile(`\bg?[0-9a-f]{7,8}\b`)

func TestTheComparisonIsWhatStintAndGitSay(t *testing.T) {
	t.Parallel()
	rows := documented(t, "| state | stint on an agent, number 57 | git describe | MinVer | GitVersion | why stint differs |")
	if len(rows) != len(states) {
		t.Errorf("%d rows for %d states", len(rows), len(states))
	}
	for _, row := range rows {
		t.Run(row[0], func(t *testing.T) {
			t.Parallel()
			r := newRepo(t)
			states[row[0]](r)
			f := r.facts()
			f.CI, f.Counter, f.Default = true, 57, "main"
			out, err := version.Compute(f.In)
			got := out.Version
			var e *version.Error
			if errors.As(err, &e) {
				got = string(e.Code)
			}
			if like(got) != like(row[1]) {
				t.Errorf("stint: got %s, the page says %s", got, row[1])
			}
			if said := r.git("describe", "--tags", "--always", "--dirty", "--long"); like(said) != like(row[2]) {
				t.Errorf("git describe: got %s, the page says %s", said, row[2])
			}
		})
	}
}

// like takes out of a version what is another one in each repository: the commit.
func like(s string) string {
	s = strings.Trim(s, "`")
	s = commitName.ReplaceAllString(s, "…")
	return strings.ReplaceAll(s, "g…", "…")
}
