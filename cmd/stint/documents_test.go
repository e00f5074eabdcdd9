package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stint-run/stint/cmd/internal/rig"
	"github.com/stint-run/stint/internal/freeport"
	"github.com/stint-run/stint/internal/redistest"
)

// guides are the pages that a reader follows command by command. Their ```sh blocks are run in order, in one shell and an empty
// folder; a ```text block after one has to be what it prints, line by line and in that order, where "..." stands for anything and
// times, rates and names that change from run to run may be others. Lines that it leaves out do not matter.
func guides(t *testing.T) []string {
	t.Helper()
	list, err := filepath.Glob("../../docs/howto/*.md")
	if err != nil || len(list) == 0 {
		t.Fatalf("there are no how-tos: %v", err)
	}
	return append(list, "../../docs/tutorial.md")
}

func TestWhatTheDocumentsTellPeopleToTypeWorks(t *testing.T) {
	t.Parallel()
	for _, path := range guides(t) {
		blocks := shellBlocks(t, path)
		if len(blocks) == 0 {
			t.Errorf("%s has no ```sh block", path)
		}
		t.Run(filepath.Base(path), func(t *testing.T) {
			t.Parallel()
			follow(t, blocks)
		})
	}
}

// shellBlock is what a reader types at once, and what they are told to see.
type shellBlock struct {
	place  string
	script string
	shows  []string
}

func shellBlocks(t *testing.T, path string) []shellBlock {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var list []shellBlock
	kind, expects := "", false
	n := 0
	for line := range strings.Lines(string(text)) {
		n++
		line = strings.TrimRight(line, "\n")
		last := len(list) - 1
		switch fence, opened := strings.CutPrefix(line, "```"); {
		case opened && kind != "":
			expects, kind = kind == "sh", ""
		case opened:
			kind = fence
			if kind == "sh" {
				list = append(list, shellBlock{place: fmt.Sprintf("%s:%d", filepath.Base(path), n)})
			} else if kind == "text" && !expects {
				t.Errorf("%s:%d: a ```text block follows no ```sh block: whose output is it?", path, n)
			}
			if kind == "" {
				kind = "-"
			}
		case kind == "sh":
			list[last].script += line + "\n"
		case kind == "text" && strings.TrimSpace(line) != "" && expects:
			list[last].shows = append(list[last].shows, line)
		}
	}
	return list
}

// follow runs the blocks of a page and holds what they print to what the page shows.
func follow(t *testing.T, blocks []shellBlock) {
	t.Helper()
	dir := openDir(t)
	bin := rig.Build(t)
	var script strings.Builder
	for i, b := range blocks {
		fmt.Fprintf(&script, "echo; echo '<<< %d'\n%s", i, b.script)
	}
	text, vars := script.String(), []string{}
	if strings.Contains(text, localRedis) {
		text = strings.ReplaceAll(text, localRedis, redistest.New(t).URL())
	}
	for _, address := range slices.Compact(slices.Sorted(slices.Values(loopback.FindAllString(text, -1)))) {
		free := freeAddress(t)
		if address == "127.0.0.1:7800" {
			vars = append(vars, "STINT_API_LISTEN="+free)
		}
		text = strings.ReplaceAll(text, address, free)
	}
	for version, folder := range map[string]string{oldVersion: "old", newVersion: "new"} {
		if strings.Contains(text, folder+"/stint ") {
			if err := os.MkdirAll(filepath.Join(dir, folder), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.Symlink(rig.BuildVersion(t, version), filepath.Join(dir, folder, "stint")); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, name := range []string{"examples", "deploy"} {
		from, err := filepath.Abs(map[string]string{"examples": "../../docs/examples", "deploy": "../../deploy"}[name])
		if err == nil {
			err = os.Symlink(from, filepath.Join(dir, name))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	// timeout leads a group of processes, so that what a page leaves running ends with it.
	c := &rig.Command{Path: "/usr/bin/timeout", Args: []string{"-k", "1", "60", "sh", "-eu", "-c", "exec 2>&1; trap 'code=$?; trap \"\" TERM; echo; echo \"<<< end $code\"; kill 0' EXIT\n" + text}, Dir: dir,
		Env: append(vars, "PATH="+filepath.Dir(bin)+string(os.PathListSeparator)+os.Getenv("PATH"), "HOME="+filepath.Join(dir, "home"), "NO_COLOR=1",
			"STINT_WORKER_ADMIN=127.0.0.1:0", "GIT_CONFIG_NOSYSTEM=1", "TMPDIR="+os.TempDir())}
	p, err := c.Start("page", filepath.Join(dir, "page.out"), filepath.Join(dir, "page.log"))
	if err != nil {
		t.Fatal(err)
	}
	p.Wait(2 * patience)
	parts := strings.Split(string(p.Out()), "\n<<< ")[1:]
	code := "of no answer in time"
	if last := len(parts) - 1; last >= 0 {
		if text, found := strings.CutPrefix(strings.TrimSpace(parts[last]), "end "); found {
			code, parts = text, parts[:last]
		}
	}
	for i, part := range parts {
		_, said, _ := strings.Cut(part, "\n")
		if missing := notShown(blocks[i].shows, said); missing != "" {
			t.Errorf("%s: does not print, after what comes before it:\n%s\nbut\n%s", blocks[i].place, missing, said)
		}
	}
	if last := len(parts) - 1; code != "0" && last >= 0 {
		t.Errorf("%s: ends with %s:\n%s\n%s", blocks[last].place, code, blocks[last].script, parts[last][max(0, len(parts[last])-2000):])
	} else if code != "0" || len(parts) != len(blocks) {
		t.Errorf("ends with %s after %d of %d blocks:\n%s", code, len(parts), len(blocks), p.Out())
	}
}

// localRedis is the Redis of the pages. A test takes one of its own instead.
const localRedis = "redis://127.0.0.1:6379/0"

// loopback finds the ports of this machine that a page names. A test takes free ones instead.
var loopback = regexp.MustCompile(`127\.0\.0\.1:[1-9]\d+`)

func freeAddress(t *testing.T) string {
	t.Helper()
	address, err := freeport.Address()
	if err != nil {
		t.Fatal(err)
	}
	return address
}

// varying is what no two runs have in common.
var varying = regexp.MustCompile(`\b[a-z]{3}-[a-z2-7]{16}\b|\b[a-z0-9.-]+-\d+-[0-9a-f]{6}\b|\b\d+(?:\.\d+)?(?:ms|s|m\d+s|µs)\b|[\d,]+ rows/s|\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:\.\d+)?Z?|\bg[0-9a-f]{8}\b|127\.0\.0\.1:\d+`)

// notShown returns the first line of a page that is not in what was printed after the lines before it, "" when all are.
func notShown(want []string, said string) string {
	level := func(s string) string { return strings.Join(strings.Fields(varying.ReplaceAllString(s, "~")), " ") }
	var lines []string
	for line := range strings.Lines(said) {
		lines = append(lines, level(line))
	}
	for _, w := range want {
		var parts []string
		for p := range strings.SplitSeq(level(w), "...") {
			parts = append(parts, regexp.QuoteMeta(strings.TrimSpace(p)))
		}
		pattern := regexp.MustCompile("^" + strings.Join(parts, ".*") + "$")
		if strings.TrimSpace(w) == "..." {
			continue
		}
		at := slices.IndexFunc(lines, pattern.MatchString)
		if at < 0 {
			return w
		}
		lines = lines[at+1:]
	}
	return ""
}

func TestAPageThatShowsWhatIsNotPrintedIsNoticed(t *testing.T) {
	t.Parallel()
	said := "job mig-abcdefghijklmnop\nequal: 5 rows compared in 3.2s\nID  IN FLIGHT\nvm-12-0a1b2c   0 of 4\n"
	for _, good := range [][]string{nil, {"job mig-zzzzzzzzzzzzzzzz", "equal: 5 rows compared in 19ms"}, {"equal: ... in 1s", "...", "host-9-ffffff 0 of 4"}} {
		if missing := notShown(good, said); missing != "" {
			t.Errorf("%q: %q is taken for missing", good, missing)
		}
	}
	for _, bad := range [][]string{{"equal: 6 rows compared in 3.2s"}, {"ID IN FLIGHT", "job mig-abcdefghijklmnop"}, {"rows compared"}} {
		if notShown(bad, said) == "" {
			t.Errorf("%q is taken for shown", bad)
		}
	}
}
