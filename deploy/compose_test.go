package deploy_test

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/loader"
	"github.com/compose-spec/compose-go/v2/types"
)

// compose loads docker-compose.yml as docker compose does, all profiles on. What the schema does not know is an error.
func compose(t *testing.T) *types.Project {
	t.Helper()
	abs, err := filepath.Abs(root)
	if err != nil {
		t.Fatal(err)
	}
	project, err := loader.LoadWithContext(t.Context(), types.ConfigDetails{
		WorkingDir:  abs,
		ConfigFiles: []types.ConfigFile{{Filename: filepath.Join(abs, "docker-compose.yml")}},
		Environment: types.Mapping{"VERSION": "1.5.0"},
	}, loader.WithProfiles([]string{"*"}))
	if err != nil {
		t.Fatalf("docker-compose.yml: %v", err)
	}
	return project
}

func TestTheComposeFileAsksForAVersion(t *testing.T) {
	t.Parallel()
	abs, err := filepath.Abs(root)
	if err != nil {
		t.Fatal(err)
	}
	_, err = loader.LoadWithContext(t.Context(), types.ConfigDetails{
		WorkingDir: abs, ConfigFiles: []types.ConfigFile{{Filename: filepath.Join(abs, "docker-compose.yml")}},
	})
	if err == nil || !strings.Contains(err.Error(), "VERSION") {
		t.Errorf("without VERSION: %v, want an error that names it", err)
	}
}

func TestContainersOfTheComposeFileMayDoLittle(t *testing.T) {
	t.Parallel()
	for name, s := range compose(t).Services {
		if !s.ReadOnly || !slices.Equal(s.CapDrop, []string{"ALL"}) || !slices.Contains(s.SecurityOpt, "no-new-privileges:true") {
			t.Errorf("%s: want read_only, cap_drop ALL and no-new-privileges", name)
		}
		if len(s.CapAdd) > 0 || s.Privileged || s.NetworkMode == "host" {
			t.Errorf("%s takes rights back", name)
		}
		if s.Build == nil && (s.User == "" || s.User == "root" || strings.HasPrefix(s.User, "0")) {
			t.Errorf("%s runs as root", name) // ours is nobody by its image
		}
		for _, p := range s.Ports {
			if p.HostIP != "127.0.0.1" {
				t.Errorf("%s: the port %s is open to others", name, p.Published)
			}
		}
	}
}

func TestServicesOfTheComposeFileAreCheckedBeforeAndWhileTheyRun(t *testing.T) {
	t.Parallel()
	project := compose(t)
	for _, name := range []string{"serve", "scheduler", "worker"} {
		s := project.Services[name]
		if s.DependsOn["check"].Condition != types.ServiceConditionCompletedSuccessfully || s.DependsOn["redis"].Condition != types.ServiceConditionHealthy {
			t.Errorf("%s starts before the configuration is checked and Redis is healthy: %v", name, s.DependsOn)
		}
		if h := s.HealthCheck; h == nil || !slices.Equal(h.Test[:4], []string{"CMD", "/stint", "healthcheck", "--ready"}) {
			t.Errorf("%s has no check of its readiness by the binary: %v", name, h)
		}
		if s.Restart != "unless-stopped" {
			t.Errorf("%s: restart %q", name, s.Restart)
		}
	}
	if s := project.Services["check"]; !slices.Equal(s.Command, types.ShellCommand{"config", "check"}) || s.Restart != "no" || len(s.DependsOn) != 0 {
		t.Errorf("check runs %v, restart %q, after %v", s.Command, s.Restart, s.DependsOn)
	}
	if s := project.Services["worker"]; s.GetScale() < 2 || s.Environment["STINT_WORKER_CONCURRENCY"] == nil {
		t.Errorf("worker: %d replicas, concurrency %v; a deployment needs two, and the default counts the machine's processors", s.GetScale(), s.Environment["STINT_WORKER_CONCURRENCY"])
	}
	for name, s := range project.Services {
		for _, secret := range s.Secrets {
			if project.Secrets[secret.Source].File == "" {
				t.Errorf("%s: the secret %s is not a file", name, secret.Source)
			}
		}
	}
}

func TestRedisOfTheComposeFileKeepsWhatItWasTold(t *testing.T) {
	t.Parallel()
	s := compose(t).Services["redis"]
	script := strings.Join(s.Command, " ")
	for _, line := range []string{"appendonly yes", "appendfsync always", "maxmemory-policy noeviction", "requirepass $(cat /run/secrets/redis_password)", "exec redis-server -"} {
		if !strings.Contains(strings.ReplaceAll(script, "$$", "$"), line) {
			t.Errorf("redis is not told: %s", line)
		}
	}
	if len(s.Volumes) != 1 || s.Volumes[0].Type != types.VolumeTypeVolume || s.Volumes[0].Target != "/data" {
		t.Errorf("redis has no volume of its own: %v", s.Volumes)
	}
	if networks := slices.Collect(maps.Keys(s.Networks)); !slices.Equal(networks, []string{"data"}) || !bool(compose(t).Networks["data"].Internal) {
		t.Errorf("redis is on %v, want the internal network alone", networks)
	}
}

func TestWhatTheComposeFileMountsIsThere(t *testing.T) {
	t.Parallel()
	project := compose(t)
	for name, s := range project.Services {
		for _, c := range s.Configs {
			file := project.Configs[c.Source].File
			if info, err := os.Stat(file); err != nil || !info.Mode().IsRegular() {
				t.Errorf("%s: the file of %s is not there: %v", name, c.Source, err)
			}
		}
	}
	for name, c := range project.Configs {
		if !slices.ContainsFunc(slices.Collect(maps.Values(project.Services)), func(s types.ServiceConfig) bool {
			return slices.ContainsFunc(s.Configs, func(f types.ServiceConfigObjConfig) bool { return f.Source == name })
		}) {
			t.Errorf("nobody has %s (%s)", name, c.File)
		}
	}
}

func TestObservabilityIsAProfileThatFindsTheServices(t *testing.T) {
	t.Parallel()
	project := compose(t)
	for _, name := range []string{"prometheus", "grafana", "otel-collector"} {
		if s, ok := project.Services[name]; !ok || !slices.Equal(s.Profiles, []string{"observability"}) {
			t.Errorf("%s is not in the profile observability: %v", name, s.Profiles)
		}
	}
	text := read(t, "deploy/prometheus/prometheus.yml")
	for _, part := range []string{`targets: ["serve:7800"]`, "names: [worker, scheduler]", "port: 7801", "/run/secrets/metrics_token", "/etc/prometheus/rules.yml"} {
		if !strings.Contains(text, part) {
			t.Errorf("prometheus is not told: %s", part)
		}
	}
	for _, name := range []string{"serve", "worker", "scheduler"} {
		s := project.Services[name]
		if _, found := s.Networks["data"]; !found {
			t.Errorf("%s cannot be reached by prometheus", name)
		}
		if s.Environment["STINT_TELEMETRY_ENDPOINT"] == nil {
			t.Errorf("%s cannot be told of a collector", name)
		}
	}
}
