package builder

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"github.com/stint-run/stint/internal/filelock"
	"github.com/stint-run/stint/tasks/builder/snapshot"
)

// workspace is a folder that one attempt has to itself. Its path is the same from attempt to attempt, and from agent to agent where they
// have the same Dir: some compilers write it into what they make.
//
//	work/1/lock   whoever holds it has the place; it ends with its process
//	work/1/src    the files
//	work/1/home   HOME of the commands
//	work/1/tmp    TMPDIR
type workspace struct {
	lock            *os.File
	src, home, temp string
}

const maxWorkspaces = 1000

// take finds a free place and empties it.
func take(dir string) (*workspace, error) {
	for n := 1; n <= maxWorkspaces; n++ {
		place := filepath.Join(dir, "work", strconv.Itoa(n))
		if err := os.MkdirAll(place, 0o755); err != nil {
			return nil, err
		}
		lock, err := os.OpenFile(filepath.Join(place, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
		if err != nil {
			return nil, err
		}
		mine, err := filelock.Try(lock)
		if err != nil || !mine {
			if err := errors.Join(err, lock.Close()); err != nil {
				return nil, err
			}
			continue
		}
		w := &workspace{lock: lock, src: filepath.Join(place, "src"), home: filepath.Join(place, "home"), temp: filepath.Join(place, "tmp")}
		if err := w.clear(); err != nil {
			return nil, errors.Join(fmt.Errorf("make a workspace: %w", err), lock.Close())
		}
		return w, nil
	}
	return nil, fmt.Errorf("all %d workspaces in %s are in use", maxWorkspaces, dir)
}

// clear empties the folders.
func (w *workspace) clear() error {
	if err := snapshot.Remove(w.src + ".part"); err != nil { // of a checkout that was killed
		return err
	}
	for _, dir := range []string{w.src, w.home, w.temp} {
		if err := snapshot.Remove(dir); err != nil {
			return err
		}
		if err := os.Mkdir(dir, 0o755); err != nil {
			return err
		}
	}
	return nil
}

// leave removes the files and gives the place back. What cannot be removed is, by the next one that takes the place.
func (w *workspace) leave() {
	for _, dir := range []string{w.src, w.home, w.temp} {
		_ = snapshot.Remove(dir)
	}
	_ = w.lock.Close()
}
