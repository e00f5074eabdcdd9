package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/stint-run/stint/client"
	"github.com/stint-run/stint/client/wire"
	"github.com/stint-run/stint/cmd/internal/app"
	"github.com/stint-run/stint/internal/store"
	"github.com/stint-run/stint/tasks"
)

// Exit codes. They are a contract with scripts.
const (
	exitDone        = 0
	exitFailed      = 1   // the work failed, or differs
	exitUsage       = 2   // bad usage, config, plan or rule
	exitNotFound    = 3   //
	exitConflict    = 4   //
	exitUnreachable = 5   // a server or database cannot be reached
	exitTimeout     = 6   // time ran out while waiting
	exitInterrupted = 130 // by a signal
)

var (
	errInterrupted = errors.New("interrupted")
	errTimeout     = errors.New("time ran out")
	// errReported: the work failed, and what there is to say has been said.
	errReported = errors.New("failed")
)

// usageError is a mistake in what was typed or configured.
type usageError struct{ err error }

func (e *usageError) Error() string { return e.err.Error() }
func (e *usageError) Unwrap() error { return e.err }

// usage marks an error as the user's to mend.
func usage(err error) error {
	if err == nil {
		return nil
	}
	return &usageError{err}
}

// unreachable marks an error as the other side's.
func unreachable(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%w%w", err, silent{app.ErrUnreachable})
}

// silent carries an error for errors.Is without a text of its own.
type silent struct{ err error }

func (silent) Error() string   { return "" }
func (s silent) Unwrap() error { return s.err }

// exitCode says how a command ended.
func exitCode(err error) int {
	var u *usageError
	var p *wire.Problem
	var away *client.Unreachable
	switch {
	case err == nil:
		return exitDone
	case errors.Is(err, errInterrupted):
		return exitInterrupted
	case errors.As(err, &u):
		return exitUsage
	case errors.As(err, &p):
		return problemCode(p)
	case errors.As(err, &away):
		return exitUnreachable
	case errors.Is(err, store.ErrNotFound):
		return exitNotFound
	case errors.Is(err, store.ErrConflict):
		return exitConflict
	case errors.Is(err, app.ErrUnreachable):
		return exitUnreachable
	case errors.Is(err, errTimeout), errors.Is(err, context.DeadlineExceeded):
		return exitTimeout
	}
	return exitFailed
}

// problemCode is the exit code for what a server says is wrong.
func problemCode(p *wire.Problem) int {
	switch p.Code {
	case wire.CodeNotFound:
		return exitNotFound
	case wire.CodeConflict, wire.CodeChanged:
		return exitConflict
	case wire.CodeUnreachable:
		return exitUnreachable
	case wire.CodeInternal:
		return exitFailed
	}
	if p.Status >= 500 {
		return exitUnreachable
	}
	return exitUsage
}

// hintOf is what to do about an error.
func hintOf(err error) string {
	var p *wire.Problem
	var away *client.Unreachable
	switch {
	case tasks.HintOf(err) != "":
		return tasks.HintOf(err)
	case errors.As(err, &p) && p.Hint != "":
		return p.Hint
	case errors.As(err, &away):
		return "is it running, and is --server (or STINT_SERVER) right?"
	case exitCode(err) == exitNotFound:
		return "stint jobs lists those that there are"
	}
	return ""
}

// complain writes an error for a person, or, with json output, as an object.
func complain(w io.Writer, err error, asJSON bool) {
	if err == nil || errors.Is(err, errReported) {
		return
	}
	hint := hintOf(err)
	if asJSON {
		_ = json.NewEncoder(w).Encode(map[string]any{"error": map[string]any{"message": err.Error(), "hint": hint, "exit_code": exitCode(err)}})
		return
	}
	fmt.Fprintf(w, "stint: %s\n", plain(err.Error()))
	if hint != "" {
		fmt.Fprintf(w, "hint: %s\n", plain(hint))
	}
}
