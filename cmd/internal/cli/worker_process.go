package cli

import (
	"os"
	"os/exec"
	"syscall"
	"time"

	"github.com/stint-run/stint/config"
)

// workerProcess is a worker process that a command has started.
type workerProcess struct {
	id     string
	cmd    *exec.Cmd
	exited chan struct{}
}

// startWorkerProcess starts this program again, as a worker. What it says goes to the end of a file.
func startWorkerProcess(self, log string, args []string, vars config.Env) (*workerProcess, error) {
	out, err := os.OpenFile(log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer out.Close()
	w := &workerProcess{cmd: exec.Command(self, append([]string{"worker"}, args...)...), exited: make(chan struct{})}
	w.cmd.Env = vars
	w.cmd.Stdout, w.cmd.Stderr = out, out
	if err := w.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		_ = w.cmd.Wait()
		close(w.exited)
	}()
	return w, nil
}

func (w *workerProcess) pid() int { return w.cmd.Process.Pid }

func (w *workerProcess) kill() {
	_ = w.cmd.Process.Kill()
	<-w.exited
}

// stop ends the process in order; one that does not end is killed.
func (w *workerProcess) stop() {
	_ = w.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-w.exited:
	case <-time.After(30 * time.Second):
		w.kill()
	}
}
