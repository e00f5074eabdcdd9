// Package allowed says which addresses an agent may fetch from: a list of patterns, and reading of addresses so strict that none can
// seem to be another one.
//
// A pattern is an address with * for anything within one part of the path and ** for any number of parts:
//
//	https://git.example.com/products/*      the repositories of one folder
//	ssh://git@git.example.com/**            everything on a server, by this user
//	file:///srv/git/*.git                   folders of this machine
//
// Scheme, user, host and port are exact. Each scheme has its own patterns: one for https allows nothing over http.
package allowed

import (
	"net"
	"net/netip"
	"net/url"
	"path"
	"regexp"
	"strings"

	"github.com/stint-run/stint/tasks"
)

// maxURL is the longest address that is read, in bytes.
const maxURL = 2048

// List is a list of patterns. The zero value allows nothing.
type List struct{ patterns []Address }

// Address is an address that was read by Parse: what two servers, or one server and git, could understand differently is not in it.
type Address struct {
	Scheme string // https, http, ssh or file
	User   string // ssh's alone
	Host   string // in small letters; "" for file
	Port   string // "" is the scheme's own
	Path   string // as it was written, with a slash first and none last
}

// Patterns reads a list. An error names the pattern that cannot be read.
func Patterns(list []string) (List, error) {
	var out List
	for _, text := range list {
		a, err := read(text, true)
		if err != nil {
			return List{}, tasks.WithHint(err, "a pattern is an address with * and ** in its path: https://git.example.com/products/*", "the pattern %q of what is allowed cannot be read", text)
		}
		out.patterns = append(out.patterns, a)
	}
	return out, nil
}

// Empty reports whether there is no pattern.
func (l List) Empty() bool { return len(l.patterns) == 0 }

// Allows reports whether an address fits a pattern of the list.
func (l List) Allows(a Address) bool {
	for _, p := range l.patterns {
		if p.Scheme == a.Scheme && p.User == a.User && p.Host == a.Host && p.Port == a.Port && fits(strings.Split(p.Path, "/"), strings.Split(a.Path, "/")) {
			return true
		}
	}
	return false
}

// fits compares the parts of two paths.
func fits(pattern, parts []string) bool {
	for len(pattern) > 0 {
		if pattern[0] == "**" {
			for i := range parts { // ** is one part at least
				if fits(pattern[1:], parts[i+1:]) {
					return true
				}
			}
			return false
		}
		if len(parts) == 0 {
			return false
		}
		if ok, err := path.Match(pattern[0], parts[0]); !ok || err != nil {
			return false
		}
		pattern, parts = pattern[1:], parts[1:]
	}
	return len(parts) == 0
}

var (
	host   = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*$`)
	user   = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9._-]*$`)
	port   = regexp.MustCompile(`^[1-9][0-9]{0,4}$`)
	scp    = regexp.MustCompile(`^(?:[A-Za-z0-9._-]+@)?[A-Za-z0-9.-]+:[^:]`)
	scheme = regexp.MustCompile(`^[a-z]+://`)
	ports  = map[string]string{"https": "443", "http": "80", "ssh": "22"}
)

// Parse reads an address: https, http, ssh or file. Refused are all others, names and passwords for anything but ssh, parts of a path
// that lead upwards, needless percent signs, queries and fragments.
func Parse(text string) (Address, error) { return read(text, false) }

func read(text string, pattern bool) (Address, error) {
	if err := plain(text); err != nil {
		return Address{}, err
	}
	u, err := url.Parse(text)
	if err != nil {
		return Address{}, refuse("write it as https://host/path", "%s cannot be read", Shown(text))
	}
	a := Address{Scheme: u.Scheme, Host: strings.ToLower(u.Hostname()), Port: u.Port(), Path: strings.TrimSuffix(u.EscapedPath(), "/")}
	switch a.Scheme {
	case "https", "http", "ssh":
		if err := a.server(u, text); err != nil {
			return Address{}, err
		}
	case "file":
		if u.Host != "" || u.User != nil {
			return Address{}, refuse("a folder of this machine is file:///folder, with three slashes", "%s names a host", Shown(text))
		}
	default:
		return Address{}, refuse("use https, ssh or file", "%s is of a kind that is never allowed", Shown(text))
	}
	if u.RawQuery != "" || u.ForceQuery || u.Fragment != "" || strings.Contains(text, "#") {
		return Address{}, refuse("leave out what begins with ? or #", "%s has more than a path", Shown(text))
	}
	return a, steps(a.Path, pattern, text)
}

// plain refuses what is no address at all. Nothing of it is an option of a program, or one of git's own kinds (ext::command).
func plain(text string) error {
	if len(text) > maxURL {
		return refuse("use a shorter one", "the address has %d bytes, and %d are the most", len(text), maxURL)
	}
	for _, r := range text {
		if r <= ' ' || r == 0x7f || r == '\\' || r > 0x7e {
			return refuse("write other characters of a path as %XX", "the address %q has a character that none has", Shown(text))
		}
	}
	switch {
	case text == "":
		return refuse("give one, as https://host/path", "there is no address")
	case scheme.MatchString(text):
		return nil
	case scp.MatchString(text):
		return refuse("write it as ssh://user@host/path", "%s is ssh's short form", Shown(text))
	}
	return refuse("write it as https://host/path, or file:///folder for a folder of this machine", "%s is no address with a scheme", Shown(text))
}

// server checks user, host and port.
func (a *Address) server(u *url.URL, text string) error {
	if u.User != nil {
		_, password := u.User.Password()
		a.User = u.User.Username()
		if password || a.Scheme != "ssh" {
			return refuse("leave it out, and give name and password in the agents' configuration: an address is kept, and shown", "%s has a name or a password in it", Shown(text))
		}
		if !user.MatchString(a.User) {
			return refuse("a user is letters, digits and . _ -", "%s has a user that none is", Shown(text))
		}
	}
	if ip, err := netip.ParseAddr(a.Host); err == nil && ip.Zone() == "" {
		a.Host = ip.String()
	} else if !host.MatchString(a.Host) {
		return refuse("a host is letters, digits, dots and dashes, with no dot last", "%s has a host that none is", Shown(text))
	}
	if strings.HasSuffix(u.Host, ":") || a.Port != "" && !port.MatchString(a.Port) {
		return refuse("a port is a number from 1", "%s has a port that none is", Shown(text))
	}
	if a.Port == ports[a.Scheme] {
		a.Port = ""
	}
	return nil
}

// steps checks the parts of a path.
func steps(p string, pattern bool, text string) error {
	if p == "" {
		return refuse("name what is on the server, too", "%s has no path", Shown(text))
	}
	for part := range strings.SplitSeq(p[1:], "/") {
		switch {
		case part == "", part == ".", part == "..":
			return refuse("write the path without //, /./ and /../", "%s has a path that leads elsewhere", Shown(text))
		case pattern && part != "**" && strings.Contains(part, "**"):
			return refuse("** stands alone between two slashes", "%s has a ** beside something else", Shown(text))
		case !pattern && strings.ContainsAny(part, "*?[]"):
			return refuse("name one", "%s is a pattern", Shown(text))
		case pattern && strings.ContainsAny(part, "?[]"):
			return refuse("only * and ** stand for something else", "%s has a character of other patterns", Shown(text))
		}
		for i := 0; i < len(part); i++ {
			if part[i] != '%' {
				continue
			}
			// url.Parse has seen to the two digits. What need not be written so, and what would be a step, is a trick.
			c, _ := url.PathUnescape(part[i : i+3])
			if c <= " " && c != " " || strings.Contains("/\\.%*?[]~-_", c) || c[0]|0x20 >= 'a' && c[0]|0x20 <= 'z' || c[0] >= '0' && c[0] <= '9' || c == "\x7f" {
				return refuse("write the character itself", "%s hides a character of its path", Shown(text))
			}
		}
	}
	return nil
}

func refuse(hint, format string, args ...any) error {
	return tasks.Permanent(tasks.WithHint(nil, hint, format, args...))
}

// String is the address as programs get it, always written in the same way.
func (a Address) String() string {
	if a.Scheme == "file" {
		return "file://" + a.Path
	}
	out := a.Scheme + "://"
	if a.User != "" {
		out += a.User + "@"
	}
	h := a.Host
	if strings.Contains(h, ":") {
		h = "[" + h + "]"
	}
	if a.Port != "" {
		h = h + ":" + a.Port
	}
	return out + h + a.Path
}

// Loopback reports whether the address is on this machine, by the network.
func (a Address) Loopback() bool {
	ip := net.ParseIP(a.Host)
	return a.Host == "localhost" || ip != nil && ip.IsLoopback()
}

var between = regexp.MustCompile(`//[^/?#]*@`)

// Shown is an address as it may be shown: without a name or a password, without what is behind ? or #, and not longer than a line.
func Shown(text string) string {
	text = between.ReplaceAllString(text, "//***@")
	for _, mark := range []string{"?", "#"} {
		if head, _, more := strings.Cut(text, mark); more {
			text = head + mark + "***"
		}
	}
	if len(text) > 200 {
		text = text[:200] + "…"
	}
	return text
}
