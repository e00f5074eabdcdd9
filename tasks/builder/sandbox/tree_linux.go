package sandbox

import (
	"bytes"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// process is what /proc says about one.
type process struct {
	pid, parent int
	session     int
	zombie      bool
	cpu         time.Duration // its own, and that of its children that it has waited for
	rss         int64         // bytes
}

// tick is the unit of times in /proc: the kernel shows 1/100 s on all machines that Go runs on.
const tick = 10 * time.Millisecond

var pageSize = int64(os.Getpagesize())

// readProcess reads one. A process that has ended in the meantime is none.
func readProcess(pid int) (process, bool) {
	var buf [1024]byte
	fd, err := unix.Open("/proc/"+strconv.Itoa(pid)+"/stat", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return process{}, false
	}
	n, err := unix.Read(fd, buf[:])
	_ = unix.Close(fd)
	if err != nil || n <= 0 {
		return process{}, false
	}
	return parseStat(pid, buf[:n])
}

// parseStat reads the fields behind the name, which may have spaces and brackets in it.
func parseStat(pid int, line []byte) (process, bool) {
	end := bytes.LastIndexByte(line, ')')
	if end < 0 {
		return process{}, false
	}
	f := strings.Fields(string(line[end+1:]))
	if len(f) < 22 {
		return process{}, false
	}
	number := func(i int) int64 {
		n, _ := strconv.ParseInt(f[i], 10, 64)
		return n
	}
	p := process{pid: pid, parent: int(number(1)), session: int(number(3)), zombie: f[0] == "Z" || f[0] == "X"}
	p.cpu = time.Duration(number(11)+number(12)+number(13)+number(14)) * tick
	p.rss = number(21) * pageSize
	return p, true
}

// pids lists all processes that /proc shows.
func pids() []int {
	d, err := os.Open("/proc")
	if err != nil {
		return nil
	}
	defer func() { _ = d.Close() }()
	var out []int
	names, _ := d.Readdirnames(-1)
	for _, name := range names {
		if pid, err := strconv.Atoi(name); err == nil {
			out = append(out, pid)
		}
	}
	return out
}

// processes are the command's. In a namespace they are all that there are; without one, all that descend from the supervisor, though
// not many more than may be there: who counts a bomb to its end is too late.
func (s *supervisor) processes() []process {
	var ours []process
	find := pids
	if !s.spec.Namespace {
		find = func() []int { return s.descendants(func(int) {}, s.enough()) }
	}
	for _, pid := range find() {
		if pid == s.self {
			continue
		}
		if p, ok := readProcess(pid); ok {
			ours = append(ours, p)
		}
	}
	return ours
}

// enough is how many processes say for sure that there are too many, zombies among them.
func (s *supervisor) enough() int {
	if most := s.spec.Limits.Processes; most > 0 {
		return 2*most + 32
	}
	return math.MaxInt
}

// descendants finds the supervisor's children, theirs, and so on, up to a number, and calls found with each before it looks for its
// children: who is stopped there has no new ones any more.
func (s *supervisor) descendants(found func(pid int), most int) []int {
	children := childrenOf
	if _, err := os.Stat("/proc/thread-self/children"); err != nil { // a kernel that does not keep these lists
		all := map[int][]int{}
		for _, pid := range pids() {
			if p, ok := readProcess(pid); ok {
				all[p.parent] = append(all[p.parent], pid)
			}
		}
		children = func(pid int) []int { return all[pid] }
	}
	var ours []int
	seen := map[int]bool{}
	for queue := []int{s.self}; len(queue) > 0 && len(ours) < most; queue = queue[1:] {
		for _, pid := range children(queue[0]) {
			if !seen[pid] {
				seen[pid] = true
				found(pid)
				ours, queue = append(ours, pid), append(queue, pid)
			}
		}
	}
	return ours
}

// childrenOf reads the lists of children of all threads of a process.
func childrenOf(pid int) []int {
	dir := "/proc/" + strconv.Itoa(pid) + "/task/"
	d, err := os.Open(dir)
	if err != nil {
		return nil
	}
	defer func() { _ = d.Close() }()
	threads, _ := d.Readdirnames(-1)
	var out []int
	for _, thread := range threads {
		b, _ := os.ReadFile(dir + thread + "/children")
		for f := range strings.FieldsSeq(string(b)) {
			if child, err := strconv.Atoi(f); err == nil {
				out = append(out, child)
			}
		}
	}
	return out
}

// signal sends a signal to all processes of the command.
func (s *supervisor) signal(sig unix.Signal) {
	if s.spec.Namespace {
		_ = unix.Kill(-1, sig) // all that the supervisor can see, without itself
		return
	}
	for _, p := range s.processes() {
		_ = unix.Kill(p.pid, sig)
	}
}

// kill ends all processes that are there, and returns how many there were beside the command itself. It is called until the last has
// ended. They are stopped first: what is stopped starts nothing while the others are found and counted. In a namespace that is one call
// of the kernel; without one parents are stopped before children are looked for, until no new ones appear.
func (s *supervisor) kill() (others int) {
	if s.spec.Namespace {
		_ = unix.Kill(-1, unix.SIGSTOP)
		others = s.others(pids())
		_ = unix.Kill(-1, unix.SIGKILL)
		return others
	}
	const rounds = 50
	stopped := map[int]bool{}
	for range rounds {
		before := len(stopped)
		s.descendants(func(pid int) {
			if !stopped[pid] {
				stopped[pid] = true
				_ = unix.Kill(pid, unix.SIGSTOP)
			}
		}, math.MaxInt)
		if len(stopped) == before {
			break
		}
	}
	others = s.others(slices.Collect(maps.Keys(stopped)))
	for pid := range stopped {
		_ = unix.Kill(pid, unix.SIGKILL)
	}
	return others
}

// others counts those who live and are neither the command itself nor we.
func (s *supervisor) others(all []int) (n int) {
	for _, pid := range all {
		if p, ok := readProcess(pid); ok && !p.zombie && pid != s.main && pid != s.self {
			n++
		}
	}
	return n
}

// proportional is the memory of processes in bytes with what they share counted once. It takes long (milliseconds for a large
// process), and is asked when a sum of resident sizes is over a limit.
func proportional(ps []process) int64 {
	var sum int64
	for _, p := range ps {
		own := p.rss // where it cannot be read
		if b, err := os.ReadFile("/proc/" + strconv.Itoa(p.pid) + "/smaps_rollup"); err == nil {
			if _, rest, ok := bytes.Cut(b, []byte("\nPss:")); ok {
				if f := bytes.Fields(rest); len(f) > 0 {
					if kib, err := strconv.ParseInt(string(f[0]), 10, 64); err == nil {
						own = kib << 10
					}
				}
			}
		}
		sum += own
	}
	return sum
}

// deletedBytes is what processes hold open of files that have no name any more, below a folder.
func deletedBytes(ps []process, root string) int64 {
	type inode struct{ dev, ino uint64 }
	seen := map[inode]bool{}
	var sum int64
	for _, p := range ps {
		dir := "/proc/" + strconv.Itoa(p.pid) + "/fd"
		d, err := os.Open(dir)
		if err != nil {
			continue
		}
		names, _ := d.Readdirnames(-1)
		_ = d.Close()
		for _, name := range names {
			fd := filepath.Join(dir, name)
			target, err := os.Readlink(fd)
			if err != nil || !strings.HasSuffix(target, " (deleted)") || !strings.HasPrefix(target, root+"/") {
				continue
			}
			var st unix.Stat_t
			if unix.Stat(fd, &st) == nil && st.Mode&unix.S_IFMT == unix.S_IFREG && !seen[inode{st.Dev, st.Ino}] {
				seen[inode{st.Dev, st.Ino}] = true
				sum += st.Blocks * 512
			}
		}
	}
	return sum
}
