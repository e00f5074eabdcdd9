package docs

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// everyPage lists all pages of the documentation, from this folder.
func everyPage(t *testing.T) []string {
	t.Helper()
	pages, err := filepath.Glob("../*.md")
	if err != nil {
		t.Fatal(err)
	}
	err = filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && filepath.Ext(path) == ".md" && !strings.HasPrefix(path, "examples") {
			pages = append(pages, path)
		}
		return err
	})
	if err != nil || len(pages) < 50 {
		t.Fatalf("%d pages: %v", len(pages), err)
	}
	return pages
}

func text(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

var (
	fenced  = regexp.MustCompile("(?s)```.*?```")
	code    = regexp.MustCompile("`[^`\n]*`")
	link    = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	heading = regexp.MustCompile(`(?m)^#+ +(.+)$`)
	unsaid  = regexp.MustCompile(`[^\p{L}\p{N}_ -]`)
)

// anchors are the names under which a page's headings can be linked to, as GitHub makes them.
func anchors(page string) map[string]bool {
	all := map[string]bool{}
	for _, m := range heading.FindAllStringSubmatch(fenced.ReplaceAllString(page, ""), -1) {
		all[strings.ReplaceAll(unsaid.ReplaceAllString(strings.ToLower(strings.TrimSpace(m[1])), ""), " ", "-")] = true
	}
	return all
}

func TestLinksOfTheDocumentationLeadSomewhere(t *testing.T) {
	t.Parallel()
	seen := 0
	for _, page := range everyPage(t) {
		body := code.ReplaceAllString(fenced.ReplaceAllString(text(t, page), ""), "")
		for _, m := range link.FindAllStringSubmatch(body, -1) {
			if strings.Contains(m[1], "://") || strings.HasPrefix(m[1], "mailto:") {
				continue
			}
			seen++
			file, anchor, _ := strings.Cut(m[1], "#")
			target := page
			if file != "" {
				target = filepath.Join(filepath.Dir(page), file)
			}
			if _, err := os.Stat(target); err != nil {
				t.Errorf("%s links to %s, which is not there", page, m[1])
			} else if anchor != "" && filepath.Ext(target) == ".md" && !anchors(text(t, target))[anchor] {
				t.Errorf("%s links to %s: there is no such heading", page, m[1])
			}
		}
	}
	if seen < 100 {
		t.Errorf("found %d links, want more", seen)
	}
}

func TestTestsThatTheDocumentationNamesExist(t *testing.T) {
	t.Parallel()
	exist := map[string]bool{}
	declared := regexp.MustCompile(`(?m)^func (Test\w+)\(`)
	err := filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		for _, m := range declared.FindAllStringSubmatch(text(t, path), -1) {
			exist[m[1]] = true
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	named := regexp.MustCompile("`(Test[A-Z]\\w+)`")
	for _, page := range everyPage(t) {
		for _, m := range named.FindAllStringSubmatch(text(t, page), -1) {
			if !exist[m[1]] {
				t.Errorf("%s names %s, which is no test", page, m[1])
			}
		}
	}
}

// A page that says which test shows something says where it is, so that it can be run.
func TestTestsThatThePageOfSecurityNamesAreInTheirPackages(t *testing.T) {
	t.Parallel()
	named := regexp.MustCompile("`((?:[a-z0-9]+/)*[a-z0-9]+)\\.((?:Test|Fuzz)[A-Z]\\w+)`")
	exist := map[string]string{} // the source of the tests of a package
	found := named.FindAllStringSubmatch(text(t, "security.md"), -1)
	for _, m := range found {
		if _, read := exist[m[1]]; !read {
			files, err := filepath.Glob(filepath.Join("..", filepath.FromSlash(m[1]), "*_test.go"))
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range files {
				exist[m[1]] += text(t, f)
			}
		}
		if !strings.Contains(exist[m[1]], "\nfunc "+m[2]+"(") {
			t.Errorf("security.md names %s.%s, which is no test", m[1], m[2])
		}
	}
	if len(found) < 50 {
		t.Errorf("found %d tests, want more", len(found))
	}
}
