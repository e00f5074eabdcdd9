package localredis

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"github.com/redis/go-redis/v9"

	"github.com/stint-run/stint/internal/filelock"
	"github.com/stint-run/stint/internal/localredis/redisproc"
	"github.com/stint-run/stint/tasks"
)

// record is redis.json: where the server of a data folder is reached. It stays when the server ends, so that the next
// one can serve at the same address; whether one runs is told by the lock and by a PING.
type record struct {
	PID      int    `json:"pid"`     // of the owner
	Network  string `json:"network"` // "unix" or "tcp"
	Addr     string `json:"addr"`
	Password string `json:"password"` // "" means none
	Mode     Mode   `json:"mode"`     // External or InProcess
	Notice   string `json:"notice,omitempty"`
}

func recordPath(dir string) string { return filepath.Join(dir, "redis.json") }

func readRecord(dir string) (record, error) {
	var r record
	b, err := os.ReadFile(recordPath(dir))
	if err != nil {
		return r, err
	}
	if err := json.Unmarshal(b, &r); err != nil {
		return record{}, fmt.Errorf("read %s: %w", recordPath(dir), err)
	}
	return r, nil
}

// write replaces redis.json as a whole: who reads it sees the old one or the new one.
func (r record) write(dir string) error {
	b, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	return replaceFile(recordPath(dir), append(b, '\n'))
}

// options returns how to reach the server.
func (r record) options() *redis.Options {
	return &redis.Options{Network: r.Network, Addr: r.Addr, Password: r.Password}
}

// ping returns nil when the server answers with its data loaded.
func (r record) ping(ctx context.Context) error {
	if r.Addr == "" {
		return ErrNotRunning
	}
	return redisproc.Ping(ctx, r.Network, r.Addr, r.Password)
}

// shutdown asks a redis-server whose owner is dead to end. That nobody listens is no error: it has ended then.
func (r record) shutdown(ctx context.Context) {
	if r.Addr == "" || r.Mode != External {
		return
	}
	_ = redisproc.Shutdown(ctx, r.Network, r.Addr, r.Password)
}

// newPassword returns 128 random bits.
func newPassword() string { return rand.Text() }

// lockOwner takes owner.lock and writes our process id into it. It returns nil without an error when another process
// has it.
func lockOwner(dir string) (*os.File, error) {
	f, err := os.OpenFile(lockPath(dir), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, tasks.WithHint(err, "choose another folder with --data", "open the lock of the data folder %s", dir)
	}
	locked, err := filelock.Try(f)
	if !locked {
		f.Close()
		if err != nil {
			err = tasks.WithHint(err, "choose a folder on a local disk with --data", "lock the data folder %s", dir)
		}
		return nil, err
	}
	if err = f.Truncate(0); err == nil {
		_, err = f.WriteAt([]byte(strconv.Itoa(os.Getpid())), 0)
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("write the lock of the data folder: %w", err)
	}
	return f, nil
}

func lockPath(dir string) string { return filepath.Join(dir, "owner.lock") }

// lockedBy returns the process id in owner.lock, 0 when there is none.
func lockedBy(dir string) int {
	b, err := os.ReadFile(lockPath(dir))
	if err != nil {
		return 0
	}
	pid, _ := strconv.Atoi(string(bytes.TrimSpace(b))) // not a number means the same as none
	return pid
}

func inUse(dir string) error {
	return tasks.WithHint(ErrInUse, "stop that process, join it by using the same --data, or choose another folder with --data",
		"data folder %s in use by process %d", dir, lockedBy(dir))
}

// replaceFile writes a file, readable by this user only, so that a crash leaves the old one or the new one, whole.
func replaceFile(path string, content []byte) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*.tmp")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(f.Name()))
		}
	}()
	if _, err = f.Write(content); err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}
