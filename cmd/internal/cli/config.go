package cli

import (
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/stint-run/stint/cmd/internal/app"
	"github.com/stint-run/stint/tasks"
)

func (c *command) configCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "config",
		Short:   "Check and show the configuration",
		Long:    "Defaults < stint.yaml < stint.<environment>.yaml < STINT_* < flags. Secrets are never shown.",
		Example: "  stint config check\n  stint config show --origin",
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, args []string) error { return cmd.Help() },
	}
	var origin bool
	show := &cobra.Command{
		Use: "show", Short: "Show each value, secrets masked", Args: cobra.NoArgs, Example: "  stint config show --origin",
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := c.load(cmd); err != nil {
				return err
			}
			type value struct {
				Key    string `json:"key"`
				Value  string `json:"value"`
				Origin string `json:"origin,omitempty"`
			}
			var list []value
			for _, o := range c.origins.All() {
				v := value{Key: o.Key, Value: o.Value}
				if origin {
					v.Origin = o.Place.String()
					if o.Ref != "" {
						v.Origin += " -> " + o.Ref
					}
				}
				list = append(list, v)
			}
			return c.print(list, func(w io.Writer) {
				t := newTable("KEY", "VALUE", "ORIGIN")
				for _, v := range list {
					t.row(v.Key, v.Value, v.Origin)
				}
				t.write(w)
			})
		},
	}
	show.Flags().BoolVar(&origin, "origin", false, "say where each value comes from")
	check := &cobra.Command{
		Use: "check", Short: "Say what is wrong with the configuration", Args: cobra.NoArgs, Example: "  stint config check --environment staging",
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := c.load(cmd); err != nil {
				return err
			}
			if err := c.checkSchedules(); err != nil {
				return usage(err)
			}
			return c.print(map[string]bool{"ok": true}, func(w io.Writer) { fmt.Fprintln(w, "ok") })
		},
	}
	cmd.AddCommand(check, show)
	return cmd
}

// checkSchedules says which schedules would start jobs that nobody can do. A scheduler does not refuse them: while a deployment is
// under way the configuration may be ahead of it.
func (c *command) checkSchedules() error {
	var wrong []error
	for _, s := range c.config.Schedules {
		part, err := app.CheckSpec(s.Kind, s.Spec)
		if err == nil {
			continue
		}
		at := "schedules." + s.Name
		o, ok := c.origins.Of(at + "." + part)
		if !ok {
			o, _ = c.origins.Of(at + ".kind") // a spec that is not there has no place
		}
		text := fmt.Sprintf("%s: %s.%s: %v", o.Place, at, part, err)
		if hint := tasks.HintOf(err); hint != "" {
			text += " (" + hint + ")"
		}
		wrong = append(wrong, errors.New(text))
	}
	return errors.Join(wrong...)
}
