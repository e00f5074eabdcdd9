package versions

import (
	"testing"

	"github.com/stint-run/stint/client/wire"
	"github.com/stint-run/stint/tasks"
)

// FuzzAnySelectorMeansSomeBuildsOrIsRefused holds that a selector of builds is refused with a hint or means the same builds each time, that a
// version means itself, and that a fence which cannot be read parks.
func FuzzAnySelectorMeansSomeBuildsOrIsRefused(f *testing.F) {
	for _, s := range []string{"1.4.0", "<2.0", ">=1.4, <1.6", "v1.x", "dev", "", " ", "||", ">", "^1.2.3-rc.1", "~>1", "1.2 - 3", "=1||=2", "x", "*", "999999999999999999999.0.0", "1.2.3+build", "01.2.3"} {
		f.Add(s, "1.5.0")
		f.Add("<2.0.0-0", s)
	}
	f.Fuzz(func(t *testing.T, selector, version string) {
		meant, err := Matches(selector, version)
		again, errAgain := Matches(selector, version)
		if meant != again || (err == nil) != (errAgain == nil) || err != nil && (meant || tasks.HintOf(err) == "") {
			t.Errorf("%q means %q: %v, %v and then %v, %v", selector, version, meant, err, again, errAgain)
		}
		if (Check(selector) == nil) != (err == nil) {
			t.Errorf("%q: %v, and %v", selector, err, Check(selector))
		}
		parks, err := Parks(wire.Fence{Version: selector}, version)
		if selector != "" && (parks != (meant || errAgain != nil) || (err == nil) != (errAgain == nil)) {
			t.Errorf("the fence %q parks %q: %v, %v", selector, version, parks, err)
		}
	})
}
