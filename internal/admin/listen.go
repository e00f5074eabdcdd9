package admin

import (
	"errors"
	"net"
	"os"
	"strings"

	"github.com/stint-run/stint/tasks"
)

// DefaultAddress is where a process answers about itself when nobody says anything else and nobody else has it.
const DefaultAddress = "127.0.0.1:7801"

// What may be written instead of host:port.
const (
	Auto = "auto" // DefaultAddress or, when that is taken, a free port of loopback
	Off  = "off"  // no port
)

const specHint = "write auto, off, or HOST:PORT such as 127.0.0.1:7801"

// Listen opens the port that spec says: Auto, Off or host:port. With Off there is neither a listener nor an error. An address
// that is taken is an error with a hint.
func Listen(spec string) (net.Listener, error) {
	switch spec {
	case Off:
		return nil, nil
	case Auto:
		if l, err := net.Listen("tcp", DefaultAddress); err == nil {
			return l, nil
		}
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, tasks.WithHint(err, "write off to do without it", "open the admin port")
		}
		return l, nil
	}
	if _, _, err := net.SplitHostPort(spec); err != nil {
		return nil, tasks.WithHint(err, specHint, "the admin port %q is no address", spec)
	}
	l, err := net.Listen("tcp", spec)
	if err != nil {
		return nil, tasks.WithHint(err, "take another port; auto takes a free one", "open the admin port at %s", spec)
	}
	return l, nil
}

// Address is where others reach a listener, for those who look at the fleet: its own address, with the name of this host in
// place of "all interfaces". "" without a listener.
func Address(l net.Listener) string {
	if l == nil {
		return ""
	}
	host, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		return l.Addr().String()
	}
	if ip := net.ParseIP(host); ip != nil && ip.IsUnspecified() {
		if name, err := os.Hostname(); err == nil {
			host = name
		}
	}
	return net.JoinHostPort(host, port)
}

// ErrOff: there is no port to ask.
var ErrOff = errors.New("the admin port is off")

// URL is where a process with the same spec on the same machine, or in the same container, is reached. With Auto that is
// DefaultAddress: a second process on one machine has another port, which its log and the fleet tell.
func URL(spec string) (string, error) {
	switch spec {
	case Off:
		return "", tasks.WithHint(ErrOff, "set worker.admin to auto or HOST:PORT, or give --url", "there is nobody to ask")
	case Auto:
		return "http://" + DefaultAddress, nil
	}
	host, port, err := net.SplitHostPort(spec)
	if err != nil {
		return "", tasks.WithHint(err, specHint, "the admin port %q is no address", spec)
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
		if strings.Contains(spec, "::") {
			host = "::1"
		}
	}
	return "http://" + net.JoinHostPort(host, port), nil
}
