package fault

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Disk is a small file system in memory. Its zero value is of no use; NewDisk makes one.
type Disk struct {
	// Dir is where it is mounted.
	Dir string
}

// NewDisk mounts a file system of so many bytes, and takes it away with the test. It needs the rights of root.
func NewDisk(t testing.TB, bytes int64) (*Disk, error) {
	t.Helper()
	dir, err := os.MkdirTemp("", "disk")
	if err != nil {
		return nil, fmt.Errorf("make a disk: %w", err)
	}
	if err := syscall.Mount("tmpfs", dir, "tmpfs", syscall.MS_NOSUID|syscall.MS_NODEV, fmt.Sprintf("size=%d,mode=0755", bytes)); err != nil {
		return nil, fmt.Errorf("make a disk: %w", errors.Join(ErrUnsupported, err, os.Remove(dir)))
	}
	t.Cleanup(func() {
		// Detached at once, gone with the last who has it open.
		if err := errors.Join(syscall.Unmount(dir, syscall.MNT_DETACH), os.Remove(dir)); err != nil {
			t.Errorf("take the disk away: %v", err)
		}
	})
	return &Disk{Dir: dir}, nil
}

func (d *Disk) ballast() string { return filepath.Join(d.Dir, ".ballast") }

// Fill takes all of the room that is left: who writes gets ENOSPC from now on.
func (d *Disk) Fill() error {
	f, err := os.OpenFile(d.ballast(), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return fmt.Errorf("fill the disk: %w", err)
	}
	block := make([]byte, 1<<20)
	for len(block) > 0 {
		if _, err = f.Write(block); err != nil {
			block = block[:len(block)/2] // the rest may take a part of it
		}
	}
	if errors.Is(err, syscall.ENOSPC) {
		err = nil
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("fill the disk: %w", err)
	}
	return nil
}

// Free gives back what Fill took.
func (d *Disk) Free() error {
	if err := os.Remove(d.ballast()); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("free the disk: %w", err)
	}
	return nil
}

// SlowSync makes each fsync and fdatasync of processes, and of what they start, take so much longer, until the function that it returns is
// called. It needs strace, and the right to trace them.
func SlowSync(delay time.Duration, pids ...int) (undo func(), err error) {
	args := []string{"-f", "-qqq", "-o", "/dev/null", "-e", "trace=fsync,fdatasync", "-e", "inject=fsync,fdatasync:delay_enter=" + strconv.FormatInt(delay.Microseconds(), 10)}
	for _, pid := range pids {
		args = append(args, "-p", strconv.Itoa(pid))
	}
	cmd := exec.Command("strace", args...)
	var said strings.Builder
	cmd.Stderr = &said
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("slow down syncs: %w; scripts/install-test-deps.sh installs strace", err) // not a matter of the machine: no reason to skip
	}
	ended := make(chan struct{})
	go func() {
		_ = cmd.Wait() // its words say more
		close(ended)
	}()
	undo = func() {
		_ = cmd.Process.Signal(syscall.SIGINT) // it lets go of them
		<-ended
	}
	for limit := time.Now().Add(10 * time.Second); time.Now().Before(limit); {
		select {
		case <-ended:
			return nil, fmt.Errorf("slow down syncs: %w: %s", ErrUnsupported, said.String())
		default:
		}
		if traced(pids, cmd.Process.Pid) {
			return undo, nil
		}
	}
	undo()
	return nil, errors.New("slow down syncs: strace does not begin")
}

// traced reports whether all processes that still live, and one at least, are traced by one.
func traced(pids []int, by int) bool {
	found := false
	for _, pid := range pids {
		status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
		if err != nil {
			continue
		}
		if !strings.Contains(string(status), fmt.Sprintf("TracerPid:\t%d\n", by)) {
			return false
		}
		found = true
	}
	return found
}
