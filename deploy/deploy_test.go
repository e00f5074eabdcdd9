// The files in this folder and beside it are for tools that are not here: they are held to what can be known without them.
// That their commands and variables exist is tested in cmd/internal/cli.
package deploy_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const root = ".."

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, path))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// all lists every file that deploys something, from the root of the repository.
func all(t *testing.T) []string {
	t.Helper()
	files := []string{"Dockerfile", ".dockerignore", "docker-compose.yml"}
	for _, pattern := range []string{"*.sh", "*/*"} {
		found, err := filepath.Glob(pattern)
		if err != nil || len(found) == 0 {
			t.Fatalf("nothing is %s: %v", pattern, err)
		}
		for _, f := range found {
			files = append(files, filepath.Join("deploy", f))
		}
	}
	return files
}

func TestTheImageRunsOneStaticBinaryAsNobody(t *testing.T) {
	t.Parallel()
	text := read(t, "Dockerfile")
	_, final, found := strings.Cut(text, "\nFROM scratch\n")
	if !found {
		t.Fatal("the last stage is not FROM scratch")
	}
	for _, line := range []string{"USER 65532:65532", "STOPSIGNAL SIGTERM", `ENTRYPOINT ["/stint"]`, `CMD ["/stint", "healthcheck", "--live"]`} {
		if !strings.Contains(final, line+"\n") {
			t.Errorf("the image does not say %s", line)
		}
	}
	if !strings.Contains(final, "/etc/ssl/certs/ca-certificates.crt") {
		t.Error("the image has no certificates: it could not talk TLS")
	}
	for _, word := range []string{"CGO_ENABLED=0", "-trimpath", "-X github.com/stint-run/stint/cmd/internal/cli.Stamp=$VERSION", "${VERSION:?"} {
		if !strings.Contains(text, word) {
			t.Errorf("the build does not have %s", word)
		}
	}
}

func TestTheImageIsBuiltFromWhatTheProgramImports(t *testing.T) {
	t.Parallel()
	cmd := exec.CommandContext(t.Context(), "go", "list", "-deps", "-f", "{{if not .Standard}}{{.ImportPath}}{{end}}", "./cmd/stint")
	cmd.Dir = root
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var needed []string
	for path := range strings.Lines(string(out)) {
		if rel, ours := strings.CutPrefix(strings.TrimSpace(path), "github.com/stint-run/stint/"); ours {
			needed = append(needed, strings.SplitN(rel, "/", 2)[0])
		}
	}
	slices.Sort(needed)
	needed = slices.Compact(needed)
	var let []string
	for line := range strings.Lines(read(t, ".dockerignore")) {
		if name, yes := strings.CutPrefix(strings.TrimSpace(line), "!"); yes && !strings.HasPrefix(name, "go.") {
			let = append(let, name)
		}
	}
	slices.Sort(let)
	for _, name := range needed {
		if !slices.Contains(let, name) {
			t.Errorf(".dockerignore keeps %s out, which the program imports", name)
		}
	}
	for _, name := range let {
		if _, err := os.Stat(filepath.Join(root, name)); err != nil {
			t.Errorf(".dockerignore lets in %s, which is not there", name)
		}
	}
}

func TestImagesAreNamedByAVersion(t *testing.T) {
	t.Parallel()
	from := regexp.MustCompile(`(?m)^FROM (?:--platform=\S+ )?(\S+)`)
	for _, m := range from.FindAllStringSubmatch(read(t, "Dockerfile"), -1) {
		pinned(t, "Dockerfile", m[1])
	}
	for name, s := range compose(t).Services {
		pinned(t, "docker-compose.yml: "+name, s.Image)
	}
	for _, o := range objects(t) {
		for _, c := range o.containers() {
			pinned(t, o.where()+": "+c.Name, kustomized(t, c.Image))
		}
	}
	if text := read(t, "deploy/nomad/stint.nomad.hcl"); !strings.Contains(text, `"${var.image}:${var.version}"`) || strings.Contains(text, "latest") {
		t.Error("the Nomad job does not take its image by version")
	}
}

func pinned(t *testing.T, where, image string) {
	t.Helper()
	if image == "scratch" {
		return
	}
	at := strings.LastIndex(image, ":")
	if at < strings.LastIndex(image, "/") || at < 0 || image[at+1:] == "latest" || image[at+1:] == "" {
		t.Errorf("%s: the image %q has no version: nobody could say what runs", where, image)
	}
}

// secretWords are names whose values have to be where a secret is, and not the secret itself.
var secretWords = regexp.MustCompile(`(?i)^\s*(?:-\s*)?(?:Environment=)?"?([A-Z0-9_.-]*(?:password|passwd|token|secret|api_?key)[A-Z0-9_.-]*)"?\s*[:=]\s*(\S.*)$`)

func TestNoFileHoldsASecret(t *testing.T) {
	t.Parallel()
	reference := regexp.MustCompile(`^["']?(false$|file:|/run/secrets/|env:|\$|\{|\[|%)`)
	inURL := regexp.MustCompile(`[a-z]+://[^\s/@:]+:[^\s/@]+@`)
	seen := 0
	for _, path := range all(t) {
		text := read(t, path)
		if m := inURL.FindString(text); m != "" {
			t.Errorf("%s has a password in an address: %s", path, m)
		}
		for line := range strings.Lines(text) {
			m := secretWords.FindStringSubmatch(strings.TrimRight(line, "\n"))
			if m == nil || strings.HasPrefix(strings.TrimSpace(line), "#") {
				continue
			}
			seen++
			if !reference.MatchString(m[2]) {
				t.Errorf("%s: %s holds a value: %s", path, m[1], m[2])
			}
		}
	}
	if seen < 5 {
		t.Errorf("found %d secrets by name, want more: does the pattern still know them?", seen)
	}
	for path, text := range map[string]string{".gitignore": "/secrets/", ".dockerignore": "\n*\n"} {
		if !strings.Contains(read(t, path), text) {
			t.Errorf("%s lets the folder of the secrets through", path)
		}
	}
}

func TestScriptsAreShellScripts(t *testing.T) {
	t.Parallel()
	scripts, err := filepath.Glob("*.sh")
	if err != nil || len(scripts) == 0 {
		t.Fatalf("no script: %v", err)
	}
	for _, script := range scripts {
		if out, err := exec.CommandContext(t.Context(), "sh", "-n", script).CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", script, err, out)
		}
		info, err := os.Stat(script)
		if err != nil || info.Mode()&0o111 == 0 {
			t.Errorf("%s cannot be run: %v", script, err)
		}
		cmd := exec.CommandContext(t.Context(), "sh", script)
		out, err := cmd.CombinedOutput()
		if cmd.ProcessState == nil || cmd.ProcessState.ExitCode() != 2 || !strings.HasPrefix(string(out), "usage: deploy/"+script) {
			t.Errorf("%s without arguments: %v, want exit code 2 and how to use it:\n%s", script, err, out)
		}
	}
}
