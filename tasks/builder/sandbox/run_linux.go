package sandbox

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/stint-run/stint/tasks"
)

// level is how well the kernel keeps a command's processes together.
type level int32

const (
	bare           level = iota // a subreaper that looks for descendants
	userNamespace               // a PID namespace within a user namespace, for those who are not root
	rootNamespace               // a PID namespace that root may make
	unknown                     // nobody has tried yet
	supervisorName = "stint-sandbox"
)

// possible is the best level that has not failed yet in this process.
var possible atomic.Int32

func init() { possible.Store(int32(unknown)) }

func best() level {
	l := level(possible.Load())
	if l == unknown {
		l = userNamespace
		if os.Geteuid() == 0 {
			l = rootNamespace
		}
	}
	return l
}

// errLevel is that the kernel does not allow a level.
var errLevel = errors.New("no such namespaces here")

func run(ctx context.Context, s spec, c Command) (Result, error) {
	l := best()
	for {
		r, err := runAt(ctx, l, s, c)
		if l == bare || !errors.Is(err, errLevel) || errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.ENOMEM) {
			return r, err // also where the machine is short of something for the moment: that says nothing about its kernel
		}
		l--
		possible.Store(int32(l))
	}
}

// What the supervisor's descriptors are, beside the usual three.
const (
	controlFD = 3 + iota
	reportFD
	stdoutFD
	stderrFD
)

// orders that the agent gives over the control pipe. Its end is the third: the agent is gone.
const (
	orderCancel  = 'c'
	orderTimeout = 't'
)

// report is what a supervisor says at its end.
type report struct {
	Result Result
	// Failed is what it could not do, and Errno the reason where the kernel gave one.
	Failed string        `json:",omitempty"`
	Errno  syscall.Errno `json:",omitempty"`
	// Level: the namespace is none that a command could be run in. Start: it is the command that could not be started.
	Level, Start bool `json:",omitempty"`
	// Session is that of the command, in a report before the last: who dies cannot say any more whom it leaves.
	Session int `json:",omitempty"`
}

// readReports returns the last report, if it is there, and the session of the command.
func readReports(b []byte) (last report, session int, whole bool) {
	for d := json.NewDecoder(bytes.NewReader(b)); ; {
		var r report
		if d.Decode(&r) != nil {
			return last, session, whole
		}
		if r.Session > 0 {
			session = r.Session
		} else {
			last, whole = r, true
		}
	}
}

// killSession ends what a supervisor that was killed has left without a namespace, as far as it can still be told whose it was: by the
// session that the command began.
func killSession(session int) {
	const rounds = 50
	for range rounds {
		found := false
		for _, pid := range pids() {
			if p, ok := readProcess(pid); ok && p.session == session && !p.zombie {
				found = true
				_ = unix.Kill(pid, unix.SIGKILL)
			}
		}
		if !found {
			return
		}
	}
}

func (r report) error() error {
	switch {
	case r.Failed == "":
		return nil
	case r.Errno != 0:
		return fmt.Errorf("%s: %w", r.Failed, r.Errno)
	}
	return errors.New(r.Failed)
}

// stuck is how much longer than it was told a supervisor may take. A process that the kernel does not let go of can make it so.
const stuck = 20 * time.Second

// runAt runs a command at one level. The thread is kept: a supervisor in a namespace dies with the thread that started it.
func runAt(ctx context.Context, l level, s spec, c Command) (Result, error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	failed := Result{ExitCode: -1, Cause: Start}
	if !canSupervise {
		return failed, errMain
	}
	s.Namespace = l != bare
	p := &plumbing{}
	defer p.close()
	cmd, err := p.connect(c, l)
	if err != nil {
		return failed, fmt.Errorf("start the supervisor of %s: %w", s.Path, err)
	}
	var last head
	cmd.Stderr, cmd.WaitDelay = &last, time.Second
	if err := cmd.Start(); err != nil {
		if l != bare {
			err = errors.Join(errLevel, err)
		}
		return failed, tasks.WithHint(err, "is there a limit on processes or memory for this user?", "the supervisor of %s could not be started", s.Path)
	}
	p.closeTheirs()
	exited := make(chan error, 1)
	go func() { exited <- cmd.Wait() }()
	if err := p.tell(s); err != nil {
		_ = cmd.Process.Kill()
		return failed, errors.Join(fmt.Errorf("tell the supervisor of %s what to run: %w: %s", s.Path, err, last.text()), <-exited)
	}
	if err := p.await(ctx, s, cmd.Process, exited); err != nil {
		return failed, tasks.WithHint(err, "the disk or the network file system may hang; the machine may need a restart", "%s was killed and does not end", s.Path)
	}
	rep, session, whole := readReports(p.report.end())
	if !whole && session > 0 {
		killSession(session)
	}
	printed := outputs(p.out.end(), p.err.end())
	if !whole {
		died := errors.New(cmd.ProcessState.String())
		return Result{ExitCode: -1}, tasks.WithHint(errors.Join(died, last.error(), printed), "has somebody killed it, or was there no memory left?", "the supervisor of %s died before it", s.Path)
	}
	err = rep.error()
	switch {
	case rep.Level:
		return failed, errors.Join(errLevel, err)
	case rep.Start:
		return rep.Result, failedStart(err, s)
	}
	return rep.Result, errors.Join(err, printed)
}

// attributes are how the supervisor of a level is started.
func attributes(l level) *syscall.SysProcAttr {
	const flags = unix.CLONE_NEWPID | unix.CLONE_NEWNS | unix.CLONE_NEWIPC
	a := &syscall.SysProcAttr{Setsid: true}
	switch l {
	case rootNamespace:
		a.Cloneflags, a.Pdeathsig = flags, syscall.SIGKILL
	case userNamespace:
		a.Cloneflags, a.Pdeathsig = flags|unix.CLONE_NEWUSER, syscall.SIGKILL
		uid, gid := os.Geteuid(), os.Getegid()
		a.UidMappings = []syscall.SysProcIDMap{{ContainerID: uid, HostID: uid, Size: 1}}
		a.GidMappings = []syscall.SysProcIDMap{{ContainerID: gid, HostID: gid, Size: 1}}
		a.AmbientCaps = []uintptr{unix.CAP_SYS_ADMIN, unix.CAP_SETPCAP} // to mount, and to take away; the command gets none
	}
	// Without a namespace its death by a signal would leave the others alone in the world: it ends by its pipe.
	return a
}

// plumbing are the pipes between an agent and a supervisor.
type plumbing struct {
	control  *os.File
	report   *collector
	out, err *pump
	theirs   []*os.File
	ours     []*os.File
}

func (p *plumbing) connect(c Command, l level) (*exec.Cmd, error) {
	controlR, controlW, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	p.control, p.theirs, p.ours = controlW, append(p.theirs, controlR), append(p.ours, controlW)
	reportR, reportW, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	p.theirs, p.ours = append(p.theirs, reportW), append(p.ours, reportR)
	for i, w := range []io.Writer{c.Stdout, c.Stderr} {
		to := []**pump{&p.out, &p.err}[i]
		if w == nil {
			null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
			if err != nil {
				return nil, err
			}
			p.theirs = append(p.theirs, null)
			continue
		}
		r, w2, err := os.Pipe()
		if err != nil {
			return nil, err
		}
		p.theirs, p.ours = append(p.theirs, w2), append(p.ours, r)
		*to = startPump(r, w)
	}
	p.report = &collector{}
	p.report.pump = startPump(reportR, &p.report.text)
	// The program is named by what the kernel knows of it: a deployment may have put another into its place.
	return &exec.Cmd{Path: "/proc/self/exe", Args: []string{supervisorName}, Env: []string{}, Dir: "/", ExtraFiles: p.theirs, SysProcAttr: attributes(l)}, nil
}

func (p *plumbing) closeTheirs() {
	for _, f := range p.theirs {
		_ = f.Close()
	}
	p.theirs = nil
}

func (p *plumbing) close() {
	p.closeTheirs()
	for _, f := range p.ours {
		_ = f.Close()
	}
}

// tell sends the spec: its length, and its JSON.
func (p *plumbing) tell(s spec) error {
	b, err := json.Marshal(s)
	if err != nil {
		return err
	}
	_, err = p.control.Write(append(binary.BigEndian.AppendUint64(nil, uint64(len(b))), b...))
	return err
}

// await waits for the supervisor's end, and hands on the context's. One that takes far too long is killed, and an error when even
// that does not end it.
func (p *plumbing) await(ctx context.Context, s spec, supervisor *os.Process, exited chan error) error {
	var late <-chan time.Time
	if s.Timeout > 0 {
		late = time.After(s.Timeout + s.Grace + stuck)
	}
	done := ctx.Done()
	killed := false
	for {
		select {
		case <-exited:
			return nil
		case <-done:
			order := byte(orderCancel)
			if ended(ctx) == Timeout {
				order = orderTimeout
			}
			_, _ = p.control.Write([]byte{order}) // it may have ended in this moment
			done, late = nil, time.After(s.Grace+stuck)
		case <-late:
			if killed {
				return errors.New("a process could not be killed")
			}
			killed = true
			_ = p.control.Close()
			_ = supervisor.Kill()
			late = time.After(stuck)
		}
	}
}

// collector is a pump into memory.
type collector struct {
	pump *pump
	text bytes.Buffer
}

func (c *collector) end() []byte {
	_ = c.pump.end()
	return c.text.Bytes()
}

// head keeps the beginning of what a supervisor prints: nothing, unless it crashes, and then the reason.
type head struct{ b []byte }

// Write implements io.Writer.
func (h *head) Write(p []byte) (int, error) {
	const keep = 4 << 10
	h.b = append(h.b, p[:min(len(p), keep-len(h.b))]...)
	return len(p), nil
}

func (h *head) text() string { return string(bytes.TrimSpace(h.b)) }

func (h *head) error() error {
	if len(h.b) == 0 {
		return nil
	}
	return errors.New(h.text())
}

// HideEnvironment keeps other processes of the same user from reading this one's environment and memory, and the kernel from writing
// it to a core file. Commands cannot see this process where they run in a namespace of their own; it is for the machines where they
// do not (Support), because without root no namespace can be made after it.
func HideEnvironment() error {
	return unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0)
}
