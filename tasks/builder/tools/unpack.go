package tools

import (
	"archive/tar"
	"archive/zip"
	"bufio"
	"compress/bzip2"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"

	"github.com/stint-run/stint/tasks/builder/tree"
)

// format is how a tool is packed.
type format string

const (
	plain    format = "file"
	zipped   format = "zip"
	tarPlain format = "tar"
	tarGzip  format = "tar.gz"
	tarXZ    format = "tar.xz"
	tarZstd  format = "tar.zst"
	tarBzip2 format = "tar.bz2"
)

var endings = map[string]format{".tar.gz": tarGzip, ".tgz": tarGzip, ".tar.xz": tarXZ, ".txz": tarXZ, ".tar.zst": tarZstd, ".tzst": tarZstd,
	".tar.bz2": tarBzip2, ".tbz2": tarBzip2, ".tbz": tarBzip2, ".tar": tarPlain, ".zip": zipped}

// formatOf goes by how an address ends, without what is behind a ?. Anything else is a bare program.
func formatOf(address string) format {
	name := address
	if u, err := url.Parse(address); err == nil {
		name = u.Path
	}
	name = strings.ToLower(path.Base(name))
	for end, f := range endings {
		if strings.HasSuffix(name, end) {
			return f
		}
	}
	return plain
}

// limits are what an archive may have.
type limits struct {
	archive int64 // bytes of it
	bytes   int64 // of what is in it
	files   int
	ratio   int64 // bytes that may come out for each that went in; the first so many are free
	free    int64
	window  uint64 // bytes that a decoder may keep in memory
	stall   time.Duration
}

// usual is more than any toolchain has: one for Go has 15,000 files and 250 MB, one for LLVM 8 GB. Text is packed at 20 to 1 at best.
var usual = limits{archive: 8 << 30, bytes: 32 << 30, files: 1_000_000, ratio: 200, free: 64 << 20, window: 256 << 20, stall: time.Minute}

// unpacker takes an archive apart. Without a root it only looks at what there is.
type unpacker struct {
	ctx   context.Context
	want  *wanted
	root  *os.Root
	found holds
	links tree.Links
	limit limits
	left  int64 // bytes that may still come out
}

// unpack gives what an archive holds, and writes it into a root. Links come last: until then there is none that a file could be
// written through.
func (s *Store) unpack(ctx context.Context, w *wanted, name string, root *os.Root) (holds, error) {
	file, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }()
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	u := &unpacker{ctx: ctx, want: w, root: root, found: holds{}, limit: s.limits}
	u.left = min(s.limits.bytes, s.limits.free+s.limits.ratio*info.Size())
	switch w.format {
	case plain:
		err = u.file(w.file, true, time.Unix(0, 0), file)
	case zipped:
		err = u.zip(file, info.Size())
	default:
		err = u.tar(file)
	}
	if err != nil {
		return nil, err
	}
	if len(u.found) == 0 {
		return nil, errors.New("nothing is in it below the folders that strip leaves out")
	}
	return u.found, u.finish()
}

// tar takes a tar archive apart.
func (u *unpacker) tar(file io.Reader) error {
	in, end, err := u.decoder(bufio.NewReaderSize(file, 256<<10))
	if err != nil {
		return err
	}
	defer end()
	archive := tar.NewReader(&metered{u, in})
	for {
		h, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := u.entry(h, archive); err != nil {
			return err
		}
	}
}

// decoder opens what is around a tar archive.
func (u *unpacker) decoder(file *bufio.Reader) (in io.Reader, end func(), err error) {
	end = func() {}
	switch u.want.format {
	case tarGzip:
		in, err = gzip.NewReader(file)
	case tarBzip2:
		in = bzip2.NewReader(file)
	case tarZstd:
		var d *zstd.Decoder
		if d, err = zstd.NewReader(file, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(u.limit.window)); err == nil {
			in, end = d, d.Close
		}
	case tarXZ:
		if err = smallWindow(file, u.limit.window); err == nil {
			in, err = xz.NewReader(file)
		}
	default:
		in = file
	}
	return in, end, err
}

// smallWindow looks at the beginning of an xz stream: the reader takes as much memory as that asks for, up to 4 GiB.
func smallWindow(file *bufio.Reader, most uint64) error {
	const streamHeader = 12
	head, err := file.Peek(streamHeader + 1)
	if err != nil {
		return err
	}
	size := (int(head[streamHeader]) + 1) * 4
	if head, err = file.Peek(streamHeader + size); err != nil {
		return err
	}
	// The filter LZMA2 (0x21) has one byte of properties: the size of its window.
	for i := streamHeader + 2; i+2 < len(head)-4; i++ {
		if head[i] != 0x21 || head[i+1] != 1 {
			continue
		}
		if bits := head[i+2]; bits > 40 || uint64(2|bits&1)<<(bits/2+11) > most {
			return fmt.Errorf("it asks for more than %d bytes of memory", most)
		}
		return nil
	}
	return errors.New("it is packed with a filter other than LZMA2")
}

// entry takes one entry of a tar archive.
func (u *unpacker) entry(h *tar.Header, in io.Reader) error {
	if h.Typeflag == tar.TypeXGlobalHeader {
		return nil
	}
	name, below, err := u.place(h.Name)
	if err != nil || !below {
		return err
	}
	switch h.Typeflag {
	case tar.TypeDir:
		return u.folder(name)
	case tar.TypeReg, tar.TypeGNUSparse:
		return u.file(name, h.Mode&0o111 != 0, h.ModTime, in)
	case tar.TypeSymlink:
		return u.links.Add(name, h.Linkname)
	case tar.TypeLink:
		return u.hard(name, h.Linkname)
	}
	return fmt.Errorf("%q is neither a file, nor a folder, nor a link", name)
}

// zip takes a zip archive apart.
func (u *unpacker) zip(file *os.File, size int64) error {
	if err := fewEnough(file, size, u.limit.files); err != nil {
		return err
	}
	archive, err := zip.NewReader(file, size)
	if err != nil {
		return err
	}
	for _, f := range archive.File {
		name, below, err := u.place(f.Name)
		if err != nil {
			return err
		}
		if !below {
			continue
		}
		if err := u.zipped(name, f); err != nil {
			return err
		}
	}
	return nil
}

func (u *unpacker) zipped(name string, f *zip.File) error {
	mode := f.Mode()
	if mode.IsDir() {
		return u.folder(name)
	}
	if !mode.IsRegular() && mode.Type() != fs.ModeSymlink {
		return fmt.Errorf("%q is neither a file, nor a folder, nor a link", name)
	}
	in, err := f.Open()
	if err != nil {
		return err
	}
	defer func() { _ = in.Close() }()
	if mode.IsRegular() {
		return u.file(name, mode&0o111 != 0, f.Modified, &metered{u, in})
	}
	target, err := io.ReadAll(io.LimitReader(in, mostTarget+1))
	if err != nil {
		return err
	}
	if len(target) > mostTarget {
		return fmt.Errorf("the link %q is longer than a path can be", name)
	}
	return u.links.Add(name, string(target))
}

// mostTarget is the longest path that a link has, in bytes.
const mostTarget = 4096

// fewEnough looks at the end of a zip archive, before all names in it are read into memory: an entry of its list has 46 bytes at least.
func fewEnough(file io.ReaderAt, size int64, most int) error {
	const record, comment, entry = 22, 1<<16 - 1, 46
	tail := make([]byte, min(size, record+comment))
	if _, err := file.ReadAt(tail, size-int64(len(tail))); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	at := strings.LastIndex(string(tail), "PK\x05\x06")
	if at < 0 || len(tail)-at < record {
		return errors.New("it has not the end of a zip archive")
	}
	number := func(at, n int) (out int64) {
		for i := n - 1; i >= 0; i-- {
			out = out<<8 | int64(tail[at+i])
		}
		return out
	}
	list := number(at+12, 4)
	if where := at - 20; where >= 0 && string(tail[where:where+4]) == "PK\x06\x07" { // a zip64 archive says it elsewhere
		list = size - number(where+8, 8)
		if end := make([]byte, 56); number(where+8, 8) >= 0 && list >= int64(len(end)) {
			if _, err := file.ReadAt(end, number(where+8, 8)); err == nil && string(end[:4]) == "PK\x06\x06" {
				list = 0
				for i := 7; i >= 0; i-- {
					list = list<<8 | int64(end[40+i])
				}
			}
		}
	}
	if list < 0 || list > int64(most)*(entry+256) {
		return fmt.Errorf("it has more than %d files", most)
	}
	return nil
}

// place gives the path of an entry without the folders that are left out, and whether anything of it is left.
func (u *unpacker) place(name string) (string, bool, error) {
	name = strings.TrimSuffix(strings.TrimPrefix(name, "./"), "/")
	if name == "" || name == "." {
		return "", false, nil
	}
	if strings.Contains(name, `\`) {
		return "", false, fmt.Errorf("%q has a backslash in its name", name)
	}
	if err := tree.Name(name); err != nil {
		return "", false, err
	}
	parts := strings.Split(name, "/")
	if len(parts) <= u.want.strip {
		return "", false, nil
	}
	return strings.Join(parts[u.want.strip:], "/"), true, u.ctx.Err()
}

// add takes a path down, with the folders above it, each of which must be one.
func (u *unpacker) add(name string, i item) error {
	if dir := path.Dir(name); dir != "." {
		if err := u.folder(dir); err != nil {
			return err
		}
	}
	if _, twice := u.found[name]; twice {
		return fmt.Errorf("%q is in it twice", name)
	}
	if len(u.found) >= u.limit.files {
		return fmt.Errorf("it has more than %d files", u.limit.files)
	}
	u.found[name] = i
	return nil
}

func (u *unpacker) folder(name string) error {
	if i, there := u.found[name]; there {
		if !i.mode.IsDir() {
			return fmt.Errorf("%q is both a file and a folder", name)
		}
		return nil
	}
	if err := u.add(name, item{mode: fs.ModeDir | 0o555}); err != nil || u.root == nil {
		return err
	}
	return u.root.Mkdir(filepath.FromSlash(name), 0o755) // read-only once all is in it
}

// file takes a file, and its digest on the way.
func (u *unpacker) file(name string, runs bool, when time.Time, in io.Reader) error {
	i := item{mode: 0o444}
	if runs {
		i.mode = 0o555
	}
	if err := u.add(name, i); err != nil {
		return err
	}
	sum := sha256.New()
	var out io.Writer = sum
	var file *os.File
	if u.root != nil {
		var err error
		if file, err = u.root.OpenFile(filepath.FromSlash(name), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600); err != nil {
			return err
		}
		out = io.MultiWriter(sum, file)
	}
	var err error
	i.size, err = io.Copy(out, in)
	if file != nil {
		err = errors.Join(err, file.Chmod(i.mode), file.Close())
	}
	if err != nil {
		return err
	}
	i.sum = hex.EncodeToString(sum.Sum(nil))
	u.found[name] = i
	if file == nil {
		return nil
	}
	return u.root.Chtimes(filepath.FromSlash(name), when, when)
}

// hard takes a second name of a file that came before it.
func (u *unpacker) hard(name, target string) error {
	target, below, err := u.place(target)
	if err != nil {
		return err
	}
	i, there := u.found[target]
	if !below || !there || !i.mode.IsRegular() {
		return fmt.Errorf("%q is another name of %q, which is no file before it", name, target)
	}
	if err := u.add(name, i); err != nil || u.root == nil {
		return err
	}
	return u.root.Link(filepath.FromSlash(target), filepath.FromSlash(name))
}

// finish sets the links, and makes the folders read-only.
func (u *unpacker) finish() error {
	if err := u.links.Check(); err != nil {
		return err
	}
	for name, target := range u.links.All {
		if err := u.add(name, item{mode: fs.ModeSymlink, sum: target}); err != nil {
			return err
		}
		if u.root == nil {
			continue
		}
		if err := u.root.Symlink(filepath.FromSlash(target), filepath.FromSlash(name)); err != nil {
			return err
		}
	}
	if u.root == nil {
		return nil
	}
	var folders []string
	for name, i := range u.found {
		if i.mode.IsDir() {
			folders = append(folders, name)
		}
	}
	slices.Sort(folders)
	slices.Reverse(folders) // what is below comes first
	for _, name := range append(folders, ".") {
		if err := u.root.Chmod(filepath.FromSlash(name), 0o555); err != nil {
			return err
		}
	}
	return nil
}

// metered ends an archive out of which too much comes.
type metered struct {
	u  *unpacker
	in io.Reader
}

func (m *metered) Read(p []byte) (int, error) {
	if err := m.u.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := m.in.Read(p)
	if m.u.left -= int64(n); m.u.left < 0 {
		return 0, errors.New("more comes out of it than a tool has: it is a bomb, or not a tool")
	}
	return n, err
}
