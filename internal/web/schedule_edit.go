package web

import (
	"cmp"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/stint-run/stint/client/wire"
	"github.com/stint-run/stint/internal/store"
)

// editBody is the form of a schedule: one that there is, or a new one.
type editBody struct {
	New     bool
	Name    string
	Version string // of what the reader has seen
	Cron    string
	Every   string
	Zone    string
	Jitter  string
	Missed  string
	Overlap string
	Late    string // the deadline
	Kind    string
	Tenant  string
	Spec    string
	Labels  string
	Kinds   []wire.Kind
	Default string // deadline
	Config  bool   // it comes from the configuration, and is changed there
}

func (s *Site) newSchedule(v *visit) (content, error) {
	kinds, err := v.client.Kinds(v.ctx)
	if err != nil {
		return content{}, err
	}
	b := editBody{New: true, Kinds: kinds, Missed: wire.MissedSkip, Overlap: wire.OverlapSkip, Spec: "{}", Default: brief(store.DefaultDeadline.String())}
	b.typed(v.PostForm)
	return content{Title: "New schedule", Body: b, Still: true}, nil
}

func (s *Site) editSchedule(v *visit) (content, error) {
	sc, err := v.client.Schedule(v.ctx, v.PathValue("name"))
	if err != nil {
		return content{}, err
	}
	b := editBody{Name: sc.Name, Version: sc.Version, Cron: sc.Cron, Every: brief(sc.Every), Zone: sc.Timezone, Jitter: brief(sc.Jitter), Missed: cmp.Or(sc.Missed, wire.MissedSkip),
		Overlap: cmp.Or(sc.Overlap, wire.OverlapSkip), Late: brief(sc.Deadline), Kind: sc.Job.Kind, Tenant: sc.Job.Tenant, Spec: pretty(sc.Job.Spec), Labels: labelText(sc.Job.Labels),
		Default: brief(store.DefaultDeadline.String()), Config: sc.Origin == wire.OriginConfig}
	b.typed(v.PostForm)
	return content{Title: "Change " + sc.Name, Body: b, Still: true}, nil
}

// typed takes over what somebody typed before it was found wrong.
func (b *editBody) typed(q url.Values) {
	for name, field := range map[string]*string{"cron": &b.Cron, "every": &b.Every, "timezone": &b.Zone, "jitter": &b.Jitter, "missed": &b.Missed, "overlap": &b.Overlap,
		"deadline": &b.Late, "kind": &b.Kind, "tenant": &b.Tenant, "spec": &b.Spec, "labels": &b.Labels} {
		if q.Has(name) {
			*field = q.Get(name)
		}
	}
	if b.New && q.Has("name") {
		b.Name = q.Get("name")
	}
	if q.Has("version") {
		b.Version = q.Get("version")
	}
}

func labelText(labels map[string]string) string {
	var list []string
	for name, value := range labels {
		list = append(list, name+"="+value)
	}
	slices.Sort(list)
	return strings.Join(list, ", ")
}

// filled reads the parts of a definition that every form has.
func filled(v *visit, d *wire.ScheduleDefinition) error {
	get := func(name string) string { return strings.TrimSpace(v.PostFormValue(name)) }
	d.Cron, d.Every, d.Timezone, d.Jitter, d.Deadline = get("cron"), get("every"), get("timezone"), get("jitter"), get("deadline")
	d.Missed, d.Overlap = get("missed"), get("overlap")
	if d.Cron == "" && d.Every == "" {
		return badInput("fill in one of the two, such as the cron expression 0 3 * * * or the interval 15m", "it says neither a cron expression nor an interval")
	}
	if d.Cron != "" && d.Every != "" {
		return badInput("empty one of the two", "it has both a cron expression and an interval")
	}
	spec := json.RawMessage(get("spec"))
	if !json.Valid(spec) {
		return badInput("write an object such as {\"keep_for\": \"168h\"}", "what the job has to do is no JSON%s", wherein(spec))
	}
	d.Job.Spec, d.Job.Labels = spec, nil
	for _, l := range strings.FieldsFunc(get("labels"), func(r rune) bool { return r == ',' || r == '\n' }) {
		name, value, ok := strings.Cut(strings.TrimSpace(l), "=")
		if !ok {
			return badInput("write them as team=data, zone=a", "the label %q has no value", strings.TrimSpace(l))
		}
		if d.Job.Labels == nil {
			d.Job.Labels = map[string]string{}
		}
		d.Job.Labels[name] = value
	}
	return nil
}

// wherein says where JSON is broken.
func wherein(spec []byte) string {
	var x any
	err := json.Unmarshal(spec, &x)
	if e := (*json.SyntaxError)(nil); errors.As(err, &e) {
		return ": " + e.Error() + ", at character " + strconv.FormatInt(e.Offset, 10)
	}
	return ""
}

func (s *Site) makeSchedule(v *visit) (string, string, error) {
	name := strings.TrimSpace(v.PostFormValue("name"))
	if name == "" {
		return "", "", badInput("give it one of a-z, digits, _, - and ., such as nightly-proof", "the schedule has no name")
	}
	d := wire.ScheduleDefinition{Job: wire.ScheduleJob{Kind: v.PostFormValue("kind"), Tenant: strings.TrimSpace(v.PostFormValue("tenant"))}}
	if err := filled(v, &d); err != nil {
		return "", "", err
	}
	switch _, err := v.client.Schedule(v.ctx, name); {
	case err == nil:
		return "", "", badInput("give it another name, or change the one that there is", "there is a schedule %s already", name)
	case !isNotFound(err):
		return "", "", err
	}
	sc, err := v.client.PutSchedule(v.ctx, name, "", d)
	if err != nil {
		return "", "", err
	}
	return to("schedules", sc.Name), sc.Name + " is made.", nil
}

// saveSchedule changes a schedule. What the form does not have of it stays as it is.
func (s *Site) saveSchedule(v *visit) (string, string, error) {
	name := v.PathValue("name")
	sc, err := v.client.Schedule(v.ctx, name)
	if err != nil {
		return "", "", err
	}
	d := wire.ScheduleDefinition{Paused: sc.Paused, Job: sc.Job}
	if err := filled(v, &d); err != nil {
		return "", "", err
	}
	_, err = v.client.PutSchedule(v.ctx, name, v.PostFormValue("version"), d)
	if statusOf(err) == http.StatusPreconditionFailed {
		return "", "", badInput("below is what you typed; open the form again to see what they made of it", "somebody has changed %s since you opened this form, so nothing was saved", name)
	}
	if err != nil {
		return "", "", err
	}
	return to("schedules", name), name + " is changed.", nil
}

// form serves a form that comes back with what was typed when something about it is wrong: POST pattern. load reads the page of the
// form, with what v.PostForm says; do is what action has.
func (s *Site) form(pattern, nav, name string, load loader, do func(v *visit) (next, said string, err error)) {
	s.mux.HandleFunc("POST "+pattern, func(w http.ResponseWriter, r *http.Request) {
		v, ok := s.visit(w, r)
		if !ok || !s.isOurs(w, r, v) {
			return
		}
		next, said, err := do(v)
		if err == nil {
			setFlash(w, r, &flash{Text: said})
			http.Redirect(w, r, next, http.StatusSeeOther)
			return
		}
		p := problemOf(err)
		again, lost := load(v)
		if lost != nil || p.Status == http.StatusUnauthorized {
			s.fail(w, r, v, p)
			return
		}
		x := s.view(v, nav, again)
		x.Flash = &flash{Text: p.Detail, Hint: p.Hint, Bad: true}
		s.render(w, r, p.Status, name, x)
	})
}
