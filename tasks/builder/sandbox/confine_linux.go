package sandbox

import (
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// ownProc shows the namespace's processes in /proc, in place of the machine's. What the command sees is then what there is for it, and
// the agent's environment is nowhere.
func ownProc() error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return err
	}
	return unix.Mount("proc", "/proc", "proc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, "")
}

// keptCapabilities are those that root keeps in a command: what tools for packages need, and nothing by which the machine, its devices
// or other processes can be reached. They are Docker's, without those for the network and devices.
var keptCapabilities = map[uintptr]bool{
	unix.CAP_CHOWN: true, unix.CAP_DAC_OVERRIDE: true, unix.CAP_FOWNER: true, unix.CAP_FSETID: true, unix.CAP_KILL: true,
	unix.CAP_SETGID: true, unix.CAP_SETUID: true, unix.CAP_SETFCAP: true, unix.CAP_NET_BIND_SERVICE: true, unix.CAP_SYS_CHROOT: true,
}

// unlikely is how much sooner than others the kernel kills the command when the machine runs out of memory, of 1000.
const unlikely = "500"

// confine takes from this thread what the command must not have, and returns what gives this process back what it needs, once the
// command's has started. What we need ourselves is taken from the whole process for a moment, as a soft limit, and the hard one from the
// command as soon as it is there. Errors are not: each of these is
// one net of several, and some systems refuse some.
func confine(s spec, largest int64) (restore func(pid int, started bool)) {
	unix.Umask(0o022)
	inheritNothing()
	for c := range uintptr(64) {
		if !keptCapabilities[c] && unix.Prctl(unix.PR_CAPBSET_DROP, c, 0, 0, 0) == unix.EINVAL {
			break // the last that this kernel knows
		}
	}
	_ = unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
	score, _ := os.ReadFile("/proc/self/oom_score_adj")
	_ = os.WriteFile("/proc/self/oom_score_adj", []byte(unlikely), 0o600)

	before := map[int]syscall.Rlimit{}
	limits := resourceLimits(s.Limits, largest)
	for which, value := range limits {
		var old syscall.Rlimit
		if syscall.Getrlimit(which, &old) == nil {
			before[which] = old
			limits[which] = min(value, old.Max)
			if which == unix.RLIMIT_CORE || which == unix.RLIMIT_FSIZE { // we write no files: these may stay
				old.Cur, old.Max = limits[which], limits[which]
				before[which] = old
			}
			_ = syscall.Setrlimit(which, &syscall.Rlimit{Cur: limits[which], Max: old.Max})
		}
	}
	return func(pid int, started bool) {
		for which, old := range before {
			_ = syscall.Setrlimit(which, &old)
			if started {
				hard := limits[which]
				if which == unix.RLIMIT_CPU {
					hard++ // a second to be told apart by its signal
				}
				_ = unix.Prlimit(pid, which, &unix.Rlimit{Cur: limits[which], Max: min(hard, old.Max)}, nil)
			}
		}
		_ = os.WriteFile("/proc/self/oom_score_adj", score, 0o600)
	}
}

// inheritNothing takes the capabilities that this thread would hand on whatever the bounding set says.
func inheritNothing() {
	_ = unix.Prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0)
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var sets [2]unix.CapUserData // one each for the lower and the upper 32
	if unix.Capget(&header, &sets[0]) == nil {
		sets[0].Inheritable, sets[1].Inheritable = 0, 0
		_ = unix.Capset(&header, &sets[0])
	}
}

// slack is how much a file may be larger than the disk limit: so that its growth shows why the command has failed.
const slack = 64 << 10

// resourceLimits are the kernel's own limits, each for one process. RLIMIT_AS is not among them: it counts addresses, of which Go, Java
// and sanitizers take terabytes. Nor is RLIMIT_NPROC: it counts all processes of a user on the machine, and never root's.
func resourceLimits(l Limits, largest int64) map[int]uint64 {
	out := map[int]uint64{unix.RLIMIT_CORE: 0}
	if l.CPU > 0 {
		out[unix.RLIMIT_CPU] = uint64((l.CPU+time.Second-1)/time.Second) + 1
	}
	if l.Disk > 0 {
		out[unix.RLIMIT_FSIZE] = uint64(largest + l.Disk + slack)
	}
	if l.Files > 0 {
		out[unix.RLIMIT_NOFILE] = uint64(l.Files)
	}
	return out
}
