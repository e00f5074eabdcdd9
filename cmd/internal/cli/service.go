package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"

	"github.com/spf13/cobra"

	"github.com/stint-run/stint/cmd/internal/app"
	"github.com/stint-run/stint/tasks"
)

const drainHelp = `
SIGTERM or Ctrl-C drains: it claims nothing more, what runs comes back at its next checkpoint, and the process ends with 0. A
second signal cuts what has not come back; its steps run elsewhere.`

// serviceAnnotation marks commands that run until they are told to stop, and log what they do.
const serviceAnnotation = "service"

func isService() map[string]string { return map[string]string{serviceAnnotation: "yes"} }

// schedulerAnnotation marks services whose configuration is that of the whole fleet: its schedules and its limits of tenants.
const schedulerAnnotation = "scheduler"

func isScheduler() map[string]string {
	return map[string]string{serviceAnnotation: "yes", schedulerAnnotation: "yes"}
}

func workerFlags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.Int("concurrency", 0, "steps that run at once")
	f.StringSlice("queue", nil, "serve this `queue` instead of the default one; may be repeated")
	f.StringSlice("label", nil, "`name=value`, by which workers are chosen; may be repeated")
	f.Duration("drain-timeout", 0, "how long a draining worker waits for its steps before it cuts them")
}

func (c *command) worker() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "worker",
		Short:   "Run steps",
		Long:    "Claims steps from the queue and runs them, until it is told to stop." + drainHelp,
		Example: "  stint worker --concurrency 4\n  stint worker --label zone=a",
		Args:    cobra.NoArgs, Annotations: isService(),
		RunE: c.service(c.answering(func(ctx context.Context, a *app.App) error { return a.StartWorker(ctx) })),
	}
	workerFlags(cmd)
	return cmd
}

func (c *command) scheduler() *cobra.Command {
	return &cobra.Command{
		Use:     "scheduler",
		Short:   "Start jobs by the clock, and find what was lost",
		Long:    "Fires schedules, looks for workers that have vanished and for tasks that went astray. Any number may run; each tick fires once.",
		Example: "  stint scheduler",
		Args:    cobra.NoArgs, Annotations: isScheduler(),
		RunE: c.service(c.answering(func(ctx context.Context, a *app.App) error { return a.StartScheduler(ctx) })),
	}
}

func (c *command) serve() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Answer requests: the HTTP API",
		Long: `Serves the HTTP API on api.listen (127.0.0.1:7800). Any number may run on one Redis: each answers for all jobs and workers.

As long as there is no token it listens on loopback only, and asks for none: stint tokens create makes the first.`,
		Example: "  stint serve\n  STINT_API_LISTEN=0.0.0.0:7800 stint serve",
		Args:    cobra.NoArgs, Annotations: isService(),
		RunE: c.service(c.startAPI),
	}
	apiFlags(cmd)
	return cmd
}

func apiFlags(cmd *cobra.Command) {
	cmd.Flags().String("listen", "", "where the API listens, `host:port`; port 0 takes a free one")
}

// startAPI serves the API in a process.
func (c *command) startAPI(ctx context.Context, a *app.App) error {
	addr, err := a.StartAPI(ctx)
	if err != nil {
		return configured(err)
	}
	scheme := "http"
	if c.config.API.TLSCert != "" {
		scheme = "https"
	}
	c.log.Info("the API answers", "address", addr, "dashboard", scheme+"://"+addr+"/")
	return nil
}

func (c *command) up() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "up",
		Short:   "Run everything in one process: API, scheduler and worker",
		Long:    "Runs the API, the scheduler and a worker in one process, on the embedded queue unless the configuration names a Redis." + drainHelp,
		Example: "  stint up",
		Args:    cobra.NoArgs, Annotations: isScheduler(),
		RunE: c.service(func(ctx context.Context, a *app.App) error {
			if err := c.answering(engine)(ctx, a); err != nil {
				return err
			}
			return c.startAPI(ctx, a)
		}),
	}
	workerFlags(cmd)
	apiFlags(cmd)
	return cmd
}

// service runs until the first signal, then stops in order; a second signal cuts. A signal that comes before all is started, as when
// a platform takes back what it has just begun or a server does not answer, ends the start.
func (c *command) service(start func(ctx context.Context, a *app.App) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) (err error) {
		signals, _ := c.signals()
		ctx, cancel := context.WithCancel(cmd.Context())
		defer cancel()
		cmd.SetContext(ctx)
		var a *app.App
		started := make(chan error, 1)
		go func() {
			var err error
			if a, err = c.open(cmd); err == nil {
				err = c.refuseEvicting(ctx, a)
			}
			if err == nil {
				err = start(ctx, a)
			}
			started <- err
		}()
		var sig os.Signal
		select {
		case err = <-started:
		case sig = <-signals:
			cancel()
			if err = <-started; err != nil && !errors.As(err, new(*usageError)) {
				c.log.Warn("stopped before it was ready", "err", err)
				err = nil
			}
		}
		if a != nil {
			defer c.close(a, &err)
		}
		if err != nil {
			return err
		}
		if sig == nil {
			c.ready(a)
			sig = <-signals
		}
		c.log.Info("stopping", "signal", sig.String())
		if a != nil {
			c.cutAtTheNext(a)
		}
		return nil
	}
}

func (c *command) ready(a *app.App) {
	if a.Worker != nil {
		c.log.Info("worker is ready", "id", a.Worker.ID(), "version", Version())
	} else {
		c.log.Info("ready", "version", Version())
	}
}

// configured marks an error that says what to do, of a port that cannot be opened, as the configuration's to mend.
func configured(err error) error {
	if tasks.HintOf(err) == "" {
		return err
	}
	return usage(err)
}

// answering opens the admin port of a process around what starts in it: a worker announces the port, and the port outlives the
// drain.
func (c *command) answering(start func(ctx context.Context, a *app.App) error) func(ctx context.Context, a *app.App) error {
	return func(ctx context.Context, a *app.App) error {
		if err := a.OpenAdmin(c.config.Worker.Admin); err != nil {
			return configured(err)
		}
		if err := start(ctx, a); err != nil {
			return err
		}
		a.ServeAdmin(a.MetricsHandler())
		return nil
	}
}

func (c *command) version() *cobra.Command {
	return &cobra.Command{
		Use:     "version",
		Short:   "Print the version",
		Example: "  stint version --output json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			v := map[string]any{"version": Version(), "protocol": tasks.Protocol, "go": runtime.Version(), "platform": runtime.GOOS + "/" + runtime.GOARCH}
			return c.print(v, func(w io.Writer) {
				fmt.Fprintf(w, "stint %s (protocol %d, %s, %s)\n", v["version"], tasks.Protocol, v["go"], v["platform"])
			})
		},
	}
}
