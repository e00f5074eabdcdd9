package tree_test

import (
	"errors"
	"testing"

	"github.com/stint-run/stint/tasks/builder/tree"
)

func TestALinkMayLeadWhereverItStaysInside(t *testing.T) {
	t.Parallel()
	for name, links := range map[string][][2]string{
		"a neighbour":              {{"a", "b"}},
		"up and down again":        {{"x/a", "../y/b"}},
		"the root itself":          {{"x/a", ".."}},
		"by way of another":        {{"x/a", ".."}, {"b", "x/a/c"}},
		"nowhere":                  {{"a", "missing/far"}},
		"in a circle":              {{"a", "b"}, {"b", "a"}},
		"to itself":                {{"a", "a/x"}},
		"with needless parts":      {{"x/a", ".//./b/"}},
		"a name that looks upward": {{"a", "..b/...c"}},
	} {
		var l tree.Links
		for _, link := range links {
			if err := l.Add(link[0], link[1]); err != nil {
				t.Fatal(err)
			}
		}
		if err := l.Check(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestALinkThatLeadsOutIsFound(t *testing.T) {
	t.Parallel()
	for name, links := range map[string][][2]string{
		"absolute":                       {{"a", "/etc/passwd"}},
		"upwards":                        {{"a", ".."}},
		"upwards from below":             {{"x/a", "../../y"}},
		"upwards in the middle":          {{"x/a", "b/../../../x/b"}},
		"inside by its letters alone":    {{"x/up", ".."}, {"y", "x/up/.."}},
		"by way of an absolute one":      {{"x/abs", "../y"}, {"y", "/"}},
		"by a chain":                     {{"a/b/c", "../.."}, {"d", "a/b/c/e"}, {"e", "x/../.."}},
		"upwards after a missing folder": {{"a", "missing/../../b"}},
	} {
		var l tree.Links
		for _, link := range links {
			if err := l.Add(link[0], link[1]); err != nil {
				t.Fatal(err)
			}
		}
		if err := l.Check(); !errors.Is(err, tree.ErrOut) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestALinkIsThereOnceAndLeadsToAPath(t *testing.T) {
	t.Parallel()
	var l tree.Links
	for _, bad := range []error{l.Add("a", ""), l.Add("a", "b\x00c")} {
		if bad == nil {
			t.Error("taken")
		}
	}
	if err := l.Add("a", "b"); err != nil {
		t.Error(err)
	}
	if err := l.Add("a", "c"); err == nil {
		t.Error("taken twice")
	}
}

func TestANameIsAPathInsideOfItsTree(t *testing.T) {
	t.Parallel()
	for _, good := range []string{"a", "a/b.c", "..a", "a\nb", "-rf", "$(x)"} {
		if err := tree.Name(good); err != nil {
			t.Errorf("%q: %v", good, err)
		}
	}
	for _, bad := range []string{"", ".", "/a", "../a", "a/../b", "a//b", "a/", "./a", "a\x00b"} {
		if err := tree.Name(bad); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
}
