package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/stint-run/stint/tasks"
	"github.com/stint-run/stint/tasks/builder/version"
)

// builtVersion is the version of a build, and the facts that it was made of. It is the JSON form.
type builtVersion struct {
	version.Out
	VersionFile string     `json:"version_file"` // from the repository's root
	In          version.In `json:"in"`
}

// checkedTable is how the rows of a table compare. It is the JSON form.
type checkedTable struct {
	Rows      int              `json:"rows"`
	Equal     int              `json:"equal"`
	Different int              `json:"different"`
	Results   []version.Result `json:"results"`
}

// versionFlags are the facts that a person gives instead of the repository.
type versionFlags struct {
	explain, ci, restore         bool
	table, file, branch, ref, to string
	counter                      int64
	stamp                        []string
}

func (c *command) buildVersion() *cobra.Command {
	var o versionFlags
	cmd := &cobra.Command{
		Use:   "version [DIR] [-- COMMAND [ARGUMENT]...]",
		Short: "Say which version a build of a repository has, and why",
		Long: `Makes the version of what is checked out in DIR (default: the current folder) from the file VERSION of the repository, which says
MAJOR.MINOR; from the number that the server gives an agent's build; and from the branch. Tags are never asked.

Without a server it is a local build: MAJOR.MINOR.0-local.HEIGHT.gCOMMIT, and .dirty after it when the files are not those of the
commit. --ci says what an agent would come to. --explain says in words how the answer came about.

--table holds the rule to a file of rows, {"name", "in", "out"}, or of SemVer versions, and ends with 1 when one differs.
docs/builds-version.md has the rule, its table, and what other tools say of the same repository.

It runs nothing of the repository, no hook and no filter, and changes nothing but what --stamp names.

--stamp FILE... -- COMMAND writes the version into files, runs the command (a compiler, say) and puts the files back, byte for byte, also
when the command fails or is interrupted. AssemblyInfo (.cs, .vb, .fs), resource scripts (.rc), package.json and package-lock.json
are known; for others --stamp 'FILE=PATTERN' gives a regular expression whose group is the version. FILE begins in DIR; * and ** stand
for names and folders. What was left stamped by a build that was killed is put back by the next one, or by --restore. The command
gets BUILD_VERSION, BUILD_FILE_VERSION and BUILD_CHANNEL in its environment.`,
		Example: "  stint build version\n  stint build version products/editor --explain\n  stint build version --ci --counter 57 --branch main --default main --output json\n  stint build version --table versions.json\n  stint build version --stamp '**/AssemblyInfo.cs' --stamp app.rc -- msbuild /t:Rebuild",
		Args:    cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			args, command := split(cmd, args)
			if err := o.check(cmd, args, command); err != nil {
				return err
			}
			if o.table != "" {
				return c.checkTable(o.table)
			}
			if o.restore || len(o.stamp) > 0 {
				return c.buildStamped(cmd, o, args, command)
			}
			v, err := c.versionOf(cmd, o, args)
			if err != nil {
				return err
			}
			return c.print(v, func(w io.Writer) {
				if o.explain {
					fmt.Fprint(w, v.Explain())
				} else {
					fmt.Fprintln(w, v.Version)
				}
			})
		},
	}
	f := cmd.Flags()
	f.BoolVar(&o.explain, "explain", false, "say in words how the version came about")
	f.StringVar(&o.table, "table", "", "hold the rule to the rows of this `FILE`")
	f.StringVar(&o.file, "file", "", "the version `FILE` (default: the nearest VERSION, from DIR up)")
	f.BoolVar(&o.ci, "ci", false, "as an agent would build it")
	f.Int64Var(&o.counter, "counter", 0, "the build's `NUMBER`, 1 to 65534; it counts with --ci alone")
	f.StringVar(&o.branch, "branch", "", "the `BRANCH` that is built, when it is not the one that is checked out")
	f.StringVar(&o.ref, "ref", "", "the full `REF` that is built: refs/pull/42/merge")
	f.StringVar(&o.to, "default", "", "the `BRANCH` that releases come from (default: the one of the remote origin)")
	f.StringArrayVar(&o.stamp, "stamp", nil, "write the version into this `FILE[=PATTERN]` while the command runs; may be given several times")
	f.BoolVar(&o.restore, "restore", false, "put back what a build that was killed has left stamped")
	return cmd
}

// split parts the arguments from the command after --.
func split(cmd *cobra.Command, args []string) (own, command []string) {
	if at := cmd.ArgsLenAtDash(); at >= 0 {
		return args[:at], args[at:]
	}
	return args, nil
}

// check finds flags that do not go together.
func (o versionFlags) check(cmd *cobra.Command, args, command []string) error {
	changed := cmd.Flags().Changed
	switch {
	case len(args) > 1:
		return usage(tasks.WithHint(nil, "stint build version [DIR]", "give one folder"))
	case changed("branch") && changed("ref"):
		return usage(tasks.WithHint(nil, "--branch x is --ref refs/heads/x", "give --branch or --ref"))
	}
	stamps := len(o.stamp) > 0
	switch {
	case stamps && len(command) == 0:
		return usage(tasks.WithHint(nil, "stint build version --stamp FILE -- COMMAND", "give the command that is to run while files are stamped"))
	case !stamps && len(command) > 0:
		return usage(tasks.WithHint(nil, "stint build version --stamp FILE -- COMMAND", "a command is run for --stamp alone"))
	case o.restore && stamps:
		return usage(tasks.WithHint(nil, "--stamp puts back what was left stamped by itself", "give --stamp or --restore"))
	case stamps && o.explain:
		return usage(tasks.WithHint(nil, "--output json has the reasons, too", "the output is the command's with --stamp: give no --explain"))
	}
	if !changed("table") {
		return nil
	}
	for _, name := range []string{"explain", "file", "ci", "counter", "branch", "ref", "default", "stamp", "restore"} {
		if changed(name) || len(args) > 0 {
			return usage(tasks.WithHint(nil, "stint build version --table FILE", "the rows of a table have all facts in them: give nothing else with --table"))
		}
	}
	return nil
}

// buildStamped puts back what was left stamped, and stamps anew. Only then is the version computed: stamped files are not the commit's.
func (c *command) buildStamped(cmd *cobra.Command, o versionFlags, args, command []string) error {
	targets, err := stampTargets(o.stamp)
	if err != nil {
		return err
	}
	root, err := looked(c, cmd, func(ctx context.Context) (string, error) { return c.repository(o, args).Root(ctx) })
	if err != nil {
		return err
	}
	if o.restore {
		return c.restoreStamped(root)
	}
	if _, err := c.putBack(root); err != nil {
		return err
	}
	v, err := c.versionOf(cmd, o, args)
	if err != nil {
		return err
	}
	dir, err := folderIn(root, folder(args))
	if err != nil {
		return err
	}
	return c.runStamped(v, root, dir, targets, command)
}

// folder is the argument DIR.
func folder(args []string) string {
	if len(args) == 0 {
		return ""
	}
	return args[0]
}

func (c *command) repository(o versionFlags, args []string) version.Repository {
	return version.Repository{Dir: folder(args), File: o.file, Lookup: c.Vars.Lookup}
}

// looked looks at a repository until somebody interrupts it.
func looked[T any](c *command, cmd *cobra.Command, look func(context.Context) (T, error)) (T, error) {
	ctx, stop := c.interruptible(cmd.Context())
	defer stop()
	found, err := look(ctx)
	if err != nil && !errors.Is(err, errInterrupted) {
		err = usage(err)
	}
	return found, err
}

// versionOf looks at a repository, and computes.
func (c *command) versionOf(cmd *cobra.Command, o versionFlags, args []string) (*builtVersion, error) {
	facts, err := looked(c, cmd, c.repository(o, args).Read)
	if err != nil {
		return nil, err
	}
	in := facts.In
	in.CI, in.Counter = o.ci, o.counter
	changed := cmd.Flags().Changed
	switch {
	case changed("ref"):
		in.Ref = o.ref
	case changed("branch"):
		in.Ref = "refs/heads/" + strings.TrimPrefix(o.branch, "refs/heads/")
	}
	if changed("default") {
		in.Default = strings.TrimPrefix(o.to, "refs/heads/")
	}
	out, err := version.Compute(in)
	if err != nil {
		return nil, factsError(err, facts.File)
	}
	return &builtVersion{Out: out, VersionFile: facts.File, In: in}, nil
}

// factsError gives what is wrong with facts its place and its exit code.
func factsError(err error, file string) error {
	var e *version.Error
	if !errors.As(err, &e) {
		return err
	}
	switch e.Code {
	case version.BaseInvalid, version.BaseOutOfRange:
		return usage(fmt.Errorf("%s:1:1: %w", printable(file), err))
	case version.DirtyTreeOnCI:
		return err // nothing is wrong with what was typed
	}
	return usage(err)
}

// checkTable holds the rule to a file of rows.
func (c *command) checkTable(path string) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return usage(tasks.WithHint(err, "give a file of rows", "the table cannot be read"))
	}
	t, err := version.ReadTable(path, text)
	if err != nil {
		return usage(err)
	}
	checked := checkedTable{Results: t.Check()}
	for _, r := range checked.Results {
		checked.Rows++
		if r.Equal {
			checked.Equal++
		} else {
			checked.Different++
		}
		if len(r.Ignored) > 0 {
			c.say("%s: the rule does not know %s", printable(r.Name), printable(strings.Join(r.Ignored, ", ")))
		}
	}
	if err := c.print(checked, func(w io.Writer) { writeChecked(w, checked) }); err != nil {
		return err
	}
	if checked.Different > 0 {
		return errReported
	}
	return nil
}

func writeChecked(w io.Writer, t checkedTable) {
	for _, r := range t.Results {
		if r.Equal {
			fmt.Fprintf(w, "equal    %s\n", printable(r.Name))
			continue
		}
		fmt.Fprintf(w, "differs  %s: %s\n", printable(r.Name), printable(strings.Join(r.Differences, "; ")))
	}
	fmt.Fprintf(w, "%s: %d equal, %d different\n", plural(t.Rows, "row"), t.Equal, t.Different)
}
