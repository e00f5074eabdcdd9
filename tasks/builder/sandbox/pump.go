//go:build unix

package sandbox

import (
	"errors"
	"io"
	"os"
	"time"
)

// quiet is how long a pipe may be silent after the end of a command, before nobody is believed to write to it any more: somebody
// outside may have been given the other end.
const quiet = time.Second

// pump copies what a command prints. It goes on reading when its writer has failed: a full disk of logs is not the command's fault.
type pump struct {
	from *os.File
	done chan error
}

func startPump(from *os.File, to io.Writer) *pump {
	p := &pump{from: from, done: make(chan error, 1)}
	go func() { p.done <- p.copy(to) }()
	return p
}

func (p *pump) copy(to io.Writer) error {
	buf := make([]byte, 64<<10) // what a pipe holds
	var failed error
	fresh := false // nothing has come since the deadline was set
	for {
		n, err := p.from.Read(buf)
		if n > 0 && failed == nil {
			fresh = false
			_, failed = to.Write(buf[:n])
		}
		if errors.Is(err, os.ErrDeadlineExceeded) && !fresh {
			fresh = true // it may have been our writer that took so long, with more in the pipe
			err = p.from.SetReadDeadline(time.Now().Add(quiet))
		}
		if err != nil {
			return failed
		}
	}
}

// end waits until all is copied that the command has printed, and returns how the writer failed.
func (p *pump) end() error {
	if p == nil {
		return nil
	}
	_ = p.from.SetReadDeadline(time.Now().Add(quiet))
	return <-p.done
}
