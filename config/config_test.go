package config_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"

	"github.com/stint-run/stint/config"
)

// write makes a folder with files in it, and returns the path of stint.yaml there.
func write(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return filepath.Join(dir, "stint.yaml")
}

func load(t *testing.T, o config.Options) (*config.Config, *config.Origins) {
	t.Helper()
	c, origins, err := config.Load(o)
	if err != nil {
		t.Fatalf("load:\n%v", err)
	}
	return c, origins
}

// problems returns what is wrong, a line each, with the folder cut off the paths.
func problems(t *testing.T, o config.Options) string {
	t.Helper()
	c, origins, err := config.Load(o)
	var e *config.Error
	if !errors.As(err, &e) || c != nil || origins == nil {
		t.Fatalf("got %v, %v, %v; want only an *Error and the origins", c, origins, err)
	}
	return strings.ReplaceAll(e.Error(), filepath.Dir(o.File)+string(filepath.Separator), "") + "\n"
}

func TestTheSampleExplainsEveryKeyAndSaysTheDefaults(t *testing.T) {
	t.Parallel()
	env := config.Env{"CLOUD_PASSWORD=s3cret", "CRM_TOKEN=t0ken", "CRM_HEADERS=X-Tenant: acme", "BILLING_SECRET=s3cret", "CRM_WEBHOOK_SECRET=whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
		"CHAT_URL=https://chat.example.com/hooks/s3cret", "MAIL_PASSWORD=s3cret", "PAGER_KEY=s3cret", "FORGE_TOKEN=s3cret", "FEED_KEY=s3cret", "HOME=/home/somebody"}
	sample := filepath.Join("..", "docs", "stint.example.yaml")
	c, origins := load(t, config.Options{File: sample, Env: env})
	if w := origins.Warnings(); len(w) > 0 {
		t.Errorf("warnings: %v", w)
	}
	for _, key := range config.Keys() {
		if o, ok := origins.Of(key); !slices.Contains([]string{"connections", "tenants", "schedules", "webhooks", "alerts.channels", "dedupe.layout.tables", "builds.credentials", "builds.secrets", "builds.targets", "builds.environments"}, key) && (!ok || o.Place.File == "") {
			t.Errorf("%s is not in the sample", key)
		}
	}
	if got := c.Connections[1].DSN(); got != "postgres://loader:s3cret@db.internal:5432/ledger?sslmode=require&search_path=public" {
		t.Errorf("the cloud connection is %s", got)
	}
	want := config.Default(env)
	c.Connections, c.Tenants, c.Schedules, c.Webhooks = nil, nil, nil, nil
	if want := (config.DedupeTables{{Name: "sync.contacts", GUID: "contact_guid"}}); !reflect.DeepEqual(c.Dedupe.Layout.Tables, want) {
		t.Errorf("the tables are %+v", c.Dedupe.Layout.Tables)
	}
	c.Dedupe.Layout.Tables, c.Dedupe.Rules.Exempt = nil, nil
	if names := []string{c.Alerts.Channels[0].Name, c.Alerts.Channels[1].Name, c.Alerts.Channels[2].Name}; !slices.Equal(names, []string{"chat", "mail", "pager"}) {
		t.Errorf("the channels are %v", names)
	}
	c.Alerts.Channels, c.Alerts.Watch = nil, nil
	if len(c.Builds.Credentials) != 1 || len(c.Builds.Secrets) != 1 || len(c.Builds.Targets) != 1 || len(c.Builds.Environments) != 2 || c.Builds.Environments[1].Name != "production" {
		t.Errorf("the lists of builds are %+v", c.Builds)
	}
	c.Builds.Credentials, c.Builds.Secrets, c.Builds.Targets, c.Builds.Environments = nil, nil, nil, nil
	c.Builds.Repositories, c.Builds.Tools = nil, nil
	c.Data, c.Worker.Concurrency, c.Worker.Labels = want.Data, want.Worker.Concurrency, nil
	if !reflect.DeepEqual(c, want) {
		t.Errorf("the sample says\n%+v\nthe defaults are\n%+v", c, want)
	}
}

func TestLaterLayersWin(t *testing.T) {
	t.Parallel()
	file := write(t, map[string]string{
		"stint.yaml":         "worker: {concurrency: 2, labels: [a=1, b=2], drain_timeout: 10s}\nlog:\n  level: warn\n",
		"stint.staging.yaml": "worker:\n  concurrency: 3\n  labels: [c=3]\n",
	})
	flags := pflag.NewFlagSet("", pflag.ContinueOnError)
	flags.Duration("worker-drain-timeout", time.Hour, "")
	flags.String("log-level", "debug", "")
	flags.StringSlice("label", nil, "")
	flags.Bool("unrelated", false, "")
	if err := flags.Parse([]string{"--worker-drain-timeout=7s", "--label=zone=a,disk=fast", "--unrelated"}); err != nil {
		t.Fatal(err)
	}
	c, origins := load(t, config.Options{
		File: file, Environment: "staging", Flags: flags, FlagKeys: map[string]string{"label": "worker.labels"},
		Env: config.Env{"STINT_WORKER_CONCURRENCY=4", "STINT_WORKER_DRAIN_TIMEOUT=8s", "STINT_WORKER_HEARTBEAT=", "STINT_DATA=/var/lib/stint"},
	})
	dir := filepath.Dir(file)
	for key, want := range map[string][2]string{
		"worker.concurrency":   {"4", "env STINT_WORKER_CONCURRENCY"},
		"worker.drain_timeout": {"7s", "flag --worker-drain-timeout"},
		"worker.labels":        {"zone=a,disk=fast", "flag --label"},
		"worker.heartbeat":     {"1s", "default"},
		"log.level":            {"warn", filepath.Join(dir, "stint.yaml:3:10")},
		"data":                 {"/var/lib/stint", "env STINT_DATA"},
	} {
		o, _ := origins.Of(key)
		if got := [2]string{o.Value, o.Place.String()}; got != want {
			t.Errorf("%s: got %q, want %q", key, got, want)
		}
	}
	if c.Worker.Concurrency != 4 || c.Worker.DrainTimeout != 7*time.Second || c.Worker.LabelMap()["disk"] != "fast" {
		t.Errorf("the struct differs: %+v", c.Worker)
	}
	_, origins = load(t, config.Options{File: file, Environment: "staging"})
	if o, _ := origins.Of("worker.labels"); o.Value != "c=3" || o.Place.String() != filepath.Join(dir, "stint.staging.yaml:3:11") {
		t.Errorf("the list of one file over that of another: got %q from %s", o.Value, o.Place)
	}
}

func TestConnectionsAreMergedByNameAndKeepTheirCase(t *testing.T) {
	t.Parallel()
	file := write(t, map[string]string{
		"stint.yaml": "connections:\n" +
			"  - {name: Legacy, url: 'sqlite:Old Data.db'}\n" +
			"  - {name: cloud, url: 'postgres://u@h/db', schema: Main}\n",
		"stint.prod.yaml": "connections:\n" +
			"  - {name: cloud, url: 'postgres://u@prod/db', password: 'file:@@DIR@@/pw'}\n" +
			"  - {name: events, url: 'sqlite:events.db'}\n",
		"pw": "a b\r\n",
	})
	c, origins := load(t, config.Options{
		File: file, Environment: "prod",
		Env: config.Env{"DIR=" + filepath.Dir(file), "STINT_CONNECTIONS_LEGACY_URL=sqlite:new.db"},
	})
	var got []string
	for _, conn := range c.Connections {
		got = append(got, conn.Name+" "+conn.DSN()+" "+conn.Schema)
	}
	want := []string{"Legacy sqlite:new.db ", "cloud postgres://u:a%20b@prod/db?search_path=%22Main%22 Main", "events sqlite:events.db "}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if o, ok := origins.Of("connections.cloud.password"); !ok || o.Value != "[redacted]" || o.Ref != "file:"+filepath.Dir(file)+"/pw" {
		t.Errorf("the password's origin is %+v", o)
	}
	if _, ok := c.Connections.Get("legacy"); ok {
		t.Error("names lost their case")
	}
}

func TestAllMistakesAreToldAtOnceWithTheirPlaces(t *testing.T) {
	t.Parallel()
	file := write(t, map[string]string{"stint.yaml": `redis:
  urll: redis://localhost
  password: "@@NOPE@@"
worker:
  concurrency: many
  drain_timeout: 5 parsecs
  heartbeat: 2s
  labels: {a: b}
log: verbose
scheduler:
  lost_after: 3s
  lost_after: 4s
concurrency: 3
connections:
  - {name: a b, url: 'sqlite:x'}
  - {name: c, url: 'oracle://x', user: me}
  - {name: d}
  - {name: d, url: 'sqlite:x'}
  - {url: 'sqlite:x'}
  - {name: e, url: 'sqlite:', password: x}
  - {name: f, url: 'postgres:x'}
`})
	const want = `stint.yaml:2:3: unknown key "redis.urll" (did you mean "redis.url"?)
stint.yaml:3:13: redis.password: token @@NOPE@@ has no value (set it below tokens: or as the variable NOPE)
stint.yaml:5:16: worker.concurrency: want a whole number, got "many" (write it as 8)
stint.yaml:6:18: worker.drain_timeout: want a duration, got "5 parsecs" (write it as 500ms, 30s or 5m)
stint.yaml:8:11: worker.labels: want one value (write it as [a, b])
stint.yaml:9:6: log: want keys and values (write its keys below it, indented)
stint.yaml:11:15: scheduler.lost_after: 3s is less than twice the heartbeat of 2s: one that is late would cost a worker its steps (raise it, or lower worker.heartbeat)
stint.yaml:12:3: key "lost_after" stands in line 11 already (leave one of them away)
stint.yaml:13:1: unknown key "concurrency" (did you mean "worker.concurrency"?)
stint.yaml:15:12: connections: "a b" is no name for a connection (use letters, digits, _, - and .)
stint.yaml:16:20: connections.c.url: no connection is made by the scheme "oracle" (write one of FORMS)
stint.yaml:16:34: unknown key "connections.c.user" (a connection has name, url, password, PARTS and tenants)
stint.yaml:17:12: connections.d.url: is missing (write one of FORMS)
stint.yaml:18:12: connections: the connection "d" is in this file twice (put them together, or rename one)
stint.yaml:19:5: connections: a connection has no name (add name:)
stint.yaml:20:20: connections.e.url: names no path (write sqlite:FILE)
stint.yaml:20:41: connections.e.password: a path has no password (remove it)
stint.yaml:21:20: connections.f.url: postgres:x is no address (write postgres://HOST/DATABASE)
`
	got := regexp.MustCompile(`\(write one of [a-z]+:[^)]*\)`).ReplaceAllString(problems(t, config.Options{File: file}), "(write one of FORMS)")
	if got = regexp.MustCompile(`password, [a-z_, ]+ and tenants`).ReplaceAllString(got, "password, PARTS and tenants"); got != strings.Replace(want, "postgres:x", "[redacted]", 1) {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestFilesThatAreNoYAMLSayWhere(t *testing.T) {
	t.Parallel()
	for content, want := range map[string]string{
		"log:\n\tlevel: info\n":         "stint.yaml:2:1: a tab stands in the indentation (indent with spaces)\n",
		"worker:\n  concurrency: @@N@@": "stint.yaml:2:16: found character that cannot start any token (a value that begins with @@ needs quotes: \"@@NAME@@\")\n",
		"- a\n":                         "stint.yaml:1:1: is no mapping of keys to values (docs/stint.example.yaml shows the form)\n",
		"log: {}\n---\nlog: {}\n":       "stint.yaml:2:1: has more than one document (leave one, without ---)\n",
		"x: &a {level: info}\nlog:\n  <<: *a\n": "stint.yaml:1:1: unknown key \"x\" (docs/configuration.md names the keys)\n" +
			"stint.yaml:3:3: only plain words are keys here (write the keys out)\n",
	} {
		if got := problems(t, config.Options{File: write(t, map[string]string{"stint.yaml": content})}); got != want {
			t.Errorf("%q: got\n%swant\n%s", content, got, want)
		}
	}
}

func TestMistakesInVariablesAndFlagsNameThem(t *testing.T) {
	t.Parallel()
	flags := pflag.NewFlagSet("", pflag.ContinueOnError)
	flags.String("log-level", "", "")
	if err := flags.Parse([]string{"--log-level=wran"}); err != nil {
		t.Fatal(err)
	}
	got := problems(t, config.Options{
		File: write(t, map[string]string{"stint.yaml": ""}), Flags: flags, Environment: "prod",
		Env: config.Env{"STINT_WORKER_CONCURRENCY=x", "STINT_WORKER_LABELS=zone", "STINT_REDIS_PASSWORD=env:GONE", "STINT_REDIS_URL=redis://me:pw@h:port"},
	})
	for _, want := range []string{
		`flag --environment: there is no stint.prod.yaml`,
		`env STINT_WORKER_CONCURRENCY: worker.concurrency: want a whole number, got "x"`,
		`env STINT_WORKER_LABELS: worker.labels: want NAME=VALUE, got "zone"`,
		`env STINT_REDIS_PASSWORD: redis.password: the variable GONE is not set`,
		`env STINT_REDIS_URL: redis.url: [redacted] is no address of a Redis`,
		`flag --log-level: log.level: want debug, info, warn, error, got "wran" (did you mean "warn"?)`,
	} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
	if strings.Contains(got, "pw") {
		t.Errorf("the password is in\n%s", got)
	}
}

func TestWhatIsMostLikelyNotMeantIsAWarning(t *testing.T) {
	t.Parallel()
	file := write(t, map[string]string{"stint.yaml": "redis: {url: 'redis://me:pw@h', password: pw}\n"})
	_, origins := load(t, config.Options{File: file, Env: config.Env{
		"STINT_WORKER_CONCURENCY=3", "STINT_PORT=tcp://10.0.0.1:80", "STINT_API_SERVICE_HOST=10.0.0.1", "STINT_PORT_80_TCP_ADDR=10.0.0.1",
	}})
	var got []string
	for _, w := range origins.Warnings() {
		got = append(got, strings.TrimPrefix(w.String(), filepath.Dir(file)+"/"))
	}
	want := []string{
		"stint.yaml:1:14: redis.url: a password stands in a file (set the password apart, as file:PATH or env:NAME)",
		"stint.yaml:1:43: redis.password: a password stands in a file (write file:PATH or env:NAME instead)",
		"env STINT_WORKER_CONCURENCY: no key has this variable (did you mean STINT_WORKER_CONCURRENCY?)",
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestTokensAreFilledOnceAndCannotBringInKeys(t *testing.T) {
	t.Parallel()
	file := write(t, map[string]string{
		"stint.yaml": "tokens: {A: 'a=base', B: 'x\nlog: {level: debug}', C: '@@A@@'}\n" +
			"worker:\n  labels: ['@@A@@', 'q=q.@@C@@', 'v=@@B@@', 'w=@@@@A@@@@', 'e=@@FROM_ENV@@']\n",
		"stint.prod.yaml": "tokens: {A: 'a=over', C: deep}\n",
	})
	c, _ := load(t, config.Options{File: file, Environment: "prod", Env: config.Env{"A=env", "FROM_ENV=yes"}})
	if want := []string{"a=over", "q=q.deep", "v=x log: {level: debug}", "w=@@A@@", "e=yes"}; !reflect.DeepEqual(c.Worker.Labels, want) {
		t.Errorf("got %q, want %q", c.Worker.Labels, want)
	}
	if c.Log.Level != "info" {
		t.Error("a token brought in a key")
	}
}

func TestSecretsDoNotGetOut(t *testing.T) {
	t.Parallel()
	const word = "hunter2"
	c, origins := load(t, config.Options{
		File: write(t, map[string]string{"stint.yaml": "redis: {url: 'redis://me:hunter2@h:6379/1?client_name=hunter2', password: hunter2}\n" +
			"connections: [{name: a, url: 'postgres://sa:hunter2@h?password=hunter2', password: hunter2}]\n"}),
	})
	var log bytes.Buffer
	logger := slog.New(slog.NewJSONHandler(&log, nil))
	logger.Info("x", "config", c, "password", c.Redis.Password, "url", c.Redis.URL)
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "config", c, "redis", c.Redis)
	encoded, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	out := log.String() + string(encoded) + fmt.Sprint(origins.All(), origins.Warnings())
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		out += fmt.Sprintf(verb, *c) + fmt.Sprintf(verb, c.Redis.Password) + fmt.Sprintf(verb, c.Connections)
	}
	if strings.Contains(out, word) || strings.Contains(out, fmt.Sprintf("%x", word)) {
		t.Errorf("the secret is in\n%s", out)
	}
	if got := c.Redis.URL.String(); got != "redis://me:[redacted]@h:6379/1?client_name=[redacted]" {
		t.Errorf("the URL is shown as %s", got)
	}
	if c.Redis.Password.Reveal() != word {
		t.Error("the secret itself was changed")
	}
}

func TestTheUserOfARedisURLIsKept(t *testing.T) {
	t.Parallel()
	c, _ := load(t, config.Options{Env: config.Env{"STINT_REDIS_URL=rediss://alice:old@h:6380/2", "STINT_REDIS_PASSWORD=env:PW", "PW=new"}})
	target, err := c.Redis.Target()
	if err != nil {
		t.Fatal(err)
	}
	o := target.Single
	if o.Username != "alice" || o.Password != "new" || o.DB != 2 || o.TLSConfig == nil {
		t.Errorf("got %+v", o)
	}
	if o, err := (config.Redis{}).Target(); o != nil || err != nil {
		t.Errorf("without a URL: %+v, %v", o, err)
	}
}

func TestWithoutAFileTheDefaultsHold(t *testing.T) {
	t.Parallel()
	env := config.Env{"HOME=/home/somebody"}
	c, origins := load(t, config.Options{Env: env})
	if want := config.Default(env); !reflect.DeepEqual(c, want) {
		t.Errorf("got %+v, want %+v", c, want)
	}
	for _, o := range origins.All() {
		if o.Place != (config.Place{}) {
			t.Errorf("%s comes from %s", o.Key, o.Place)
		}
	}
	if err := c.Check(); err != nil {
		t.Error(err)
	}
}

func TestAFileThatIsNamedHasToBeThere(t *testing.T) {
	t.Parallel()
	missing := filepath.Join(t.TempDir(), "stint.yaml")
	for _, o := range []config.Options{{File: missing}, {Env: config.Env{"STINT_CONFIG=" + missing}}} {
		if _, _, err := config.Load(o); err == nil || !strings.Contains(err.Error(), missing) {
			t.Errorf("got %v", err)
		}
	}
}
