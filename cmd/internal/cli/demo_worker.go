package cli

import (
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"github.com/stint-run/stint/config"
)

// demoWorker is a worker process of the demo.
type demoWorker struct {
	id     string
	cmd    *exec.Cmd
	exited chan struct{}
}

// startDemoWorker starts this program again, as a worker of the demo's data folder.
func startDemoWorker(self, data, log string, vars config.Env) (*demoWorker, error) {
	out, err := os.OpenFile(log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer out.Close()
	w := &demoWorker{cmd: exec.Command(self, "worker", "--data", data, "--config", os.DevNull, "--concurrency", "2"), exited: make(chan struct{})}
	for _, v := range vars {
		if !strings.HasPrefix(v, "STINT_") { // what is configured here is not meant for the demo
			w.cmd.Env = append(w.cmd.Env, v)
		}
	}
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

func (w *demoWorker) pid() int { return w.cmd.Process.Pid }

func (w *demoWorker) kill() {
	_ = w.cmd.Process.Kill()
	<-w.exited
}

// stop ends the process in order; one that does not end is killed.
func (w *demoWorker) stop() {
	_ = w.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-w.exited:
	case <-time.After(30 * time.Second):
		w.kill()
	}
}
