package pack

import (
	"bytes"
	"context"
	"crypto/sha256"
	_ "embed" // of the two programs that unpack
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync"

	"github.com/klauspost/compress/zstd"

	"github.com/stint-run/stint/tasks"
	"github.com/stint-run/stint/tasks/builder/pipeline"
)

//go:embed sfx.sh
var unixStub string

// sfxUnix writes a shell script with a tar.gz behind it. The script knows the digest of what follows, so the archive is made twice:
// to learn it, and to write it.
func (p *packing) sfxUnix(ctx context.Context, w io.Writer) error {
	first := &measure{}
	if err := p.tarGzip(ctx, first.begin(io.Discard)); err != nil {
		return err
	}
	if _, err := io.WriteString(w, p.script(first)); err != nil {
		return err
	}
	second := &measure{}
	if err := p.tarGzip(ctx, second.begin(w)); err != nil {
		return err
	}
	if first.sum() != second.sum() {
		return tasks.WithHint(ErrChanged, "does a process that a step has left behind still write it? Run the step again", "a file has other bytes when it is read again")
	}
	return nil
}

// script fills in the script. Its own length is in it, at a fixed width.
func (p *packing) script(m *measure) string {
	run, hasRun := ":", "no"
	if len(p.run) > 0 {
		words := make([]string, len(p.run))
		for i, word := range p.run {
			words[i] = shellQuote(word)
		}
		run, hasRun = strings.Join(words, " "), "yes"
	}
	const width = 10
	offset := strings.Repeat("0", width)
	fill := func(offset string) string {
		return strings.NewReplacer("@PACKAGE@", shellQuote(p.Package.Name+"-"+p.Version), "@DIGEST@", m.sum(), "@SIZE@", strconv.FormatInt(m.n, 10),
			"@OFFSET@", offset, "@HAS_RUN@", hasRun, "@RUN@", run).Replace(unixStub)
	}
	// tail counts from 1. A number with zeros before it is none that every tail takes, so blanks are behind it.
	number := strconv.Itoa(len(fill(offset)) + 1)
	return fill(number + strings.Repeat(" ", width-len(number)))
}

// shellQuote makes one word for sh out of any text.
func shellQuote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

// measure counts and hashes what goes through it.
type measure struct {
	w    io.Writer
	n    int64
	hash interface {
		io.Writer
		Sum([]byte) []byte
	}
}

func (m *measure) begin(w io.Writer) *measure {
	m.w, m.hash = w, sha256.New()
	return m
}

// Write implements io.Writer.
func (m *measure) Write(b []byte) (int, error) {
	n, err := m.w.Write(b)
	m.n += int64(n)
	m.hash.Write(b[:n])
	return n, err
}

func (m *measure) sum() string { return hex.EncodeToString(m.hash.Sum(nil)) }

// The program for Windows, as `go generate` has made it out of the folder stub.
//
//go:generate go run ./stub/make stub_windows.exe.zst
//go:embed stub_windows.exe.zst
var windowsStub []byte

// unpackedStub is the program itself; it is unpacked when the first package needs it.
var unpackedStub = sync.OnceValues(func() ([]byte, error) {
	d, err := zstd.NewReader(bytes.NewReader(windowsStub), zstd.WithDecoderConcurrency(1))
	if err != nil {
		return nil, err
	}
	defer d.Close()
	return io.ReadAll(d)
})

// sfxWindows writes a program with a zip behind it.
func (p *packing) sfxWindows(ctx context.Context, w io.Writer) error {
	stub, err := unpackedStub()
	if err != nil {
		return fmt.Errorf("unpack the program that unpacks: %w", err)
	}
	return p.sfxZip(ctx, w, stub)
}

// sfxZip writes a program with a zip behind it. What the program has to know is the zip's comment.
func (p *packing) sfxZip(ctx context.Context, w io.Writer, stub []byte) error {
	comment, err := json.Marshal(struct {
		Package string   `json:"package"`
		Run     []string `json:"run,omitempty"`
	}{p.Package.Name + "-" + p.Version, p.run})
	if err != nil {
		return err
	}
	if len(comment) > 60_000 {
		return tasks.WithHint(nil, "put the arguments into a file of the package", "the command that a package for %s runs is too long", pipeline.SFXWindows)
	}
	return p.zip(ctx, w, stub, string(comment))
}
