package cli

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/stint-run/stint/tasks"
)

// savedOutput is a file of a job that was written; its JSON is a contract.
type savedOutput struct {
	tasks.Output
	File string `json:"file"`
}

func (c *command) outputsCommand() *cobra.Command {
	var name, file string
	cmd := c.jobCommand("outputs JOB", "List the files that a job has left behind, or save one", func(cmd *cobra.Command, s *session, id string) error {
		switch {
		case name == "" && file != "":
			return usage(tasks.WithHint(nil, "add --save NAME", "which of the files is to be written into %s?", file))
		case name == "":
			return c.listOutputs(cmd.Context(), s, id)
		case file == "":
			file = filepath.Base(name)
		}
		return c.saveOutput(cmd.Context(), s, id, name, file)
	})
	cmd.Long = `Lists the files that a job has left behind and that are whole, such as the analysis of a dedupe. With --save one of them is written
into a file: whole and checked, or not at all. --to - writes it to the standard output.`
	cmd.Example = "  stint jobs outputs ded-7k2m\n  stint jobs outputs ded-7k2m --save analysis.csv --to today.csv\n  stint jobs outputs ded-7k2m --save summary.txt --to -"
	cmd.Flags().StringVar(&name, "save", "", "write the file of this `NAME`")
	cmd.Flags().StringVar(&file, "to", "", "into this `FILE` (default: one of the same name here)")
	return cmd
}

func (c *command) listOutputs(ctx context.Context, s *session, id string) error {
	list, err := s.Outputs(ctx, id)
	if err != nil {
		return err
	}
	return c.print(list, func(w io.Writer) {
		t := newTable("NAME", "BYTES", "DIGEST")
		for _, o := range list {
			t.row(o.Name, thousands(o.Size), o.Digest)
		}
		t.write(w)
	})
}

func (c *command) saveOutput(ctx context.Context, s *session, id, name, file string) error {
	near := file
	if file == "-" {
		near = ""
	}
	done := c.busy("fetching " + printable(name))
	f, err := fetchOutput(ctx, s, id, name, near)
	done()
	if err != nil {
		return err
	}
	defer f.drop()
	if file == "-" {
		_, err := io.Copy(c.Stdout, f.file)
		return err
	}
	if err := f.keep(file); err != nil {
		return err
	}
	if c.output == "json" {
		return c.print(savedOutput{f.Output, file}, nil)
	}
	c.say("%s of job %s is in %s", name, id, file)
	return nil
}

// fetched is a file of a job that has been read whole, in a file that has no name yet. Keep it, and drop it in the end.
type fetched struct {
	tasks.Output
	file *os.File
}

// fetchOutput reads a file of a job, and checks that it is whole. It is kept beside the file near, whose folder has to be there; "" is where
// temporary files are.
func fetchOutput(ctx context.Context, s *session, id, name, near string) (f *fetched, err error) {
	body, about, err := s.Output(ctx, id, name)
	if err != nil {
		return nil, err
	}
	defer func() { _ = body.Close() }()
	dir := ""
	if near != "" {
		dir = filepath.Dir(near)
	}
	file, err := os.CreateTemp(dir, ".stint-*")
	if err != nil {
		return nil, notWritable(err, near)
	}
	f = &fetched{about, file}
	defer func() {
		if err != nil {
			f.drop()
		}
	}()
	sum := sha256.New()
	n, err := io.Copy(io.MultiWriter(file, sum), body)
	if err != nil {
		return nil, fmt.Errorf("read %s of job %s: %w", name, id, err)
	}
	digest := "sha256:" + hex.EncodeToString(sum.Sum(nil))
	if about.Size >= 0 && n != about.Size || about.Digest != "" && about.Digest != digest {
		return nil, tasks.WithHint(nil, "try again", "%s of job %s did not arrive as it was sent", name, id)
	}
	f.Size, f.Digest = n, digest
	return f, f.rewind()
}

// rewind goes to the beginning.
func (f *fetched) rewind() error {
	_, err := f.file.Seek(0, io.SeekStart)
	return err
}

// keep gives the file its name, in the place of what had it: a file that is there is whole, whatever dies.
func (f *fetched) keep(name string) error {
	if err := errors.Join(f.file.Chmod(0o644), f.file.Sync()); err != nil {
		return notWritable(err, name)
	}
	if err := os.Rename(f.file.Name(), name); err != nil {
		return notWritable(err, name)
	}
	dir, err := os.Open(filepath.Dir(name))
	if err != nil {
		return notWritable(err, name)
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// drop ends it. What has been kept stays.
func (f *fetched) drop() {
	_ = f.file.Close()
	_ = os.Remove(f.file.Name()) // of what has been kept the name is another by now
}

func notWritable(err error, name string) error {
	return usage(tasks.WithHint(err, "name a file in a folder that is there and may be written", "%s cannot be written", name))
}
