package cli

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/stint-run/stint/cmd/internal/app"
	"github.com/stint-run/stint/config"
	"github.com/stint-run/stint/tasks"
	"github.com/stint-run/stint/tasks/alert/rule"
)

// lint is what is found in rule files. It is the JSON form.
type lint struct {
	Files    int           `json:"files"`
	Rules    int           `json:"rules"`
	Disabled int           `json:"disabled"`
	Errors   int           `json:"errors"`
	Notes    int           `json:"notes"`
	Problems rule.Problems `json:"problems"`
}

func (c *command) alertLint() *cobra.Command {
	var strict, noConfig bool
	cmd := &cobra.Command{
		Use:   "lint DIR|FILE...",
		Short: "Say what is wrong with alert rules, without a server",
		Long: `Reads a folder of alert rules, or single files, and says all that is wrong, each with file, line and column. Rules can be ElastAlert's.

Beside the rules a folder has defaults.yaml, options that every rule inherits, and environments/NAME.yaml, what one environment has
otherwise: {defaults: {option: value}, rules: {"rule's name": {option: value}}}. --environment chooses one.

Where there is a configuration with alerts, its channels have to be those that rules name, and its connections their sources; --no-config
leaves it out.

An error refuses its rule, and gives the exit code 2. A note says what works but is done in another way than ElastAlert does it, or
does nothing.`,
		Example: "  stint alert lint rules\n  stint alert lint rules --environment staging\n  stint alert lint rules/ssh.yaml --output json",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usage(tasks.WithHint(nil, "stint alert lint DIR", "give a folder of rules, or files"))
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			o, err := ruleFiles(args)
			if err != nil {
				return err
			}
			if !noConfig {
				o = c.against(cmd, o)
			}
			o.Environment, o.Tokens = config.Tokens(config.Options{File: c.file, Environment: c.environment, Env: c.Vars})
			set, problems := rule.Load(o)
			l := lint{Files: set.Files, Rules: len(set.Rules), Disabled: len(set.Disabled), Errors: len(problems.Mistakes()), Notes: len(problems.Notes()), Problems: problems}
			if l.Problems == nil {
				l.Problems = rule.Problems{}
			}
			if err := c.print(l, func(w io.Writer) { writeLint(w, &l) }); err != nil {
				return err
			}
			if l.Errors > 0 || strict && l.Notes > 0 {
				return usage(errReported)
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&strict, "strict", false, "notes give the exit code 2, too")
	cmd.Flags().BoolVar(&noConfig, "no-config", false, "do not look for the rules' channels and sources in the configuration")
	return cmd
}

// against adds the channels and sources of the configuration, if it can be read and has alerts. One that cannot be read, for want of a
// secret that this machine does not have, is no reason not to look at rules.
func (c *command) against(cmd *cobra.Command, o rule.Options) rule.Options {
	cfg, _, err := config.Load(config.Options{File: c.file, Environment: c.environment, Flags: cmd.Flags(), Env: c.Vars})
	switch {
	case err != nil:
		if !c.quiet {
			fmt.Fprintf(c.Stderr, "the configuration cannot be read, and so channels and sources are not looked at: %s\n", printable(err.Error()))
		}
		return o
	case cfg.Alerts.Rules == "" && len(cfg.Alerts.Channels) == 0:
		return o
	}
	return app.RulesOf(o, cfg.Alerts, cfg.Connections)
}

// ruleFiles says what is to be read: a folder, or files whose folder is the nearest around the first one that has defaults or
// environments.
func ruleFiles(args []string) (rule.Options, error) {
	o := app.RuleChecks()
	for _, path := range args {
		info, err := os.Stat(path)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return o, usage(tasks.WithHint(nil, "give the right path", "there is no %s", path))
		case err != nil:
			return o, usage(err)
		case info.IsDir() && len(args) > 1:
			return o, usage(tasks.WithHint(nil, "one set of rules is one folder", "%s is a folder, and there are other arguments", path))
		case info.IsDir():
			o.Dir = path
			return o, nil
		}
	}
	first := filepath.Dir(args[0])
	for dir := first; ; dir = filepath.Dir(dir) {
		for _, name := range []string{rule.DefaultsFile, rule.EnvironmentsFolder} {
			if _, err := os.Stat(filepath.Join(dir, name)); err == nil {
				o.Dir, o.Files = dir, args
				return o, nil
			}
		}
		if dir == filepath.Dir(dir) {
			o.Dir, o.Files = first, args
			return o, nil
		}
	}
}

func writeLint(w io.Writer, l *lint) {
	for _, p := range l.Problems {
		fmt.Fprintln(w, printable(p.String()))
	}
	bad := l.Files - l.Rules - l.Disabled
	fmt.Fprintf(w, "%s: %d right", plural(l.Files, "rule file"), l.Rules+l.Disabled)
	for _, part := range []struct {
		n    int
		what string
	}{{l.Disabled, "disabled"}, {bad, "refused"}} {
		if part.n > 0 {
			fmt.Fprintf(w, ", %d %s", part.n, part.what)
		}
	}
	fmt.Fprintf(w, "; %s, %s\n", plural(l.Errors, "error"), plural(l.Notes, "note"))
}
