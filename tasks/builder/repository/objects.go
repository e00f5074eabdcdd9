package repository

import (
	"bufio"
	"context"
	"crypto/sha1"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"strconv"
	"strings"
)

// objects reads objects of a mirror, one after the other, and compares each with its name.
type objects struct {
	mirror *mirror
	seen   fs.FileInfo
	ask    *io.PipeWriter
	answer *bufio.Reader
	from   *io.PipeReader
	ended  chan struct{}
	stop   context.CancelFunc
}

// read starts git cat-file. Close ends it.
func (m *mirror) read(ctx context.Context) *objects {
	ctx, stop := context.WithCancel(ctx)
	questions, ask := io.Pipe()
	from, answers := io.Pipe()
	seen, _ := os.Stat(m.dir)
	o := &objects{mirror: m, seen: seen, ask: ask, from: from, answer: bufio.NewReaderSize(from, 64<<10), ended: make(chan struct{}), stop: stop}
	go func() {
		err := m.git.Pipe(ctx, questions, answers, "cat-file", "--batch")
		if ctx.Err() == nil { // it ends by itself only when nobody asks any more
			err = o.bad("no answer: %w", errors.Join(io.ErrUnexpectedEOF, err))
		}
		_ = questions.CloseWithError(err)
		_ = answers.CloseWithError(err)
		close(o.ended)
	}()
	return o
}

// bad is that the mirror does not hold what it should.
func (o *objects) bad(format string, args ...any) error {
	return &damaged{o.mirror, o.seen, fmt.Errorf(format, args...)}
}

// Close ends git, and waits for its end.
func (o *objects) Close() {
	_ = o.ask.Close()
	_ = o.from.Close()
	o.stop()
	<-o.ended
}

// object is one object that is read.
type object struct {
	name string
	kind string // commit, tree, blob or tag
	size int64
	left int64
	from *objects
	sum  hash.Hash
}

// open asks for an object. It must be read to its end, and then checked, before the next one is opened.
func (o *objects) open(name, kind string) (*object, error) {
	if _, err := io.WriteString(o.ask, name+"\n"); err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	head, err := o.answer.ReadString('\n')
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	words := strings.Fields(head)
	if len(words) != 3 || words[0] != name {
		return nil, o.bad("%s is missing", name)
	}
	size, err := strconv.ParseInt(words[2], 10, 64)
	if err != nil || size < 0 || words[1] != kind {
		return nil, o.bad("%s is no %s", name, kind)
	}
	b := &object{name: name, kind: kind, size: size, left: size, from: o, sum: sha1.New()}
	_, _ = fmt.Fprintf(b.sum, "%s %d\x00", kind, size)
	return b, nil
}

// Read gives what the object holds.
func (b *object) Read(p []byte) (int, error) {
	if b.left == 0 {
		return 0, io.EOF
	}
	n, err := b.from.answer.Read(p[:min(int64(len(p)), b.left)])
	b.left -= int64(n)
	_, _ = b.sum.Write(p[:n])
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

// check ends an object that was read, and compares it with its name.
func (b *object) check() error {
	if end, err := b.from.answer.ReadByte(); err != nil || end != '\n' || b.left != 0 {
		return b.from.bad("%s has no end", b.name)
	}
	if hex.EncodeToString(b.sum.Sum(nil)) != b.name {
		return b.from.bad("%s holds something else", b.name)
	}
	return nil
}

// whole reads a small object.
func (o *objects) whole(name, kind string, most int64) ([]byte, error) {
	b, err := o.open(name, kind)
	if err != nil {
		return nil, err
	}
	if b.size > most {
		return nil, &tooLarge{b.size, most}
	}
	data := make([]byte, b.size)
	if _, err := io.ReadFull(b, data); err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	return data, b.check()
}

// tooLarge is that an object has more bytes than are read of one.
type tooLarge struct{ size, most int64 }

func (e *tooLarge) Error() string {
	return fmt.Sprintf("it has %d bytes, and %d are the most", e.size, e.most)
}

// mostTree is the largest folder that is read, in bytes: a million names.
const mostTree = 64 << 20

// entry is a line of a tree.
type entry struct {
	mode string // 100644, 100755, 120000 (a link), 40000 (a folder), 160000 (a commit of another repository)
	name string
	sha  string
}

const (
	folder = "40000"
	link   = "120000"
	module = "160000"
)

// commit gives the root tree of a commit, and when it was committed, in seconds.
func (o *objects) commit(sha string) (tree string, seconds int64, err error) {
	text, err := o.whole(sha, "commit", mostTree)
	if err != nil {
		return "", 0, err
	}
	head, _, _ := strings.Cut(string(text), "\n\n")
	for line := range strings.SplitSeq(head, "\n") {
		word, rest, _ := strings.Cut(line, " ")
		switch word {
		case "tree":
			if tree == "" {
				tree = rest
			}
		case "committer": // NAME <EMAIL> SECONDS ZONE
			if f := strings.Fields(rest); len(f) > 1 {
				seconds, _ = strconv.ParseInt(f[len(f)-2], 10, 64) // an old commit without a time has none
			}
		}
	}
	if !sha1Name.MatchString(tree) {
		return "", 0, o.bad("the commit %s has no files", sha)
	}
	return tree, seconds, nil
}

// tree gives the lines of a tree.
func (o *objects) tree(sha string) ([]entry, error) {
	text, err := o.whole(sha, "tree", mostTree)
	if err != nil {
		return nil, err
	}
	var out []entry
	for rest := string(text); rest != ""; {
		head, after, ok := strings.Cut(rest, "\x00")
		mode, name, named := strings.Cut(head, " ")
		if !ok || !named || len(after) < sha1.Size {
			return nil, fmt.Errorf("the tree %s cannot be read", sha)
		}
		out = append(out, entry{mode: strings.TrimLeft(mode, "0"), name: name, sha: hex.EncodeToString([]byte(after[:sha1.Size]))})
		rest = after[sha1.Size:]
	}
	return out, nil
}
