package doctor

import (
	"context"
	"errors"
	"io/fs"
	"net"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/stint-run/stint/config"
)

// examineTelemetry says whether traces go anywhere, and whether somebody is there to take them.
func examineTelemetry(ctx context.Context, c config.Telemetry) []Finding {
	n := &notes{subject: "telemetry"}
	if c.Endpoint.IsZero() {
		n.add(OK, "endpoint", "set telemetry.endpoint for traces", "off")
		return n.list
	}
	text := c.Endpoint.Reveal()
	if !strings.Contains(text, "://") {
		text = "http://" + text
	}
	u, err := url.Parse(text)
	if err != nil || u.Hostname() == "" {
		n.add(Problem, "endpoint", "write http://HOST:4317 or https://HOST", "telemetry.endpoint names no host")
		return n.list
	}
	port := u.Port()
	switch {
	case port != "":
	case u.Scheme == "https":
		port = "443"
	case c.Protocol == "http":
		port = "4318"
	default:
		port = "4317"
	}
	addr := net.JoinHostPort(u.Hostname(), port)
	conn, err := (&net.Dialer{Timeout: 3 * time.Second}).DialContext(ctx, "tcp", addr)
	if err != nil {
		n.add(Warning, "endpoint", "is the collector running? Work goes on without it", "nothing takes traces at %s", addr)
		return n.list
	}
	_ = conn.Close()
	n.ok("endpoint", "a collector listens at %s", addr)
	return n.list
}

// Free space of a folder.
const (
	littleSpace  = 1 << 30
	noSpaceAtAll = 100 << 20
)

// examineData looks at the data folder.
func examineData(dir string) []Finding {
	n := &notes{subject: "data folder"}
	if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		n.ok("writable", "%s is not there yet; it is made when it is needed", dir)
		return n.list
	}
	f, err := os.CreateTemp(dir, ".doctor")
	if err != nil {
		n.add(Problem, "writable", "give this user the right to write it, or choose another with --data", "%s cannot be written: %v", dir, errors.Unwrap(err))
		return n.list
	}
	_ = f.Close()
	if err := os.Remove(f.Name()); err != nil {
		n.failed("writable", err)
		return n.list
	}
	n.ok("writable", "%s", dir)
	n.space(dir, "make room, or choose another with --data")
	return n.list
}

// space says how much is free below a folder.
func (n *notes) space(dir, hint string) {
	free, known := freeSpace(dir)
	switch {
	case !known:
	case free < noSpaceAtAll:
		n.add(Problem, "space", hint, "%s free", size(free))
	case free < littleSpace:
		n.add(Warning, "space", hint, "%s free", size(free))
	default:
		n.ok("space", "%s free", size(free))
	}
}
