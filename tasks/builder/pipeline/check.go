package pipeline

import (
	"fmt"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"
	"unicode"

	"github.com/stint-run/stint/internal/yamlplace"
	"github.com/stint-run/stint/tasks/builder/glob"
)

var (
	nameForm     = regexp.MustCompile(namePattern)
	labelForm    = regexp.MustCompile(labelPattern)
	variableForm = regexp.MustCompile(variablePattern)
	digestForm   = regexp.MustCompile(digestPattern)
)

// checker takes down what is wrong with a pipeline, by the paths of its entries.
type checker struct {
	p        *Pipeline
	problems Problems
	looked   int // how many files were looked for among those that are excluded
	compiled int // how many bytes of regular expressions there were
}

// check finds what is wrong with a pipeline. Places are the caller's business.
func check(p *Pipeline) Problems {
	c := &checker{p: p}
	c.name("name", p.Name, "the product")
	if p.VersionFile != "" {
		c.path("version_file", p.VersionFile)
	}
	c.environment("environment", p.Environment, false)
	c.globs("exclude", p.Exclude)
	for i, g := range p.Exclude {
		if g = cleaned(g); g == "**" || g == "**/*" {
			c.add(index("exclude", i), "name what can be made anew: node_modules/**", "%q is everything", g)
		}
	}
	c.tools()
	c.capabilities()
	c.steps()
	c.packages()
	c.publish()
	c.tag()
	c.atLeast("keep.builds", int64(p.Keep.Builds), 0)
	c.atLeast("keep.for", int64(p.Keep.For), 0)
	return c.problems
}

func (c *checker) add(path, hint, format string, args ...any) {
	c.problems = append(c.problems, Problem{Path: path, Hint: hint, Message: fmt.Sprintf(format, args...)})
}

// near is the hint of a mistyped word; "" when no word is near, and when so much is wrong that nobody reads it.
func (c *checker) near(word string, words []string) string {
	if len(c.problems) > 100 {
		return ""
	}
	return yamlplace.DidYouMean(word, words)
}

func index(path string, i int) string { return fmt.Sprintf("%s[%d]", path, i) }

func stepPath(i int) string { return index("steps", i) }

// atLeast is for pipelines that came from no file: the reader knows the ranges.
func (c *checker) atLeast(path string, n, least int64) {
	if n < least {
		c.add(path, "", "%d is out of range", n)
	}
}

func (c *checker) atMost(path string, n, most int) {
	if n > most {
		c.add(path, "make several pipelines", "%d are too many: %d is the most", n, most)
	}
}

// name checks the name of a product, a step or a tool.
func (c *checker) name(at, name, of string) {
	switch {
	case name == "":
		c.add(at, "add name:", "%s has no name", of)
	case !nameForm.MatchString(name):
		hint := "write a-z, 0-9, - . and _, up to 64, a letter or digit first"
		if lower := strings.ToLower(name); nameForm.MatchString(lower) {
			hint = "write " + lower
		}
		c.add(at, hint, "%s is no name for %s", quoted(name), of)
	case strings.HasSuffix(name, ".") || strings.Contains(name, ".."):
		c.add(at, "leave the dots away", "%s is no name for %s: it is a part of paths", quoted(name), of)
	}
}

// once says which texts stand in a list twice.
func (c *checker) once(at string, texts []string) {
	seen := map[string]bool{}
	for i, t := range texts {
		if seen[t] {
			c.add(index(at, i), "take one of them away", "%s is listed twice", quoted(t))
		}
		seen[t] = true
	}
}

// expression reports whether a regular expression is short enough to be compiled, it and all before it.
func (c *checker) expression(at, text string) bool {
	if c.compiled += len(text); len(text) > maxText {
		c.add(at, "4096 bytes are the most", "%s is too long", quoted(text))
	} else if c.compiled > maxExpressions {
		c.add(at, "64 KiB are the most", "all regular expressions together are too long")
	}
	return len(text) <= maxText && c.compiled <= maxExpressions
}

// maxExpressions is how many bytes all regular expressions of a pipeline may have.
const maxExpressions = 64 << 10

// maxText is how many bytes a path, a pattern or a regular expression may have.
const maxText = 4096

// built is what paths begin in.
const built = "the folder that is built"

// outside says why a path is none within a folder; "" when it is one.
func outside(p, of string) (message, hint string) {
	switch {
	case len(p) > maxText:
		return "is too long", "4096 bytes are the most"
	case strings.Contains(p, `\`):
		return `has \ in it`, "write / between folders, on Windows, too"
	case strings.ContainsFunc(p, unicode.IsControl):
		return "has a letter in it that cannot be seen", ""
	case strings.HasPrefix(p, "/"), len(p) > 1 && p[1] == ':':
		return "does not begin in " + of, "write the path from there, without / in front"
	}
	for part := range strings.SplitSeq(p, "/") {
		switch {
		case part == "..":
			return "leads out of " + of, "paths begin there; what lies elsewhere is not the product's"
		case strings.EqualFold(part, ".git"):
			return "is git's own, which does not travel", "what a step has to know of the commit is in its variables"
		}
	}
	return "", ""
}

func (c *checker) path(at, p string) bool { return c.pathIn(at, p, built) }

func (c *checker) pathIn(at, p, of string) bool {
	message, hint := outside(p, of)
	if message == "" && p == "" {
		message, hint = "is empty", "take it away, or write a path"
	}
	if message != "" {
		c.add(at, hint, "%s %s", quoted(p), message)
	}
	return message == ""
}

// glob checks a pattern.
func (c *checker) glob(at, g string) bool {
	if !c.path(at, g) {
		return false
	}
	if strings.HasSuffix(g, "/") {
		c.add(at, "write "+g+"**", "%s is a folder; patterns mean files", quoted(g))
		return false
	}
	if err := glob.Check(cleaned(g)); err != nil {
		c.add(at, "*, ?, [a-z] and {a,b} within a name, ** for folders", "%s is no pattern: %v", quoted(g), err)
		return false
	}
	for _, alternative := range glob.Expand(g) {
		if message, hint := outside(alternative, built); message != "" {
			c.add(at, hint, "%s %s", quoted(g), message)
			return false
		}
	}
	return true
}

func (c *checker) globs(at string, globs []string) {
	for i, g := range globs {
		c.glob(index(at, i), g)
	}
	c.once(at, globs)
}

// stints are variables that a command finds and that no file sets.
var stints = map[string]string{
	"PATH":          "it is the agent's, with the tools in front: list tools, call a program by its path, or set it in a script:",
	"BUILD_VERSION": "", "BUILD_FILE_VERSION": "", "BUILD_CHANNEL": "", "BUILD_NUMBER": "", "BUILD_COMMIT": "", "STINT_BUILD": "it says which build this is", "STINT_STEP": "it says which step this is",
}

// variable checks the name of a variable.
func (c *checker) variable(at, name string) bool {
	hint, own := stints[strings.ToUpper(name)]
	switch {
	case !variableForm.MatchString(name):
		c.add(at, "write A-Z, a-z, 0-9 and _, no digit first", "%s is no name for a variable", quoted(name))
	case own:
		c.add(at, or(hint, "a step with version: true finds it"), "%s is set by stint", name)
	default:
		return true
	}
	return false
}

// environment checks variables. versioned says whether they may have facts of the build in them.
func (c *checker) environment(at string, variables map[string]string, versioned bool) {
	seen := map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(variables)) {
		here, value := join(at, name), variables[name]
		if !c.variable(here, name) {
			continue
		}
		if other := seen[strings.ToUpper(name)]; other != "" {
			c.add(here, "Windows takes them for one: take one of them away", "%s differs from %s by small and capital letters only", name, other)
		}
		seen[strings.ToUpper(name)] = name
		if strings.Contains(value, "\x00") {
			c.add(here, "", "has a zero byte in it")
		}
		switch asked, mistyped := facts(value); {
		case mistyped != "":
			c.add(here, or(c.near(strings.Trim(mistyped, "{}"), factNames), list(factNames)), "%s is nothing that is filled in", mistyped)
		case len(asked) > 0 && !versioned && at == "environment":
			c.add(here, "set it in the environment of a step that has version: true", "%s is filled in for steps with a version only, and this is for all", asked[0])
		case len(asked) > 0 && !versioned:
			c.add(here, "add version: true; the step is then done anew for each version", "%s is filled in for steps with a version only", asked[0])
		}
	}
}

// capabilities checks the proofs.
func (c *checker) capabilities() {
	seen := map[string]bool{}
	for i, k := range c.p.Capabilities {
		at := index("capabilities", i)
		switch {
		case k.Name == "":
			c.add(at+".name", "add name:, the label that is proven", "the capability has no name")
		case strings.Contains(k.Name, "=") || !labelForm.MatchString(k.Name):
			c.add(at+".name", "write the label's name: a-z, A-Z, 0-9, _ . and -", "%s is no label", quoted(k.Name))
		case seen[k.Name]:
			c.add(at+".name", "take one of them away", "%s is proven twice", k.Name)
		}
		seen[k.Name] = true
		if len(k.Run) == 0 {
			c.add(at+".run", "add run:, such as "+or(k.Name, "go")+" --version", "the capability has no command that proves it")
		} else {
			c.arguments(at+".run", k.Run)
		}
		if !c.expression(at+".match", k.Match) {
			continue
		}
		if _, err := regexp.Compile(k.Match); err != nil {
			c.add(at+".match", "the syntax is that of RE2", "%s is no regular expression: %v", quoted(k.Match), err)
		}
	}
}

const factInCommand = "in a step with version: true the command finds BUILD_VERSION, BUILD_FILE_VERSION, BUILD_CHANNEL, BUILD_NUMBER and BUILD_COMMIT as variables; set others below environment:"

// arguments checks the words of a command.
func (c *checker) arguments(at string, args []string) {
	switch {
	case len(args) == 0 || args[0] == "":
		c.add(at, "write the program's name first", "the command is empty")
		return
	case strings.HasPrefix(args[0], "-"):
		c.add(at, "the program's name stands first; is this the end of the command above?", "%s is no program", quoted(args[0]))
	}
	for _, a := range args {
		if strings.Contains(a, "\x00") {
			c.add(at, "", "has a zero byte in it")
		}
		if asked, _ := facts(a); len(asked) > 0 {
			c.add(at, factInCommand, "%s is never filled into a command", asked[0])
		}
	}
}

// channels checks those that are asked for.
func (c *checker) channels(at string, channels []string) {
	if len(channels) == 0 {
		c.add(at, "take it away for release alone", "no channel is left")
	}
	for i, name := range channels {
		if !slices.Contains(Channels, name) {
			c.add(index(at, i), or(c.near(name, Channels), "there are "+list(Channels)), "there is no channel %s", quoted(name))
		}
	}
	c.once(at, channels)
}

// gitName says why a text is no name for a tag; "" when it is one. The rules are git's.
func gitName(name string) string {
	switch {
	case strings.ContainsFunc(name, func(r rune) bool { return unicode.IsControl(r) || strings.ContainsRune(" ~^:?*[\\", r) }):
		return `it has a blank, or one of ~ ^ : ? * [ \`
	case strings.HasPrefix(name, "-"), strings.HasPrefix(name, "/"), strings.HasSuffix(name, "/"), strings.HasSuffix(name, "."):
		return "of how it begins or ends"
	case strings.Contains(name, ".."), strings.Contains(name, "//"), strings.Contains(name, "@{"):
		return "it has .., // or @{"
	}
	for part := range strings.SplitSeq(name, "/") {
		if strings.HasPrefix(part, ".") || strings.HasSuffix(part, ".lock") {
			return "a part of it begins with a dot, or ends with .lock"
		}
	}
	return ""
}

func (c *checker) tag() {
	t := c.p.Tag
	if t == nil {
		return
	}
	asked, mistyped := facts(t.Name)
	sample := Facts{Version: "1.0.0", FileVersion: "1.0.0.0", Channel: "release", Commit: strings.Repeat("0", 40)}.Fill(t.Name)
	switch why := gitName(sample); {
	case t.Name == "":
		c.add("tag.name", "write tag: v{version}", "the tag has no name")
	case mistyped != "":
		c.add("tag.name", or(c.near(strings.Trim(mistyped, "{}"), factNames), list(factNames)), "%s is nothing that is filled in", mistyped)
	case !slices.Contains(asked, "{version}"):
		c.add("tag.name", "write "+t.Name+"-{version}, or v{version}", "%s has no {version} in it: the next build would move it", quoted(t.Name))
	case strings.ContainsAny(sample, "{}"):
		c.add("tag.name", "there are {version}, {file_version}, {channel}, {commit} and {number}", "%s has braces in it that are not filled in", quoted(t.Name))
	case why != "":
		c.add("tag.name", "git check-ref-format has the rules", "%s is no name for a tag: %s", quoted(t.Name), why)
	}
	if _, mistyped := facts(t.Message); mistyped != "" {
		c.add("tag.message", list(factNames), "%s is nothing that is filled in", mistyped)
	}
	if strings.Contains(t.Message, "\x00") {
		c.add("tag.message", "", "has a zero byte in it")
	}
	c.channels("tag.channels", t.Channels)
}

// maxLooked bounds the work that a pipeline makes which nobody has written by hand.
const maxLooked = 100_000

// excluded returns the pattern because of which a file that is named by its path does not travel; "" when it does.
func (c *checker) excluded(name string) string {
	if c.looked += len(c.p.Exclude); glob.Special(name) || c.looked > maxLooked {
		return ""
	}
	for _, g := range c.p.Exclude {
		if glob.Match(cleaned(g), path.Clean(name)) {
			return g
		}
	}
	return ""
}
