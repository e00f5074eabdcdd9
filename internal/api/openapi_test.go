package api

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/danielgtaylor/huma/v2"

	"github.com/stint-run/stint/client/wire"
	"github.com/stint-run/stint/internal/enginetest"
	"github.com/stint-run/stint/tasks/all"
)

// document is the OpenAPI document of a server with the families that this build has.
func document(t *testing.T) (*API, []byte) {
	t.Helper()
	a := New(Options{Families: all.Families(all.Options{}), Version: "1"})
	text, err := a.OpenAPI()
	if err != nil {
		t.Fatal(err)
	}
	return a, append(text, '\n')
}

func TestTheOpenAPIDocumentIsTheOneInTheDocs(t *testing.T) {
	t.Parallel()
	_, text := document(t)
	path := filepath.Join("..", "..", "docs", "openapi.json")
	if *update {
		if err := os.WriteFile(path, text, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	kept, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(kept, text) {
		t.Errorf("docs/openapi.json is not what the server says; write it anew with: go test ./internal/api -run OpenAPI -update")
	}
}

func TestTheServerServesItsOpenAPIDocument(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	s := h.serve()
	got := h.send("GET", s.at("/openapi.json"), nil)
	doc := as[map[string]any](t, got)
	if got.status != 200 || doc["openapi"] != "3.1.0" || doc["info"].(map[string]any)["version"] != "1.2.3" {
		t.Errorf("%d %v", got.status, doc["openapi"])
	}
}

func TestEachReferenceOfTheOpenAPIDocumentLeadsSomewhere(t *testing.T) {
	t.Parallel()
	_, text := document(t)
	var doc any
	if err := json.Unmarshal(text, &doc); err != nil {
		t.Fatal(err)
	}
	refs := 0
	var walk func(at string, v any)
	walk = func(at string, v any) {
		switch v := v.(type) {
		case map[string]any:
			for k, x := range v {
				if ref, ok := x.(string); ok && k == "$ref" {
					refs++
					if !resolves(doc, ref) {
						t.Errorf("%s: %s leads nowhere", at, ref)
					}
				}
				walk(at+"/"+k, x)
			}
		case []any:
			for i, x := range v {
				walk(fmt.Sprint(at, "/", i), x)
			}
		}
	}
	walk("", doc)
	if refs < 50 {
		t.Errorf("only %d references were found", refs)
	}
}

func resolves(doc any, ref string) bool {
	path, ok := strings.CutPrefix(ref, "#/")
	for part := range strings.SplitSeq(path, "/") {
		m, _ := doc.(map[string]any)
		doc = m[part]
	}
	return ok && doc != nil
}

func TestEachOperationHasAllThatAClientNeeds(t *testing.T) {
	t.Parallel()
	a, _ := document(t)
	ids := map[string]bool{}
	for path, item := range a.huma.OpenAPI().Paths {
		for method, op := range map[string]*huma.Operation{"GET": item.Get, "POST": item.Post, "PUT": item.Put, "DELETE": item.Delete} {
			if op == nil {
				continue
			}
			at := method + " " + path
			n, ok := op.Metadata[needsKey].(needs)
			switch {
			case !ok || !n.open && roleOf(string(n.role)) == "":
				t.Errorf("%s: nothing says who may", at)
			case op.OperationID == "" || ids[op.OperationID] || op.Summary == "" || strings.HasSuffix(op.Summary, "."):
				t.Errorf("%s: its id or summary: %q %q", at, op.OperationID, op.Summary)
			case n.open != (len(op.Security) == 0):
				t.Errorf("%s: its security: %v", at, op.Security)
			}
			ids[op.OperationID] = true
			good := 0
			for status, r := range op.Responses {
				if status[0] == '2' {
					good++
				}
				if r.Description == "" {
					t.Errorf("%s: %s has no description", at, status)
				}
			}
			if good != 1 {
				t.Errorf("%s: %d good answers", at, good)
			}
			for _, name := range regexp.MustCompile(`{(\w+)}`).FindAllStringSubmatch(path, -1) {
				found := false
				for _, p := range op.Parameters {
					found = found || p.In == "path" && p.Name == name[1] && p.Required
				}
				if !found {
					t.Errorf("%s: %s is not described", at, name[1])
				}
			}
		}
	}
}

func TestASpecIsAnyJSONForWhoReadsTheDocument(t *testing.T) {
	t.Parallel()
	a, _ := document(t)
	for _, name := range []string{"Job", "Submission"} {
		spec := a.huma.OpenAPI().Components.Schemas.Map()[name].Properties["spec"]
		if spec == nil || spec.Type != "" || spec.Ref != "" || len(spec.Properties) > 0 {
			t.Errorf("%s.spec: %+v", name, spec)
		}
	}
}

func TestAnswersHaveTheFormThatTheDocumentSays(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.job("job-1", "acme")
	h.beat(wire.Worker{ID: "w1", Version: "1", Queues: []string{"default"}, Labels: map[string]string{"a": "b"}, Protocol: 1})
	secret := bearer(h.token(wire.NewToken{Role: "admin", Tenants: nil}))
	a := h.api()
	s := h.start(a, ServerOptions{})
	for _, w := range []struct{ method, path, body string }{
		{"POST", "/v1/jobs", `{"kind":"test","spec":{"stages":[1]},"labels":{"a":"b"},"policy":{"on_failure":"skip"}}`}, {"POST", "/v1/jobs/{id}/pause", ""}, {"POST", "/v1/workers/undrain", `{"all":true}`},
		{"PUT", "/v1/tenants/{id}/limits", `{"running_jobs":1,"steps_per_second":2}`}, {"PUT", "/v1/kinds/{id}/maintenance", `{"reason":"x"}`}, {"POST", "/v1/tokens", `{"name":"n","role":"viewer"}`},
		{"GET", "/v1/jobs", ""}, {"GET", "/v1/jobs/{id}", ""}, {"GET", "/v1/jobs/{id}/report", ""}, {"GET", "/v1/jobs/{id}/events", ""}, {"GET", "/v1/workers", ""}, {"GET", "/v1/workers/{id}", ""},
		{"GET", "/v1/workers/{id}/drained", ""}, {"GET", "/v1/queues", ""}, {"GET", "/v1/queues/{id}", ""}, {"GET", "/v1/tenants", ""}, {"GET", "/v1/kinds", ""}, {"GET", "/v1/tokens", ""}, {"GET", "/v1/audit", ""},
		{"GET", "/v1/about", ""}, {"GET", "/livez", ""}, {"GET", "/readyz", ""}, {"DELETE", "/v1/tokens/{id}", ""},
	} {
		id := "job-1"
		for part, other := range map[string]string{"workers": "w1", "queues": "default", "kinds": "test", "tenants": "acme"} {
			if strings.HasPrefix(w.path, "/v1/"+part) {
				id = other
			}
		}
		var body any
		if w.body != "" {
			body = w.body
		}
		got := h.send(w.method, s.at(strings.ReplaceAll(w.path, "{id}", id)), body, secret...)
		item := a.huma.OpenAPI().Paths[w.path]
		op := map[string]*huma.Operation{"GET": item.Get, "POST": item.Post, "PUT": item.Put, "DELETE": item.Delete}[w.method]
		described := op.Responses[fmt.Sprint(got.status)]
		if described == nil {
			t.Errorf("%s %s: not described: %s", w.method, w.path, got)
			continue
		}
		form := described.Content[got.header.Get("Content-Type")]
		if form == nil {
			t.Errorf("%s %s: the type of %s is not described", w.method, w.path, got)
			continue
		}
		var v any
		res := &huma.ValidateResult{}
		if err := json.Unmarshal(got.body, &v); err != nil {
			t.Errorf("%s %s: %v", w.method, w.path, err)
			continue
		}
		huma.Validate(a.huma.OpenAPI().Components.Schemas, form.Schema, huma.NewPathBuffer(nil, 0), huma.ModeReadFromServer, v, res)
		for _, err := range res.Errors {
			t.Errorf("%s %s: %v: %s", w.method, w.path, err, got)
		}
	}
}

func TestTheDocsHaveEachRouteWithItsRoleAndEachCode(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", "api.md"))
	if err != nil {
		t.Fatal(err)
	}
	a, _ := document(t)
	want := map[string]bool{}
	for _, op := range operations(a) {
		n := a.needsOf(op)
		who := string(n.role)
		switch {
		case n.open:
			who = "anybody"
		case n.fleet:
			who += ", all tenants"
		}
		line := fmt.Sprintf("| `%s %s` | %s |", op.method, op.path, who)
		want[line] = true
		if !strings.Contains(string(text), line) {
			t.Errorf("docs/api.md lacks: %s", line)
		}
	}
	for _, line := range strings.Split(string(text), "\n") {
		if m := regexp.MustCompile("^\\| `(GET|POST|PUT|DELETE) /[^|]*\\| [^|]* \\|").FindString(line); m != "" && !want[m] && !strings.Contains(m, "/metrics") && !strings.Contains(m, "/ack/") && !strings.Contains(m, "/openapi.json") {
			t.Errorf("docs/api.md has a route that there is not: %s", m)
		}
	}
	for _, code := range []string{wire.CodeBadRequest, wire.CodeUnauthorized, wire.CodeForbidden, wire.CodeNotFound, wire.CodeConflict, wire.CodeChanged, wire.CodeLimited, wire.CodeInternal, wire.CodeUnreachable} {
		if !strings.Contains(string(text), "| `"+code+"` |") {
			t.Errorf("docs/api.md lacks the code %s", code)
		}
	}
}

func (a *API) needsOf(o operation) needs {
	item := a.huma.OpenAPI().Paths[o.path]
	op := map[string]*huma.Operation{"GET": item.Get, "POST": item.Post, "PUT": item.Put, "DELETE": item.Delete}[o.method]
	n, _ := op.Metadata[needsKey].(needs)
	return n
}

func TestTheAliasesSubmitTheirKind(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	s := h.serve(func(o *Options) { o.Families = append(o.Families, &building{}) })
	done := as[wire.Submitted](t, h.send("POST", s.at("/v1/builds"), `{"spec":{}}`))
	if v, err := h.st.View(t.Context(), done.ID); err != nil || v.Kind != "build" {
		t.Errorf("%+v %v", v, err)
	}
	if got := h.send("POST", s.at("/v1/migrations"), `{"spec":{}}`); got.status != 404 {
		t.Errorf("of a kind that there is not: %s", got)
	}
}

type building struct{ enginetest.Family }

func (*building) Kind() string { return "build" }

func TestAnswersMayGainFieldsAndRequestsMayNot(t *testing.T) {
	t.Parallel()
	schemas := newHouse(t).api().huma.OpenAPI().Components.Schemas.Map()
	for name, open := range map[string]bool{"Job": true, "Worker": true, "Problem": true, "Submission": false, "Selection": false, "NewToken": false, "ScheduleDefinition": false} {
		if s := schemas[name]; s == nil || s.AdditionalProperties != open {
			t.Errorf("%s: %+v, want further fields to be %v", name, s, open)
		}
	}
}
