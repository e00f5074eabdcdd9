package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"runtime/debug"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/stint-run/stint/client/wire"
	"github.com/stint-run/stint/cmd/internal/app"
	"github.com/stint-run/stint/config"
	"github.com/stint-run/stint/internal/api"
	"github.com/stint-run/stint/internal/localredis"
	"github.com/stint-run/stint/internal/store"
	"github.com/stint-run/stint/internal/telemetry"
	"github.com/stint-run/stint/tasks"
)

// Main runs the command line and returns the exit code.
func Main(env Env) int {
	collectEarly()
	c := &command{Env: env}
	ctx, stop := c.interrupts.listen(context.Background(), env.Signals)
	defer stop()
	root := c.root()
	root.SetArgs(env.Args)
	root.SetOut(env.Stdout)
	root.SetErr(env.Stderr)
	err := root.ExecuteContext(ctx)
	if err != nil && errors.Is(context.Cause(ctx), errInterrupted) {
		err = errInterrupted
	}
	if err != nil && c.started.IsZero() {
		if tasks.HintOf(err) == "" {
			err = tasks.WithHint(nil, `see "stint --help"`, "%v", err)
		}
		err = usage(err) // cobra refused it before any command ran
	}
	complain(env.Stderr, err, c.output == "json")
	return exitCode(err)
}

// command is what the commands share: the world, the global flags, and what they lead to.
type command struct {
	Env
	interrupts  interrupts
	file        string
	environment string
	output      string
	quiet       bool

	config  *config.Config
	origins *config.Origins
	log     *slog.Logger
	started time.Time
}

func (c *command) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "stint",
		Short: "Long operations in small steps, so that you can deploy at any moment",
		Long: `stint runs customer data migrations, and other operations that take hours, as small, atomic, idempotent steps on Redis
queues. Any worker can be drained, replaced or killed at any moment: nothing is lost and nothing takes effect twice.

Start with "stint demo": it needs nothing but this program.`,
		Example:       "  stint demo\n  stint migrate --from sqlite:legacy.db --to postgres://localhost/new",
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          cobra.NoArgs,
		RunE:          func(cmd *cobra.Command, args []string) error { return cmd.Help() },
		PersistentPreRunE: func(cmd *cobra.Command, args []string) error {
			c.started = c.Now()
			if c.output != "table" && c.output != "json" {
				return usage(fmt.Errorf("--output %q: write table or json", c.output))
			}
			return nil
		},
	}
	f := root.PersistentFlags()
	f.StringVar(&c.file, "config", "", "the configuration `FILE` (default: stint.yaml, if it is there)")
	f.StringVar(&c.environment, "environment", "", "lay stint.`NAME`.yaml over the configuration")
	f.StringVarP(&c.output, "output", "o", "table", "`table` or json")
	f.BoolVarP(&c.quiet, "quiet", "q", false, "no progress, no messages but warnings and errors")
	f.String("server", "", "do it on the stint server at this `URL` instead of in this process")
	f.String("token-file", "", "the `FILE` with the API token for the server")
	f.String("data", "", "the data `DIR`: the embedded queue and what goes with it")
	f.String("log-level", "", "debug, info, warn or error")
	root.AddCommand(c.demo(), c.up(), c.serve(), c.worker(), c.scheduler(), c.migrate(), c.cutover(), c.dedupe(), c.plan(), c.verify(), c.rehearse(), c.alert(), c.build(), c.jobs(), c.workers(), c.schedules(), c.webhooks(), c.queues(), c.kinds(), c.tenants(), c.tokens(), c.ids(), c.audit(), c.doctor(), c.healthcheck(), c.drainSelf(), c.configCommand(), c.version())
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return usage(tasks.WithHint(nil, fmt.Sprintf("see %q", cmd.CommandPath()+" --help"), "%v", err))
	})
	return root
}

// load reads the configuration for a command.
func (c *command) load(cmd *cobra.Command) error {
	keys := map[string]string{"concurrency": "worker.concurrency", "drain-timeout": "worker.drain_timeout"}
	if cmd.Annotations[serviceAnnotation] != "" {
		keys["label"], keys["queue"], keys["listen"] = "worker.labels", "worker.queues", "api.listen" // elsewhere they choose
	}
	if cmd.Annotations[dedupeAnnotation] != "" {
		maps.Copy(keys, dedupeKeys)
	}
	cfg, origins, err := config.Load(config.Options{File: c.file, Environment: c.environment, Flags: cmd.Flags(), Env: c.Vars, FlagKeys: keys})
	c.config, c.origins = cfg, origins
	if err != nil {
		return usage(err)
	}
	if o, _ := origins.Of("log.level"); o.Place == (config.Place{}) && cmd.Annotations[serviceAnnotation] == "" {
		cfg.Log.Level = "warn" // the comings and goings of a worker within a command are for services' logs
	}
	c.log = c.logger(cfg.Log)
	for _, p := range origins.Warnings() {
		c.log.Warn(p.String())
	}
	return nil
}

func (c *command) logger(l config.Log) *slog.Logger {
	var level slog.Level
	if err := level.UnmarshalText([]byte(l.Level)); err != nil {
		level = slog.LevelInfo
	}
	if c.quiet {
		level = max(level, slog.LevelWarn)
	}
	opts := &slog.HandlerOptions{Level: level}
	if l.Format == "json" || (l.Format == "auto" && !c.Terminal) {
		return slog.New(slog.NewJSONHandler(c.Stderr, opts))
	}
	return slog.New(slog.NewTextHandler(c.Stderr, opts))
}

// open loads the configuration and connects to its Redis, for a process that is part of the engine.
func (c *command) open(cmd *cobra.Command) (*app.App, error) {
	if err := c.load(cmd); err != nil {
		return nil, err
	}
	o := c.appOptions()
	o.Fleet = cmd.Annotations[serviceAnnotation] != ""
	if cmd.Annotations[schedulerAnnotation] != "" {
		o.Schedules, o.Webhooks, o.Limits, o.RemoveOthers = c.config.Schedules, c.config.Webhooks, c.limits(), true
	}
	return app.New(cmd.Context(), o)
}

func (c *command) appOptions() app.Options {
	cfg := c.config
	o := app.Options{Data: cfg.Data, Artifacts: cfg.Artifacts, Version: Version(), Log: c.log, Concurrency: cfg.Worker.Concurrency, Labels: cfg.Worker.LabelMap(),
		Heartbeat: cfg.Worker.Heartbeat, DrainTimeout: cfg.Worker.DrainTimeout, Sweep: cfg.Scheduler.Sweep, LostAfter: cfg.Scheduler.LostAfter,
		Local: localredis.Options{Dir: cfg.Data, Mode: localredis.Mode(cfg.Redis.Mode), Fsync: localredis.Fsync(cfg.Redis.Fsync), Log: c.log},
		Redis: cfg.Redis, Connections: cfg.Connections, Alerts: cfg.Alerts, Builds: cfg.Builds, Dedupe: cfg.Dedupe, BuildEnvironment: c.buildEnvironment(), Queues: cfg.Worker.Queues, MaxBody: int64(cfg.API.MaxBody), RequestsPerSecond: cfg.API.RequestsPerSecond,
		API: api.ServerOptions{Listen: cfg.API.Listen, TLSCert: cfg.API.TLSCert, TLSKey: cfg.API.TLSKey, MaxConnections: cfg.API.MaxConnections, ReadTimeout: cfg.API.ReadTimeout}}
	o.Environment, o.Tokens = config.Tokens(config.Options{File: c.file, Environment: c.environment, Env: c.Vars})
	o.Telemetry = telemetry.Options{Service: cfg.Telemetry.Service, Endpoint: cfg.Telemetry.Endpoint.Reveal(), Sample: cfg.Telemetry.Sample}
	if origin, _ := c.origins.Of("telemetry.protocol"); origin.Place != (config.Place{}) { // else it follows from the port
		o.Telemetry.Protocol = cfg.Telemetry.Protocol
	}
	return o
}

// buildEnvironment is what commands of builds get of this process' environment.
func (c *command) buildEnvironment() map[string]string {
	env := map[string]string{}
	for _, name := range c.config.Builds.Environment {
		if value, ok := c.Vars.Lookup(name); ok {
			env[name] = value
		}
	}
	return env
}

// limits are those that the configuration says anything about.
func (c *command) limits() map[string]wire.Limits {
	m := map[string]wire.Limits{}
	if l := c.config.Limits; l != (config.Limits{}) {
		m[store.AnyTenant] = wire.Limits{RunningJobs: l.RunningJobs, StepsPerSecond: l.StepsPerSecond}
	}
	for _, t := range c.config.Tenants {
		l := c.config.LimitsOf(t.Name)
		m[t.Name] = wire.Limits{RunningJobs: l.RunningJobs, StepsPerSecond: l.StepsPerSecond}
	}
	return m
}

// close ends what open began. Its own error matters only when the command went well.
func (c *command) close(a *app.App, err *error) {
	ctx, cancel := context.WithTimeout(context.Background(), c.config.Worker.DrainTimeout+10*time.Second)
	defer cancel()
	if e := a.Stop(ctx); e != nil {
		if *err == nil {
			*err = e
			return
		}
		c.log.Warn("did not end cleanly", "err", e)
	}
}

// print writes data: as an object with --output json, else through the function for people.
func (c *command) print(v any, people func(w io.Writer)) error {
	if c.output == "json" {
		e := json.NewEncoder(c.Stdout)
		e.SetIndent("", "  ")
		return e.Encode(v)
	}
	// Whole, so that no character is cut in two: names and errors of databases, servers and other people are in it.
	var text strings.Builder
	people(&text)
	_, err := io.WriteString(c.Stdout, plain(text.String()))
	return err
}

// say writes a message for people to stderr.
func (c *command) say(format string, args ...any) {
	if !c.quiet {
		fmt.Fprint(c.Stderr, plain(fmt.Sprintf(format+"\n", args...)))
	}
}

// Stamp is the version of this build, set by the linker; "" in a build without one.
var Stamp string

// Version is the version of this build: the stamp, else what the Go toolchain knows, else dev.
func Version() string {
	if Stamp != "" {
		return Stamp
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" && info.Main.Version != "(devel)" {
		return strings.TrimPrefix(info.Main.Version, "v")
	}
	return "dev"
}
