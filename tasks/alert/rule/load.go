package rule

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/stint-run/stint/internal/yamlplace"
)

// What a folder of rules has besides rules.
const (
	DefaultsFile       = "defaults.yaml" // options that each rule inherits
	EnvironmentsFolder = "environments"  // NAME.yaml: {defaults: {option: value}, rules: {"rule's name": {option: value}}}
)

// Options say what to read, and what it is checked against.
type Options struct {
	// Dir is the folder of the rules. It is read with what is below it, besides what is hidden.
	Dir string
	// Files are read as rules instead of those in Dir; DefaultsFile and EnvironmentsFolder are in Dir all the same.
	Files []string
	// Environment chooses a file in EnvironmentsFolder; "" is none.
	Environment string
	// Tokens gives what @@NAME@@ in a value stands for; nil has no value for any.
	Tokens func(name string) (value string, ok bool)
	// Defaults are those of the process.
	Defaults Defaults
	// Channels and Sources are those that there are in the configuration. nil is not to be checked.
	Channels, Sources []string
	// CheckQuery looks at the text of a query_string; nil does not. Its error is a mistake.
	CheckQuery func(text string) error
	// CheckSender looks at the options of a sender, secret ones among them; nil does not. Its error is a mistake, and has no secret in it.
	CheckSender func(name string, options map[string]any) error
	// CheckTexts looks at what a rule tells people; nil does not. Its error is a mistake of the option that it names.
	CheckTexts func(r *Rule) (option string, err error)
}

// Defaults hold where neither a rule nor DefaultsFile says anything.
type Defaults struct {
	RunEvery   time.Duration // 0 is a minute
	BufferTime time.Duration // 0 is a quarter of an hour
	Source     string        // "" is the only one that there is
}

// Set is what a folder of rules comes to. It holds secrets, which Options gives; they are in none of its rules.
type Set struct {
	// Rules are those that are evaluated, by name.
	Rules []*Rule
	// Disabled are the names of those that have no mistake and are not.
	Disabled []string
	// Files is how many rule files there were.
	Files   int
	secrets map[string][]map[string]any
}

// Rule finds a rule by its name, nil when there is none.
func (s *Set) Rule(name string) *Rule {
	i, ok := slices.BinarySearchFunc(s.Rules, name, func(r *Rule, name string) int { return strings.Compare(r.Name, name) })
	if !ok {
		return nil
	}
	return s.Rules[i]
}

// Options returns all options of an entry of a rule's alert list, by its number from 0, secret ones among them. They may be read and
// not changed. nil when there is no such entry.
func (s *Set) Options(rule string, alerter int) map[string]any {
	list := s.secrets[rule]
	if alerter < 0 || alerter >= len(list) {
		return nil
	}
	return list[alerter]
}

// loader reads a set.
type loader struct {
	o        Options
	files    map[string]*file
	of       map[*yaml.Node]string // the file that a node is of
	filled   map[*yaml.Node]string // what stood in a scalar before its tokens were filled in
	whole    map[*yaml.Node]bool   // a scalar is one token alone
	bad      map[*yaml.Node]bool   // has a mistake that was found while its file was read
	reading  bool
	problems Problems
	mistakes int
	// refused: what all rules inherit cannot be read.
	refused bool
	set     Set
}

var environmentName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_-]*$`)

// Load reads and checks rule files, all of them whatever is wrong with one. A file with a mistake gives problems and no rule. The
// caller decides whether a set is good in which some are missing.
func Load(o Options) (Set, Problems) {
	if o.Defaults.RunEvery == 0 {
		o.Defaults.RunEvery = time.Minute
	}
	if o.Defaults.BufferTime == 0 {
		o.Defaults.BufferTime = 15 * time.Minute
	}
	if o.Defaults.Source == "" && len(o.Sources) == 1 {
		o.Defaults.Source = o.Sources[0]
	}
	l := &loader{o: o, files: map[string]*file{}, of: map[*yaml.Node]string{}, filled: map[*yaml.Node]string{}, whole: map[*yaml.Node]bool{}, bad: map[*yaml.Node]bool{},
		set: Set{secrets: map[string][]map[string]any{}}}
	defaults, overrides := l.around()
	var rules []*file
	for _, path := range l.paths() {
		f := l.read(path)
		l.follow(f, f, []*file{f})
		rules = append(rules, f)
	}
	names := map[string]entry{} // of rules that were seen, with where their names stand
	for _, f := range rules {
		if _, typed := f.entries["type"]; f.imported && !typed {
			continue // a part of others
		}
		l.set.Files++
		if f.unread {
			continue
		}
		l.rule(f, defaults, overrides, names)
	}
	for name, e := range overrides {
		if _, ok := names[name]; !ok {
			known := make([]string, 0, len(names))
			for n := range names {
				known = append(known, n)
			}
			slices.Sort(known)
			if len(o.Files) == 0 {
				l.mistake(e.key, "rules", or(yamlplace.DidYouMean(name, known), "take it away, or mend its name"), "there is no rule %q", name)
			}
		}
	}
	slices.SortFunc(l.set.Rules, func(a, b *Rule) int { return strings.Compare(a.Name, b.Name) })
	slices.Sort(l.set.Disabled)
	return l.set, l.problems.sorted()
}

func or(texts ...string) string {
	for _, t := range texts {
		if t != "" {
			return t
		}
	}
	return ""
}

// around reads the defaults, those of the environment before the others, and the environment's overrides by the names of rules.
func (l *loader) around() (defaults entries, overrides entries) {
	defaults, overrides = entries{}, entries{}
	if l.o.Dir == "" {
		return defaults, overrides
	}
	if l.o.Environment != "" {
		l.environment(defaults, overrides)
	}
	path := filepath.Join(l.o.Dir, DefaultsFile)
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return defaults, overrides
	}
	f := l.read(path)
	l.refused = l.refused || f.unread
	l.inherit(defaults, f.entries)
	return defaults, overrides
}

// environment reads the file of the environment.
func (l *loader) environment(defaults, overrides entries) {
	folder := filepath.Join(l.o.Dir, EnvironmentsFolder)
	path := filepath.Join(folder, l.o.Environment+".yaml")
	if !environmentName.MatchString(l.o.Environment) {
		l.add(Problem{File: folder, Message: fmt.Sprintf("%q is no name of an environment", l.o.Environment), Hint: "letters, digits, - and _"})
		return
	}
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		if list, _ := filepath.Glob(filepath.Join(folder, "*.yaml")); len(list) > 0 {
			known := make([]string, len(list))
			for i := range list {
				known[i] = strings.TrimSuffix(filepath.Base(list[i]), ".yaml")
			}
			l.add(Problem{File: path, Level: Note, Message: "there is no such file: the environment changes nothing", Hint: or(yamlplace.DidYouMean(l.o.Environment, known), "there are "+strings.Join(known, ", "))})
		}
		return
	}
	f := l.read(path)
	l.refused = l.refused || f.unread
	for name, e := range f.entries {
		switch {
		case name != "defaults" && name != "rules":
			l.mistake(e.key, name, or(yamlplace.DidYouMean(name, []string{"defaults", "rules"}), "write defaults: and rules:"), "is unknown here")
		case e.value.Tag == "!!null":
		case e.value.Kind != yaml.MappingNode:
			l.mistake(e.value, name, "", "must be names with values")
		case name == "defaults":
			l.inherit(defaults, l.pairs(e.value))
		default:
			for rule, e := range l.pairs(e.value) {
				if e.value.Kind != yaml.MappingNode {
					l.mistake(e.value, "rules", "write options with their values", "must be what is different of the rule %q", rule)
					continue
				}
				overrides[rule] = e
			}
		}
	}
}

// inherit adds entries that are not there yet.
func (l *loader) inherit(to, from entries) {
	for name, e := range from {
		if _, there := to[name]; !there {
			e.inherited = true
			to[name] = e
		}
		if _, known := option(name); !known && !free(name) {
			l.mistake(e.key, name, whatIsMeant(name), "there is no option of this name")
		}
	}
}

// free reports whether a name is of what stint does not look at.
func free(name string) bool {
	return strings.HasPrefix(name, FreePrefix) || strings.HasPrefix(name, editorPrefix)
}

// paths are those of the rule files, in the order of their names.
func (l *loader) paths() []string {
	if len(l.o.Files) > 0 {
		return l.o.Files
	}
	var list []string
	seen := map[string]bool{} // folders, so that a link back up ends
	var walk func(dir string, top bool)
	walk = func(dir string, top bool) {
		if real, err := filepath.EvalSymlinks(dir); err == nil {
			if seen[real] {
				return
			}
			seen[real] = true
		}
		items, err := os.ReadDir(dir)
		if err != nil {
			l.add(Problem{File: dir, Message: "cannot be read: " + reason(err), Hint: "is the path right, and may this user read it?"})
			return
		}
		for _, item := range items {
			path := filepath.Join(dir, item.Name())
			if strings.HasPrefix(item.Name(), ".") || top && (item.Name() == DefaultsFile || item.Name() == EnvironmentsFolder) {
				continue
			}
			info, err := os.Stat(path) // what links lead to: folders of Kubernetes are made of them
			switch ext := filepath.Ext(path); {
			case err != nil && (ext == ".yaml" || ext == ".yml"):
				l.add(Problem{File: path, Message: "cannot be read: " + reason(err), Hint: "does the link lead anywhere?"})
			case err != nil:
			case info.IsDir():
				walk(path, false)
			case ext == ".yaml" || ext == ".yml":
				list = append(list, path)
			}
		}
	}
	walk(l.o.Dir, true)
	return list
}
