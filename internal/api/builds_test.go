package api

import (
	"testing"
	"time"

	"github.com/stint-run/stint/client/wire"
	"github.com/stint-run/stint/internal/artifact"
	"github.com/stint-run/stint/tasks"
	"github.com/stint-run/stint/tasks/builder"
	"github.com/stint-run/stint/tasks/builder/publish"
)

func TestAPromotionIsShownToItsTenantAndToWhoSeesAll(t *testing.T) {
	t.Parallel()
	files, err := artifact.NewFolder(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = files.Close() })
	environments := publish.EnvironmentsOptions{Order: []publish.Environment{{Name: "ci"}}}
	for _, product := range []string{"acme/editor", "rival/secret", "common"} { // as builds of these tenants have them
		r := publish.Release{Product: product, Version: "1.5.1", Channel: "release", Job: "bui-of-" + product, Packages: []publish.Package{{Name: "x.zip", Size: 1, Digest: artifact.DigestOf([]byte("x"))}}}
		if _, err := publish.NewCatalogue(files).Enter(t.Context(), r); err != nil {
			t.Fatal(err)
		}
		if _, _, err := publish.NewEnvironments(files, environments).Promote(t.Context(), publish.Promotion{Environment: "ci", Product: product, Version: "1.5.1", By: "ann", At: time.Now()}); err != nil {
			t.Fatal(err)
		}
	}
	h := newHouse(t)
	s := h.serve(func(o *Options) {
		o.Families = []tasks.Family{builder.New(builder.Options{Artifacts: func() (artifact.Store, error) { return files, nil }, Fleet: true, Environments: &environments})}
	})
	root := bearer(h.token(wire.NewToken{Name: "root", Role: "admin"}))
	acme := bearer(h.token(wire.NewToken{Name: "acme", Role: "viewer", Tenants: []string{"acme"}}))
	rival := bearer(h.token(wire.NewToken{Name: "rival", Role: "viewer", Tenants: []string{"rival"}}))
	both := bearer(h.token(wire.NewToken{Name: "both", Role: "viewer", Tenants: []string{"acme", "rival"}}))
	for _, c := range []struct {
		who   string
		token []string
		query string
		want  string
	}{
		{"root", root, "?tenant=acme", "editor"},
		{"root", root, "?tenant=rival", "secret"},
		{"root", root, "", "common"},
		{"acme", acme, "", "editor"},
		{"acme", acme, "?tenant=acme", "editor"},
		{"acme", acme, "?tenant=acme&product=editor", "editor"},
		{"acme", acme, "?tenant=acme&product=secret", ""},
		{"acme", acme, "?tenant=rival", ""},
		{"acme", acme, "?tenant=rival&product=secret", ""},
		{"acme", acme, "?product=rival/secret", ""},
		{"rival", rival, "", "secret"},
		{"rival", rival, "?tenant=acme", ""},
		{"both", both, "?tenant=acme", "editor"},
		{"both", both, "?tenant=rival", "secret"},
		{"both", both, "", ""}, // the default tenant is none of theirs
	} {
		got := as[wire.Promotions](t, h.send("GET", s.at("/v1/environments"+c.query), nil, c.token...)).Promotions
		switch {
		case c.want == "" && len(got) > 0, c.want != "" && (len(got) != 1 || got[0].Product != c.want || got[0].Environment != "ci" || got[0].Version != "1.5.1" || got[0].By != "ann"):
			t.Errorf("%s%s: %+v, want %q", c.who, c.query, got, c.want)
		}
	}
}
