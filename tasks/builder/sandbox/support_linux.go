package sandbox

import (
	"context"
	"errors"
	"os"
)

// Support says in words what this machine can enforce, strongest first, for people. It tries; nothing is left of that.
func Support() []string {
	out := []string{}
	s := spec{Path: "/", Grace: DefaultGrace, Probe: true}
	l := best()
	for ; l > bare; l-- {
		_, err := runAt(context.Background(), l, s, Command{})
		if err == nil {
			break
		}
		if errors.Is(err, errMain) {
			return []string{"nothing: " + err.Error()}
		}
		possible.Store(int32(l - 1))
	}
	switch l {
	case rootNamespace:
		out = append(out, "all processes of a command: a PID namespace; the kernel ends them with it, whatever dies")
	case userNamespace:
		out = append(out, "all processes of a command: a PID namespace within a user namespace; the kernel ends them with it, whatever dies")
	default:
		out = append(out, "all processes of a command: a subreaper finds and kills them; a daemon of a command that kills its supervisor gets away (no PID namespace is allowed here)")
	}
	if l != bare {
		out = append(out, "the agent's environment: commands do not see the agent's processes, nor any but their own")
	} else {
		out = append(out, "the agent's environment: readable in /proc by commands of the same user, unless the agent hides it")
	}
	out = append(out,
		"memory: resident sizes of all processes are added up each 10 to 50 ms; what is taken in between goes through",
		"time on processors: of all processes, each 50 ms, and by the kernel for each one",
		"processes: counted each 10 to 50 ms",
		"disk: the growth of the folder is measured each second and when the disk fills; the kernel bounds each file",
		"open files: by the kernel, for each process",
		"privileges: no program gets more of them (no setuid, no sudo); no core files")
	if os.Geteuid() == 0 {
		out = append(out, "root: commands run as root, without the capabilities that reach the machine, its devices and other processes")
	}
	return out
}
