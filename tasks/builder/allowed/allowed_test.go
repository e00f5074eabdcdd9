package allowed_test

import (
	"strings"
	"testing"

	"github.com/stint-run/stint/tasks"
	"github.com/stint-run/stint/tasks/builder/allowed"
)

func list(t *testing.T, patterns ...string) allowed.List {
	t.Helper()
	l, err := allowed.Patterns(patterns)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func TestAnAddressFitsAPatternPartByPart(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		pattern, address string
		fits             bool
	}{
		{"https://git.example.com/products/*", "https://git.example.com/products/a.git", true},
		{"https://git.example.com/products/*", "https://GIT.example.com:443/products/a.git", true},
		{"https://git.example.com/products/*", "https://git.example.com/products/a.git/", true},
		{"https://git.example.com/products/*", "https://git.example.com/products/a/b", false},
		{"https://git.example.com/products/*", "https://git.example.com/products", false},
		{"https://git.example.com/products/*", "https://git.example.com/Products/a", false},
		{"https://git.example.com/products/*", "https://git.example.com:8443/products/a", false},
		{"https://git.example.com/products/*", "http://git.example.com/products/a", false},
		{"https://git.example.com/products/*", "ssh://git.example.com/products/a", false},
		{"https://git.example.com/products/*", "https://git.example.com.evil.org/products/a", false},
		{"https://git.example.com/products/**", "https://git.example.com/products/a/b/c", true},
		{"https://git.example.com/products/**", "https://git.example.com/products", false},
		{"https://git.example.com/**/release/*", "https://git.example.com/a/b/release/c", true},
		{"https://git.example.com/a*z/b", "https://git.example.com/a-to-z/b", true},
		{"https://git.example.com:8443/a", "https://git.example.com:8443/a", true},
		{"ssh://git@git.example.com/a", "ssh://git@git.example.com/a", true},
		{"ssh://git@git.example.com/a", "ssh://root@git.example.com/a", false},
		{"ssh://git@git.example.com/a", "ssh://git.example.com/a", false},
		{"file:///srv/git/*", "file:///srv/git/a.git", true},
		{"file:///srv/git/*", "file:///srv/a.git", false},
		{"http://[::1]:80/a", "http://[0:0::1]/a", true},
		{"https://git.example.com/My%20Project/*", "https://git.example.com/My%20Project/a", true},
	} {
		a, err := allowed.Parse(c.address)
		if err != nil {
			t.Errorf("%s: %v", c.address, err)
			continue
		}
		if got := list(t, c.pattern).Allows(a); got != c.fits {
			t.Errorf("%s, %s: %v", c.pattern, c.address, got)
		}
	}
}

func TestNoPatternAllowsNothing(t *testing.T) {
	t.Parallel()
	a, err := allowed.Parse("https://git.example.com/a")
	if err != nil || (allowed.List{}).Allows(a) || list(t).Allows(a) || !list(t).Empty() {
		t.Errorf("%v, %v", a, err)
	}
}

func TestWhatCouldBeUnderstoodInTwoWaysIsNoAddress(t *testing.T) {
	t.Parallel()
	for _, bad := range []string{
		"", "a", "/srv/git/a", "./a", "-oProxyCommand=x", "--upload-pack=touch pwned", "ext::sh -c touch% pwned", "ext::sh", "fd::7",
		"git://git.example.com/a", "ftp://git.example.com/a", "HTTPS+x://git.example.com/a", "data:text/plain,x", "https:a",
		"https://git.example.com@evil.org/a", "https://user:secret@git.example.com/a", "ssh://git:secret@git.example.com/a", "https://@git.example.com/a",
		"https://git.example.com\\@evil.org/a", "https://git.example.com./a", "https://.git.example.com/a", "https://git..example.com/a", "https:///a",
		"https://-git.example.com/a", "ssh://-oProxyCommand=x/a", "ssh://-x@git.example.com/a", "https://git_example/a", "https://gıt.example.com/a",
		"https://git.example.com:/a", "https://git.example.com:0443/a", "https://git.example.com:x/a", "https://git.example.com:999999/a",
		"https://git.example.com", "https://git.example.com/", "https://git.example.com/a/../b", "https://git.example.com/..", "https://git.example.com/./a", "https://git.example.com//a", "https://git.example.com/a//",
		"https://git.example.com/%2e%2e/a", "https://git.example.com/a%2fb", "https://git.example.com/a%5cb", "https://git.example.com/%61", "https://git.example.com/a%00b", "https://git.example.com/a%0ab", "https://git.example.com/%zz",
		"https://git.example.com/a?x=1", "https://git.example.com/a?", "https://git.example.com/a#x", "https://git.example.com/a#", "https://git.example.com/*",
		"https://git.example.com/a\nb", "https://git.example.com/a b", "https://git.example.com/a\x7fb", "git@git.example.com:a/b", "git.example.com:a/b",
		"file://host/a", "file://user@/a", "file:a", "https://" + strings.Repeat("a/", 2000),
	} {
		a, err := allowed.Parse(bad)
		if err == nil {
			t.Errorf("%q was read as %s", bad, a)
			continue
		}
		if tasks.HintOf(err) == "" || !tasks.IsPermanent(err) {
			t.Errorf("%q: %v has no hint, or asks for another try", bad, err)
		}
		if strings.Contains(err.Error(), "secret") {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

func TestAPatternThatCannotBeReadIsNamed(t *testing.T) {
	t.Parallel()
	for _, bad := range []string{"*", "https://*/a", "https://*.example.com/a", "https://git.example.com/a**", "https://git.example.com/[a]", "https://git.example.com/a/../**", "/srv/**"} {
		if _, err := allowed.Patterns([]string{bad}); err == nil || !strings.Contains(err.Error(), bad) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

func TestAnAddressIsWrittenInOneWay(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"https://GIT.Example.com:443/a/": "https://git.example.com/a",
		"ssh://git@host:2222/a":          "ssh://git@host:2222/a",
		"file:///srv/a":                  "file:///srv/a",
		"http://[0:0::1]:8080/a":         "http://[::1]:8080/a",
	} {
		if a, err := allowed.Parse(in); err != nil || a.String() != want {
			t.Errorf("%s: %s, %v", in, a, err)
		}
	}
}

func TestWhatIsShownHasNoSecret(t *testing.T) {
	t.Parallel()
	for _, in := range []string{"https://user:secret@host/a?sig=secret#secret", "https://secret@host/a", "https://a/b?secret"} {
		if got := allowed.Shown(in); strings.Contains(got, "secret") {
			t.Error(got)
		}
	}
}
