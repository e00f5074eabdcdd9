package sandbox

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// canSupervise: this program knows how to be a supervisor, because it calls Main.
var canSupervise bool

// Main plays the part of the supervisor when this process was started as one, and never returns then; it must be the first call of
// main() and of TestMain. In all other processes it does nothing.
func Main() {
	canSupervise = true
	if len(os.Args) != 1 || os.Args[0] != supervisorName {
		return
	}
	runtime.LockOSThread() // what a thread gives up, its children never had; and who starts the command must not end before it
	closeOnExec()
	// A signal without a handler would end us; one that is ignored would stay so in the command.
	signal.Notify(make(chan os.Signal, 1))
	s := &supervisor{control: os.NewFile(controlFD, "control"), out: json.NewEncoder(os.NewFile(reportFD, "report")), self: os.Getpid()}
	if s.out.Encode(s.supervise()) != nil {
		os.Exit(1)
	}
	os.Exit(0)
}

// closeOnExec keeps all that is open from the command: our pipes, and what whoever started the agent has left open in it.
func closeOnExec() {
	if unix.CloseRange(controlFD, ^uint(0)>>1, unix.CLOSE_RANGE_CLOEXEC) == nil {
		return
	}
	names, _ := os.ReadDir("/proc/self/fd") // kernels before 5.11
	for _, name := range names {
		if fd, err := strconv.Atoi(name.Name()); err == nil && fd >= controlFD {
			syscall.CloseOnExec(fd)
		}
	}
}

// supervisor has one command in its care.
type supervisor struct {
	control *os.File
	out     *json.Encoder
	spec    spec
	self    int // its own process id, in its namespace

	orders chan byte // closed when the agent is gone
	over   chan Cause
	reaped chan death
	main   int
	began  time.Time

	result   Result
	ending   bool             // all have been told to end
	killing  bool             // there is no more waiting
	mainDied bool             //
	grace    <-chan time.Time // when waiting ends
	since    time.Time        // of killing
}

// death is a child that has been waited for.
type death struct {
	pid    int
	status unix.WaitStatus
}

func (s *supervisor) supervise() report {
	if err := s.listen(); err != nil {
		return report{Failed: "read what to run: " + err.Error()}
	}
	if s.spec.Namespace {
		if err := ownProc(); err != nil {
			return s.failed(report{Level: true}, "have a /proc for the namespace", err)
		}
	}
	if s.spec.Probe {
		return report{}
	}
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return s.failed(report{}, "become a subreaper", err)
	}
	s.over = make(chan Cause, 1)
	var folder *folder
	if s.spec.Limits.Disk > 0 {
		var err error
		if folder, err = openFolder(s.spec.Root); err != nil {
			return s.failed(report{}, "measure the folder "+s.spec.Root, err)
		}
	}
	if rep, ok := s.start(folder); !ok {
		return rep
	}
	if folder != nil {
		go s.watchDisk(folder)
	}
	rep := s.watch()
	rep.Result.CPU = childrenCPU()
	if c := rep.Result.Cause; folder != nil && c == "" && folder.grown(nil) > s.spec.Limits.Disk {
		rep.Result.Cause = Disk // it was faster than we looked
	}
	return rep
}

func (s *supervisor) failed(r report, what string, err error) report {
	r.Result = Result{ExitCode: -1, Cause: Start}
	var errno syscall.Errno
	if r.Failed = what; errors.As(err, &errno) {
		r.Errno = errno
	} else {
		r.Failed += ": " + err.Error()
	}
	return r
}

// listen reads the spec, and from then on orders.
func (s *supervisor) listen() error {
	var size [8]byte
	if _, err := io.ReadFull(s.control, size[:]); err != nil {
		return err
	}
	b := make([]byte, binary.BigEndian.Uint64(size[:]))
	if _, err := io.ReadFull(s.control, b); err != nil {
		return err
	}
	if err := json.Unmarshal(b, &s.spec); err != nil {
		return err
	}
	s.orders = make(chan byte)
	go func() {
		defer close(s.orders)
		for {
			var order [1]byte
			if _, err := io.ReadFull(s.control, order[:]); err != nil {
				return
			}
			s.orders <- order[0]
		}
	}()
	return nil
}

// nicer is by how much the command's processes stand back, when processors are short: for the agent, and for us.
const nicer = 5

// start starts the command, with all that it must not have taken away. What a process cannot take back is taken from this thread
// only, and inherited by what it starts.
func (s *supervisor) start(f *folder) (report, bool) {
	args, files, err := s.files()
	if err != nil {
		return s.failed(report{}, "hand over the script", err), false
	}
	largest := int64(0)
	if f != nil {
		largest = f.largest
	}
	restore := confine(s.spec, largest)
	attr := &syscall.ProcAttr{Dir: s.spec.Dir, Env: s.spec.Env, Files: files, Sys: &syscall.SysProcAttr{Setsid: true}}
	if !s.spec.Namespace {
		attr.Sys.Pdeathsig = syscall.SIGKILL // one net more, for the one process that it holds
	}
	s.began = time.Now()
	s.main, err = forkExec(s.spec.Path, args, attr)
	restore(s.main, err == nil)
	if err == nil { // however many they are, who watches them has its turn
		_ = unix.Setpriority(unix.PRIO_PROCESS, s.main, nicer)
		_ = unix.Setpriority(unix.PRIO_PROCESS, 0, -nicer) // root only
		if !s.spec.Namespace {
			_ = s.out.Encode(report{Session: s.main})
		}
	}
	for _, fd := range files {
		_ = syscall.Close(int(fd))
	}
	if err != nil {
		return s.failed(report{Start: true}, "start it", err), false
	}
	s.reaped = make(chan death)
	go s.reap()
	return report{}, true
}

// forkExec tries again while a program is open for writing: whoever wrote it has closed it, but may have forked in that moment, and
// the child, on its way to another program, holds it for some microseconds more.
func forkExec(path string, args []string, attr *syscall.ProcAttr) (pid int, err error) {
	for pause := time.Millisecond; pause < time.Second; pause *= 2 {
		if pid, err = syscall.ForkExec(path, args, attr); !errors.Is(err, syscall.ETXTBSY) {
			break
		}
		time.Sleep(pause)
	}
	return pid, err
}

// files are the descriptors of the command, and its arguments with the path of its script.
func (s *supervisor) files() ([]string, []uintptr, error) {
	stdin := -1
	var err error
	if s.spec.Stdin == "" {
		stdin, err = unix.Open(os.DevNull, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	} else {
		stdin, err = memoryFile(s.spec.Stdin)
	}
	if err != nil {
		return nil, nil, err
	}
	args, files := s.spec.Args, []uintptr{uintptr(stdin), stdoutFD, stderrFD}
	if s.spec.Script != "" {
		fd, err := memoryFile(s.spec.Script)
		if err != nil {
			return nil, nil, err
		}
		args = append(args[:len(args):len(args)], fmt.Sprintf("/dev/fd/%d", len(files)))
		files = append(files, uintptr(fd))
	}
	return args, files, nil
}

// memoryFile is a file with a text in it that needs no place.
func memoryFile(text string) (int, error) {
	fd, err := unix.MemfdCreate("script", unix.MFD_CLOEXEC)
	if err != nil {
		return -1, err
	}
	for b := []byte(text); len(b) > 0; {
		n, err := unix.Write(fd, b)
		if err != nil {
			return -1, err
		}
		b = b[n:]
	}
	_, err = unix.Seek(fd, 0, io.SeekStart)
	return fd, err
}

// reap waits for all children: the command, and those whose parents have died. There are no processes left when it ends.
func (s *supervisor) reap() {
	defer close(s.reaped)
	for {
		var d death
		var err error
		d.pid, err = unix.Wait4(-1, &d.status, unix.WALL, nil)
		switch {
		case errors.Is(err, unix.EINTR):
		case err != nil:
			return
		case d.status.Exited() || d.status.Signaled():
			if d.pid == s.main {
				s.reaped <- d
			}
		}
	}
}

// watch brings the command to its end, by itself or by a limit, and then all that it has left.
func (s *supervisor) watch() report {
	var timeout <-chan time.Time
	if s.spec.Timeout > 0 {
		timeout = time.After(s.spec.Timeout)
	}
	orders := s.orders
	look := time.NewTimer(0)
	defer look.Stop()
	pace := 5 * time.Millisecond
	for {
		select {
		case d, ok := <-s.reaped:
			if !ok {
				return report{Result: s.result}
			}
			s.mainEnded(d)
		case <-timeout:
			s.end(Timeout)
		case order, ok := <-orders:
			switch {
			case !ok:
				orders = nil
				s.killAll(Cancelled)
			case order == orderTimeout:
				s.end(Timeout)
			default:
				s.end(Cancelled)
			}
		case cause := <-s.over:
			s.killAll(cause)
		case <-s.grace:
			s.killAll("")
		case <-look.C:
			pace = s.look(pace)
			look.Reset(pace)
		}
		if s.killing && time.Since(s.since) > stuck/2 {
			s.result.ExitCode = -1
			return report{Result: s.result, Failed: "some of its processes could not be killed"}
		}
	}
}

// mainEnded is the command's own end. What it leaves has no business any more, unless all have just been told to end.
func (s *supervisor) mainEnded(d death) {
	s.mainDied, s.result.Took = true, time.Since(s.began)
	if s.result.ExitCode = d.status.ExitStatus(); d.status.Signaled() {
		s.result.ExitCode, s.result.Signal = -1, unix.SignalName(d.status.Signal())
		switch d.status.Signal() {
		case unix.SIGXCPU:
			s.because(CPU)
		case unix.SIGXFSZ:
			s.because(Disk)
		}
	}
	if !s.ending {
		s.killAll("")
	}
}

// because keeps the first cause, while there was something to be ended.
func (s *supervisor) because(c Cause) {
	if s.result.Cause == "" {
		s.result.Cause = c
	}
}

// end asks all to end, and waits for the grace.
func (s *supervisor) end(c Cause) {
	if s.ending || s.killing {
		return
	}
	s.because(c)
	s.ending = true
	s.grace = time.After(s.spec.Grace)
	s.signal(unix.SIGTERM)
	s.signal(unix.SIGCONT) // who was stopped hears it too
}

// killAll waits no more. Who is there beside the command counts as left.
func (s *supervisor) killAll(c Cause) {
	if s.killing {
		return
	}
	if !s.mainDied {
		s.because(c)
	}
	s.killing = true
	s.result.Left = s.kill()
	s.since = time.Now()
}

// look compares all processes with the limits, kills when it is time, and says when to look again: sooner the nearer a limit is.
func (s *supervisor) look(pace time.Duration) time.Duration {
	const fast, slow = 10 * time.Millisecond, 50 * time.Millisecond
	if s.killing {
		s.kill()
		return fast / 2
	}
	began := time.Now()
	l, cpu := s.spec.Limits, childrenCPU() // before the others: who is waited for in between counts once, not twice
	var alive []process
	var memory int64
	for _, p := range s.processes() {
		if cpu += p.cpu; !p.zombie {
			alive, memory = append(alive, p), memory+p.rss
		}
	}
	if l.Memory > 0 && memory > l.Memory {
		memory = proportional(alive)
	}
	s.result.MaxMemory = max(s.result.MaxMemory, memory)
	switch {
	case l.Memory > 0 && memory > l.Memory:
		s.killAll(Memory)
	case l.Processes > 0 && len(alive) > l.Processes:
		s.killAll(Processes)
	case l.CPU > 0 && cpu > l.CPU:
		s.killAll(CPU)
	}
	pace = min(2*pace, slow)
	if l.Memory > 0 && memory > l.Memory/2 || l.Processes > 0 && len(alive) > l.Processes/2 {
		pace = fast
	}
	return max(pace, min(10*time.Since(began), 2*slow)) // a tenth of a processor, unless there are very many
}

// childrenCPU is the time of all children that have been waited for, and of theirs.
func childrenCPU() time.Duration {
	var u unix.Rusage
	if unix.Getrusage(unix.RUSAGE_CHILDREN, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
