package web

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/stint-run/stint/client"
	"github.com/stint-run/stint/client/wire"
	"github.com/stint-run/stint/internal/api"
	"github.com/stint-run/stint/tasks"
)

// drains reports whether a worker drains, has drained, or was asked to and has not heard of it yet.
func drains(w wire.Worker) bool {
	switch w.State {
	case wire.WorkerDraining, wire.WorkerDrained:
		return true
	case wire.WorkerActive:
		return w.Wanted == wire.WantDrain
	}
	return false
}

// drainGroup is how far the drain of the workers of one version is.
type drainGroup struct {
	Version string
	All     int // workers that drain or have drained
	Done    int // of these, those that are safe to stop
	Stay    int // workers of the version that go on working
	Held    []holding
	Unsaid  int    // steps that are held, and that no job which the reader may see has out
	Command string // says the same in a shell
}

// Safe reports whether all of them may be stopped.
func (g drainGroup) Safe() bool { return g.Done == g.All }

// holding is a step that a worker holds.
type holding struct {
	Worker string
	Job    string
	Kind   string
	Stage  string
	Step   string
	Since  time.Time
	CutAt  *time.Time // when the worker waits for it no longer
}

// drainsOf says how far the drains are, by version.
func (s *Site) drainsOf(v *visit, ws []wire.Worker) ([]drainGroup, error) {
	var list []drainGroup
	var busy []wire.Worker
	for _, g := range versionsOf(ws) {
		d := drainGroup{Version: g.Version}
		var ids []string
		for _, w := range g.Workers {
			switch {
			case drains(w):
				d.All++
				ids = append(ids, w.ID)
				if w.SafeToStop {
					d.Done++
				} else if w.InFlight > 0 {
					busy = append(busy, w)
				}
			case w.State == wire.WorkerActive:
				d.Stay++
			}
		}
		if d.All > 0 {
			d.Command = drainCommand(g.Version, ids, d.Stay == 0)
			list = append(list, d)
		}
	}
	held, err := s.heldBy(v, busy)
	if err != nil {
		return nil, err
	}
	for i := range list {
		of := func(id string) bool {
			return slices.ContainsFunc(busy, func(w wire.Worker) bool { return w.ID == id && w.Version == list[i].Version })
		}
		for _, h := range held {
			if of(h.Worker) {
				list[i].Held = append(list[i].Held, h)
			}
		}
		n := 0
		for _, w := range busy {
			if of(w.ID) {
				n += w.InFlight
			}
		}
		list[i].Unsaid = max(0, n-len(list[i].Held))
	}
	return list, nil
}

// drainCommand is what does the same in a shell, and waits.
func drainCommand(version string, ids []string, whole bool) string {
	if whole || len(ids) > 4 {
		return "stint workers drain --version " + shellWord(version) + " --wait"
	}
	for i := range ids {
		ids[i] = shellWord(ids[i])
	}
	return "stint workers drain " + strings.Join(ids, " ") + " --wait"
}

// shellWord quotes what a shell would take apart.
func shellWord(text string) string {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("._-:/@+", r)
	}
	if text != "" && !strings.ContainsFunc(text, func(r rune) bool { return !plain(r) }) {
		return text
	}
	return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'"
}

// mostLooked is how many jobs are looked through for what a worker holds.
const mostLooked = 30

// heldBy finds the steps that workers hold, among those of the jobs that the reader may see, the oldest first.
func (s *Site) heldBy(v *visit, ws []wire.Worker) ([]holding, error) {
	by := map[string]wire.Worker{}
	for _, w := range ws {
		by[w.ID] = w
	}
	if len(by) == 0 {
		return nil, nil
	}
	jobs, err := v.client.Jobs(v.ctx, client.Filter{States: []tasks.State{tasks.Running, tasks.Planning, tasks.Paused}, Limit: mostLooked})
	if err != nil {
		return nil, err
	}
	var list []holding
	for _, j := range jobs.Jobs {
		full, err := v.client.Job(v.ctx, j.ID)
		if isNotFound(err) {
			continue
		}
		if err != nil {
			return nil, err
		}
		for _, o := range full.Out {
			if w, holds := by[o.Worker]; holds {
				list = append(list, holding{Worker: o.Worker, Job: full.ID, Kind: full.Kind, Stage: o.Stage, Step: o.Step, Since: o.Since, CutAt: w.CutAt})
			}
		}
	}
	slices.SortStableFunc(list, func(x, y holding) int {
		return cmp.Or(x.Since.Compare(y.Since), cmp.Compare(x.Job, y.Job), cmp.Compare(x.Stage, y.Stage), cmp.Compare(x.Step, y.Step))
	})
	return list, nil
}

// selectionOf reads which workers are meant, from a form or an address. A single button ("one") means its worker, whatever is ticked.
func selectionOf(q url.Values) (wire.Selection, error) {
	sel := wire.Selection{Version: q.Get("version"), NotVersion: q.Get("not_version"), All: q.Get("all") != "", Force: q.Get("force") != ""}
	for _, id := range q["id"] {
		if id != "" && !slices.Contains(sel.IDs, id) {
			sel.IDs = append(sel.IDs, id)
		}
	}
	if one := q.Get("one"); one != "" {
		sel.IDs = []string{one}
	}
	for _, l := range q["label"] {
		name, value, ok := strings.Cut(l, "=")
		if !ok {
			return sel, badInput("write it as name=value, such as zone=a", "the label %q has no value", l)
		}
		if sel.Labels == nil {
			sel.Labels = map[string]string{}
		}
		sel.Labels[name] = value
	}
	if len(sel.IDs) == 0 && !sel.All && sel.Version == "" && sel.NotVersion == "" && len(sel.Labels) == 0 {
		return sel, badInput("tick the boxes before them", "no worker is chosen")
	}
	return sel, nil
}

// selected is the part of an address that means the same workers.
func selected(sel wire.Selection) url.Values {
	q := url.Values{}
	for _, id := range sel.IDs {
		q.Add("id", id)
	}
	for _, name := range slices.Sorted(maps.Keys(sel.Labels)) {
		q.Add("label", name+"="+sel.Labels[name])
	}
	for name, value := range map[string]string{"version": sel.Version, "not_version": sel.NotVersion} {
		if value != "" {
			q.Set(name, value)
		}
	}
	if sel.All {
		q.Set("all", "yes")
	}
	return q
}

// askBody is a drain before it is asked for.
type askBody struct {
	What    string // the workers in words
	Fields  url.Values
	Workers []wire.Worker
	Fresh   int // of them, those that do not drain yet
	Held    int // steps that they hold
	Left    []string
	Command string
	Steer   bool
}

// askDrain shows what a drain would do, and asks.
func (s *Site) askDrain(v *visit) (content, error) {
	sel, err := selectionOf(v.URL.Query())
	if err != nil {
		return content{}, err
	}
	ws, err := v.client.Workers(v.ctx)
	if err != nil {
		return content{}, err
	}
	ids, err := api.Choose(sel, ws)
	if err != nil {
		return content{}, err
	}
	b := askBody{What: inWords(sel), Fields: selected(sel), Left: leftWords(api.LeftAlone(ws, ids)), Steer: steers(v.me), Command: "stint workers drain" + flagsOf(sel) + " --wait"}
	for _, w := range ws {
		if slices.Contains(ids, w.ID) {
			b.Workers = append(b.Workers, w)
			b.Held += w.InFlight
			if !drains(w) {
				b.Fresh++
			}
		}
	}
	return content{Title: "Drain " + b.What, Body: b}, nil
}

// leftWords puts the protocols of a queue together: "big (protocol 1)" and "big (protocol 2)" are "big (protocols 1 and 2)".
func leftWords(left []string) []string {
	var names []string
	protocols := map[string][]string{}
	for _, text := range left {
		name, rest, _ := strings.Cut(text, " (protocol ")
		if protocols[name] == nil {
			names = append(names, name)
		}
		protocols[name] = append(protocols[name], strings.TrimSuffix(rest, ")"))
	}
	for i, name := range names {
		names[i] = fmt.Sprintf("%s (%s %s)", name, plural(len(protocols[name]), "protocol", "protocols"), and(protocols[name]))
	}
	return names
}

func inWords(sel wire.Selection) string {
	switch {
	case sel.All:
		return "all workers"
	case sel.NotVersion != "":
		return "all but version " + sel.NotVersion
	case sel.Version != "":
		return "version " + sel.Version
	case len(sel.IDs) == 1:
		return sel.IDs[0]
	case len(sel.IDs) > 0:
		return fmt.Sprintf("%d workers", len(sel.IDs))
	}
	return "workers by their label"
}

func flagsOf(sel wire.Selection) string {
	text := ""
	if sel.All {
		text += " --all"
	}
	if sel.Version != "" {
		text += " --version " + shellWord(sel.Version)
	}
	if sel.NotVersion != "" {
		text += " --not-version " + shellWord(sel.NotVersion)
	}
	for _, name := range slices.Sorted(maps.Keys(sel.Labels)) {
		text += " --label " + shellWord(name+"="+sel.Labels[name])
	}
	for _, id := range sel.IDs {
		text += " " + shellWord(id)
	}
	return text
}

func isConflict(err error) bool { return statusOf(err) == http.StatusConflict }

// forceHint puts into the words of a page how to do what the API refuses.
func forceHint(err error) error {
	var p *wire.Problem
	if !errors.As(err, &p) || p.Status != http.StatusConflict {
		return err
	}
	return &wire.Problem{Status: p.Status, Code: p.Code, Detail: p.Detail, Hint: "start other workers first, or tick the box that leaves them alone"}
}

// drainWorkers asks workers to drain. Where that leaves a queue without any worker it goes to the page that asks first.
func (s *Site) drainWorkers(v *visit) (string, string, error) {
	sel, err := selectionOf(v.PostForm)
	if err != nil {
		return "", "", err
	}
	asked, err := v.client.Drain(v.ctx, sel)
	switch {
	case isConflict(err) && v.PostFormValue("asked") == "":
		return "/fleet/drain?" + selected(sel).Encode(), "", nil
	case err != nil:
		return "", "", forceHint(err)
	}
	next := "/fleet"
	if back := local(v.PostFormValue("back")); back != "" && !strings.HasPrefix(back, "/fleet/drain") {
		next = back
	}
	switch len(asked) {
	case 0:
		return next, "No worker is like that; nothing was asked.", nil
	case 1:
		return next, asked[0] + " was asked to drain. It is safe to stop once it says so.", nil
	}
	return next, fmt.Sprintf("%d workers were asked to drain. Each is safe to stop once it says so.", len(asked)), nil
}

func (s *Site) undrainWorkers(v *visit) (string, string, error) {
	sel, err := selectionOf(v.PostForm)
	if err != nil {
		return "", "", err
	}
	asked, err := v.client.Undrain(v.ctx, sel)
	if err != nil {
		return "", "", err
	}
	if len(asked) == 1 {
		return "", asked[0] + " goes back to work.", nil
	}
	return "", fmt.Sprintf("%d workers go back to work.", len(asked)), nil
}
