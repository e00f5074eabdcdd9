package cli

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/stint-run/stint/client/wire"
	"github.com/stint-run/stint/tasks"
)

func (c *command) tokens() *cobra.Command {
	list := c.withSession(func(cmd *cobra.Command, _ []string, s *session) error {
		tokens, err := s.Tokens(cmd.Context())
		if err != nil {
			return err
		}
		return c.print(tokens, func(w io.Writer) { c.writeTokens(w, tokens) })
	})
	return group(&cobra.Command{
		Use:   "tokens",
		Short: "Make, list and revoke the tokens of the API",
		Long: `Lists the tokens of the API: who they are for, what they allow, how long. Their secrets are not kept and never shown again.

As long as there is no token, an API on loopback asks for none, and on any other address none listens. From the first one on
each request needs one. A viewer looks, a submitter starts jobs and steers those of its tenants, an operator steers jobs,
workers and kinds, an admin makes tokens and limits as well.`,
		Example: "  stint tokens\n  stint tokens create --role admin --name ada > ada.token\n  stint --server https://stint.internal:7800 --token-file ada.token tokens revoke 4f0h2n6r8k1m",
	}, "List the tokens", list, c.createToken(), c.revokeToken())
}

func (c *command) writeTokens(w io.Writer, tokens []wire.Token) {
	t := newTable("ID", "NAME", "ROLE", "TENANTS", "CREATED", "EXPIRES")
	for _, x := range tokens {
		t.row(x.ID, x.Name, x.Role, tenantsText(x.Tenants), ago(c.Now(), x.CreatedAt)+" ago", expiryText(c.Now(), x.ExpiresAt))
	}
	t.write(w)
}

func tenantsText(tenants []string) string {
	if len(tenants) == 0 {
		return "all"
	}
	return strings.Join(tenants, ",")
}

func expiryText(now time.Time, at *time.Time) string {
	switch {
	case at == nil:
		return "never"
	case !at.After(now):
		return "expired"
	}
	return at.UTC().Format(time.RFC3339)
}

func (c *command) createToken() *cobra.Command {
	n := wire.NewToken{}
	var expires string
	cmd := &cobra.Command{
		Use:   "create --role ROLE --name NAME",
		Short: "Make a token; its secret is told this once",
		Long: `Makes a token and writes its secret, alone, to stdout, so that it can go into a file; all the rest goes to stderr. Only a hash
of the secret is kept: who loses it makes another one.`,
		Example: "  stint tokens create --role admin --name ada > ada.token\n" +
			"  stint tokens create --role submitter --name nightly --tenant acme --expires 720h --output json\n" +
			"  stint tokens create --role viewer --name wallboard --expires 2027-01-31",
		Args: cobra.NoArgs,
	}
	f := cmd.Flags()
	f.StringVar(&n.Role, "role", "", "viewer, submitter, operator or admin")
	f.StringVar(&n.Name, "name", "", "whose it is, for people and the audit trail")
	f.StringSliceVar(&n.Tenants, "tenant", nil, "for this tenant alone; may be repeated")
	f.StringVar(&expires, "expires", "", "when it becomes worthless: after a `TIME` such as 720h, or from a day on (UTC), such as 2027-01-31")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if n.Role == "" || n.Name == "" {
			return usage(tasks.WithHint(nil, "such as: stint tokens create --role viewer --name wallboard", "a token needs a --role and a --name"))
		}
		at, err := parseExpiry(expires, c.Now())
		if err != nil {
			return err
		}
		n.ExpiresAt = at
		return c.withSession(func(cmd *cobra.Command, _ []string, s *session) error {
			made, err := s.MakeToken(cmd.Context(), n)
			if err != nil {
				return err
			}
			c.say("token %s for %s, role %s, tenants %s, expires %s", made.ID, printable(made.Name), made.Role, tenantsText(made.Tenants), expiryText(c.Now(), made.ExpiresAt))
			return c.print(made, func(w io.Writer) { fmt.Fprintln(w, made.Secret) })
		})(cmd, args)
	}
	noFiles(cmd, "role", "viewer", "submitter", "operator", "admin")
	return cmd
}

// parseExpiry reads a time from now on, or the day (UTC) from which on a token is worthless; "" is never.
func parseExpiry(text string, now time.Time) (*time.Time, error) {
	if text == "" {
		return nil, nil
	}
	at, err := time.Parse(time.DateOnly, text)
	if err != nil {
		d, err := time.ParseDuration(text)
		if err != nil {
			return nil, usage(tasks.WithHint(nil, "write a time such as 720h, or a day such as 2027-01-31", "--expires %q is neither", text))
		}
		at = now.Add(d).UTC().Truncate(time.Second)
	}
	if !at.After(now) {
		return nil, usage(tasks.WithHint(nil, "give a time that is to come", "--expires %s is over", text))
	}
	return &at, nil
}

func (c *command) revokeToken() *cobra.Command {
	return &cobra.Command{
		Use:     "revoke ID",
		Short:   "Make a token worthless",
		Long:    "Makes a token worthless. Every server refuses it within a second or so.",
		Example: "  stint tokens revoke 4f0h2n6r8k1m",
		Args:    oneOf("the id of one token", "stint tokens"), ValidArgsFunction: c.complete(1, tokenIDs),
		RunE: c.withSession(func(cmd *cobra.Command, args []string, s *session) error {
			if err := s.RevokeToken(cmd.Context(), args[0]); err != nil {
				return listedBy(err, "stint tokens")
			}
			return c.print(map[string]string{"revoked": args[0]}, func(w io.Writer) { fmt.Fprintf(w, "token %s is revoked\n", args[0]) })
		}),
	}
}

func tokenIDs(ctx context.Context, s *session) ([]string, error) {
	tokens, err := s.Tokens(ctx)
	var ids []string
	for _, t := range tokens {
		ids = append(ids, t.ID+"\t"+t.Name+" "+t.Role)
	}
	return ids, err
}
