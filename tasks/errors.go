package tasks

import (
	"errors"
	"fmt"
	"time"
)

// What Run returns decides what happens next. worker/outcome.go is the table.
var (
	// ErrDrained: what there is has been saved; give the rest of the step back. Not a failure.
	ErrDrained = errors.New("attempt drained")
	// ErrStale: a later attempt holds the step; this one must not change anything any more. Not a failure.
	ErrStale = errors.New("a later attempt holds this step")
)

// Error is an error that a person will see: a message, what to do now, and the chain for the log.
type Error struct {
	Message string
	Hint    string // what to do now; may be empty
	Err     error  // the cause, for the log; may be nil
}

// Error returns the message, followed by the cause.
func (e *Error) Error() string {
	if e.Err == nil {
		return e.Message
	}
	return e.Message + ": " + e.Err.Error()
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// WithHint gives an error a message and a hint what to do now.
func WithHint(err error, hint, format string, args ...any) error {
	return &Error{Message: fmt.Sprintf(format, args...), Hint: hint, Err: err}
}

// HintOf returns the hint of the outermost error of a chain that has one, or "".
func HintOf(err error) string {
	for err != nil {
		var e *Error
		if !errors.As(err, &e) {
			return ""
		}
		if e.Hint != "" {
			return e.Hint
		}
		err = e.Err
	}
	return ""
}

type permanentError struct{ err error }

func (e *permanentError) Error() string { return e.err.Error() }
func (e *permanentError) Unwrap() error { return e.err }

// Permanent marks an error that no retry can help: the step fails at once. A nil error stays nil.
func Permanent(err error) error {
	if err == nil {
		return nil
	}
	return &permanentError{err}
}

// IsPermanent reports whether an error was marked by Permanent.
func IsPermanent(err error) bool {
	var p *permanentError
	return errors.As(err, &p)
}

type retryAfterError struct {
	err   error
	after time.Duration
}

func (e *retryAfterError) Error() string { return e.err.Error() }
func (e *retryAfterError) Unwrap() error { return e.err }

// RetryAfter marks an error by which the other side asks for patience (a 429, a lock that was not had): the step is ready
// again after d, and its retry budget is not spent. A nil error stays nil.
func RetryAfter(err error, d time.Duration) error {
	if err == nil {
		return nil
	}
	return &retryAfterError{err, d}
}

// RetryAfterOf returns how long the other side asked to wait, and whether it did.
func RetryAfterOf(err error) (time.Duration, bool) {
	var r *retryAfterError
	if errors.As(err, &r) {
		return r.after, true
	}
	return 0, false
}
