package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/stint-run/stint/client/wire"
	"github.com/stint-run/stint/tasks"
)

// group makes a command that lists, with or without the word list, and has subcommands for the rest.
func group(cmd *cobra.Command, short string, list func(*cobra.Command, []string) error, subs ...*cobra.Command) *cobra.Command {
	cmd.Args, cmd.RunE = cobra.NoArgs, list
	all := &cobra.Command{Use: "list", Short: short, Args: cobra.NoArgs, RunE: list}
	cmd.AddCommand(append([]*cobra.Command{all}, subs...)...)
	return cmd
}

// completion lists what an argument can be: each entry is the word, a tab, and what a person should know of it.
type completion func(ctx context.Context, s *session) ([]string, error)

// complete completes arguments in the shell, at most so many of them.
func (c *command) complete(most int, list completion) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		if len(args) >= most {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		c.quiet = true
		s, err := c.connect(cmd)
		if err != nil {
			return nil, cobra.ShellCompDirectiveError
		}
		defer c.leave(s, &err)
		words, err := list(cmd.Context(), s)
		if err != nil {
			return nil, cobra.ShellCompDirectiveError
		}
		return words, cobra.ShellCompDirectiveNoFileComp
	}
}

// noFiles completes the value of a flag from a few words, and never with the names of files.
func noFiles(cmd *cobra.Command, flag string, words ...string) {
	_ = cmd.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(words, cobra.ShellCompDirectiveNoFileComp)) // fails for no flag alone
}

// oneOf wants exactly one argument, which a list names.
func oneOf(what, list string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) != 1 {
			return usage(tasks.WithHint(nil, list+" lists them; then: "+strings.TrimSuffix(cmd.CommandPath(), cmd.Name())+cmd.Use, "give %s", what))
		}
		return nil
	}
}

// listedBy says of something that is not there what lists those that are.
func listedBy(err error, list string) error {
	var p *wire.Problem
	if errors.As(err, &p) && p.Code == wire.CodeNotFound {
		p.Hint = list + " lists those that there are"
	}
	return err
}

// paged reads pages until there are enough, or no more.
func paged[T any](limit, most int, read func(cursor string, n int) (list []T, next string, err error)) ([]T, error) {
	if limit < 1 {
		return nil, usage(fmt.Errorf("--limit %d: give a positive number", limit))
	}
	all, cursor := []T{}, ""
	for {
		list, next, err := read(cursor, min(limit-len(all), most))
		all = append(all, list...)
		if err != nil || next == "" || len(all) >= limit {
			return all, err
		}
		cursor = next
	}
}
