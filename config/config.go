// Package config reads what a person has set: one struct, filled from five layers, the later over the earlier.
//
//	defaults < stint.yaml < stint.<environment>.yaml < STINT_* < flags
//
// A key such as worker.drain_timeout is nested in the files, STINT_WORKER_DRAIN_TIMEOUT in the environment and
// --worker-drain-timeout as a flag. docs/stint.example.yaml explains each key; docs/stint.schema.json is for editors.
//
//   - A list replaces the list of the layer below; only connections are merged, by name.
//   - @@NAME@@ in a value is filled from the files' tokens: or from the process environment; @@@@ is a plain @@. A token
//     is filled after the file has been read, so it cannot bring in keys, and is not looked into again.
//   - A password or URL may be written as file:PATH (its last line break is cut off) or env:NAME.
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

	"github.com/redis/go-redis/v9"
)

// Config is what a person has set. The zero value is not usable; Default is. Only cmd reads it: the other packages get
// small Options of their own.
type Config struct {
	// Data is the folder of the embedded queue and of everything else that this machine keeps.
	Data string `key:"data"`

	Redis     Redis     `key:"redis"`
	Worker    Worker    `key:"worker"`
	Scheduler Scheduler `key:"scheduler"`
	Log       Log       `key:"log"`

	// Connections are the databases that jobs name.
	Connections Connections `key:"connections"`
}

// Redis says where the queue is.
type Redis struct {
	// URL is redis://, rediss:// or unix://; "" means the embedded queue in Data.
	URL URL `key:"url"`
	// Password goes with URL, for those who keep it apart from the URL. "" means the one in the URL.
	Password Secret `key:"password"`
	// Mode of the embedded queue: auto, server or inprocess. Ignored with a URL.
	Mode string `key:"mode" jsonschema:"enum=auto,enum=server,enum=inprocess"`
	// Fsync of the embedded queue: everysec or always. Ignored with a URL.
	Fsync string `key:"fsync" jsonschema:"enum=everysec,enum=always"`
}

// Options returns how to reach the Redis of URL with go-redis; nil without a URL. The user name of the URL is kept.
func (r Redis) Options() (*redis.Options, error) {
	if r.URL.IsZero() {
		return nil, nil
	}
	o, err := redis.ParseURL(r.URL.Reveal())
	if err != nil {
		return nil, err
	}
	if !r.Password.IsZero() {
		o.Password = r.Password.Reveal()
	}
	return o, nil
}

// Worker says what a worker takes and how it gives back.
type Worker struct {
	// Concurrency is how many steps run at once, at least 1.
	Concurrency int `key:"concurrency"`
	// Labels are name=value pairs by which workers are chosen.
	Labels []string `key:"labels"`
	// DrainTimeout is how long a draining worker waits for its steps before it cuts them.
	DrainTimeout time.Duration `key:"drain_timeout"`
	// Heartbeat is the time between two signs of life.
	Heartbeat time.Duration `key:"heartbeat"`
}

// LabelMap returns Labels by name.
func (w Worker) LabelMap() map[string]string {
	m := make(map[string]string, len(w.Labels))
	for _, label := range w.Labels {
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

// Log says what is logged.
type Log struct {
	// Level is debug, info, warn or error.
	Level string `key:"level" jsonschema:"enum=debug,enum=info,enum=warn,enum=error"`
	// Format is text, json, or auto: text on a terminal, else json.
	Format string `key:"format" jsonschema:"enum=auto,enum=text,enum=json"`
}

// Connection is a database by the name that jobs know it by.
type Connection struct {
	Name     string // case counts
	URL      URL    // sqlite:, postgres:// or postgresql://
	Password Secret // goes into URL; "" means the one in the URL
	Schema   string // PostgreSQL only: where names without a schema are found and made; "" means the URL's or the default
}

// DSN returns the URL with the password and the schema in it. It is for the driver alone, never for a log or a report.
func (c Connection) DSN() string {
	dsn := c.URL.withPassword(c.Password)
	if c.Schema == "" || !postgresSchemes[c.URL.Scheme()] {
		return dsn
	}
	return withSearchPath(dsn, c.Schema)
}

// Connections are in the order in which their names first appeared.
type Connections []Connection

// Get returns the connection of a name, and whether there is one.
func (c Connections) Get(name string) (Connection, bool) {
	for _, conn := range c {
		if conn.Name == name {
			return conn, true
		}
	}
	return Connection{}, false
}

// Default returns what holds where nobody has said anything.
func Default(env Env) *Config {
	return &Config{
		Data:  stateDir(env),
		Redis: Redis{Mode: "auto", Fsync: "everysec"},
		Worker: Worker{
			Concurrency: max(4, 2*runtime.NumCPU()),
			// Below the 30 s after which Kubernetes kills: the cut should be ours, with the steps given back.
			DrainTimeout: 25 * time.Second,
			Heartbeat:    time.Second,
		},
		Scheduler: Scheduler{Sweep: 500 * time.Millisecond, LostAfter: 3 * time.Second},
		Log:       Log{Level: "info", Format: "auto"},
	}
}
