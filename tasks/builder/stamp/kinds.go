package stamp

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/stint-run/stint/tasks"
)

// Values are what is stamped.
type Values struct {
	Version string // SemVer
	File    [4]int // for Windows' resources and .NET's assemblies
}

func (v Values) dotted() string { return v.joined(".") }

func (v Values) joined(by string) string {
	return fmt.Sprintf("%d%s%d%s%d%s%d", v.File[0], by, v.File[1], by, v.File[2], by, v.File[3])
}

// edit puts a text in the place of a piece.
type edit struct {
	from, to int
	text     string
}

// apply carries out edits. None may lie in another.
func apply(text string, edits []edit) (string, error) {
	slices.SortFunc(edits, func(a, b edit) int { return cmp.Or(cmp.Compare(a.from, b.from), cmp.Compare(a.to, b.to)) })
	var out strings.Builder
	at := 0
	for _, e := range edits {
		if e.from < at {
			return "", errors.New("two groups of the pattern lie in each other")
		}
		out.WriteString(text[at:e.from])
		out.WriteString(e.text)
		at = e.to
	}
	out.WriteString(text[at:])
	return out.String(), nil
}

// kind finds the places of a version in one kind of file.
type kind func(text string, v Values) ([]edit, error)

// kindOf chooses a kind by a file's name; nil where only a pattern can say where the version stands.
func kindOf(name string) kind {
	name = strings.ToLower(path.Base(name))
	ext := path.Ext(name)
	switch {
	case name == "package.json", name == "package-lock.json", name == "npm-shrinkwrap.json":
		return inPackage
	case ext == ".rc", ext == ".rc2":
		return inResource
	case strings.Contains(name, "assemblyinfo") && (ext == ".cs" || ext == ".fs"):
		return func(text string, v Values) ([]edit, error) { return inAssembly(text, cLike, v), nil }
	case strings.Contains(name, "assemblyinfo") && ext == ".vb":
		return func(text string, v Values) ([]edit, error) { return inAssembly(text, basic, v), nil }
	}
	return nil
}

var assemblyForm = regexp.MustCompile(`\bAssembly(|File|Informational)Version(?:Attribute)?\s*\(\s*@?"([^"]*)"`)

// inAssembly finds the attributes of a .NET assembly. The informational version takes any text; the others take four numbers.
func inAssembly(text string, l language, v Values) []edit {
	var edits []edit
	for _, m := range assemblyForm.FindAllStringSubmatchIndex(masked(text, l, true), -1) {
		value := v.dotted()
		if text[m[2]:m[3]] == "Informational" {
			value = v.Version
		}
		edits = append(edits, edit{m[4], m[5], value})
	}
	return edits
}

var (
	resourceNumbers = regexp.MustCompile(`(?i)\b(?:FILE|PRODUCT)VERSION[ \t]+(\d+(?:[ \t]*[,.][ \t]*\d+){0,3})`)
	resourceTexts   = regexp.MustCompile(`(?i)\bVALUE\s+"(File|Product)Version"\s*,?\s*L?"([^"]*?)(?:\\0)?"`)
)

// inResource finds the numbers and the texts of a VERSIONINFO. The product's text is the whole version.
func inResource(text string, v Values) ([]edit, error) {
	var edits []edit
	for _, m := range resourceNumbers.FindAllStringSubmatchIndex(masked(text, cLike, false), -1) {
		edits = append(edits, edit{m[2], m[3], v.joined(",")})
	}
	for _, m := range resourceTexts.FindAllStringSubmatchIndex(masked(text, cLike, true), -1) {
		value := v.dotted()
		if strings.EqualFold(text[m[2]:m[3]], "Product") {
			value = v.Version
		}
		edits = append(edits, edit{m[4], m[5], value})
	}
	return edits, nil
}

// inPackage finds the version of an npm package, and of the package itself in a lock file; those of its dependencies are not its own.
func inPackage(text string, v Values) ([]edit, error) {
	d := json.NewDecoder(strings.NewReader(text))
	var edits []edit
	err := eachString(d, nil, func(at []string, from, to int) {
		own := len(at) == 1 && at[0] == "version" || len(at) == 3 && at[0] == "packages" && at[1] == "" && at[2] == "version"
		if own {
			from += strings.IndexByte(text[from:to], '"')
			edits = append(edits, edit{from + 1, to - 1, v.Version})
		}
	})
	return edits, err
}

// maxLevels is more than a package.json has: the decoder counts them as little as it is asked for its tokens.
const maxLevels = 1000

// eachString walks through a JSON value and tells each text in an object: the names that lead to it, and a piece of the file that
// has it at its end. Arrays have no names, and nothing in them is told.
func eachString(d *json.Decoder, at []string, tell func(at []string, from, to int)) error {
	if len(at) > maxLevels {
		return fmt.Errorf("it has more than %d levels", maxLevels)
	}
	from := int(d.InputOffset())
	token, err := d.Token()
	if err != nil {
		return err
	}
	if _, ok := token.(string); ok && len(at) > 0 {
		tell(at, from, int(d.InputOffset()))
	}
	open, ok := token.(json.Delim)
	if !ok {
		return nil
	}
	for d.More() {
		inner := append(at[:len(at):len(at)], "[]")
		if open == '{' {
			name, err := d.Token()
			if err != nil {
				return err
			}
			inner[len(at)], _ = name.(string) // the decoder lets nothing else through
		}
		if err := eachString(d, inner, tell); err != nil {
			return err
		}
	}
	_, err = d.Token() // the end that More saw
	return err
}

// byPattern makes a kind of a regular expression. Its groups are what is replaced, by their names: version, file_version
// (1.5.57.0) and file_commas (1,5,57,0); a group without a name is the version, and so is the whole match when there is none.
func byPattern(form *regexp.Regexp) kind {
	return func(text string, v Values) ([]edit, error) {
		values := map[string]string{"": v.Version, "version": v.Version, "file_version": v.dotted(), "file_commas": v.joined(",")}
		var edits []edit
		for _, m := range form.FindAllStringSubmatchIndex(text, -1) {
			groups := form.SubexpNames()
			first := min(1, len(groups)-1)
			for i := first; i < len(groups); i++ {
				if m[2*i] >= 0 {
					edits = append(edits, edit{m[2*i], m[2*i+1], values[groups[i]]})
				}
			}
		}
		return edits, nil
	}
}

// Target is what is to be stamped.
type Target struct {
	// Path is a file, or files by a pattern (package glob), with slashes, from the folder that is built.
	Path string
	kind kind // nil: by the name
}

// Parse reads PATH or PATH=PATTERN. Files that this package knows by name need no pattern: AssemblyInfo (.cs, .vb, .fs),
// resource scripts (.rc), package.json and package-lock.json. The pattern is a regular expression, ^ and $ standing for the ends of a line.
func Parse(s string) (Target, error) {
	name, pattern, found := strings.Cut(s, "=")
	t := Target{Path: name}
	if name == "" {
		return t, tasks.WithHint(nil, "write PATH, or PATH=PATTERN", "%q names no file", s)
	}
	if !found {
		if kindOf(name) == nil {
			return t, tasks.WithHint(nil, `say where it stands: `+name+`=VERSION "(.*)"`, "nothing is known about where the version stands in %s", name)
		}
		return t, nil
	}
	form, err := regexp.Compile("(?m)" + pattern)
	if err != nil {
		return t, tasks.WithHint(err, "the pattern is a regular expression in the syntax of RE2", "the pattern for %s cannot be read", name)
	}
	if form.MatchString("") {
		return t, tasks.WithHint(nil, "add what stands before the version", "the pattern for %s matches where nothing stands", name)
	}
	for _, group := range form.SubexpNames() {
		if group != "" && group != "version" && group != "file_version" && group != "file_commas" {
			return t, tasks.WithHint(nil, "groups are called version, file_version or file_commas; one that only holds together is (?:…)", "the pattern for %s has a group %q", name, group)
		}
	}
	t.kind = byPattern(form)
	return t, nil
}
