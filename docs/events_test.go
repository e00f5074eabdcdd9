package docs

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write docs/reference/events.md anew")

// eventKinds are all events of jobs, in the order in which they come in a life: what happened, and the fields that say more.
var eventKinds = []struct {
	name, means string
	fields      []string
}{
	{"accepted", "the job was submitted. `held` says why it may not begin yet, where that is so", []string{"held", "by"}},
	{"admit", "what held it does so no more", []string{"by"}},
	{"planning", "a worker makes the plan", []string{"worker"}},
	{"planned", "its stages are known", []string{"stages"}},
	{"stage_started", "what the stage waited for has ended", []string{"stage"}},
	{"stage_ended", "the last step of the stage has ended", []string{"stage"}},
	{"given_back", "a worker gave a step back: it drains, the job is paused, or the other side asks for patience", []string{"step", "reason", "worker"}},
	{"begun_again", "a step that was interrupted runs on. `after` says by what, `from` on whom, `waited_ms` how long it stood still", []string{"step", "worker", "after", "from", "waited_ms"}},
	{"attempt_failed", "an attempt failed and will be made again in `again_ms`; `failed` counts them", []string{"step", "reason", "worker", "failed", "again_ms"}},
	{"step_failed", "a step failed for good", []string{"step", "stage", "reason", "worker"}},
	{"lost", "the worker that held a step has vanished; `since` is when it had taken it", []string{"step", "worker", "attempt", "since"}},
	{"redelivered", "the task of a step had gone astray and was queued again", []string{"step"}},
	{"revoked", "a lease was taken back that its living worker does not know of", []string{"step", "worker"}},
	{"worker_draining", "a worker that works on the job drains. `by` and `why` say who asked, `held` how many of its steps it had", []string{"worker", "by", "why", "held"}},
	{"worker_drained", "that worker is safe to stop. What it gave back and ended meanwhile, and how long it took", []string{"worker", "given_back", "ended", "took_ms"}},
	{"worker_undrained", "that worker works again", []string{"worker", "given_back", "ended", "took_ms"}},
	{"pause", "somebody paused the job", []string{"by"}},
	{"resume", "somebody resumed it", []string{"by"}},
	{"cancel", "somebody ended it for good", []string{"by"}},
	{"retry", "somebody had its failed steps tried again", []string{"by"}},
	{"restart", "the same job was submitted again after its end", []string{"by"}},
	{"succeeded", "the last step of the last stage has ended", nil},
	{"failed", "a step failed for good, and with it the job", nil},
}

func TestTheReferenceOfTheEventsIsTheOneInTheDocs(t *testing.T) {
	t.Parallel()
	written := eventsOfScripts(t)
	var b strings.Builder
	b.WriteString("# Events of jobs\n\nWhat `stint jobs events JOB` lists and `GET /v1/jobs/{id}/events` streams ([api.md](../api.md#events)): each has an id, a type, a time, and\n" +
		"the fields below, which are texts. About the newest 1,000 of a job are kept; a stream that begins later says so by `trimmed`, which has no id.\n" +
		"This page is made from the program: `go test ./docs -run Reference -update`.\n\n| type | fields | means |\n|---|---|---|\n")
	for _, k := range eventKinds {
		fields := ""
		for _, f := range k.fields {
			fields += "`" + f + "` "
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s |\n", k.name, strings.TrimSpace(fields), k.means)
		have, ok := written[k.name]
		if !ok {
			t.Errorf("no script writes the event %s", k.name)
		}
		for _, f := range have {
			if !slices.Contains(k.fields, f) {
				t.Errorf("the event %s has a field %s that is not explained", k.name, f)
			}
		}
		if len(have) != len(k.fields) {
			t.Errorf("the event %s has the fields %q, and %q are explained", k.name, have, k.fields)
		}
		delete(written, k.name)
	}
	for name := range written {
		t.Errorf("the event %s is not explained", name)
	}
	const path = "reference/events.md"
	if *update {
		if err := os.WriteFile(path, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	kept, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(kept) != b.String() {
		t.Error("docs/reference/events.md is not what the scripts say; write it anew with: go test ./docs -run Reference -update")
	}
}

var (
	quoted    = regexp.MustCompile(`'([a-z_]+)'`)
	verbs     = regexp.MustCompile(`verb == '([a-z]+)'`)
	finishing = regexp.MustCompile(`\bfinish\('([a-z]+)'\)`)
)

// eventsOfScripts finds the events that the scripts write, with their fields.
func eventsOfScripts(t *testing.T) map[string][]string {
	t.Helper()
	files, err := filepath.Glob("../internal/store/scripts/*.lua")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scripts: %v", err)
	}
	found := map[string][]string{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range finishing.FindAllStringSubmatch(string(text), -1) {
			found[m[1]] = nil
		}
		for _, call := range strings.Split(string(text), "event(")[1:] {
			arguments := argumentsOf(call)
			var fields []string
			for i := 1; i < len(arguments); i += 2 {
				fields = append(fields, strings.Trim(arguments[i], "' "))
			}
			names := quoted.FindAllStringSubmatch(strings.TrimPrefix(arguments[0], "ARGV[3] == 'safe'"), -1)
			if arguments[0] == "verb" {
				names = verbs.FindAllStringSubmatch(string(text), -1)
			}
			for _, m := range names {
				found[m[1]] = fields
			}
		}
	}
	return found
}

// argumentsOf takes a call apart, from behind its opening bracket.
func argumentsOf(call string) []string {
	var list []string
	depth, from := 0, 0
	for i, r := range call {
		switch {
		case r == '(' || r == '[':
			depth++
		case depth == 0 && (r == ',' || r == ')'):
			list = append(list, strings.TrimSpace(call[from:i]))
			from = i + 1
			if r == ')' {
				return list
			}
		case r == ')' || r == ']':
			depth--
		}
	}
	return list
}
