// Package cli is the command line: one file for each command. The outside world enters through Env alone.
package cli

import (
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"golang.org/x/term"

	"github.com/stint-run/stint/config"
)

// Env is the world as a command sees it.
type Env struct {
	Args   []string // without the program's name
	Stdin  io.Reader
	Stdout io.Writer  // data
	Stderr io.Writer  // progress and messages
	Vars   config.Env // the process environment
	Now    func() time.Time
	// Signals yields the process' termination signals. Commands hear them by interruptible and signals.
	Signals <-chan os.Signal
	// Terminal says whether Stderr is one, so that progress may be drawn.
	Terminal bool
	// Self is the program itself, for commands that start more processes.
	Self string
}

// System is the real world.
func System() Env {
	sig := make(chan os.Signal, 4)
	signal.Notify(sig, os.Interrupt, syscall.SIGTERM)
	self, err := os.Executable()
	if err != nil {
		self = os.Args[0]
	}
	return Env{Args: os.Args[1:], Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr, Vars: config.OSEnv(), Now: time.Now,
		Signals: sig, Terminal: term.IsTerminal(int(os.Stderr.Fd())), Self: self}
}
