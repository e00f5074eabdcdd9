package config_test

import (
	"encoding/json"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stint-run/stint/config"
)

// told is the form of each mistake: file, line, column, what is wrong, and what to do now.
var told = regexp.MustCompile(`^stint\.yaml:\d+:\d+: .+ \(.+\)$`)

func TestEachMistakeIsToldWithFileLineColumnAndWhatToDo(t *testing.T) {
	t.Parallel()
	const schedule = "schedules:\n  - name: nightly\n    kind: migration\n"
	for name, c := range map[string]struct{ file, want string }{
		"an open bracket":            {"log: {level: info\nredis: {}\n", `1:6: did not find expected ',' or '}'`},
		"an open quote":              {"log:\n  level: 'info\n", `2:10: found unexpected end of stream (close the quote)`},
		"a colon in a value":         {"log:\n  level: a: b\n", `2:11: mapping values are not allowed`},
		"a line that is out of line": {"log:\n  level: info\n format: json\n", `3:2: did not find expected key`},
		"an indentation with a tab":  {"log:\n  level: info\n \tformat: json\n", `3:2: a tab stands in the indentation (indent with spaces)`},
		"two documents":              {"log: {}\n---\nlog: {}\n", `2:1: has more than one document (leave one, without ---)`},
		"no mapping":                 {"\n- log\n", `2:1: is no mapping of keys to values`},
		"a key twice":                {"log:\n  level: info\n  level: warn\n", `3:3: key "level" stands in line 2 already (leave one of them away)`},
		"an unknown key":             {"worker:\n  concurency: 3\n", `2:3: unknown key "worker.concurency" (did you mean "worker.concurrency"?)`},
		"an unknown section":         {"data: x\nschedular:\n  sweep: 1s\n", `2:1: unknown key "schedular" (did you mean "scheduler"?)`},
		"a section without keys":     {"log: debug\n", `1:6: log: want keys and values (write its keys below it, indented)`},
		"a merge key":                {"log: &l\n  level: info\nredis:\n  <<: *l\n", `4:3: only plain words are keys here (write the keys out)`},
		"no whole number":            {"worker:\n  concurrency: 2.5\n", `2:16: worker.concurrency: want a whole number, got "2.5" (write it as 8)`},
		"no number":                  {"telemetry: {sample: half}\n", `1:21: telemetry.sample: want a number, got "half" (write it as 0.5)`},
		"no share":                   {"telemetry: {sample: 1.5}\n", `1:21: telemetry.sample: want 0 to 1, got 1.5 (1 traces every job, 0.1 one of ten, 0 none)`},
		"no duration":                {"worker: {heartbeat: 1}\n", `1:21: worker.heartbeat: want a duration, got "1" (write it as 500ms, 30s or 5m)`},
		"no time at all":             {"worker: {drain_timeout: -1s}\n", `1:25: worker.drain_timeout: want more than 0, got -1s`},
		"a list where a text stands": {"data: [a, b]\n", `1:7: data: want one value (write one text)`},
		"a word that is none of":     {"redis: {fsync: sometimes}\n", `1:16: redis.fsync: want everysec, always, got "sometimes" (write one of them)`},
		"a mistyped word":            {"log:\n  format: jsno\n", `2:11: log.format: want auto, text, json, got "jsno" (did you mean "json"?)`},
		"a token without a value":    {"data: \"@@NOWHERE@@/x\"\n", `1:7: data: token @@NOWHERE@@ has no value (set it below tokens: or as the variable NOWHERE)`},
		"a token within a spec":      {schedule + "    every: 1h\n    spec:\n      a: [x, \"@@NOWHERE@@\"]\n", `6:14: schedules.nightly.spec: token @@NOWHERE@@ has no value`},
		"a variable that is not set": {"redis:\n  url: redis://h\n  password: env:NOWHERE\n", `3:13: redis.password: the variable NOWHERE is not set (set it, or write file:PATH)`},
		"a file that is not there":   {"token: file:/nowhere/token\n", `1:8: token: cannot read the secret: open /nowhere/token: no such file or directory (give the right path`},
		"no Redis":                   {"redis:\n  url: localhost:6379\n", `2:8: redis.url: [redacted] is no address of a Redis (write redis://`},
		"a unix socket of a cluster": {"redis: {topology: cluster, url: 'unix:///r.sock'}\n", `1:33: redis.url: unix:///r.sock is no address of a Redis (write redis://USER@HOST1:6379?addr=`},
		"sentinels without a master": {"redis: {topology: sentinel, url: 'redis://s1:26379?addr=s2:26379'}\n", `1:34: redis.url: says no master_name (write redis://USER@SENTINEL1`},
		"a password in a query":      {"redis: {topology: sentinel, url: 'redis://s1:26379?master_name=m&password=x'}\n", `1:34: redis.url: has a password in its query (set redis.password instead)`},
		"a topology that is none":    {"redis: {topology: clutser, url: 'redis://h'}\n", `1:19: redis.topology: want single, cluster, sentinel, got "clutser" (did you mean "cluster"?)`},
		"a topology without a URL":   {"redis: {topology: cluster}\n", `1:19: redis.topology: has no redis.url to go with (set redis.url too)`},
		"a certificate without TLS":  {"redis:\n  url: redis://h\n  ca: ca.pem\n", `3:7: redis.ca: is for TLS, and redis.url is without (write rediss://`},
		"no certificate":             {"redis:\n  url: rediss://h\n  ca: /nowhere/ca.pem\n", `3:7: redis.ca: cannot be read: no such file or directory (give the right path)`},
		"a certificate without key":  {"redis:\n  url: rediss://h\n  cert: x.pem\n", `3:9: redis.cert: has no redis.key to go with (set redis.key too)`},
		"a port of a Redis":          {"redis: {url: 'redis://h:70000'}\n", `1:14: redis.url: "70000" is no port (want 1 to 65535)`},
		"a port to listen on":        {"api:\n  listen: 127.0.0.1:70000\n", `2:11: api.listen: "70000" is no port (want 0 (a free one) to 65535)`},
		"no address to listen on":    {"worker:\n  admin: localhost\n", `2:10: worker.admin: "localhost" is no address to listen on (write HOST:PORT`},
		"half a pair":                {"api: {tls_cert: a.pem}\n", `1:17: api.tls_cert: has no api.tls_key to go with (set api.tls_key too)`},
		"a body without an end":      {"api: {max_body: 1073741824}\n", `1:17: api.max_body: want 1024 to 67108864, got 1073741824`},
		"no server":                  {"server: stint.internal\n", `1:9: server: the address of a server begins with http:// or https:// (write http://HOST:PORT or https://HOST:PORT)`},
		"no collector":               {"telemetry: {endpoint: 'collector:4317'}\n", `1:23: telemetry.endpoint: the address of a server begins with http:// or https:// (write http://HOST:4317`},
		"no queue":                   {"worker: {queues: []}\n", `1:18: worker.queues: is empty: the worker would take nothing`},
		"a queue's name":             {"worker: {queues: [Fast]}\n", `1:18: worker.queues: "Fast" is no name for a queue (begin with a-z`},
		"a negative limit":           {"limits:\n  running_jobs: -1\n", `2:17: limits.running_jobs: want 0 or more, got -1 (0 is no limit)`},
		"a tenant's negative limit":  {"tenants:\n  - name: acme\n    steps_per_second: -5\n", `3:23: tenants.acme.steps_per_second: want 0 or more, got -5 (0 is no limit)`},
		"a negative pool":            {"connections:\n  - {name: c, url: 'sqlite:x', pool: -1}\n", `2:38: connections.c.pool: want 0 or more, got -1`},
		"a connection without name":  {"connections:\n  - url: sqlite:x\n", `2:5: connections: a connection has no name (add name:)`},
		"a connection without URL":   {"connections:\n  - name: c\n", `2:11: connections.c.url: is missing (write one of`},
		"a name twice":               {"tenants:\n  - name: a\n  - name: a\n", `3:11: tenants: the tenant "a" is in this file twice (put them together, or rename one)`},
		"a name that is none":        {"schedules:\n  - {name: Nightly Sync, every: 1h, kind: x}\n", `2:12: schedules: "Nightly Sync" is no name for a schedule (use a-z`},
		"a mapping for a list":       {"schedules:\n  nightly: {every: 1h}\n", "2:3: schedules: want a list (write each as `- name: NAME`)"},
		"a mistyped part":            {schedule + "    every: 1h\n    time_zone: UTC\n", `5:5: unknown key "schedules.nightly.time_zone" (did you mean "schedules.nightly.timezone"?)`},
		"too few fields":             {schedule + "    cron: \"30 2 * *\"\n", `4:11: schedules.nightly.cron: expected exactly 5 fields, found 4: [30 2 * *] (five fields:`},
		"an hour that is none":       {schedule + "    cron: 0 25 * * *\n", `4:11: schedules.nightly.cron: end of range (25) above maximum (23): 25 (five fields:`},
		"a day that never comes":     {schedule + "    cron: 0 0 30 2 *\n", `4:11: schedules.nightly.cron: "0 0 30 2 *" never comes (is there such a day in that month?)`},
		"a zone within the cron":     {schedule + "    cron: TZ=UTC\n", `4:11: schedules.nightly.cron: has a time zone in it (set timezone: instead)`},
		"an interval as a cron":      {schedule + "    cron: \"@every 5m\"\n", `4:11: schedules.nightly.cron: "@every 5m" is no time of day (set every: instead)`},
		"a schedule without a time":  {schedule, `2:11: schedules.nightly.cron: says not when (write cron:`},
		"two times":                  {schedule + "    cron: \"@daily\"\n    every: 1h\n", `5:12: schedules.nightly.every: there is a cron already (leave one of them away)`},
		"too often":                  {schedule + "    every: 10ms\n", `4:12: schedules.nightly.every: want 1s or more, got 10ms`},
		"a time zone":                {schedule + "    every: 1h\n    timezone: Europe/Berlln\n", `5:15: schedules.nightly.timezone: there is no time zone "Europe/Berlln" (write an IANA name`},
		"the zone of a machine":      {schedule + "    every: 1h\n    timezone: Local\n", `5:15: schedules.nightly.timezone: there is no time zone "Local"`},
		"a priority":                 {schedule + "    every: 1h\n    priority: 101\n", `5:15: schedules.nightly.priority: want -100 to 100, got 101`},
		"neither true nor false":     {schedule + "    every: 1h\n    paused: yes\n", `5:13: schedules.nightly.paused: "yes" is neither true nor false (write true or false)`},
		"a label":                    {schedule + "    every: 1h\n    labels: [nightly]\n", `5:13: schedules.nightly.labels: want NAME=VALUE, got "nightly" (write it as zone=a)`},
		"a job of no kind":           {"schedules:\n  - name: nightly\n    every: 1h\n", `2:11: schedules.nightly.kind: is missing (name the family`},
		"a spec that is no mapping":  {schedule + "    every: 1h\n    spec: [a]\n", `5:11: schedules.nightly.spec: want a mapping (write keys and values below it)`},
		"a number JSON has not":      {schedule + "    every: 1h\n    spec: {a: .inf}\n", `5:15: schedules.nightly.spec: JSON has no .inf (put it in quotes if it is a text)`},
		"a spec without an end":      {schedule + "    every: 1h\n    spec: &s {a: *s}\n", `schedules.nightly.spec: is too large (does an alias (*) stand for too much, or for itself?)`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := problems(t, config.Options{File: write(t, map[string]string{"stint.yaml": c.file})})
			if strings.Count(got, "\n") != 1 || !strings.Contains(got, c.want) {
				t.Errorf("got\n%swant one with\nstint.yaml:%s", got, c.want)
			}
			for line := range strings.Lines(got) {
				if !told.MatchString(strings.TrimSuffix(line, "\n")) {
					t.Errorf("%q lacks its place or what to do", line)
				}
			}
		})
	}
}

func TestASpecBecomesJSONWithItsKeysAsTheyWereWritten(t *testing.T) {
	t.Parallel()
	file := write(t, map[string]string{
		"stint.yaml": `tokens: {WHO: '"quoted" <b>'}
schedules:
  - name: a.b
    cron: "@daily"
    kind: alert
    priority: 5
    spec: {Old: 1}
  - name: hourly
    every: 1h
    kind: x
`,
		"stint.prod.yaml": `schedules:
  - name: a.b
    timezone: Europe/Berlin
    deadline: 5m
    labels: [team=data]
    spec:
      zWord: "@@WHO@@ @@@@"
      aList: [1, 0x10, 1.50, 12345678901234567890123, true, ~, 2020-01-02, "3"]
      Nested: &n {Deep: {}}
      again: *n
`,
	})
	c, origins := load(t, config.Options{File: file, Environment: "prod", Env: config.Env{"STINT_SCHEDULES_HOURLY_PAUSED=true", "STINT_SCHEDULES_A_B_JITTER=3s"}})
	want := config.Schedules{
		{Name: "a.b", Cron: "@daily", Timezone: "Europe/Berlin", Jitter: 3 * time.Second, Missed: "skip", Overlap: "skip", Deadline: 5 * time.Minute, Priority: 5,
			Kind: "alert", Labels: []string{"team=data"}},
		{Name: "hourly", Every: time.Hour, Timezone: "UTC", Missed: "skip", Overlap: "skip", Deadline: time.Minute, Paused: true, Kind: "x"},
	}
	const spec = `{"zWord":"\"quoted\" <b> @@","aList":[1,16,1.50,12345678901234567890123,true,null,"2020-01-02","3"],"Nested":{"Deep":{}},"again":{"Deep":{}}}`
	want[0].Spec = json.RawMessage(spec)
	got, _ := json.Marshal(c.Schedules)
	expected, _ := json.Marshal(want)
	if string(got) != string(expected) {
		t.Errorf("got\n%s\nwant\n%s", got, expected)
	}
	if o, _ := origins.Of("schedules.a.b.spec"); o.Value != spec || !strings.HasSuffix(o.Place.String(), "stint.prod.yaml:7:7") {
		t.Errorf("the origin of the spec is %+v", o)
	}
	if o, _ := origins.Of("schedules.hourly.paused"); o.Place.String() != "env STINT_SCHEDULES_HOURLY_PAUSED" {
		t.Errorf("the origin of paused is %+v", o)
	}
}

func TestATenantHasTheLimitsOfAllWhereItHasNoneOfItsOwn(t *testing.T) {
	t.Parallel()
	c, _ := load(t, config.Options{
		File: write(t, map[string]string{"stint.yaml": "limits: {running_jobs: 4, steps_per_second: 100}\ntenants:\n  - name: acme\n    running_jobs: 0\n"}),
		Env:  config.Env{"STINT_LIMITS_STEPS_PER_SECOND=50"},
	})
	for tenant, want := range map[string]config.Limits{"acme": {RunningJobs: 0, StepsPerSecond: 50}, "": {RunningJobs: 4, StepsPerSecond: 50}, "other": {RunningJobs: 4, StepsPerSecond: 50}} {
		if got := c.LimitsOf(tenant); got != want {
			t.Errorf("%q: got %+v, want %+v", tenant, got, want)
		}
	}
}

func TestWhatAllProgramsAreToldAboutTracesHoldsWhereNobodyHasToldStint(t *testing.T) {
	t.Parallel()
	env := config.Env{"OTEL_EXPORTER_OTLP_ENDPOINT=http://collector:4318", "OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf", "OTEL_SERVICE_NAME=other"}
	c, origins := load(t, config.Options{Env: env})
	if want := (config.Telemetry{Endpoint: config.NewURL("http://collector:4318"), Protocol: "http", Sample: 1, Service: "other"}); c.Telemetry != want {
		t.Errorf("got %+v", c.Telemetry)
	}
	if o, _ := origins.Of("telemetry.endpoint"); o.Place.String() != "env OTEL_EXPORTER_OTLP_ENDPOINT" {
		t.Errorf("the endpoint comes from %s", o.Place)
	}
	file := write(t, map[string]string{"stint.yaml": "telemetry: {endpoint: '', protocol: grpc}\n"})
	if c, _ = load(t, config.Options{File: file, Env: env}); !c.Telemetry.Endpoint.IsZero() || c.Telemetry.Protocol != "grpc" || c.Telemetry.Service != "other" {
		t.Errorf("got %+v", c.Telemetry)
	}
	_, origins = load(t, config.Options{Env: config.Env{"OTEL_EXPORTER_OTLP_PROTOCOL=http/json"}})
	if w := origins.Warnings(); len(w) != 1 || w[0].Place.Source != "env OTEL_EXPORTER_OTLP_PROTOCOL" {
		t.Errorf("warnings: %v", w)
	}
}
