package tools

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// item is what an archive holds under one path.
type item struct {
	mode fs.FileMode // the kind, and the permissions that it gets
	size int64       // of a file
	sum  string      // of a file its SHA-256, of a link its target
}

// holds is what an archive holds, by paths with slashes. The root is not in it.
type holds map[string]item

// seen is what was found on the disk, and equal to its archive.
type seen struct {
	want   holds
	stamps map[string]stamp
}

// same reports whether the files are those that were compared.
func (s *seen) same(dir string) bool {
	top := filepath.Join(dir, "tree")
	if !stamps {
		_, err := look(context.Background(), top, s.want)
		return err == nil
	}
	for name, before := range s.stamps {
		info, err := os.Lstat(filepath.Join(top, filepath.FromSlash(name)))
		if err != nil || stampOf(info) != before {
			return false
		}
	}
	return true
}

// look compares a tree with what should be in it, byte for byte: no file may be missing, none more, and none other.
func look(ctx context.Context, top string, want holds) (*seen, error) {
	root, err := os.OpenRoot(top)
	if err != nil {
		return nil, err
	}
	defer func() { _ = root.Close() }()
	out := &seen{want: want, stamps: map[string]stamp{}}
	left := len(want)
	err = fs.WalkDir(root.FS(), ".", func(name string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		info, err := root.Lstat(filepath.FromSlash(name))
		if err != nil {
			return err
		}
		out.stamps[name] = stampOf(info) // before it is read: a later change is seen
		if name == "." {
			return nil
		}
		left--
		is, there := want[name]
		if !there || info.Mode().Type() != is.mode.Type() || stamps && is.mode.Type() != fs.ModeSymlink && info.Mode() != is.mode {
			return fmt.Errorf("%q is not what it should be", name)
		}
		return is.equals(root, name, info)
	})
	if err == nil && left != 0 {
		err = fmt.Errorf("%d files are missing", left)
	}
	return out, err
}

// equals compares what one path has.
func (i item) equals(root *os.Root, name string, info fs.FileInfo) error {
	local, got := filepath.FromSlash(name), ""
	switch {
	case info.IsDir():
		return nil
	case info.Mode()&fs.ModeSymlink != 0:
		target, err := root.Readlink(local)
		if err != nil {
			return err
		}
		got = filepath.ToSlash(target)
	case info.Mode().IsRegular() && info.Size() == i.size:
		file, err := root.Open(local)
		if err != nil {
			return err
		}
		sum := sha256.New()
		_, err = io.Copy(sum, file)
		if err = errors.Join(err, file.Close()); err != nil {
			return err
		}
		got = hex.EncodeToString(sum.Sum(nil))
	}
	if got != i.sum {
		return fmt.Errorf("%q has other bytes than its archive", name)
	}
	return nil
}

// digestOf gives the SHA-256 of a file.
func digestOf(name string) (string, error) {
	file, err := os.Open(name)
	if err != nil {
		return "", err
	}
	sum := sha256.New()
	_, err = io.Copy(sum, file)
	return hex.EncodeToString(sum.Sum(nil)), errors.Join(err, file.Close())
}
