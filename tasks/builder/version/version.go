// Package version says which version a build has. The rule is one function, Compute, of facts that anybody can look up: the
// static MAJOR.MINOR that stands in the repository, the counter that the server gave the build, and the branch.
//
// Tags are never asked. Each build that passes sets one, so that a version made from tags is made from what the rule said
// before: a second run on one commit, or a tag that came in with a merge, changes the answer. A number from a file and a
// number from a counter cannot.
//
// Only an agent builds releases, and only from the default branch. What is built elsewhere is a pre-release whose first
// word says why: br (another branch), pr (a pull request), tag, detached (no branch is known), local (no agent built it).
package version

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/stint-run/stint/tasks"
)

// In are the facts that a version is made of.
type In struct {
	// Base is the content of the version file: MAJOR.MINOR and at most one line break, nothing else.
	Base string
	// CI: an agent builds, known to the server by its identity. Never taken from a variable, which a build can set.
	CI bool
	// Counter is the number that the server gave this build, from 1; 0 is none. It counts only on an agent.
	Counter int64
	// Ref is what is built, in full (refs/heads/main, refs/pull/42/merge, refs/tags/v1); "" when that is not known.
	Ref string
	// Default is the short name of the branch that releases come from; "" when that is not known, and then there are none.
	Default string
	// SHA is the full name of the commit: 40 or 64 hexadecimal digits, small letters.
	SHA string
	// Height is how many commits lead to this one, itself included. It counts only in a local build.
	Height int64
	// Dirty: the files are not those of the commit.
	Dirty bool
	// Shallow: the clone has not all commits, so that Height says nothing.
	Shallow bool
	// Tags are those at the commit. They are looked at by nothing but the explanation, which says that they are not.
	Tags []string
}

// Channel is what a build is good for. Promotion goes by it, never by the highest version: SemVer puts 1.5.58-br.x, a branch's
// build, after 1.5.57, the last release.
type Channel string

// The channels.
const (
	Release Channel = "release" // from the default branch, by an agent
	Branch  Channel = "branch"  // from anything else, by an agent
	Local   Channel = "local"   // not by an agent
)

// Out is the version of a build.
type Out struct {
	Version string  `json:"version"` // SemVer 2.0.0
	File    string  `json:"file_version"`
	Channel Channel `json:"channel"`
	// Why says in sentences what led to the version, in the order in which it is put together.
	Why []string `json:"why"`
	// Numbers is File in numbers, each 0…65534, for Windows' resources and .NET's assemblies.
	Numbers [4]int `json:"-"`
}

// Code names what is wrong with facts. Codes are a contract.
type Code string

// The codes.
const (
	BaseInvalid       Code = "base_invalid"         // the version file holds no MAJOR.MINOR
	BaseOutOfRange    Code = "base_out_of_range"    // one of its numbers is above 65534
	DirtyTreeOnCI     Code = "dirty_tree_on_ci"     // an agent is to build what is in no commit
	CounterMissing    Code = "counter_missing"      // an agent has no number for the build
	CounterOutOfRange Code = "counter_out_of_range" // the number is negative, or above 65534
	SHAMissing        Code = "sha_missing"          // there is no commit
	SHAInvalid        Code = "sha_invalid"          // the commit's name is no full one
	HeightInvalid     Code = "height_invalid"       // a negative number of commits
)

// Error is why there is no version.
type Error struct {
	Code Code
	Err  error // says it in words, with a hint
}

// Error returns the words, and the code after them.
func (e *Error) Error() string { return fmt.Sprintf("%v (%s)", e.Err, e.Code) }

// Unwrap returns the words, which carry the hint.
func (e *Error) Unwrap() error { return e.Err }

func wrong(code Code, hint, format string, args ...any) error {
	return &Error{code, tasks.WithHint(nil, hint, format, args...)}
}

// maxNumber is the greatest number of a version: .NET's AssemblyVersion ends at 65534, and Windows' FILEVERSION one later.
const maxNumber = 65534

var baseForm = regexp.MustCompile(`^(0|[1-9]\d{0,4})\.(0|[1-9]\d{0,4})$`)

// Compute applies the rule. It is pure: the same facts give the same version, wherever they were looked up. Its errors are of
// type *Error.
func Compute(in In) (Out, error) {
	major, minor, err := in.base()
	if err != nil {
		return Out{}, err
	}
	base := fmt.Sprintf("%d.%d", major, minor)
	if err := in.check(); err != nil {
		return Out{}, err
	}
	commit := "g" + in.SHA[:8]
	out := Out{Why: []string{fmt.Sprintf("The version file says %s.", base)}}
	if !in.CI {
		out.local(in, base, commit)
	} else {
		out.agent(in, base, commit)
	}
	n := int64(0)
	if in.CI {
		n = in.Counter
	}
	out.Numbers = [4]int{major, minor, int(n), 0}
	out.File = fmt.Sprintf("%s.%d.0", base, n)
	if n := len(in.Tags); n > 0 {
		out.Why = append(out.Why, fmt.Sprintf("The commit has the %s %s; tags are never asked, because builds set them.", noun(n, "tag", "tags"), quoted(in.Tags)))
	}
	return out, nil
}

// base reads the version file.
func (in In) base() (major, minor int, err error) {
	text := strings.TrimSuffix(in.Base, "\n")
	if text != in.Base {
		text = strings.TrimSuffix(text, "\r")
	}
	const hint = "write MAJOR.MINOR into the version file, as 1.5: the third number is the build's and is added to it"
	m := baseForm.FindStringSubmatch(text)
	switch {
	case text == "":
		return 0, 0, wrong(BaseInvalid, hint, "the version file is empty")
	case strings.HasPrefix(text, "\ufeff"), strings.HasPrefix(text, "\xff\xfe"), strings.HasPrefix(text, "\xfe\xff"):
		return 0, 0, wrong(BaseInvalid, "save it as plain ASCII text", "the version file begins with a byte order mark")
	case m == nil:
		return 0, 0, wrong(BaseInvalid, hint, "the version file says %s", shortened(text))
	}
	major, _ = strconv.Atoi(m[1]) // at most five digits
	minor, _ = strconv.Atoi(m[2])
	if major > maxNumber || minor > maxNumber {
		return 0, 0, wrong(BaseOutOfRange, "Windows and .NET hold no greater number in a version", "the version file says %s, and %d is the greatest number", text, maxNumber)
	}
	return major, minor, nil
}

var shaForm = regexp.MustCompile(`^([0-9a-f]{40}|[0-9a-f]{64})$`)

// check finds what keeps facts from having a version, the version file left out.
func (in In) check() error {
	switch {
	case in.CI && in.Dirty:
		return wrong(DirtyTreeOnCI, "compute the version before anything is changed, and let what the build makes be ignored by git", "an agent builds commits, and the files are not those of one")
	case in.CI && in.Counter == 0:
		return wrong(CounterMissing, "the server gives each build its number; by hand: --counter N", "an agent's build needs its number, and has none")
	case in.CI && (in.Counter < 0 || in.Counter > maxNumber):
		return wrong(CounterOutOfRange, "raise MINOR in the version file: the counter starts again with it", "the build's number is %d, and has to be one of 1…%d", in.Counter, maxNumber)
	case in.SHA == "":
		return wrong(SHAMissing, "commit first", "there is no commit to build")
	case !shaForm.MatchString(in.SHA):
		return wrong(SHAInvalid, "give the full name, as git rev-parse HEAD prints it", "%s is no commit's full name", shortened(in.SHA))
	case !in.CI && !in.Shallow && in.Height < 0:
		return wrong(HeightInvalid, "count the commits that lead to this one", "%d commits cannot lead to a commit", in.Height)
	}
	return nil
}

// local is the version of what no agent built: below all that agents build from the same file.
func (o *Out) local(in In, base, commit string) {
	height := in.Height
	o.Channel = Local
	o.Why = append(o.Why, "No agent builds it: it is a local build, whose third number is 0, which no agent's build has.")
	if in.Shallow {
		height = 0
		o.Why = append(o.Why, "The clone is shallow, so that its commits cannot be counted: 0 stands for their number.")
	} else {
		o.Why = append(o.Why, fmt.Sprintf("%d %s to commit %s.", height, noun(int(min(height, 2)), "commit leads", "commits lead"), in.SHA[:8]))
	}
	o.Version = fmt.Sprintf("%s.0-local.%d.%s", base, height, commit)
	if in.Dirty {
		o.Version += ".dirty"
		o.Why = append(o.Why, "The files are not those of the commit: it is dirty.")
	}
}

// agent is the version of what an agent built: the number makes it unique, the ref says what it is good for.
func (o *Out) agent(in In, base, commit string) {
	o.Why = append(o.Why, fmt.Sprintf("An agent builds it, and its number for %s is %d.", base, in.Counter))
	release := fmt.Sprintf("%s.%d", base, in.Counter)
	kind, name := split(in.Ref)
	if kind == ofBranch && name == in.Default {
		o.Version, o.Channel = release, Release
		o.Why = append(o.Why, fmt.Sprintf("%q is the default branch: it is a release.", name))
		return
	}
	o.Channel = Branch
	pre, why := "", ""
	switch kind {
	case ofBranch:
		pre, why = "br.b-"+slug(name), fmt.Sprintf("%q is not the default branch, which is %q", name, in.Default)
		if in.Default == "" {
			why = fmt.Sprintf("Which branch is the default one is not known, so %q is not taken for it", name)
		}
	case ofPull:
		pre, why = "pr."+name, fmt.Sprintf("It is pull request %s, which nobody has merged", name)
	case ofTag:
		pre, why = "tag.t-"+slug(name), fmt.Sprintf("It is the tag %q, and a tag does not say which branch it is on", name)
	default:
		pre, why = "detached", "No branch is checked out"
		if in.Ref != "" {
			why = shortened(in.Ref) + " is no branch, no pull request and no tag"
		}
	}
	o.Version = release + "-" + pre + "." + commit
	o.Why = append(o.Why, fmt.Sprintf("%s: it is a pre-release, and %s names commit %s.", why, commit, in.SHA[:8]))
}

// The kinds of refs.
const (
	ofNothing = iota
	ofBranch
	ofPull
	ofTag
)

// pullForm: a number with leading zeros is no pull request's, and no numeric identifier of SemVer.
var pullForm = regexp.MustCompile(`^refs/pull/([1-9]\d{0,17})/.`)

// split says what a ref is, and what it is called.
func split(ref string) (kind int, name string) {
	if name, ok := strings.CutPrefix(ref, "refs/heads/"); ok && name != "" {
		return ofBranch, name
	}
	if name, ok := strings.CutPrefix(ref, "refs/tags/"); ok && name != "" {
		return ofTag, name
	}
	if m := pullForm.FindStringSubmatch(ref); m != nil {
		return ofPull, m[1]
	}
	return ofNothing, ""
}

// slugLength is what is kept of a long name. The whole version has to fit into file names and labels.
const slugLength = 20

// slug makes an identifier of a name. Names that give the same one are kept apart by the build's number; names that are cut,
// or of which nothing is left, by a piece of their digest. The prefixes b- and t- that stand before it keep a name of digits
// alone (007) from being a number with leading zeros, which SemVer forbids; g does the same for the commit.
func slug(name string) string {
	var b strings.Builder
	for _, r := range strings.ToLower(name) {
		switch {
		case 'a' <= r && r <= 'z', '0' <= r && r <= '9':
			b.WriteRune(r)
		case b.Len() > 0 && !strings.HasSuffix(b.String(), "-"):
			b.WriteByte('-')
		}
	}
	sum := sha256.Sum256([]byte(name))
	digest := hex.EncodeToString(sum[:3])
	switch s := strings.TrimSuffix(b.String(), "-"); {
	case s == "":
		return "x" + digest
	case len(s) > slugLength:
		return strings.TrimSuffix(s[:slugLength], "-") + "-" + digest
	default:
		return s
	}
}

// Explain says in words, for people, how the rule came to its answer.
func (o Out) Explain() string {
	return fmt.Sprintf("%s (%s, file version %s)\n\n%s\n", o.Version, o.Channel, o.File, strings.Join(o.Why, "\n"))
}

func noun(n int, one, more string) string {
	if n == 1 {
		return one
	}
	return more
}

// quoted lists names; foreign ones may hold anything.
func quoted(names []string) string {
	const most = 5
	var list []string
	for i, name := range names {
		if i == most {
			list = append(list, fmt.Sprintf("and %d more", len(names)-most))
			break
		}
		list = append(list, shortened(name))
	}
	return strings.Join(list, ", ")
}

// shortened quotes a text for a message, and not more of it than a line.
func shortened(s string) string {
	const most = 60
	if len(s) > most {
		return strconv.Quote(s[:most]) + "…"
	}
	return strconv.Quote(s)
}
