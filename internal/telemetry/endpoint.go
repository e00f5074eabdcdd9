package telemetry

import (
	"net"
	"net/netip"
	"net/url"
	"strings"

	"github.com/stint-run/stint/tasks"
)

// The protocols of OTLP that a collector may be spoken to by.
const (
	ProtocolGRPC = "grpc"
	ProtocolHTTP = "http"
)

// The ports that collectors have by convention.
const (
	portGRPC = "4317"
	portHTTP = "4318"
)

// endpoint is a collector, understood: the scheme is http or https, the port is there.
type endpoint struct {
	url      url.URL
	protocol string
}

// signal returns where one kind of data goes: by HTTP each has a path of its own below the collector's.
func (e endpoint) signal(name string) string {
	u := e.url
	if e.protocol == ProtocolHTTP {
		u.Path = strings.TrimRight(u.Path, "/") + "/v1/" + name
	}
	return u.String()
}

const endpointHint = "write http://HOST:4317, https://HOST or, for a collector on this machine, localhost:4317"

func parseEndpoint(text, protocol string) (endpoint, error) {
	bad := func(hint, why string) (endpoint, error) {
		// The text itself may hold a password, so it is not repeated.
		return endpoint{}, tasks.WithHint(nil, hint, "the telemetry endpoint %s", why)
	}
	bare := !strings.Contains(text, "://")
	if bare {
		text = "//" + text
	}
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Hostname() == "":
		return bad(endpointHint, "names no host")
	case u.User != nil:
		return bad("give credentials as headers", "holds a user name or password")
	case u.RawQuery != "" || u.Fragment != "":
		return bad(endpointHint, "has a query or fragment")
	case !bare && u.Scheme != "http" && u.Scheme != "https":
		return bad(endpointHint, "has the scheme "+u.Scheme)
	}
	if protocol == "" {
		protocol = ProtocolGRPC
		if u.Port() == portHTTP {
			protocol = ProtocolHTTP
		}
	}
	if protocol != ProtocolGRPC && protocol != ProtocolHTTP {
		return endpoint{}, tasks.WithHint(nil, "write grpc or http", "the telemetry protocol %q is not known", protocol)
	}
	if protocol == ProtocolGRPC && strings.Trim(u.Path, "/") != "" {
		return bad("leave the path away, or set the protocol to http", "has a path, which gRPC has no use for")
	}
	if bare {
		u.Scheme = "https"
		if isLoopback(u.Hostname()) {
			u.Scheme = "http"
		}
	}
	if u.Port() == "" {
		u.Host = net.JoinHostPort(u.Hostname(), defaultPort(u.Scheme, protocol, bare))
	}
	return endpoint{*u, protocol}, nil
}

// defaultPort is that of a collector, but for a URL with https://, as hosted ones give it.
func defaultPort(scheme, protocol string, bare bool) string {
	switch {
	case scheme == "https" && !bare:
		return "443"
	case protocol == ProtocolHTTP:
		return portHTTP
	}
	return portGRPC
}

func isLoopback(host string) bool {
	addr, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && addr.Unmap().IsLoopback()
}
