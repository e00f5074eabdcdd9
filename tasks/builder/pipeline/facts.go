package pipeline

import (
	"regexp"
	"strconv"
	"strings"

	"github.com/stint-run/stint/internal/yamlplace"
)

// Facts are what is known of a build when its version is: they are filled into the environment of steps with a version, and into
// the name and the message of a tag. Nothing is ever filled into the arguments of a command.
type Facts struct {
	Version     string // SemVer
	FileVersion string // four numbers with dots
	Channel     string // release, branch, local
	Commit      string // 40 hexadecimal digits
	Number      int64  // of the build; 0 is a local one
}

// factNames are what stands in braces.
var factNames = []string{"version", "file_version", "channel", "commit", "number"}

var factUse = regexp.MustCompile(`\{([a-z_]+)\}`)

// Fill puts the facts in the place of {version}, {file_version}, {channel}, {commit} and {number}. Other braces stay as they are, and
// what a fact brings in is not looked at again.
func (f Facts) Fill(text string) string {
	values := map[string]string{"version": f.Version, "file_version": f.FileVersion, "channel": f.Channel, "commit": f.Commit, "number": strconv.FormatInt(f.Number, 10)}
	return factUse.ReplaceAllStringFunc(text, func(use string) string {
		if value, ok := values[strings.Trim(use, "{}")]; ok {
			return value
		}
		return use
	})
}

// facts returns the facts that a text asks for, and the first word in braces that is most likely a mistyped one.
func facts(text string) (asked []string, mistyped string) {
	for _, m := range factUse.FindAllStringSubmatch(text, -1) {
		switch near := yamlplace.Nearest(m[1], factNames, 4); {
		case near == m[1]:
			asked = append(asked, m[0])
		case near != "" && mistyped == "":
			mistyped = m[0]
		}
	}
	return asked, mistyped
}
