package app

import (
	"testing"

	"github.com/stint-run/stint/config"
)

func TestCredentialsOpenTheRepositoriesThatTheyAreForAlone(t *testing.T) {
	t.Parallel()
	find := credentials(config.BuildCredentials{
		{Name: "a", Repositories: []string{"https://git.example.com/a/*"}, User: "ann", Password: config.NewSecret("s3cret")},
		{Name: "all", Repositories: []string{"https://git.example.com/**"}, User: "bob", Password: config.NewSecret("other1")},
	})
	for url, want := range map[string]string{
		"https://git.example.com/a/x": "ann s3cret", "https://git.example.com/b/x": "bob other1",
		"https://git.example.com.evil.org/a/x": " ", "https://git.example.com@evil.org/a/x": " ", "http://git.example.com/a/x": " ", "": " ",
	} {
		user, password, ok := find(url)
		if got := user + " " + password; got != want || ok != (want != " ") {
			t.Errorf("%s is opened by %q, want %q", url, got, want)
		}
	}
}
