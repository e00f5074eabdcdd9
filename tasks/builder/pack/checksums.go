package pack

import (
	"cmp"
	"slices"
	"strings"

	"github.com/stint-run/stint/internal/artifact"
)

// Sum is a file and the digest of what is in it.
type Sum struct {
	Name   string
	Digest artifact.Digest
}

// Checksums returns the text that `sha256sum --check` reads, in the order of the names. A name with a newline or a \ in it is written
// as sha256sum writes it, and cannot be taken for two lines.
func Checksums(list []Sum) []byte {
	var b strings.Builder
	for _, s := range sorted(list) {
		name := strings.NewReplacer(`\`, `\\`, "\n", `\n`, "\r", `\r`).Replace(s.Name)
		if name != s.Name {
			b.WriteByte('\\')
		}
		b.WriteString(s.Digest.Hex() + "  " + name + "\n")
	}
	return []byte(b.String())
}

func sorted(list []Sum) []Sum {
	list = slices.Clone(list)
	slices.SortFunc(list, func(a, b Sum) int { return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Digest, b.Digest)) })
	return list
}
