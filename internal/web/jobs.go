package web

import (
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/stint-run/stint/client"
	"github.com/stint-run/stint/client/wire"
	"github.com/stint-run/stint/tasks"
)

func (s *Site) jobRoutes() {
	s.page("/jobs", "jobs", "jobs", s.jobList)
	s.action("/jobs/act", s.actOnJobs)
}

// jobStates are the states that the list can be filtered by, in the order of a job's life.
var jobStates = []tasks.State{tasks.Accepted, tasks.Planning, tasks.Running, tasks.Paused, tasks.Succeeded, tasks.Failed, tasks.Cancelled}

// jobListBody is the list of jobs.
type jobListBody struct {
	States []tasks.State
	Kinds  []wire.Kind
	State  string
	Kind   string
	Tenant string
	Label  string
	Find   string
	Jobs   []*wire.Job
	More   string // the address of the next page
	First  string // the address of the first one; "" on it
	Counts map[string]int64
}

func (s *Site) jobList(v *visit) (content, error) {
	q := v.URL.Query()
	b := jobListBody{States: jobStates, State: q.Get("state"), Kind: q.Get("kind"), Tenant: q.Get("tenant"), Label: strings.TrimSpace(q.Get("label")), Find: strings.TrimSpace(q.Get("find")),
		Counts: map[string]int64{}}
	f := client.Filter{Kind: b.Kind, Tenant: b.Tenant, Limit: 50, Cursor: q.Get("after")}
	if b.State != "" {
		f.States = []tasks.State{tasks.State(b.State)}
	}
	if b.Label != "" {
		name, value, ok := strings.Cut(b.Label, "=")
		if !ok {
			return content{}, badInput("write it as name=value", "the label %q has no value", b.Label)
		}
		f.Labels = map[string]string{name: value}
	}
	kinds, err := v.client.Kinds(v.ctx)
	if err != nil {
		return content{}, err
	}
	b.Kinds = kinds
	counts, err := v.client.JobCounts(v.ctx)
	if err != nil {
		return content{}, err
	}
	for _, c := range counts {
		if b.Kind == "" || c.Kind == b.Kind {
			b.Counts[string(c.State)] += c.Jobs
		}
	}
	if b.Find != "" {
		return s.findJob(v, b)
	}
	list, err := v.client.Jobs(v.ctx, f)
	if err != nil {
		return content{}, err
	}
	b.Jobs = list.Jobs
	if list.Next != "" {
		b.More = pageAfter(v.URL, list.Next)
	}
	if f.Cursor != "" {
		b.First = pageAfter(v.URL, "")
	}
	return content{Title: "Jobs", Body: b}, nil
}

// findJob lists the job of an id.
func (s *Site) findJob(v *visit, b jobListBody) (content, error) {
	j, err := v.client.Job(v.ctx, b.Find)
	switch {
	case err == nil:
		b.Jobs = []*wire.Job{j}
	case !isNotFound(err):
		return content{}, err
	}
	return content{Title: "Jobs", Body: b}, nil
}

// pageAfter is the address of a page of a list behind a cursor; "" is the first.
func pageAfter(u *url.URL, cursor string) string {
	q := u.Query()
	q.Del("live")
	q.Del("after")
	if cursor != "" {
		q.Set("after", cursor)
	}
	return u.Path + "?" + q.Encode()
}

// verbs are what can be done with jobs, and how it is said when it was.
var verbs = map[string]string{client.Pause: "paused", client.Resume: "resumed", client.Cancel: "cancelled", client.Retry: "tried again", client.Restart: "begun anew"}

// actOnJobs does one thing with all jobs that were chosen. What one cannot do keeps none of the others from it.
func (s *Site) actOnJobs(v *visit) (string, string, error) {
	verb, ids := v.PostFormValue("verb"), v.PostForm["id"]
	if verbs[verb] == "" {
		return "", "", badInput("use one of the buttons", "nothing can be done by the name of %q", verb)
	}
	if len(ids) == 0 {
		return "", "", badInput("tick the boxes before them", "no job is chosen")
	}
	if verb == client.Cancel && v.PostFormValue("sure") == "" {
		return "", "", badInput("tick “yes, cancel” as well: a job that is cancelled does not go on", "nothing was cancelled")
	}
	slices.Sort(ids)
	ids = slices.Compact(ids)
	done, failed := 0, []string{}
	var last error
	for _, id := range ids {
		if _, err := v.client.Control(v.ctx, id, verb); err != nil {
			failed, last = append(failed, id), err
			continue
		}
		done++
	}
	if last != nil && len(ids) == 1 {
		return "", "", last
	}
	if last != nil {
		return "", "", badInput("", "%d of %d jobs %s; not %s: %s", done, len(ids), verbs[verb], strings.Join(failed[:min(3, len(failed))], ", "), last)
	}
	if done == 1 {
		return "", fmt.Sprintf("%s is %s.", ids[0], verbs[verb]), nil
	}
	return "", fmt.Sprintf("%d jobs are %s.", done, verbs[verb]), nil
}
