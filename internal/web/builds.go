package web

import (
	"encoding/json"
	"fmt"
	"net/http"
	"path"
	"slices"
	"strings"
	"sync"

	"github.com/stint-run/stint/client"
	"github.com/stint-run/stint/client/wire"
	"github.com/stint-run/stint/tasks"
	"github.com/stint-run/stint/tasks/builder"
)

// buildPages are the pages of builds.
type buildPages struct {
	*Site
	// known are builds that have ended, whose facts do not change: lists need not read them again and again.
	mu    sync.Mutex
	known map[string]tasks.Build
}

func (s *Site) buildRoutes() {
	b := &buildPages{Site: s, known: map[string]tasks.Build{}}
	s.page("/builds", "builds", "builds", b.list)
	s.page("/builds/new", "builds", "buildnew", b.form)
	s.page("/builds/{id}", "builds", "build", b.show)
	s.action("/builds", b.submit)
	s.action("/builds/{id}/promote", b.promote)
	s.download("/builds/{id}/packages/{name...}", b.fetch)
	s.page("/builds/{id}/logs/{name...}", "builds", "buildlog", b.log)
	s.download("/builds/{id}/whole/{name...}", b.wholeLog)
	s.mux.HandleFunc("GET /builds/{id}/lines/{name...}", b.follow)
}

// buildsAtOnce is how many builds a page of the list has.
const buildsAtOnce = 20

// buildsBody is the list of builds.
type buildsBody struct {
	States       []tasks.State
	State        string
	Tenant       string
	Rows         []buildRow
	More, First  string
	Environments []string // in their order
	Products     []standing
}

// buildRow is a build of the list.
type buildRow struct {
	*wire.Job
	Build  tasks.Build
	Tests  tasks.BuildTests // of all its steps
	Cached int
}

// standing is what is where of a product.
type standing struct {
	Product string
	In      map[string]tasks.Promotion // by environment
}

func (b *buildPages) list(v *visit) (content, error) {
	q := v.URL.Query()
	body := buildsBody{States: jobStates, State: q.Get("state"), Tenant: q.Get("tenant")}
	if body.Tenant == "" && len(v.me.Tenants) == 1 {
		body.Tenant = v.me.Tenants[0]
	}
	f := client.Filter{Kind: builder.Kind, Tenant: q.Get("tenant"), Limit: buildsAtOnce, Cursor: q.Get("after")}
	if body.State != "" {
		f.States = []tasks.State{tasks.State(body.State)}
	}
	jobs, err := v.client.Jobs(v.ctx, f)
	if err != nil {
		return content{}, err
	}
	body.Rows = make([]buildRow, len(jobs.Jobs))
	var all sync.WaitGroup
	for i, j := range jobs.Jobs { // each is some reads of the store of artifacts, which may be far away
		all.Go(func() {
			body.Rows[i] = buildRow{Job: j}
			if x, err := b.facts(v, j); err == nil { // the row is there without them
				body.Rows[i].Build, body.Rows[i].Tests, body.Rows[i].Cached = x, testsOf(x), cachedOf(x)
			}
		})
	}
	all.Wait()
	if jobs.Next != "" {
		body.More = pageAfter(v.URL, jobs.Next)
	}
	if f.Cursor != "" {
		body.First = pageAfter(v.URL, "")
	}
	at, err := v.client.Promotions(v.ctx, body.Tenant, "")
	switch {
	case err == nil:
		body.Environments, body.Products = whatIsWhere(at)
	case !isForbidden(err) && !isNotFound(err): // of several tenants none is named, or this server knows no builds
		return content{}, err
	}
	return content{Title: "Builds", Body: body}, nil
}

// maxKnown bounds how many builds are remembered.
const maxKnown = 1000

// facts reads what a build is of. The caller has it from a list of what the visitor may see.
func (b *buildPages) facts(v *visit, j *wire.Job) (tasks.Build, error) {
	key := fmt.Sprintf("%s/%d", j.ID, j.Epoch)
	b.mu.Lock()
	x, there := b.known[key]
	b.mu.Unlock()
	if there {
		return x, nil
	}
	got, err := v.client.Build(v.ctx, j.ID)
	if err != nil {
		return tasks.Build{}, err
	}
	if j.State == tasks.Succeeded {
		b.mu.Lock()
		if len(b.known) >= maxKnown {
			clear(b.known)
		}
		b.known[key] = *got
		b.mu.Unlock()
	}
	return *got, nil
}

// testsOf adds up the tests of all steps.
func testsOf(x tasks.Build) (sum tasks.BuildTests) {
	for _, s := range x.Steps {
		if t := s.Tests; t != nil {
			sum.Tests, sum.Passed, sum.Failed, sum.Skipped, sum.Flaky = sum.Tests+t.Tests, sum.Passed+t.Passed, sum.Failed+t.Failed, sum.Skipped+t.Skipped, sum.Flaky+t.Flaky
		}
	}
	return sum
}

func cachedOf(x tasks.Build) (n int) {
	for _, s := range x.Steps {
		if s.State == tasks.BuildCached {
			n++
		}
	}
	return n
}

// whatIsWhere makes a table of promotions, which come in the order of the environments.
func whatIsWhere(list []tasks.Promotion) (environments []string, products []standing) {
	at := map[string]int{}
	for _, p := range list {
		if !slices.Contains(environments, p.Environment) {
			environments = append(environments, p.Environment)
		}
		i, there := at[p.Product]
		if !there {
			i = len(products)
			at[p.Product] = i
			products = append(products, standing{p.Product, map[string]tasks.Promotion{}})
		}
		products[i].In[p.Environment] = p
	}
	slices.SortFunc(products, func(x, y standing) int { return strings.Compare(x.Product, y.Product) })
	return environments, products
}

// buildFormBody is the form of a new build.
type buildFormBody struct {
	builder.Spec
	Tenant string
	Key    string // of the form as it is shown: sent twice it makes one build
}

// form shows the form. An address fills it in, such as that of "build it again".
func (b *buildPages) form(v *visit) (content, error) {
	q := v.URL.Query()
	spec := builder.Spec{Repository: q.Get("repository"), Ref: q.Get("ref"), Commit: q.Get("commit"), Dir: q.Get("dir"), Pipeline: q.Get("pipeline"), Again: q.Get("again") != ""}
	return content{Title: "New build", Body: buildFormBody{Spec: spec, Tenant: q.Get("tenant"), Key: randomText()}, Still: true}, nil
}

// submit starts a build, as stint build run --server does.
func (b *buildPages) submit(v *visit) (string, string, error) {
	get := func(name string) string { return strings.TrimSpace(v.PostFormValue(name)) }
	spec := builder.Spec{Repository: get("repository"), Ref: get("ref"), Commit: get("commit"), Dir: get("dir"), Pipeline: get("pipeline"), Again: get("again") != ""}
	text, err := json.Marshal(spec)
	if err != nil {
		return "", "", err
	}
	key := get("key")
	if key == "" {
		key = randomText()
	}
	done, err := v.client.Submit(v.ctx, "page-"+key, wire.Submission{Kind: builder.Kind, Tenant: get("tenant"), Spec: text})
	if err != nil {
		return "", "", backToForm(v, spec, err)
	}
	return to("builds", done.ID), "The build is on its way.", nil
}

// backToForm has the form come back as it was filled in.
func backToForm(v *visit, spec builder.Spec, err error) error {
	again := ""
	if spec.Again {
		again = "yes"
	}
	back, e := withQuery("/builds/new", "repository", spec.Repository, "ref", spec.Ref, "commit", spec.Commit, "dir", spec.Dir, "pipeline", spec.Pipeline, "again", again, "tenant", v.PostFormValue("tenant"))
	if e == nil {
		v.PostForm.Set("back", back)
		v.Form.Set("back", back)
	}
	return err
}

// promote brings what a build has left behind into an environment.
func (b *buildPages) promote(v *visit) (string, string, error) {
	env := v.PostFormValue("environment")
	switch {
	case env == "":
		return "", "", badInput("choose an environment", "no environment is chosen")
	case v.PostFormValue("sure") == "":
		return "", "", badInput("tick “yes, promote” as well", "nothing was promoted")
	}
	p, err := v.client.Promote(v.ctx, v.PathValue("id"), env)
	if err != nil {
		return "", "", err
	}
	if p.Already {
		return "", fmt.Sprintf("%s %s was in %s already.", p.Product, p.Version, p.Environment), nil
	}
	return "", fmt.Sprintf("%s %s is in %s.", p.Product, p.Version, p.Environment), nil
}

// fetch hands a package on.
func (b *buildPages) fetch(w http.ResponseWriter, v *visit) error {
	file, about, err := v.client.Output(v.ctx, v.PathValue("id"), v.PathValue("name"))
	if err != nil {
		return err
	}
	defer file.Close()
	kind := about.ContentType
	if kind == "" {
		kind = "application/octet-stream"
	}
	attach(w, path.Base(about.Name), kind)
	if about.Digest != "" {
		w.Header().Set("ETag", `"`+about.Digest+`"`)
	}
	return pour(w, file)
}
