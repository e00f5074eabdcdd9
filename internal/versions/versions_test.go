package versions

import (
	"testing"

	"github.com/stint-run/stint/client/wire"
	"github.com/stint-run/stint/tasks"
)

func TestASelectorIsAVersionOrAConstraint(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		selector, version string
		want              bool
	}{
		{"1.4.0", "1.4.0", true},
		{"v1.4.0", "1.4.0", true},
		{"1.4.0", "v1.4.0", true},
		{"1.4", "1.4.2", false}, // a version, not a range
		{"1.4.0", "1.4.0-rc.1", false},
		{"dev", "dev", true},
		{"dev", "1.4.0", false},
		{"3f2a91c", "3f2a91c", true},
		{"1234567", "1234567", true},
		{"<2.0", "1.9.0", true},
		{"<2.0", "1.9.0-rc.1", true},
		{"<2.0", "2.0.0", false},
		{"<2.0", "2.0.0-rc.1", true},
		{"<2.0.0-0", "2.0.0-rc.1", false},
		{">=1.4, <1.6", "1.5.9+build.7", true},
		{">=1.4 <1.6", "1.6.0", false},
		{"<1.2 || >=3", "3.1.0", true},
		{"~1.4", "1.4.7", true},
		{"^1.4", "2.0.0", false},
		{"1.x", "1.7.0", true},
		{"1.x", "2.7.0", false},
		{"*", "1.0.0", true},
		{"!=1.4.0", "1.5.0", true},
		{" <2.0 ", "1.0.0", true},
		{"<2.0", "dev", false},
		{">=0", "3f2a91c", false},
		{">=0", "1234567", false}, // a commit of digits only
		{"*", "dev", false},
		{"*", "", false},
		{"<2.0", "1.4.0-12-g3f2a91c", true}, // git describe
	} {
		got, err := Matches(c.selector, c.version)
		if err != nil || got != c.want {
			t.Errorf("Matches(%q, %q) = %v, %v; want %v", c.selector, c.version, got, err, c.want)
		}
	}
}

func TestASelectorThatCannotBeReadIsAnErrorWithAHint(t *testing.T) {
	t.Parallel()
	for _, bad := range []string{"", " ", "<", "<abc", ">=1.4 and <2", "=>", "1.4,", "<1.2.3.4"} {
		if _, err := Matches(bad, "1.0.0"); err == nil || tasks.HintOf(err) == "" {
			t.Errorf("Matches(%q) gives the error %v with the hint %q", bad, err, tasks.HintOf(err))
		}
		if Check(bad) == nil {
			t.Errorf("Check(%q) finds nothing", bad)
		}
	}
	if err := Check("<2.0"); err != nil {
		t.Error(err)
	}
}

func TestAFenceParksThoseThatItNamesOrAllOthers(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		fence   wire.Fence
		version string
		want    bool
	}{
		{wire.Fence{Version: "<2.0"}, "1.4.0", true},
		{wire.Fence{Version: "<2.0"}, "2.0.0", false},
		{wire.Fence{Version: "<2.0"}, "dev", false},
		{wire.Fence{NotVersion: "1.5.0"}, "1.4.0", true},
		{wire.Fence{NotVersion: "1.5.0"}, "1.5.0", false},
		{wire.Fence{NotVersion: ">=1.5"}, "1.6.0", false},
		{wire.Fence{NotVersion: ">=1.5"}, "dev", true},
	} {
		if got, err := Parks(c.fence, c.version); err != nil || got != c.want {
			t.Errorf("Parks(%q, %q) = %v, %v", Text(c.fence), c.version, got, err)
		}
	}
	if parks, err := Parks(wire.Fence{Version: "<<newer words>>"}, "1.0.0"); !parks || err == nil {
		t.Errorf("a fence that cannot be read: %v, %v", parks, err)
	}
}
