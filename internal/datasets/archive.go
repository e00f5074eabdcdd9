package datasets

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"

	"github.com/klauspost/compress/zstd"

	"github.com/stint-run/stint/internal/artifact"
	"github.com/stint-run/stint/internal/sqldb"
	"github.com/stint-run/stint/tasks"
)

// archiveFormat is the number of the form that docs/dedupe-archive.md describes; a reader refuses a later one.
const archiveFormat = 1

// archiveHeader is the first line of an archive.
type archiveHeader struct {
	Stint    string          `json:"stint"`   // "deletion"
	Version  int             `json:"version"` // archiveFormat
	Dialect  sqldb.Dialect   `json:"dialect"`
	Table    string          `json:"table"`
	Columns  []archiveColumn `json:"columns"`
	Job      string          `json:"job"`
	Customer string          `json:"customer"`
	Database string          `json:"database"`
	Part     int             `json:"part"`
}

type archiveColumn struct {
	Name string `json:"name"`
	Type string `json:"type"`
}

// archivedColumns are those that rows are archived by: all but the ones that the database computes.
func archivedColumns(t *sqldb.Table) []*sqldb.Column {
	var columns []*sqldb.Column
	for i := range t.Columns {
		if !t.Columns[i].Generated {
			columns = append(columns, &t.Columns[i])
		}
	}
	return columns
}

func newHeader(d sqldb.Dialect, t *sqldb.Table, job string, set ID, number int) archiveHeader {
	h := archiveHeader{Stint: "deletion", Version: archiveFormat, Dialect: d, Table: t.FullName(), Job: job, Customer: set.Customer, Database: set.Database, Part: number}
	for _, c := range archivedColumns(t) {
		h.Columns = append(h.Columns, archiveColumn{c.Name, c.Type})
	}
	return h
}

// spoolMemory is how much of a compressed archive is held in memory; what is more goes into a file until it is put.
const spoolMemory = 4 << 20

// spool holds what is written to it, in memory first and then in a file that has no name. An archive is named by its digest, which is
// known when all of it is there.
type spool struct {
	buf  bytes.Buffer
	file *os.File
}

// Write implements io.Writer.
func (s *spool) Write(p []byte) (int, error) {
	if s.file == nil && s.buf.Len()+len(p) > spoolMemory {
		f, err := os.CreateTemp("", "stint-archive-*")
		if err != nil {
			return 0, tasks.WithHint(err, "an archive of rows waits there until it is whole: free space, or give this user the right to write", "no room for temporary files")
		}
		s.file = f
		_ = os.Remove(f.Name()) // what is open stays; systems that do not let go of the name do so in close
		if _, err := f.Write(s.buf.Bytes()); err != nil {
			return 0, err
		}
		s.buf = bytes.Buffer{}
	}
	if s.file != nil {
		return s.file.Write(p)
	}
	return s.buf.Write(p)
}

// reader reads it from its beginning.
func (s *spool) reader() (io.Reader, error) {
	if s.file == nil {
		return bytes.NewReader(s.buf.Bytes()), nil
	}
	_, err := s.file.Seek(0, io.SeekStart)
	return s.file, err
}

func (s *spool) close() {
	if s.file != nil {
		_ = s.file.Close()
		_ = os.Remove(s.file.Name())
	}
}

// archive is an archive that is being written. It counts the rows: each ends with a line feed, and holds no other.
type archive struct {
	spool spool
	zip   *zstd.Encoder
	buf   *bufio.Writer // of rows that are written cell by cell
	rows  int64
	bytes int64
}

// encoders holds compressors between archives: each has some MiB of tables, which would have to be made and collected for every batch.
var encoders = sync.Pool{New: func() any {
	z, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(1<<20))
	if err != nil {
		panic(err) // the options are constants
	}
	return z
}}

func newArchive(h archiveHeader) (*archive, error) {
	a := &archive{zip: encoders.Get().(*zstd.Encoder)}
	a.zip.Reset(&a.spool)
	line, err := json.Marshal(h)
	if err == nil {
		_, err = a.zip.Write(append(line, '\n'))
	}
	if err != nil {
		a.close()
		return nil, err
	}
	a.buf = bufio.NewWriterSize(rowCounter{a}, 64<<10)
	return a, nil
}

// rowCounter is where the rows of an archive go.
type rowCounter struct{ *archive }

// Write implements io.Writer.
func (a rowCounter) Write(p []byte) (int, error) {
	a.rows += int64(bytes.Count(p, []byte{'\n'}))
	a.bytes += int64(len(p))
	return a.zip.Write(p)
}

// close lets go of what the archive holds. It is called once.
func (a *archive) close() {
	a.zip.Reset(nil) // lets go of the spool, and of what is not written
	encoders.Put(a.zip)
	a.zip = nil
	a.spool.close()
}

// put ends the archive and puts it into the store under a name that says what it is. When it returns, a crash loses nothing of it.
func (a *archive) put(ctx context.Context, o BatchOptions, set ID, number int, table string) (artifact.Info, error) {
	if err := a.buf.Flush(); err != nil {
		return artifact.Info{}, err
	}
	if err := a.zip.Close(); err != nil {
		return artifact.Info{}, err
	}
	r, err := a.spool.reader()
	if err != nil {
		return artifact.Info{}, err
	}
	digest, size, err := artifact.ReadDigest(r)
	if err != nil {
		return artifact.Info{}, err
	}
	if r, err = a.spool.reader(); err != nil {
		return artifact.Info{}, err
	}
	key := fmt.Sprintf("%s%06d-%s-%s.zst", archivePrefix(o.Prefix, set), number, artifact.Escape(strings.ToLower(table)), digest.Hex()[:16])
	return artifact.PutOnce(ctx, o.Artifacts, key, r, artifact.PutOptions{ContentType: "application/zstd", Digest: digest, Size: size})
}

// archivePrefix is what the keys of all parts of a data set begin with.
func archivePrefix(prefix string, set ID) string {
	if prefix != "" {
		prefix = strings.TrimSuffix(prefix, "/") + "/"
	}
	return prefix + artifact.Escape(set.Customer) + "/" + artifact.Escape(set.Database) + "/"
}

// archiveReader reads an archive, and what its digest is.
type archiveReader struct {
	header archiveHeader
	rows   *bufio.Reader // behind the header
	raw    io.Reader     // what is compressed, on its way into digest
	digest *digester
	zip    *zstd.Decoder
	close  func()
}

// openArchive opens the archive of a part.
func openArchive(ctx context.Context, from artifact.Store, p Part) (*archiveReader, error) {
	body, _, err := from.Get(ctx, p.Key, 0)
	if err != nil {
		return nil, err
	}
	d := newDigester()
	a := &archiveReader{digest: d, raw: io.TeeReader(body, d)}
	a.zip, err = zstd.NewReader(a.raw, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(maxWindow))
	if err != nil {
		_ = body.Close()
		return nil, err
	}
	a.close = func() {
		a.zip.Close()
		_ = body.Close()
	}
	a.rows = bufio.NewReaderSize(a.zip, 64<<10)
	line, err := headerLine(a.rows)
	if err == nil {
		err = json.Unmarshal(line, &a.header)
	}
	if err == nil {
		err = a.header.check(p)
	}
	if err != nil {
		a.close()
		return nil, damaged(p, err)
	}
	return a, nil
}

// Bounds of what is read of an archive before its digest is known, in bytes: one that is damaged, or somebody else's, must not unpack to
// more than there is memory. A header has the names of a table's columns; archives are written with a window of 1 MiB.
const (
	maxHeader = 16 << 20
	maxWindow = 8 << 20
)

// headerLine reads the first line.
func headerLine(r *bufio.Reader) ([]byte, error) {
	var line []byte
	for {
		b, err := r.ReadSlice('\n')
		if line = append(line, b...); !errors.Is(err, bufio.ErrBufferFull) {
			return line, err
		}
		if len(line) > maxHeader {
			return nil, fmt.Errorf("its first line has more than %d bytes", maxHeader)
		}
	}
}

// check compares what an archive says of itself with the part that it should be.
func (h *archiveHeader) check(p Part) error {
	switch {
	case h.Stint != "deletion" || h.Version < 1:
		return errors.New("it does not begin as one")
	case h.Version > archiveFormat:
		return fmt.Errorf("it is of format %d, and this stint reads up to %d", h.Version, archiveFormat)
	case h.Table != p.Table || h.Customer != p.Set.Customer || h.Database != p.Set.Database || h.Part != p.Number || h.Job != p.Job:
		return fmt.Errorf("it is part %d of %s/%s (table %s, job %s)", h.Part, h.Customer, h.Database, h.Table, h.Job)
	}
	return nil
}

// verify reads to the end and compares the digest and the size with what was noted when the rows went.
func (a *archiveReader) verify(p Part) error {
	if _, err := io.Copy(io.Discard, a.rows); err != nil {
		return damaged(p, err)
	}
	if _, err := io.Copy(io.Discard, a.raw); err != nil {
		return err
	}
	if digest, size := a.digest.sum(); string(digest) != p.Digest || size != p.Size {
		return damaged(p, fmt.Errorf("it is %s with %d bytes, and was %s with %d", digest, size, p.Digest, p.Size))
	}
	return nil
}

func damaged(p Part, err error) error {
	return tasks.Permanent(tasks.WithHint(err, "restore the artifact from a copy of the artifact store; nothing of it has been put back",
		"the archive %s of data set %s is not what was put there", p.Key, p.Set))
}
