package elastic

import (
	"net"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/stint-run/stint/tasks"
)

// Address says where servers are, and how they know us. It prints without its secrets.
type Address struct {
	// Hosts are base URLs without credentials; the first that answers is used.
	Hosts []string
	// User and Password, APIKey (the encoded form) or Token (a bearer's) go with each request; at most one of them.
	User, Password, APIKey, Token string
	// CA are certificates in PEM that the servers' are checked against; "" means those of the system.
	CA string
	// Insecure checks no certificate.
	Insecure bool
	// Timeout is how long one request may take; 0 is 60 s.
	Timeout time.Duration
}

// Schemes are those of the URLs that ParseURL reads, besides http and https.
var Schemes = []string{"elasticsearch", "opensearch"}

const urlForm = "write elasticsearch://USER:PASSWORD@HOST:9200,HOST2:9200/PREFIX?tls=true, opensearch://... or https://HOST"

// ParseURL reads elasticsearch://, opensearch://, http:// or https://, credentials, hosts separated by commas (port 9200 unless http or
// https says otherwise) and a path before all requests. Parameters are tls=true, insecure=true, ca=FILE, api_key, token and timeout.
// Its errors have hints and repeat nothing of the URL that could be secret.
func ParseURL(s string) (Address, error) {
	scheme, rest, found := strings.Cut(s, "://")
	scheme = strings.ToLower(scheme)
	web := scheme == "http" || scheme == "https"
	if !found || !web && !slices.Contains(Schemes, scheme) {
		return Address{}, tasks.WithHint(nil, urlForm, "no search server is known by this URL")
	}
	// Several hosts are none to net/url, so that the first stands for all.
	end := strings.IndexAny(rest, "/?#")
	if end < 0 {
		end = len(rest)
	}
	authority, tail := rest[:end], rest[end:]
	at := strings.LastIndex(authority, "@")
	hosts := strings.Split(authority[at+1:], ",")
	u, err := url.Parse(scheme + "://" + authority[:at+1] + hosts[0] + tail)
	if err != nil || u.Fragment != "" {
		return Address{}, tasks.WithHint(nil, urlForm, "the URL of the search server cannot be read")
	}
	a := Address{User: u.User.Username()}
	a.Password, _ = u.User.Password()
	tls := scheme == "https"
	query := u.Query()
	for name := range query {
		value := query.Get(name)
		switch name {
		case "tls":
			tls = value == "true"
			err = boolean(name, value)
		case "insecure":
			a.Insecure = value == "true"
			err = boolean(name, value)
		case "ca":
			content, problem := os.ReadFile(value)
			if problem != nil {
				return Address{}, tasks.WithHint(problem, "name a file in PEM form", "the certificates of the search server cannot be read")
			}
			a.CA = string(content)
		case "api_key":
			a.APIKey = value
		case "token":
			a.Token = value
		case "timeout":
			if a.Timeout, err = time.ParseDuration(value); err != nil || a.Timeout <= 0 {
				return Address{}, tasks.WithHint(nil, "write timeout=30s", "the timeout of the search server is no duration above 0")
			}
		default:
			return Address{}, tasks.WithHint(nil, "there are tls, insecure, ca, api_key, token and timeout", "the URL of a search server has no parameter %q", name)
		}
		if err != nil {
			return Address{}, err
		}
	}
	if n := count(a.User != "", a.APIKey != "", a.Token != ""); n > 1 {
		return Address{}, tasks.WithHint(nil, "leave one of them away", "the URL of the search server has more than one of user, api_key and token")
	}
	protocol := "http"
	if tls {
		protocol = "https"
	}
	for _, host := range hosts {
		h, port, err := net.SplitHostPort(host)
		if err != nil {
			h, port = strings.Trim(host, "[]"), ""
		}
		if h == "" {
			return Address{}, tasks.WithHint(nil, urlForm, "the URL of the search server names no host")
		}
		if port == "" && !web {
			port = "9200"
		}
		switch {
		case port != "":
			h = net.JoinHostPort(h, port)
		case strings.Contains(h, ":"):
			h = "[" + h + "]"
		}
		base := protocol + "://" + h + strings.TrimRight(u.EscapedPath(), "/")
		if _, err := url.Parse(base); err != nil {
			return Address{}, tasks.WithHint(nil, urlForm, "a host of the search server is no name")
		}
		a.Hosts = append(a.Hosts, base)
	}
	return a, nil
}

func boolean(name, value string) error {
	if value != "true" && value != "false" {
		return tasks.WithHint(nil, "write "+name+"=true", "%s of the search server is neither true nor false", name)
	}
	return nil
}

func count(is ...bool) (n int) {
	for _, b := range is {
		if b {
			n++
		}
	}
	return n
}

// String returns the hosts, without credentials.
func (a Address) String() string { return strings.Join(a.Hosts, ",") }

// GoString returns String: the verb %#v must not give a password away.
func (a Address) GoString() string { return "elastic.Address(" + a.String() + ")" }
