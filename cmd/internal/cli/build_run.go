package cli

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/spf13/cobra"

	"github.com/stint-run/stint/client/wire"
	"github.com/stint-run/stint/cmd/internal/app"
	"github.com/stint-run/stint/tasks"
	"github.com/stint-run/stint/tasks/builder"
	"github.com/stint-run/stint/tasks/builder/buildlog"
	"github.com/stint-run/stint/tasks/builder/pipeline"
	"github.com/stint-run/stint/tasks/builder/snapshot"
	"github.com/stint-run/stint/tasks/builder/version"
)

// building are the flags of stint build run.
type building struct {
	pipeline, repository, ref, commit, dir, out, tenant string
	again, detach                                       bool
}

// builtPackage is a package that was fetched. It is part of the JSON form.
type builtPackage struct {
	tasks.Output
	File string `json:"file,omitempty"` // where it was written; left out where it was not
}

// buildAnswer is what stint build run ends with. It is the JSON form.
type buildAnswer struct {
	Job      string         `json:"job"`
	State    tasks.State    `json:"state"`
	Product  string         `json:"product,omitempty"`
	Version  string         `json:"version,omitempty"`
	Channel  string         `json:"channel,omitempty"`
	Packages []builtPackage `json:"packages"`
}

func (c *command) buildRun() *cobra.Command {
	b := &building{}
	cmd := &cobra.Command{
		Use:   "run [DIR]",
		Short: "Build a product by its pipeline file",
		Long: `Builds the product in DIR (default: the current folder) by its pipeline file, stint.build.yaml (docs/builds-pipeline.md): runs its steps, each
in clean files of its own, and writes the packages into --out.

Without a server it builds the files as they are, in commits or not, by the same code as an agent; what git ignores is left out. The version
says that it is a local build. Nothing in DIR is changed but --out. The same command run again goes on where it was interrupted, also
after kill -9; steps whose inputs are the same are not run again (--again runs them).

With --server, or with --repository, agents build a commit of a repository: that of DIR and the commit that is checked out, unless --ref or
--commit say another. The commit has to be pushed.`,
		Example: "  stint build run\n  stint build run products/editor --out dist\n  stint build run --pipeline ci.yaml --again\n  stint build run --server https://stint.example.com --ref main",
		Args:    cobra.MaximumNArgs(1),
		RunE:    func(cmd *cobra.Command, args []string) error { return c.runBuild(cmd, b, folder(args)) },
	}
	f := cmd.Flags()
	f.StringVar(&b.pipeline, "pipeline", "", "the pipeline `FILE`, from DIR (default: "+pipeline.FileName+")")
	f.StringVar(&b.out, "out", "dist", "the `FOLDER` that packages are written into, from where you stand; empty: none")
	f.BoolVar(&b.again, "again", false, "run all steps, also those whose result is known")
	f.StringVar(&b.repository, "repository", "", "build a commit of the repository at this `URL`")
	f.StringVar(&b.ref, "ref", "", "the branch or tag that is built, or a full `REF`")
	f.StringVar(&b.commit, "commit", "", "the full name of the `COMMIT` that is built")
	f.StringVar(&b.dir, "dir", "", "the product's `FOLDER` in the repository; with --repository")
	f.StringVar(&b.tenant, "tenant", "", "whose build it is")
	f.BoolVar(&b.detach, "detach", false, "do not wait for the end; with a server")
	return cmd
}

func (c *command) runBuild(cmd *cobra.Command, b *building, dir string) (err error) {
	if err := c.load(cmd); err != nil {
		return err
	}
	if b.repository == "" && (b.dir != "") {
		return usage(tasks.WithHint(nil, "give the folder as the argument: stint build run DIR", "--dir is for --repository"))
	}
	if b.detach && !c.remote() {
		return usage(tasks.WithHint(nil, "name a --server", "without a server the build ends with the command"))
	}
	var spec builder.Spec
	local := b.repository == "" && !c.remote()
	switch {
	case local && (b.ref != "" || b.commit != ""):
		return usage(tasks.WithHint(nil, "name a --server or a --repository, or check it out", "without a server the files are built as they are"))
	case local:
		spec, err = c.localSpec(cmd, b, dir)
	case b.repository != "":
		spec = builder.Spec{Repository: b.repository, Ref: b.ref, Commit: b.commit, Dir: b.dir, Pipeline: b.pipeline}
	default:
		spec, err = c.pushedSpec(cmd, b, dir)
	}
	if err != nil {
		return err
	}
	spec.Again = b.again
	s, err := c.join(cmd)
	if err != nil {
		return err
	}
	defer c.leave(s, &err)
	if s.app != nil {
		if err := engine(cmd.Context(), s.app); err != nil {
			return err
		}
	}
	return c.carryOutBuild(cmd.Context(), s, b, spec)
}

// localSpec puts the files of the working copy into the store of artifacts.
func (c *command) localSpec(cmd *cobra.Command, b *building, dir string) (spec builder.Spec, err error) {
	p, err := c.readPipeline(dir, b.pipeline)
	if err != nil {
		return spec, err
	}
	repo := version.Repository{Dir: dir, File: p.VersionFile, Lookup: c.Vars.Lookup}
	if p.VersionFile != "" && dir != "" {
		repo.File = filepath.Join(dir, filepath.FromSlash(p.VersionFile))
	}
	facts, err := looked(c, cmd, repo.Read)
	if err != nil {
		return spec, err
	}
	if _, err := version.Compute(facts.In); err != nil {
		return spec, factsError(err, facts.File)
	}
	if spec.Dir, err = folderIn(facts.Root, dir); err != nil {
		return spec, err
	}
	if spec.Dir == "." {
		spec.Dir = ""
	}
	ctx, stop := c.interruptible(cmd.Context())
	defer stop()
	paths, at, err := c.workingCopy(ctx, facts.Root, facts.SHA)
	if err != nil {
		return spec, err
	}
	files, err := app.OpenArtifacts(c.config.Artifacts, c.config.Data)
	if err != nil {
		return spec, err
	}
	defer files.Close()
	id, _, err := builder.Trees(files).Capture(ctx, facts.Root, snapshot.CaptureOptions{Paths: paths})
	if err != nil {
		return spec, fmt.Errorf("take the files of %s: %w", printable(facts.Root), err)
	}
	spec.Local = &builder.Local{Files: id, Pipeline: p.Canonical(), Facts: facts.In, At: at}
	return spec, nil
}

// readPipeline reads a pipeline file; what is wrong with it is the caller's mistake.
func (c *command) readPipeline(dir, file string) (*pipeline.Pipeline, error) {
	if file == "" {
		file = pipeline.FileName
	}
	name := filepath.Join(dir, filepath.FromSlash(file))
	text, err := os.ReadFile(name)
	if errors.Is(err, os.ErrNotExist) {
		return nil, usage(tasks.WithHint(nil, "docs/builds-pipeline.md has a first one in ten lines; --pipeline names another file", "there is no %s", printable(name)))
	}
	if err != nil {
		return nil, usage(err)
	}
	p, problems, err := pipeline.Read(name, text)
	if err == nil {
		err = problems.Err()
	}
	if err != nil {
		return nil, usage(err)
	}
	return p, nil
}

// pushedSpec is that of the repository that DIR was cloned from, at the commit that is checked out.
func (c *command) pushedSpec(cmd *cobra.Command, b *building, dir string) (spec builder.Spec, err error) {
	facts, err := looked(c, cmd, version.Repository{Dir: dir, Lookup: c.Vars.Lookup}.Read)
	if err != nil {
		return spec, err
	}
	if spec.Dir, err = folderIn(facts.Root, dir); err != nil {
		return spec, err
	}
	if spec.Dir == "." {
		spec.Dir = ""
	}
	ctx, stop := c.interruptible(cmd.Context())
	defer stop()
	if spec.Repository, err = c.origin(ctx, facts.Root); err != nil {
		return spec, usage(tasks.WithHint(err, "name it with --repository", "it is not known which repository %s was cloned from", printable(facts.Root)))
	}
	spec.Pipeline, spec.Ref, spec.Commit = b.pipeline, b.ref, b.commit
	if b.ref == "" && b.commit == "" {
		spec.Ref, spec.Commit = facts.Ref, facts.SHA
		if facts.Dirty {
			c.say("the files are not those of the commit; agents build the commit")
		}
	}
	return spec, nil
}

// carryOutBuild submits the build, shows what it prints, and fetches the packages.
func (c *command) carryOutBuild(ctx context.Context, s *session, b *building, spec builder.Spec) error {
	text, err := json.Marshal(spec)
	if err != nil {
		return fmt.Errorf("encode spec: %w", err)
	}
	sub := wire.Submission{Kind: builder.Kind, Tenant: b.tenant, Spec: text}
	key := ""
	if !spec.Again && spec.Commit+localFiles(spec) != "" { // what a branch is today is another thing tomorrow
		sum := sha256.Sum256(append([]byte(b.tenant+"\x00"), text...))
		key, sub.Continue = "build-"+hex.EncodeToString(sum[:16]), true
	}
	done, err := s.Submit(ctx, key, sub)
	if err != nil {
		return err
	}
	c.say("job %s", done.ID)
	if b.detach {
		return c.print(buildAnswer{Job: done.ID, State: done.State, Packages: []builtPackage{}}, func(w io.Writer) { fmt.Fprintln(w, done.ID) })
	}
	showing, stop := context.WithCancel(ctx)
	var logs sync.WaitGroup
	logs.Go(func() { c.showLogs(showing, s, done.ID) })
	go c.sayWaits(showing, s, done.ID)
	v, err := c.watchWith(ctx, s, &asked{id: done.ID, again: &sub, key: key}, silentProgress{})
	if err != nil {
		stop()
		logs.Wait()
		if errors.Is(err, errInterrupted) && s.app != nil {
			c.say("interrupted: the same command goes on from there")
		}
		return err
	}
	logs.Wait() // they end with the job
	stop()
	if err := failed(v); err != nil {
		return err
	}
	return c.built(ctx, s, v, b.out)
}

func localFiles(spec builder.Spec) string {
	if spec.Local == nil {
		return ""
	}
	return string(spec.Local.Files)
}

// silentProgress shows none: the logs are.
type silentProgress struct{}

func (silentProgress) show(*wire.Job) {}
func (silentProgress) end()           {}

// showLogs prints what the steps print as it comes, each step at its own time.
func (c *command) showLogs(ctx context.Context, s *session, id string) {
	if c.output == "json" || c.quiet {
		return
	}
	names, err := c.waitForLogs(ctx, s, id)
	if err != nil {
		return // the job says itself what is wrong
	}
	var wg sync.WaitGroup
	var one sync.Mutex
	for _, name := range names {
		wg.Go(func() {
			_ = s.Log(ctx, id, name, 0, true, func(l tasks.LogLine) error { // the job says itself what is wrong
				one.Lock()
				defer one.Unlock()
				return c.printLine(name, l)
			})
		})
	}
	wg.Wait()
}

// sayWaits says why a step waits, such as for an agent that has what it requires; once for each reason.
func (c *command) sayWaits(ctx context.Context, s *session, id string) {
	said := map[string]bool{}
	_ = s.Watch(ctx, id, "", func(e wire.Event) error { // it is news, and no more
		if why := e.Fields["reason"]; e.Type == "given_back" && why != "" && why != "drained" && !said[why] {
			said[why] = true
			_, step, _ := strings.Cut(e.Fields["step"], "/")
			c.say("%s waits: %s", step, printable(why))
		}
		return nil
	})
}

// printLine prints a line of a log.
func (c *command) printLine(step string, l tasks.LogLine) error {
	mark := "│"
	switch l.Stream {
	case "e":
		mark = "!"
	case "#":
		mark = "#"
	}
	_, err := fmt.Fprintf(c.Stderr, "%s %s %s\n", step, mark, buildlog.Printable(l.Text))
	return err
}

// waitForLogs waits until the build has been planned.
func (c *command) waitForLogs(ctx context.Context, s *session, id string) ([]string, error) {
	for {
		names, err := s.Logs(ctx, id)
		if err != nil || len(names) > 0 {
			return names, err
		}
		v, err := s.Job(ctx, id)
		if err != nil || v.State.Ended() {
			return nil, err
		}
		if err := pause(ctx, logPoll); err != nil {
			return nil, err
		}
	}
}

// built fetches the packages, and says what was built.
func (c *command) built(ctx context.Context, s *session, v *wire.Job, out string) error {
	report, err := s.Report(ctx, v.ID)
	if err != nil {
		return err
	}
	list, err := s.Outputs(ctx, v.ID)
	if err != nil {
		return err
	}
	answer := buildAnswer{Job: v.ID, State: v.State, Packages: []builtPackage{}}
	answer.Product, answer.Version, answer.Channel = builder.About(report.Sections)
	for _, o := range list {
		p := builtPackage{Output: o}
		if out != "" {
			if p.File, err = fetchInto(ctx, s, v.ID, o.Name, out); err != nil {
				return err
			}
		}
		answer.Packages = append(answer.Packages, p)
	}
	return c.print(answer, func(w io.Writer) {
		fmt.Fprintf(w, "%s %s (%s)\n", answer.Product, answer.Version, answer.Channel)
		for _, p := range answer.Packages {
			where := p.File
			if where == "" {
				where = p.Name
			}
			fmt.Fprintf(w, "  %s  %s bytes\n", printable(where), thousands(p.Size))
		}
	})
}

// fetchInto writes an output into a folder, which git is told to ignore where it is new.
func fetchInto(ctx context.Context, s *session, id, name, dir string) (string, error) {
	if _, err := os.Stat(dir); errors.Is(err, os.ErrNotExist) {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return "", err
		}
		if err := os.WriteFile(filepath.Join(dir, ".gitignore"), []byte("*\n"), 0o644); err != nil {
			return "", err
		}
	}
	if strings.ContainsAny(name, `/\`) || !filepath.IsLocal(name) {
		return "", fmt.Errorf("the output %q has a name that is no file's", name)
	}
	file := filepath.Join(dir, name)
	f, err := fetchOutput(ctx, s, id, name, file)
	if err != nil {
		return "", err
	}
	defer f.drop()
	return file, f.keep(file)
}
