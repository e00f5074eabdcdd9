package git

import (
	"context"
	"os"
	"runtime"
)

// passedToBare are the variables that matter on the way to a server. None of them names a configuration.
var passedToBare = []string{"PATH", "TMPDIR", "SSL_CERT_FILE", "SSL_CERT_DIR", "GIT_SSL_CAINFO", "GIT_SSL_CAPATH", "SSH_AUTH_SOCK", "GIT_SSH_COMMAND",
	"HTTPS_PROXY", "https_proxy", "http_proxy", "ALL_PROXY", "all_proxy", "NO_PROXY", "no_proxy"}

var passedToBareOnWindows = []string{"SYSTEMROOT", "USERPROFILE", "PROGRAMDATA", "TEMP", "TMP", "PATHEXT", "COMSPEC"}

// own are settings of a repository that belongs to this program, beside those that are safe. A pack that is there is there whole,
// whatever its size: small fetches, too, come as a pack (unpackLimit), and what is on the disk survives a power cut (fsync).
var own = []Setting{{"fetch.unpackLimit", "1"}, {"transfer.unpackLimit", "1"}, {"core.fsync", "all"}, {"gc.auto", "0"}, {"maintenance.auto", "false"},
	{"fetch.recurseSubmodules", "false"}, {"push.recurseSubmodules", "no"}, {"push.followTags", "false"}, {"push.gpgSign", "false"}, {"tag.gpgSign", "false"},
	{"credential.helper", ""}, {"core.askPass", ""}, {"core.gitProxy", ""}, {"advice.detachedHead", "false"}, {"protocol.version", "2"},
	{"http.followRedirects", "false"}, {"http.lowSpeedLimit", "1000"}, {"http.lowSpeedTime", "60"}, {"http.emptyAuth", "false"},
	{"core.bigFileThreshold", "64m"}, {"core.deltaBaseCacheLimit", "64m"}, {"pack.threads", "2"}, {"pack.windowMemory", "128m"}}

// Bare prepares git for a bare repository that belongs to this program; it may not be there yet. No configuration of a person or of
// the machine counts, and home, a folder with nothing in it, is what programs take for the user's: no .netrc is read. Git may talk to
// nobody until Talk says how.
func Bare(ctx context.Context, dir, home string, lookup func(string) (string, bool)) (*Git, error) {
	names := passedToBare
	if runtime.GOOS == "windows" {
		names = append(names[:len(names):len(names)], passedToBareOnWindows...)
	}
	g, err := find(home, lookup, names)
	if err != nil {
		return nil, err
	}
	g = g.With("HOME="+home, "GIT_CONFIG_GLOBAL="+os.DevNull, "GIT_CONFIG_NOSYSTEM=1").Set(safe...).Set(own...)
	if certificates, ok := lookup("SSL_CERT_FILE"); ok {
		if _, said := lookup("GIT_SSL_CAINFO"); !said {
			g = g.With("GIT_SSL_CAINFO=" + certificates) // git's own library may not look at the other one
		}
	}
	if err := g.obeys(ctx); err != nil {
		return nil, err
	}
	return g.At(dir), nil
}

// At is the same git for another bare repository.
func (g *Git) At(dir string) *Git {
	return g.With("GIT_DIR=" + dir)
}

// Talk lets git talk over one protocol: https, http, ssh or file.
func (g *Git) Talk(protocol string) *Git {
	out := g.With("GIT_ALLOW_PROTOCOL=" + protocol)
	if protocol == "ssh" {
		// Asks nobody, and takes no server for the right one because it answers.
		out = out.Set(Setting{"core.sshCommand", "ssh -oBatchMode=yes -oStrictHostKeyChecking=yes -oConnectTimeout=30 -oServerAliveInterval=15"})
	}
	return out
}

// Holding keeps a file open in git's processes, where the system can do that: a lock on it lasts until the last of them has ended.
func (g *Git) Holding(f *os.File) *Git {
	out := *g
	out.held = f
	return &out
}
