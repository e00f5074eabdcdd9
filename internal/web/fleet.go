package web

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/stint-run/stint/client/wire"
	"github.com/stint-run/stint/internal/api"
	"github.com/stint-run/stint/internal/versions"
)

func (s *Site) fleetRoutes() {
	s.page("/fleet", "fleet", "fleet", s.fleet)
	s.page("/fleet/drain", "fleet", "fleet_drain", s.askDrain)
	s.page("/fleet/fence", "fleet", "fleet_fence", s.askFence)
	s.page("/fleet/{id}", "fleet", "worker", s.worker)
	s.action("/fleet/drain", s.drainWorkers)
	s.action("/fleet/undrain", s.undrainWorkers)
	s.action("/fleet/fence", s.setFence)
	s.action("/fleet/fence/lift", s.liftFences)
	s.queueRoutes()
}

// mostWorkers is how many workers a page lists; who has more narrows them down.
const mostWorkers = 300

// workerStates are the states that the list can be filtered by.
var workerStates = []string{wire.WorkerActive, wire.WorkerDraining, wire.WorkerDrained, wire.WorkerLost, wire.WorkerStopped}

// fleetBody is the fleet.
type fleetBody struct {
	Doubts   []doubt
	Fleet    fleetCount
	Cards    []versionCard
	Fences   []wire.Fence
	Drains   []drainGroup
	Steer    bool // the reader may drain workers and set fences
	State    string
	Version  string
	Label    string
	Find     string
	States   []string
	Versions []string
	Workers  []wire.Worker
	Stopped  []wire.Worker
	Hidden   int // workers that did not fit
}

// Filtered reports whether the list is not of all workers.
func (b fleetBody) Filtered() bool { return b.State+b.Version+b.Label+b.Find != "" }

// versionCard is a version beside the others.
type versionCard struct {
	versionGroup
	Newest bool
	Only   bool // there is no other
	Parked bool // a fence keeps it from claiming
	Asked  int  // workers that drain, have drained, or were asked to
}

// Age is how long the first of them has run, to the minute: a page that changes each second is sent each second.
func (c versionCard) Age(now time.Time) string {
	d := now.Sub(c.Since)
	if d >= time.Minute {
		d = d.Truncate(time.Minute)
	}
	return duration(d)
}

// Alive is how many of them live.
func (c versionCard) Alive() int { return c.Active + c.Draining + c.Drained }

// steers reports whether a reader may steer the fleet: it takes an operator whose token is for all tenants.
func steers(me *wire.About) bool { return can(me, "operator") && len(me.Tenants) == 0 }

func (s *Site) fleet(v *visit) (content, error) {
	q := v.URL.Query()
	b := fleetBody{State: q.Get("state"), Version: q.Get("version"), Label: strings.TrimSpace(q.Get("label")), Find: strings.TrimSpace(q.Get("find")),
		States: workerStates, Steer: steers(v.me)}
	if b.Label != "" && !strings.Contains(b.Label, "=") {
		return content{}, badInput("write it as name=value, such as zone=a", "the label %q has no value", b.Label)
	}
	ws, err := v.client.Workers(v.ctx)
	if err != nil {
		return content{}, err
	}
	queues, err := v.client.Queues(v.ctx)
	if err != nil {
		return content{}, err
	}
	schedules, err := v.client.Schedules(v.ctx)
	if err != nil {
		return content{}, err
	}
	fences, err := v.client.Fences(v.ctx)
	if err != nil {
		return content{}, err
	}
	b.Fleet, b.Doubts = countWorkers(ws), doubts(ws, queues, schedules)
	b.Fences = fences
	b.Cards = cardsOf(ws, fences)
	for _, c := range b.Cards {
		b.Versions = append(b.Versions, c.Version)
	}
	if b.Drains, err = s.drainsOf(v, ws); err != nil {
		return content{}, err
	}
	b.list(ws)
	return content{Title: "Fleet", Body: b}, nil
}

// list fills in the workers that are to be seen: what needs attention first, then by version and id.
func (b *fleetBody) list(ws []wire.Worker) {
	for _, w := range ws {
		switch {
		case !b.has(w):
		case w.State == wire.WorkerStopped && b.State == "":
			b.Stopped = append(b.Stopped, w)
		default:
			b.Workers = append(b.Workers, w)
		}
	}
	rank := []string{wire.WorkerDraining, wire.WorkerDrained, wire.WorkerLost, wire.WorkerActive}
	slices.SortStableFunc(b.Workers, func(x, y wire.Worker) int {
		return cmp.Or(cmp.Compare(slices.Index(rank, x.State), slices.Index(rank, y.State)), cmp.Compare(y.Version, x.Version), cmp.Compare(x.ID, y.ID))
	})
	slices.SortStableFunc(b.Stopped, func(x, y wire.Worker) int { return cmp.Compare(x.HeartbeatAge, y.HeartbeatAge) })
	if n := len(b.Workers); n > mostWorkers {
		b.Workers, b.Hidden = b.Workers[:mostWorkers], n-mostWorkers
	}
	b.Stopped = b.Stopped[:min(len(b.Stopped), 100)]
}

// has reports whether a worker is like the filter asks for.
func (b *fleetBody) has(w wire.Worker) bool {
	if b.State != "" && w.State != b.State || b.Version != "" && w.Version != b.Version || !strings.Contains(strings.ToLower(w.ID), strings.ToLower(b.Find)) {
		return false
	}
	if b.Label == "" {
		return true
	}
	name, value, _ := strings.Cut(b.Label, "=")
	have, there := w.Labels[name]
	return there && have == value
}

func cardsOf(ws []wire.Worker, fences []wire.Fence) []versionCard {
	groups := versionsOf(ws)
	alone := 0
	for _, g := range groups {
		if g.Active+g.Draining+g.Drained > 0 {
			alone++
		}
	}
	cards := make([]versionCard, 0, len(groups))
	for i, g := range groups {
		c := versionCard{versionGroup: g, Newest: i == 0, Only: alone < 2}
		for _, f := range fences {
			if parks, _ := versions.Parks(f, g.Version); parks { // one that cannot be read parks, too
				c.Parked = true
			}
		}
		for _, w := range g.Workers {
			if drains(w) {
				c.Asked++
			}
		}
		cards = append(cards, c)
	}
	return cards
}

// fenceBody is a fence before it is set.
type fenceBody struct {
	Which  string // version or not_version
	Value  string
	Reason string
	Wrong  *shown
	Text   string // the fence in words; "" when there is none yet
	Parked []wire.Worker
	Held   int // steps that they hold
	Left   []string
	Steer  bool
}

// fenceOf reads a fence from what a form or an address says.
func fenceOf(get func(string) string) (wire.Fence, error) {
	f := wire.Fence{Reason: strings.TrimSpace(get("reason"))}
	value := strings.TrimSpace(get("value"))
	switch get("which") {
	case "version":
		f.Version = value
	case "not_version":
		f.NotVersion = value
	default:
		return f, badInput("choose one of the two", "a fence parks some versions, or all others")
	}
	if err := versions.Check(value); err != nil {
		return f, badInput("write a version such as 1.4.0, or a constraint such as <2.0 or >=1.4, <1.6", "%v", err)
	}
	return f, nil
}

// askFence shows what a fence would do, and asks.
func (s *Site) askFence(v *visit) (content, error) {
	q := v.URL.Query()
	b := fenceBody{Which: q.Get("which"), Value: q.Get("value"), Reason: q.Get("reason"), Steer: steers(v.me)}
	c := content{Title: "Set a fence"}
	f, err := fenceOf(q.Get)
	if err != nil {
		if b.Which != "" || b.Value != "" {
			b.Wrong = problemOf(err)
		}
		c.Body = b
		return c, nil
	}
	ws, err := v.client.Workers(v.ctx)
	if err != nil {
		return c, err
	}
	b.Text = "version " + f.Version
	if f.NotVersion != "" {
		b.Text = "all versions but " + f.NotVersion
	}
	var ids []string
	for _, w := range ws {
		if w.State == wire.WorkerStopped || w.State == wire.WorkerLost {
			continue
		}
		if parks, _ := versions.Parks(f, w.Version); parks {
			b.Parked, ids = append(b.Parked, w), append(ids, w.ID)
			b.Held += w.InFlight
		}
	}
	b.Left = leftWords(api.LeftAlone(ws, ids))
	c.Body = b
	return c, nil
}

func (s *Site) setFence(v *visit) (string, string, error) {
	f, err := fenceOf(v.PostFormValue)
	if err != nil {
		return "", "", err
	}
	set, err := v.client.SetFence(v.ctx, f, v.PostFormValue("force") != "")
	if err != nil {
		return "", "", forceHint(err)
	}
	return "/fleet", fmt.Sprintf("The fence %s is set. What it parks drains now, and claims nothing when it starts again.", versions.Text(*set)), nil
}

func (s *Site) liftFences(v *visit) (string, string, error) {
	return "/fleet", "The fences are lifted. What they parked goes back to work, unless it was asked to drain as well.", v.client.LiftFences(v.ctx)
}
