// Package config reads what a person has set: one struct, filled from five layers, the later over the earlier.
//
//	defaults < stint.yaml < stint.<environment>.yaml < STINT_* < flags
//
// A key such as worker.drain_timeout is nested in the files, STINT_WORKER_DRAIN_TIMEOUT in the environment and
// --worker-drain-timeout as a flag. docs/stint.example.yaml explains each key; docs/stint.schema.json is for editors.
//
//   - A list replaces the list of the layer below; only connections, tenants, schedules, webhooks, alerts.channels, dedupe.layout.tables and the lists of builds
//     are merged, by name.
//   - @@NAME@@ in a value is filled from the files' tokens: or from the process environment; @@@@ is a plain @@. A token
//     is filled after the file has been read, so it cannot bring in keys, and is not looked into again.
//   - A password or URL may be written as file:PATH (its last line break is cut off) or env:NAME; file: of
//     artifacts.url is the folder itself.
//   - OTEL_EXPORTER_OTLP_ENDPOINT and its kin are what holds where no file says where traces go.
//   - Whatever cannot be right is an error with file, line and column, and all errors are told at once.
//
// This is the only package that reads the process environment, so that all that can change what stint does is found
// here. Viper merges the layers; everything that it would do silently (accept unknown keys, lower the case of names,
// turn a wrong type into zero) is done by the reader in front of it.
package config

import (
	"runtime"
	"strings"
	"time"

	// A schedule's time zone has to be known in a container that has no zone data of its own.
	_ "time/tzdata"
)

// Config is what a person has set. The zero value is not usable; Default is. Only cmd reads it: the other packages get
// small Options of their own.
type Config struct {
	// Server is the API server that commands speak to; "" means that this process is the engine itself.
	Server URL `key:"server"`
	// Token is what commands show to Server. "" means none.
	Token Secret `key:"token"`
	// TokenFile is the path of a file with the token in it, which the command line reads; "" means none.
	TokenFile string `key:"token_file"`

	// Data is the folder of the embedded queue and of everything else that this machine keeps.
	Data string `key:"data"`

	Redis     Redis     `key:"redis"`
	Worker    Worker    `key:"worker"`
	Scheduler Scheduler `key:"scheduler"`
	API       API       `key:"api"`
	Limits    Limits    `key:"limits"`
	Artifacts Artifacts `key:"artifacts"`
	Dedupe    Dedupe    `key:"dedupe"`
	Alerts    Alerts    `key:"alerts"`
	Builds    Builds    `key:"builds"`
	Telemetry Telemetry `key:"telemetry"`
	Log       Log       `key:"log"`

	// Connections are the databases that jobs name.
	Connections Connections `key:"connections"`
	// Tenants are those that have limits of their own.
	Tenants Tenants `key:"tenants"`
	// Schedules are the jobs that begin by the clock.
	Schedules Schedules `key:"schedules"`
	// Webhooks are told what becomes of jobs.
	Webhooks Webhooks `key:"webhooks"`
}

// Worker says what a worker takes and how it gives back.
type Worker struct {
	// Concurrency is how many steps run at once, at least 1.
	Concurrency int `key:"concurrency"`
	// Labels are name=value pairs by which workers are chosen.
	Labels []string `key:"labels"`
	// Queues are the names of the queues that the worker takes steps from.
	Queues []string `key:"queues"`
	// Admin is where the worker answers about itself: host:port, off, or auto, which is 127.0.0.1:7801 or, when that is
	// taken, a free port.
	Admin string `key:"admin"`
	// DrainTimeout is how long a draining worker waits for its steps before it cuts them.
	DrainTimeout time.Duration `key:"drain_timeout"`
	// Heartbeat is the time between two signs of life.
	Heartbeat time.Duration `key:"heartbeat"`
}

// LabelMap returns Labels by name.
func (w Worker) LabelMap() map[string]string { return labelMap(w.Labels) }

func labelMap(labels []string) map[string]string {
	m := make(map[string]string, len(labels))
	for _, label := range labels {
		name, value, _ := strings.Cut(label, "=")
		m[name] = value
	}
	return m
}

// Scheduler says how soon what was lost is found.
type Scheduler struct {
	// Sweep is the time between two looks for lost workers and tasks.
	Sweep time.Duration `key:"sweep"`
	// LostAfter is how long a worker may show no sign of life before its steps are given to others; at least twice
	// Worker.Heartbeat.
	LostAfter time.Duration `key:"lost_after"`
}

// API says how the API server listens and what it takes.
type API struct {
	// Listen is host:port; port 0 takes a free one.
	Listen string `key:"listen"`
	// TLSCert is the path of the certificate chain (PEM); "" means no TLS. It goes with TLSKey.
	TLSCert string `key:"tls_cert"`
	// TLSKey is the path of the certificate's key (PEM).
	TLSKey string `key:"tls_key"`
	// MaxBody is the longest request, in bytes. A plan of 4 MiB, the longest one, has room in the default.
	MaxBody int `key:"max_body"`
	// MaxConnections is how many connections are open at once, at least 1.
	MaxConnections int `key:"max_connections"`
	// ReadTimeout is how long a request may take to arrive.
	ReadTimeout time.Duration `key:"read_timeout"`
	// RequestsPerSecond is what one caller may ask for; 0 means no limit.
	RequestsPerSecond int `key:"requests_per_second"`
}

// Telemetry says where traces and metrics go.
type Telemetry struct {
	// Endpoint is the URL of an OTLP collector; "" means that nothing is sent.
	Endpoint URL `key:"endpoint"`
	// Protocol is grpc or http.
	Protocol string `key:"protocol" jsonschema:"enum=grpc,enum=http"`
	// Sample is the share of jobs that are traced, 0 to 1.
	Sample float64 `key:"sample"`
	// Service is the name under which this process is shown.
	Service string `key:"service"`
}

// Log says what is logged.
type Log struct {
	// Level is debug, info, warn or error.
	Level string `key:"level" jsonschema:"enum=debug,enum=info,enum=warn,enum=error"`
	// Format is text, json, or auto: text on a terminal, else json.
	Format string `key:"format" jsonschema:"enum=auto,enum=text,enum=json"`
}

// Default returns what holds where nobody has said anything.
func Default(env Env) *Config {
	return &Config{
		Data:  stateDir(env),
		Redis: Redis{Topology: Single, Mode: "auto", Fsync: "everysec"},
		Worker: Worker{
			Concurrency: max(4, 2*runtime.GOMAXPROCS(0)),
			// Below the 30 s after which Kubernetes kills: the cut should be ours, with the steps given back.
			DrainTimeout: 25 * time.Second,
			Heartbeat:    time.Second,
			Queues:       []string{"default"},
			Admin:        "auto",
		},
		API:       API{Listen: "127.0.0.1:7800", MaxBody: 8 << 20, MaxConnections: 1000, ReadTimeout: 15 * time.Second},
		Scheduler: Scheduler{Sweep: 500 * time.Millisecond, LostAfter: 3 * time.Second},
		Telemetry: Telemetry{Protocol: "grpc", Sample: 1, Service: "stint"},
		Log:       Log{Level: "info", Format: "auto"},
		Dedupe:    defaultDedupe,
		Alerts:    defaultAlerts,
		Builds:    defaultBuilds,
	}
}
