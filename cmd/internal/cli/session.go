package cli

import (
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/stint-run/stint/client"
	"github.com/stint-run/stint/cmd/internal/app"
	"github.com/stint-run/stint/tasks"
)

// session is a command's connection to stint: through the API of a server, or of this very process. Either way the same requests
// are sent.
type session struct {
	*client.Client
	app *app.App // nil with a server: then the engine runs elsewhere
}

// connect loads the configuration and connects: to the server that is named, else to an engine in this process.
func (c *command) connect(cmd *cobra.Command) (*session, error) {
	if err := c.load(cmd); err != nil {
		return nil, err
	}
	return c.join(cmd)
}

// join connects by the configuration as it is loaded.
func (c *command) join(cmd *cobra.Command) (*session, error) {
	if !c.remote() {
		a, err := app.New(cmd.Context(), c.appOptions())
		if err != nil {
			return nil, err
		}
		cl, err := a.Client()
		return &session{cl, a}, err
	}
	token, err := c.token()
	if err != nil {
		return nil, err
	}
	cl, err := client.New(client.Options{Server: c.config.Server.Reveal(), Token: token})
	if err != nil {
		return nil, usage(tasks.WithHint(nil, "write --server http://HOST:7800", "%v", err))
	}
	return &session{Client: cl}, nil
}

// remote reports whether a server is named, on which the work is done.
func (c *command) remote() bool { return !c.config.Server.IsZero() }

// token reads the API token: the configured one, or that of the file.
func (c *command) token() (string, error) {
	if !c.config.Token.IsZero() {
		return c.config.Token.Reveal(), nil
	}
	if c.config.TokenFile == "" {
		return "", nil
	}
	b, err := os.ReadFile(c.config.TokenFile)
	if err != nil {
		return "", usage(tasks.WithHint(err, "name the file with --token-file or STINT_TOKEN_FILE", "the token cannot be read"))
	}
	words := strings.Fields(string(b))
	if len(words) != 1 {
		return "", usage(tasks.WithHint(nil, "it has to hold what stint tokens create printed, and nothing else", "%s holds no token", c.config.TokenFile))
	}
	return words[0], nil
}

// leave ends what connect began. Its own error matters only when the command went well.
func (c *command) leave(s *session, err *error) {
	if s.app != nil {
		c.close(s.app, err)
	}
}

// withSession connects, runs, and ends.
func (c *command) withSession(run func(cmd *cobra.Command, args []string, s *session) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) (err error) {
		s, err := c.connect(cmd)
		if err != nil {
			return err
		}
		defer c.leave(s, &err)
		return run(cmd, args, s)
	}
}
