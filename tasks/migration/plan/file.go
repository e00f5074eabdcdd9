package plan

import (
	"path"
	"strings"

	"github.com/stint-run/stint/internal/artifact"
	"github.com/stint-run/stint/internal/filesink"
	"github.com/stint-run/stint/tasks"
)

// Artifacts is the target of plans that write files alone: the store of artifacts that the configuration names.
const Artifacts = "artifacts"

// DefaultFolder is where files go when the plan does not say.
const DefaultFolder = "exports"

// File says how rows become files. Its columns are those of the stage's map, in their order. The zero value is CSV by RFC 4180.
type File struct {
	Name       string `json:"name,omitempty" yaml:"name,omitempty" doc:"Of the one file that single makes, without extension. Default: the stage's name."`
	Folder     string `json:"folder,omitempty" yaml:"folder,omitempty" doc:"Where files go in the store of artifacts: FOLDER/JOB/STAGE. Default: exports. Not where stint keeps its own records, such as builds."`
	Format     string `json:"format,omitempty" yaml:"format,omitempty" enum:"csv,ndjson" doc:"csv (default) or ndjson, JSON lines."`
	Header     *bool  `json:"header,omitempty" yaml:"header,omitempty" doc:"CSV: the names of the columns on the first line. Default: true."`
	Delimiter  string `json:"delimiter,omitempty" yaml:"delimiter,omitempty" doc:"CSV: what stands between two fields. Default: a comma."`
	Terminator string `json:"terminator,omitempty" yaml:"terminator,omitempty" enum:"crlf,lf" doc:"What ends a line. Default: crlf for CSV, lf for JSON."`
	Encoding   string `json:"encoding,omitempty" yaml:"encoding,omitempty" enum:"utf-8,utf-8-bom,windows-1252" doc:"Default: utf-8. A row with a character that it lacks is set aside."`
	Null       string `json:"null,omitempty" yaml:"null,omitempty" doc:"CSV: what stands for NULL, without quotes. Default: an empty field; an empty text has quotes."`
	Quote      string `json:"quote,omitempty" yaml:"quote,omitempty" enum:"needed,all" doc:"CSV: which fields have quotes. Default: needed."`
	Bytes      string `json:"bytes,omitempty" yaml:"bytes,omitempty" enum:"base64,hex" doc:"How binary values are written. Default: base64."`
	Compress   string `json:"compress,omitempty" yaml:"compress,omitempty" enum:"gzip,zstd" doc:"Default: neither."`
	Single     bool   `json:"single,omitempty" yaml:"single,omitempty" doc:"Put all parts together into one file at the end."`
}

// FormatOf returns the format of files with some columns.
func (f *File) FormatOf(columns []string) filesink.Format {
	typ := f.Format
	if typ == "" {
		typ = filesink.CSV
	}
	return filesink.Format{Type: typ, Columns: columns, Header: f.Header, Delimiter: f.Delimiter, Terminator: f.Terminator, Encoding: f.Encoding,
		Null: f.Null, Quote: f.Quote, Bytes: f.Bytes, Compress: f.Compress, Single: f.Single}
}

// FolderOf returns where the files of a stage of a job are in the store.
func (f *File) FolderOf(job, stage string) string {
	folder := f.Folder
	if folder == "" {
		folder = DefaultFolder
	}
	return path.Join(folder, artifact.Escape(job), artifact.Escape(stage))
}

// Columns are the columns of the map, in their order.
func (m Map) Columns() []string {
	names := make([]string, len(m))
	for i, a := range m {
		names[i] = a.Column
	}
	return names
}

// FilesOnly reports whether every stage writes files: then the target may be left away, and is Artifacts.
func (p *Plan) FilesOnly() bool {
	for i := range p.Stages {
		if p.Stages[i].To.File == nil {
			return false
		}
	}
	return len(p.Stages) > 0
}

// file checks to.file.
func (c *checker) file(s *Stage, path string) {
	f := s.To.File
	before := len(c.problems)
	c.oneOf(path+".format", f.Format, "", filesink.CSV, filesink.NDJSON)
	c.oneOf(path+".terminator", f.Terminator, "", "crlf", "lf")
	c.oneOf(path+".encoding", f.Encoding, "", filesink.UTF8, filesink.UTF8BOM, filesink.Windows1252)
	c.oneOf(path+".quote", f.Quote, "", "needed", "all")
	c.oneOf(path+".bytes", f.Bytes, "", "base64", "hex")
	c.oneOf(path+".compress", f.Compress, "", "gzip", "zstd")
	if f.Folder != "" {
		switch err := artifact.CheckKey(f.Folder); {
		case err != nil:
			c.add(path+".folder", tasks.HintOf(err), "%s", err)
		case artifact.IsOwn(f.Folder):
			c.add(path+".folder", "begin with another word, such as "+DefaultFolder+"/"+f.Folder+"; not with "+strings.Join(artifact.Own(), ", ")+" or a short name of Windows",
				"in %q of the store of artifacts stint keeps its own records", f.Folder)
		}
	}
	if f.Name != "" && artifact.Escape(f.Name) != f.Name {
		c.add(path+".name", "write a-z, 0-9, . _ and -", "%q is no name for a file", f.Name)
	}
	if f.Name != "" && !f.Single {
		c.add(path+".name", "set single: true, or leave the name away", "parts have names of their own")
	}
	if len(c.problems) > before || len(s.Map) == 0 {
		return
	}
	if err := f.FormatOf(s.Map.Columns()).Check(); err != nil {
		c.add(path, tasks.HintOf(err), "%s", err)
	}
}
