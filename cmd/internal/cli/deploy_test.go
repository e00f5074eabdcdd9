package cli

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/stint-run/stint/config"
)

// What deploys stint is held to the program: its commands, its flags, its variables and its times.

// afterCut is the 2 s that a process waits for attempts that it has cut, and some air.
const afterCut = 5 * time.Second

// workload is a process that a file for an orchestrator starts.
type workload struct {
	where string
	args  []string
	vars  config.Env
	file  string        // its configuration
	grace time.Duration // what it is given to end; 0 for one that ends by itself
	drain time.Duration // what comes before SIGTERM and counts inside of the grace
}

// workloads are those of all files.
func workloads(t *testing.T) []workload {
	t.Helper()
	list := slices.Concat(composeWorkloads(t), kubernetesWorkloads(t), unitWorkloads(t), nomadWorkloads(t))
	if len(list) < 13 {
		t.Fatalf("found %d workloads, want more: are the files still read?", len(list))
	}
	return list
}

func duration(t *testing.T, where, text string) time.Duration {
	t.Helper()
	if text == "" {
		return 0
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		t.Fatalf("%s: %v", where, err)
	}
	return d
}

func composeWorkloads(t *testing.T) []workload {
	t.Helper()
	var file struct {
		Services map[string]struct {
			Image           string
			Command         []string
			Environment     map[string]string
			StopGracePeriod string `yaml:"stop_grace_period"`
		}
	}
	if err := yaml.Unmarshal([]byte(page(t, "docker-compose.yml")), &file); err != nil {
		t.Fatal(err)
	}
	var list []workload
	for name, s := range file.Services {
		if !strings.HasPrefix(s.Image, "stint:") || len(s.Command) == 0 {
			continue
		}
		w := workload{where: "docker-compose.yml: " + name, args: s.Command, file: "deploy/compose/stint.yaml"}
		w.grace = duration(t, w.where, s.StopGracePeriod)
		for k, v := range s.Environment {
			w.vars = append(w.vars, k+"="+unsetInShell.ReplaceAllString(v, "$1"))
		}
		list = append(list, w)
	}
	return list
}

// unsetInShell finds variables that Compose takes from the shell, with what stands for one that is not set.
var unsetInShell = regexp.MustCompile(`\$\{\w+:-([^}]*)\}`)

func kubernetesWorkloads(t *testing.T) []workload {
	t.Helper()
	type container struct {
		Name, Image string
		Args        []string
		Env         []struct{ Name, Value string }
		Lifecycle   struct {
			PreStop struct {
				Exec  struct{ Command []string }
				Sleep struct{ Seconds int }
			} `yaml:"preStop"`
		}
	}
	var list []workload
	for _, part := range []string{"serve", "scheduler", "worker"} {
		path := "deploy/kubernetes/" + part + ".yaml"
		var d struct {
			Spec struct {
				Template struct {
					Spec struct {
						Grace          int         `yaml:"terminationGracePeriodSeconds"`
						InitContainers []container `yaml:"initContainers"`
						Containers     []container
					}
				}
			}
		}
		if err := yaml.Unmarshal([]byte(page(t, path)), &d); err != nil { // the first document, the Deployment
			t.Fatalf("%s: %v", path, err)
		}
		pod := d.Spec.Template.Spec
		for _, c := range slices.Concat(pod.InitContainers, pod.Containers) {
			w := workload{where: path + ": " + c.Name, args: c.Args, file: "deploy/kubernetes/stint.yaml"}
			if c.Name == part {
				w.grace = time.Duration(pod.Grace) * time.Second
			}
			w.drain = time.Duration(c.Lifecycle.PreStop.Sleep.Seconds) * time.Second
			if exec := c.Lifecycle.PreStop.Exec.Command; len(exec) > 0 {
				w.drain = duration(t, w.where, exec[slices.Index(exec, "--timeout")+1])
			}
			for _, e := range c.Env {
				w.vars = append(w.vars, e.Name+"="+e.Value)
			}
			list = append(list, w)
		}
	}
	return list
}

func unitWorkloads(t *testing.T) []workload {
	t.Helper()
	var list []workload
	for _, path := range glob(t, "deploy/systemd/*.service") {
		w := workload{where: path}
		for line := range strings.Lines(page(t, path)) {
			key, value, _ := strings.Cut(strings.TrimSpace(line), "=")
			switch key {
			case "ExecStart":
				w.args = strings.Fields(value)[1:]
			case "Environment":
				if !strings.HasPrefix(value, "STINT_CONFIG=") { // which is not there on this machine
					w.vars = append(w.vars, value)
				}
			case "TimeoutStopSec":
				w.grace = duration(t, path, value)
			}
		}
		// The units bring no stint.yaml: the password goes with an address that is in yours.
		w.vars = append(w.vars, "STINT_REDIS_URL=redis://stint@redis.example.com:6379/0")
		list = append(list, w)
	}
	return list
}

var (
	nomadTask  = regexp.MustCompile(`(?m)^    task "(\w+)" \{$`)
	nomadArgs  = regexp.MustCompile(`args\s*=\s*\["([^\]]*)"\]`)
	nomadGrace = regexp.MustCompile(`kill_timeout\s*=\s*"([^"]*)"`)
	nomadVar   = regexp.MustCompile(`(STINT_\w+)\s*=\s*"([^"]*)"`)
)

func nomadWorkloads(t *testing.T) []workload {
	t.Helper()
	const path = "deploy/nomad/stint.nomad.hcl"
	text := page(t, path)
	var list []workload
	starts := nomadTask.FindAllStringSubmatchIndex(text, -1)
	for i, at := range starts {
		end := len(text)
		if i+1 < len(starts) {
			end = starts[i+1][0]
		}
		task := text[at[0]:end]
		w := workload{where: path + ": " + text[at[2]:at[3]], file: "deploy/nomad/stint.yaml"}
		args, grace := nomadArgs.FindStringSubmatch(task), nomadGrace.FindStringSubmatch(task)
		if args == nil || grace == nil {
			t.Fatalf("%s: has no args or no kill_timeout", w.where)
		}
		w.args = strings.Split(args[1], `", "`)
		if w.grace = duration(t, w.where, grace[1]); w.grace > 30*time.Second {
			t.Errorf("%s: a kill_timeout of %s is cut to 30s by a client that is set up as usual", w.where, w.grace)
		}
		for _, m := range nomadVar.FindAllStringSubmatch(task, -1) {
			if m[1] != "STINT_CONFIG" { // the path is within the allocation
				w.vars = append(w.vars, m[1]+"="+m[2])
			}
		}
		list = append(list, w)
	}
	return list
}

// glob lists files of the repository, by their paths from its root.
func glob(t *testing.T, pattern string) []string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(repository, pattern))
	if err != nil || len(found) == 0 {
		t.Fatalf("nothing is %s: %v", pattern, err)
	}
	for i, path := range found {
		found[i], _ = filepath.Rel(repository, path)
	}
	return found
}

var secretFile = regexp.MustCompile(`\bfile:[^\s"]+`)

// configuration reads what a workload would read, with secrets of this test.
func (w workload) configuration(t *testing.T) (*config.Config, *config.Origins, error) {
	t.Helper()
	dir := t.TempDir()
	secret := filepath.Join(dir, "secret")
	if err := os.WriteFile(secret, []byte("a password"), 0o600); err != nil {
		t.Fatal(err)
	}
	text := ""
	if w.file != "" {
		text = secretFile.ReplaceAllLiteralString(page(t, w.file), "file:"+secret)
	}
	file := filepath.Join(dir, "stint.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	var vars config.Env
	for _, v := range w.vars {
		vars = append(vars, secretFile.ReplaceAllLiteralString(v, "file:"+secret))
	}
	return config.Load(config.Options{File: file, Env: vars})
}

func TestEveryWorkloadFindsAConfigurationWithoutAMistake(t *testing.T) {
	t.Parallel()
	for _, w := range workloads(t) {
		c, origins, err := w.configuration(t)
		if err != nil {
			t.Errorf("%s: %v", w.where, err)
			continue
		}
		for _, p := range origins.Warnings() {
			t.Errorf("%s: %s", w.where, p)
		}
		if c.Redis.URL.IsZero() {
			t.Errorf("%s has no Redis: each would keep a queue of its own", w.where)
		}
	}
}

func TestNoOrchestratorKillsADrainingProcess(t *testing.T) {
	t.Parallel()
	for _, w := range workloads(t) {
		c, _, err := w.configuration(t)
		if err != nil {
			t.Errorf("%s: %v", w.where, err)
			continue
		}
		if w.grace == 0 && w.args[0] == "worker" {
			t.Errorf("%s does not say how long it may take to end", w.where)
		}
		if least := w.drain + c.Worker.DrainTimeout + afterCut; w.grace != 0 && w.grace < least {
			t.Errorf("%s is killed after %s, and may need %s: %s before SIGTERM, worker.drain_timeout %s, %s after the cut", w.where, w.grace, least, w.drain, c.Worker.DrainTimeout, afterCut)
		}
	}
}

// inLists finds commands that are lists: probes, hooks, health checks.
var inLists = regexp.MustCompile(`\[(?:CMD, )?"?/stint"?,([^\]]+)\]`)

// inWords finds commands that people are told to type.
var inWords = regexp.MustCompile("(?:^|[^/\\w])(?:-- /stint|run --rm stint|`stint|#  +stint) ([a-z][^`\n#>]*)")

// inPages finds what docs/deploy.md shows and names.
var inPages = regexp.MustCompile("(?:(?m:^)stint|`/?stint|run --rm stint|-- /stint) ([a-z-]+[^`\n#|]*)")

// inScripts finds commands of shell scripts.
var inScripts = regexp.MustCompile(`"\$stint" ([^|>)\n]+)`)

func TestTheCommandsOfTheDeploymentExist(t *testing.T) {
	t.Parallel()
	commands := map[string]string{} // command -> where it is
	for _, w := range workloads(t) {
		commands[strings.Join(w.args, " ")] = w.where
	}
	files := append([]string{"Dockerfile", "docker-compose.yml"}, slices.Concat(glob(t, "deploy/*.sh"), glob(t, "deploy/*/*"))...)
	for _, path := range files {
		text := page(t, path)
		for _, m := range inLists.FindAllStringSubmatch(text, -1) {
			commands[strings.NewReplacer(",", " ", `"`, "").Replace(m[1])] = path
		}
		for _, pattern := range []*regexp.Regexp{inWords, inScripts} {
			for _, m := range pattern.FindAllStringSubmatch(text, -1) {
				command, _, _ := strings.Cut(m[1], " || ")
				commands[strings.NewReplacer(`"$@"`, "", `"$timeout"`, "5m").Replace(command)] = path
			}
		}
	}
	for _, m := range inPages.FindAllStringSubmatch(page(t, "docs/deploy.md"), -1) {
		commands[strings.ReplaceAll(m[1], "'", "")] = "docs/deploy.md"
	}
	if len(commands) < 15 {
		t.Errorf("found %d commands, want more: are they still written the same way?", len(commands))
	}
	for command, where := range commands {
		if err := understood("stint " + command); err != nil {
			t.Errorf("%s has %q: %v", where, "stint "+command, err)
		}
	}
}
