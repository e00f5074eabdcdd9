package sqldb

import (
	"net"
	"net/url"
	"slices"
	"strings"

	"github.com/stint-run/stint/tasks"
)

// metricsScheme is that of a Prometheus, or of what answers as it does.
const metricsScheme = "prometheus"

// parseMetrics reads prometheus://USER:PASSWORD@HOST:PORT/PREFIX?tls=true. Its errors never repeat the URL.
func parseMetrics(s string) (Location, error) {
	const form = "write prometheus://HOST:9090/PREFIX, with ?tls=true where it is reached by https"
	u, err := url.Parse(s)
	switch {
	case err != nil:
		return Location{}, tasks.WithHint(nil, "characters like / ? # @ % in a user name or password must be percent-encoded (/ is %2F, @ is %40); "+form,
			"the Prometheus URL cannot be read")
	case u.Opaque != "" || u.Hostname() == "":
		return Location{}, tasks.WithHint(nil, form, "the Prometheus URL names no host")
	case u.Fragment != "":
		return Location{}, tasks.WithHint(nil, form, "the Prometheus URL has a #")
	}
	for name := range u.Query() {
		if name != "tls" {
			return Location{}, tasks.WithHint(nil, form, "the Prometheus URL has a parameter %q, which is not known", name)
		}
	}
	scheme, port := "http", "9090"
	switch mode := u.Query().Get("tls"); mode {
	case "", "false":
	case "true", "skip-verify":
		scheme, port = "https", "443"
	default:
		return Location{}, tasks.WithHint(nil, "write tls=false, true or skip-verify", "the Prometheus URL says tls=%s", mode)
	}
	if u.Port() != "" {
		port = u.Port()
	}
	base := url.URL{Scheme: scheme, User: u.User, Host: net.JoinHostPort(u.Hostname(), port), Path: strings.TrimRight(u.Path, "/")}
	return Location{Dialect: Metrics, scheme: metricsScheme, dsn: base.String(), params: u.Query(), redacted: redactURL(u),
		identity: "metrics\n" + strings.ToLower(base.Host) + base.Path}, nil
}

// Metrics returns the address of a Prometheus, http:// or https:// with user and password, and whether any certificate of its will do;
// "" for everything else.
func (l Location) Metrics() (base string, insecure bool) {
	if l.Dialect != Metrics {
		return "", false
	}
	return l.dsn, l.params.Get("tls") == "skip-verify"
}

// searchSchemes are those of search servers. What else their URLs say is read by who asks them.
var searchSchemes = []string{"elasticsearch", "opensearch"}

// parseSearch reads elasticsearch://USER:PASSWORD@HOST:9200,HOST2:9200/PREFIX?... as far as a place is told from others by it.
func parseSearch(scheme, s string) (Location, error) {
	const form = "write elasticsearch://HOST:9200 or opensearch://HOST:9200"
	rest, ok := strings.CutPrefix(s, scheme+"://")
	end := strings.IndexAny(rest, "/?#")
	if end < 0 {
		end = len(rest)
	}
	// Several hosts are none to net/url: the first stands for all.
	at := strings.LastIndexByte(rest[:end], '@')
	hosts := strings.Split(strings.ToLower(rest[at+1:end]), ",")
	u, err := url.Parse(scheme + "://" + rest[:at+1] + hosts[0] + rest[end:])
	switch {
	case err != nil:
		return Location{}, tasks.WithHint(nil, form, "the URL of the search server cannot be read")
	case !ok || slices.Contains(hosts, ""):
		return Location{}, tasks.WithHint(nil, form, "the URL of the search server names no host")
	}
	shown := scheme + "://"
	if u.User.Username() != "" {
		shown += url.User(u.User.Username()).String() + "@"
	}
	shown += strings.Join(hosts, ",") + u.EscapedPath()
	slices.Sort(hosts)
	return Location{Dialect: Search, scheme: scheme, dsn: s, redacted: shown, identity: "search\n" + strings.Join(hosts, ",") + strings.TrimRight(u.Path, "/")}, nil
}
