package fault

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// MoveClock sets the wall clock of a process so far ahead of the machine's, or behind it; 0 sets it right again. Its monotonic clock
// goes on as it was, as with a machine whose clock somebody sets. It takes effect before MoveClock returns.
//
// Programs read the clock through code that the kernel maps into each process (vdso(7)). That code is private to the process once it is
// written to, which is what debuggers do, and what Chaos Mesh's time faults do: here its entries become a few instructions that ask the
// kernel and add the offset. The process is stopped while they are written, and none of its threads may be within them.
func MoveClock(pid int, by time.Duration) error {
	seconds := int64(by / time.Second)
	if seconds < math.MinInt32 || seconds > math.MaxInt32 {
		return fmt.Errorf("move the clock of process %d by %v: more than 68 years", pid, by)
	}
	p, err := os.FindProcess(pid)
	if err != nil {
		return fmt.Errorf("move the clock of process %d: %w", pid, err)
	}
	defer func() { _ = p.Release() }() // it is not waited for here
	for range 200 {
		done, err := moveStopped(p, int32(seconds))
		if err != nil {
			return fmt.Errorf("move the clock of process %d: %w", pid, err)
		}
		if done {
			return nil
		}
	}
	return fmt.Errorf("move the clock of process %d: one of its threads is always reading it", pid)
}

// moveStopped stops a process, writes, and lets it go on; false is that a thread was within what is to be written.
func moveStopped(p *os.Process, seconds int32) (done bool, err error) {
	dir := filepath.Join("/proc", strconv.Itoa(p.Pid))
	if err := p.Signal(syscall.SIGSTOP); err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, p.Signal(syscall.SIGCONT)) }()
	if err := awaitStopped(dir); err != nil {
		return false, err
	}
	from, to, err := vdso(dir)
	if err != nil {
		return false, err
	}
	if within, err := threadWithin(dir, from, to); err != nil || within {
		return false, err
	}
	mem, err := os.OpenFile(filepath.Join(dir, "mem"), os.O_RDWR, 0)
	if err != nil {
		return false, errors.Join(ErrUnsupported, err)
	}
	defer mem.Close()
	return true, writeClock(mem, from, to, seconds)
}

// awaitStopped waits until all threads of a process have stopped.
func awaitStopped(dir string) error {
	for limit := time.Now().Add(5 * time.Second); time.Now().Before(limit); {
		tasks, err := filepath.Glob(dir + "/task/*/stat")
		if err != nil || len(tasks) == 0 {
			return errors.Join(errors.New("it has ended"), err)
		}
		running := false
		for _, t := range tasks {
			stat, err := os.ReadFile(t)
			if err != nil {
				continue // a thread that has ended
			}
			_, rest, _ := strings.Cut(string(stat), ") ")
			running = running || !strings.HasPrefix(rest, "T") && !strings.HasPrefix(rest, "t")
		}
		if !running {
			return nil
		}
	}
	return errors.New("it does not stop")
}

// vdso finds the kernel's code in a process.
func vdso(dir string) (from, to int64, err error) {
	maps, err := os.ReadFile(filepath.Join(dir, "maps"))
	if err != nil {
		return 0, 0, err
	}
	for line := range strings.Lines(string(maps)) {
		if strings.HasSuffix(line, "[vdso]\n") {
			_, err := fmt.Sscanf(line, "%x-%x", &from, &to)
			return from, to, err
		}
	}
	return 0, 0, fmt.Errorf("%w: it has no vdso", ErrUnsupported)
}

// threadWithin reports whether a stopped thread would go on within an area of memory.
func threadWithin(dir string, from, to int64) (bool, error) {
	tasks, err := filepath.Glob(dir + "/task/*/syscall")
	if err != nil {
		return false, err
	}
	for _, t := range tasks {
		text, err := os.ReadFile(t)
		if err != nil {
			continue // a thread that has ended
		}
		fields := strings.Fields(string(text)) // the last is where it goes on
		if len(fields) < 3 {
			continue
		}
		at, err := strconv.ParseInt(fields[len(fields)-1], 0, 64)
		if err == nil && at >= from && at < to {
			return true, nil
		}
	}
	return false, nil
}

// writeClock replaces the entries that give the wall clock.
func writeClock(mem *os.File, from, to int64, seconds int32) error {
	image := make([]byte, to-from)
	if _, err := mem.ReadAt(image, from); err != nil {
		return err
	}
	file, err := elf.NewFile(bytes.NewReader(image))
	if err != nil {
		return fmt.Errorf("read the vdso: %w", err)
	}
	symbols, err := file.DynamicSymbols()
	if err != nil {
		return fmt.Errorf("read the vdso: %w", err)
	}
	base := uint64(0)
	for _, p := range file.Progs {
		if p.Type == elf.PT_LOAD {
			base = p.Vaddr
			break
		}
	}
	by := binary.LittleEndian.AppendUint32(nil, uint32(seconds))
	codes := map[string][]byte{
		// clock_gettime(edi, rsi): the kernel's answer, and seconds more where the clock is REALTIME (0) or REALTIME_COARSE (5).
		//   mov eax,228; syscall; test edi,edi; je add; cmp edi,5; jne end; add: add qword [rsi],by; end: ret
		"__vdso_clock_gettime": append(append([]byte{0xb8, 228, 0, 0, 0, 0x0f, 0x05, 0x85, 0xff, 0x74, 0x05, 0x83, 0xff, 0x05, 0x75, 0x07, 0x48, 0x81, 0x06}, by...), 0xc3),
		// gettimeofday(rdi, rsi): mov eax,96; syscall; test rdi,rdi; je end; add qword [rdi],by; end: ret
		"__vdso_gettimeofday": append(append([]byte{0xb8, 96, 0, 0, 0, 0x0f, 0x05, 0x48, 0x85, 0xff, 0x74, 0x07, 0x48, 0x81, 0x07}, by...), 0xc3),
		// time(rdi): mov eax,201; syscall; add rax,by; test rdi,rdi; je end; mov [rdi],rax; end: ret
		"__vdso_time": append(append([]byte{0xb8, 201, 0, 0, 0, 0x0f, 0x05, 0x48, 0x05}, by...), 0x48, 0x85, 0xff, 0x74, 0x03, 0x48, 0x89, 0x07, 0xc3),
	}
	written := 0
	for _, s := range symbols {
		code := codes[s.Name]
		if code == nil {
			continue
		}
		if s.Size < uint64(len(code)) {
			return fmt.Errorf("%w: %s has %d bytes", ErrUnsupported, s.Name, s.Size)
		}
		if _, err := mem.WriteAt(code, from+int64(s.Value-base)); err != nil {
			return errors.Join(ErrUnsupported, err)
		}
		written++
	}
	if written != len(codes) {
		return fmt.Errorf("%w: the vdso has %d of %d entries", ErrUnsupported, written, len(codes))
	}
	return nil
}
