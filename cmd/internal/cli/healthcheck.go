package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/stint-run/stint/internal/admin"
	"github.com/stint-run/stint/tasks"
)

// probeTimeout is how long a process may take to answer about itself; platforms give a probe a second or more.
const probeTimeout = 2 * time.Second

func (c *command) healthcheck() *cobra.Command {
	var address string
	var live, ready, drained bool
	cmd := &cobra.Command{
		Use:   "healthcheck",
		Short: "Ask the process beside this one how it is",
		Long: `Asks the admin port of a worker or scheduler on this machine, or in this container, and ends with 0 for yes and 1 for no or no
answer within 2 seconds. It is for images without a shell, where a platform's health check can only start the program
itself. A server's port answers --live and --ready too.

--live is for "start it anew when not": it stays yes while Redis is away. --ready is for "it takes work just now". --drained
is for "it is safe to stop".`,
		Example: "  stint healthcheck --live\n  stint healthcheck --ready --url http://127.0.0.1:7800",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if live && ready || live && drained || ready && drained {
				return usage(tasks.WithHint(nil, "ask one thing at a time", "give one of --live, --ready and --drained"))
			}
			path := "/livez"
			switch {
			case ready:
				path = "/readyz"
			case drained:
				path = "/drained"
			}
			base, err := c.ownPort(cmd, address)
			if err != nil {
				return err
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), probeTimeout)
			defer cancel()
			a, err := askOwn(ctx, http.MethodGet, base+path)
			switch {
			case err != nil:
				return noAnswer(err)
			case a.code != http.StatusOK:
				return errors.New(strings.TrimPrefix(path, "/") + ": " + a.detail())
			}
			return nil
		},
	}
	f := cmd.Flags()
	f.StringVar(&address, "url", "", "where the process answers, `http://HOST:PORT` (default: the admin port on this machine)")
	f.BoolVar(&live, "live", false, "is it alive? (the default)")
	f.BoolVar(&ready, "ready", false, "does it take work?")
	f.BoolVar(&drained, "drained", false, "is it safe to stop?")
	return cmd
}

// noAnswer is a health check's word for an error. It keeps the text only: whatever the reason, the exit code is that of a no.
func noAnswer(err error) error { return errors.New(err.Error()) }

func (c *command) drainSelf() *cobra.Command {
	var address string
	var wait bool
	var timeout time.Duration
	cmd := &cobra.Command{
		Use:   "drain-self",
		Short: "Drain the worker beside this process, as a hook before its stop",
		Long: `Asks the worker on this machine, or in this container, to drain, through its admin port: what a SIGTERM does, but the process
lives on. With --wait it ends with 0 when the worker is safe to stop, and with 6 when time ran out before; the drain goes
on then. It needs neither Redis nor a token, and no shell, so it can be a preStop hook of an image that has none.`,
		Example: "  stint drain-self --wait --timeout 9m",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			base, err := c.ownPort(cmd, address)
			if err != nil {
				return err
			}
			ctx, stop := c.interruptible(cmd.Context())
			defer stop()
			ctx, cancel := context.WithTimeoutCause(ctx, timeout, errTimeout)
			defer cancel()
			return c.drainOwn(ctx, base, wait)
		},
	}
	f := cmd.Flags()
	f.StringVar(&address, "url", "", "where the worker answers, `http://HOST:PORT` (default: the admin port on this machine)")
	f.BoolVar(&wait, "wait", false, "stay until it is safe to stop")
	f.DurationVar(&timeout, "timeout", 5*time.Minute, "how long to wait")
	return cmd
}

// drainOwn asks for the drain and, with wait, for its end.
func (c *command) drainOwn(ctx context.Context, base string, wait bool) error {
	a, err := askOwn(ctx, http.MethodPost, base+"/drain")
	switch {
	case err != nil && ctx.Err() != nil:
		return tasks.WithHint(context.Cause(ctx), "", "the worker has not answered")
	case err != nil:
		return unreachable(tasks.WithHint(err, "does a worker run here, and is its admin port on? See worker.admin, or give --url", "drain the worker at %s", base))
	case a.code != http.StatusOK && a.code != http.StatusAccepted:
		return tasks.WithHint(nil, a.Hint, "the worker at %s does not drain: %s", base, a.detail())
	case a.code == http.StatusOK || !wait:
		return nil
	}
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	last := "it has not said how much it holds"
	for {
		a, err := askOwn(ctx, http.MethodGet, base+"/drained")
		switch {
		case err == nil && a.code == http.StatusOK:
			return nil
		case err == nil:
			last = a.detail()
		case ctx.Err() == nil && refused(err): // it was there, and has drained and ended
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return tasks.WithHint(context.Cause(ctx), "the drain goes on; a stop now is safe as well, what is held goes to others", "not yet safe to stop: %s", last)
		}
	}
}

// refused reports whether nobody listens at an address any more.
func refused(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "dial" && !op.Timeout()
}

// ownPort is where the process beside this one answers: what the flag says, else what worker.admin does.
func (c *command) ownPort(cmd *cobra.Command, flag string) (string, error) {
	if flag == "" {
		if err := c.load(cmd); err != nil {
			return "", err
		}
		if c.config.Worker.Admin == "off" {
			return "", usage(tasks.WithHint(nil, "give its address with --url, or set worker.admin", "the process has no admin port: worker.admin is off"))
		}
		return admin.URL(c.config.Worker.Admin)
	}
	u, err := url.Parse(flag)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return "", usage(tasks.WithHint(nil, "write http://HOST:PORT", "--url %q is no address", flag))
	}
	return strings.TrimSuffix(flag, "/"), nil
}

// ownAnswer is what an admin port said: of an error, what is in its problem+json.
type ownAnswer struct {
	code   int
	Title  string
	Detail string
	Hint   string
}

func (a ownAnswer) detail() string {
	switch {
	case a.Detail != "":
		return a.Detail
	case a.Title != "":
		return a.Title
	}
	return fmt.Sprintf("the answer is %d %s", a.code, http.StatusText(a.code))
}

// askOwn sends one request to a process beside this one. No proxy and no redirect is followed: it is next door.
func askOwn(ctx context.Context, method, address string) (ownAnswer, error) {
	req, err := http.NewRequestWithContext(ctx, method, address, nil)
	if err != nil {
		return ownAnswer{}, err
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := client.Do(req)
	if err != nil {
		return ownAnswer{}, err
	}
	defer resp.Body.Close()
	a := ownAnswer{code: resp.StatusCode}
	body, err := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	if err != nil {
		return ownAnswer{}, err
	}
	_ = json.Unmarshal(body, &a) // who answers in other words has said enough by the code
	return a, nil
}
