package pack

import (
	"archive/tar"
	"archive/zip"
	"context"
	"fmt"
	"io"

	"github.com/klauspost/compress/flate"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// zip writes an archive behind a head, which may be nil, and before a comment.
func (p *packing) zip(ctx context.Context, w io.Writer, head []byte, comment string) error {
	z, err := newZip(w, head)
	if err != nil {
		return err
	}
	for _, f := range p.files {
		if err := p.zipEntry(ctx, z, f.Name, f); err != nil {
			return err
		}
	}
	if err := z.SetComment(comment); err != nil {
		return err
	}
	return z.Close()
}

func newZip(w io.Writer, head []byte) (*zip.Writer, error) {
	if _, err := w.Write(head); err != nil {
		return nil, err
	}
	z := zip.NewWriter(w)
	z.SetOffset(int64(len(head)))
	deflate, err := flate.NewWriter(nil, flate.DefaultCompression)
	if err != nil {
		return nil, err
	}
	// One for all entries, which are written one after the other: a new one has a megabyte to clear.
	z.RegisterCompressor(zip.Deflate, func(w io.Writer) (io.WriteCloser, error) {
		deflate.Reset(w)
		return deflate, nil
	})
	return z, nil
}

// zipEntry writes an entry. Its sizes stand behind it, as they are not known before; all is deflated, as some readers believe in that
// only with what is.
func (p *packing) zipEntry(ctx context.Context, z *zip.Writer, name string, f File) error {
	h := &zip.FileHeader{Name: name, Method: zip.Deflate, Modified: p.time}
	h.SetMode(f.mode())
	w, err := z.CreateHeader(h)
	if err != nil {
		return err
	}
	if f.Link != "" {
		_, err = io.WriteString(w, f.Link)
		return err
	}
	return copyFile(ctx, w, f)
}

// tar writes an archive. What the oldest format cannot hold is written as GNU's, which every tar reads that there is, busybox' too.
func (p *packing) tar(ctx context.Context, w io.Writer) error {
	t := tar.NewWriter(w)
	for _, f := range p.files {
		h := &tar.Header{Name: f.Name, Typeflag: tar.TypeReg, Mode: int64(f.mode().Perm()), Size: f.Size, ModTime: p.time, Format: tar.FormatUSTAR}
		if f.Link != "" {
			h.Typeflag, h.Linkname, h.Size = tar.TypeSymlink, f.Link, 0
		}
		if !plainText(h.Name) || !plainText(h.Linkname) || f.Size >= 8<<30 {
			h.Format = tar.FormatGNU
		}
		if err := t.WriteHeader(h); err != nil {
			return fmt.Errorf("name %s: %w", f.Name, err)
		}
		if f.Link == "" {
			if err := copyFile(ctx, t, f); err != nil {
				return err
			}
		}
	}
	return t.Close()
}

// plainText reports whether a name fits into the field that the oldest format has for it.
func plainText(name string) bool {
	for i := range len(name) {
		if name[i] >= 0x80 {
			return false
		}
	}
	return len(name) <= 100
}

// tarGzip writes no name, no time and no operating system into the head of the gzip.
func (p *packing) tarGzip(ctx context.Context, w io.Writer) error {
	z := gzip.NewWriter(w)
	if err := p.tar(ctx, z); err != nil {
		return err
	}
	return z.Close()
}

// tarZstd uses one processor: with more of them it would be up to chance where blocks end.
func (p *packing) tarZstd(ctx context.Context, w io.Writer) error {
	z, err := zstd.NewWriter(w, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedDefault))
	if err != nil {
		return err
	}
	err = p.tar(ctx, z)
	if closed := z.Close(); err == nil {
		err = closed
	}
	return err
}
