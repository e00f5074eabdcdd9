package cli

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/stint-run/stint/cmd/internal/app"
	"github.com/stint-run/stint/internal/idmap"
	"github.com/stint-run/stint/internal/sqldb"
	"github.com/stint-run/stint/internal/store"
	"github.com/stint-run/stint/tasks"
)

// keptIDs is a map of ids in a Redis; its JSON is a contract.
type keptIDs struct {
	Tenant string `json:"tenant"`
	Map    string `json:"map"`
	IDs    int64  `json:"ids"`
}

// forgotten is the answer to ids forget; its JSON is a contract.
type forgotten struct {
	Forgotten string `json:"forgotten"`
	IDs       int64  `json:"ids"`
}

func (c *command) ids() *cobra.Command {
	connection := ""
	list := func(cmd *cobra.Command, _ []string) error {
		return c.withMaps(cmd, connection, func(ctx context.Context, m *idmap.Maps) error {
			found, err := m.List(ctx)
			if err != nil {
				return unreachable(err)
			}
			out := make([]keptIDs, len(found))
			for i, f := range found {
				out[i] = keptIDs{f.Tenant, f.Name, f.IDs}
			}
			return c.print(out, func(w io.Writer) {
				t := newTable("TENANT", "MAP", "IDS")
				for _, x := range out {
					t.row(x.Tenant, x.Map, thousands(x.IDs))
				}
				t.write(w)
			})
		})
	}
	cmd := group(&cobra.Command{
		Use:   "ids --connection REDIS",
		Short: "Show and remove the ids that plans keep in a Redis",
		Long: `Lists the maps of ids in a Redis that plans name with ids:, those of all tenants, one for each stage that sends requests:
tenant/source/target/stage. It asks the Redis itself, by the configuration of where it runs, and not a server.`,
		Example: "  stint ids --connection cache\n  stint ids forget --connection redis://localhost:6379/1 --tenant acme acme/legacy/crm/customers",
	}, "List the maps of ids", list, c.forgetIDs(&connection))
	cmd.PersistentFlags().StringVar(&connection, "connection", "", "the `REDIS`: a connection's name, or an address such as redis://localhost:6379/1")
	return cmd
}

func (c *command) forgetIDs(connection *string) *cobra.Command {
	tenant := ""
	cmd := &cobra.Command{
		Use:   "forget --connection REDIS MAP",
		Short: "Remove the ids of a stage",
		Long: `Removes a map of ids, by the name that stint ids shows. Its records count as never sent then: ref() does not find them any more, and
a migration that comes to them sends them again, under the keys that the API knows them by. Do it when no job needs them any more.`,
		Example: "  stint ids forget --connection cache --tenant acme acme/legacy/crm/customers",
		Args:    oneOf("the name of one map", "stint ids"), ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.withMaps(cmd, *connection, func(ctx context.Context, m *idmap.Maps) error {
				n, err := m.Forget(ctx, tenant, args[0])
				if err != nil {
					return unreachable(err)
				}
				if n == 0 {
					return fmt.Errorf("%w%w", tasks.WithHint(nil, "stint ids lists those that there are; --tenant says whose it is", "the tenant %q has no map of ids %s", tenant, args[0]), silent{store.ErrNotFound})
				}
				return c.print(forgotten{args[0], n}, func(w io.Writer) { fmt.Fprintf(w, "%s of %s forgotten\n", plural(int(n), "id"), args[0]) })
			})
		},
	}
	cmd.Flags().StringVar(&tenant, "tenant", "", "whose map it is (default: the default tenant)")
	return cmd
}

// withMaps opens the Redis of a connection.
func (c *command) withMaps(cmd *cobra.Command, connection string, do func(context.Context, *idmap.Maps) error) (err error) {
	if err := c.load(cmd); err != nil {
		return err
	}
	if c.remote() {
		return usage(tasks.WithHint(nil, "leave --server away, where the configuration knows the connection", "ids are asked of their Redis, not of a server"))
	}
	conn, err := c.database("--connection", connection)
	if err != nil {
		return err
	}
	if conn.at.Dialect != sqldb.Redis {
		return usage(tasks.WithHint(nil, "name the connection that the plan has under ids:", "%s is no Redis", conn.at))
	}
	app.QuietRedis(c.log)
	m, err := idmap.Open(cmd.Context(), conn.at.Redis(), idmap.Options{Name: conn.name, Conns: 2})
	if err != nil {
		return unreachable(err)
	}
	defer func() { err = errors.Join(err, m.Close()) }()
	return do(cmd.Context(), m)
}
