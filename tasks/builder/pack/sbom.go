package pack

import (
	"bytes"
	"cmp"
	"crypto/sha1"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	cdx "github.com/CycloneDX/cyclonedx-go"

	"github.com/stint-run/stint/internal/artifact"
)

// SBOMInput is what a bill of materials is made of.
type SBOMInput struct {
	Product, Version string
	Commit           string
	Repository       string    // its URL; a password in it is not written
	Time             time.Time // of the commit
	Packages         []Content
	Dependencies     []Dependency // FindLocks finds them
}

// Content is a package and what is in it.
type Content struct {
	Sum
	Files []Sum
}

// Dependency is one version of something that a build depends on, as a lock file pins it.
type Dependency struct {
	Name, Version string
	// URL is the package URL (purl), which names it: pkg:npm/%40babel/core@7.0.0.
	URL string
	// Hashes are of what was fetched, where the lock file has them.
	Hashes []Hash
	// Licences are SPDX expressions or names, where the lock file has them.
	Licences []string
	// Development: it is used to build or test, and is in no package.
	Development bool
	// Sum is what go.sum has, which is of no file: h1:...; "" of others.
	Sum string
	// From are the lock files that name it, in order.
	From []string
}

// Hash is a digest by an algorithm of CycloneDX: SHA-1, SHA-256, SHA-384 or SHA-512, in hexadecimal digits.
type Hash struct{ Algorithm, Value string }

// SBOM returns a bill of materials, CycloneDX 1.6 as JSON. The same input in whatever order gives the same bytes: the serial number is
// made of the content, and the time is that of the commit.
func SBOM(o SBOMInput) ([]byte, error) {
	const root = "product"
	bom := cdx.NewBOM()
	bom.Metadata = &cdx.Metadata{
		Timestamp: second(o.Time),
		Tools:     &cdx.ToolsChoice{Components: &[]cdx.Component{{Type: cdx.ComponentTypeApplication, Name: "stint"}}},
		Component: &cdx.Component{BOMRef: root, Type: cdx.ComponentTypeApplication, Name: o.Product, Version: o.Version},
	}
	if r := withoutPassword(o.Repository); r != "" {
		bom.Metadata.Component.ExternalReferences = &[]cdx.ExternalReference{{Type: cdx.ERTypeVCS, URL: r, Comment: o.Commit}}
	}
	components, refs := []cdx.Component{}, []string{}
	packages := slices.Clone(o.Packages)
	slices.SortFunc(packages, func(a, b Content) int { return cmp.Compare(a.Name, b.Name) })
	for _, p := range packages {
		c := fileComponent("package:"+p.Name, p.Sum)
		c.Version = o.Version
		var inside []cdx.Component
		for _, f := range sorted(p.Files) {
			inside = append(inside, fileComponent("file:"+p.Name+"/"+f.Name, f))
		}
		if len(inside) > 0 {
			c.Components = &inside
		}
		components, refs = append(components, c), append(refs, c.BOMRef)
	}
	for _, d := range merged(o.Dependencies) {
		components, refs = append(components, d.component()), append(refs, d.URL)
	}
	bom.Components = &components
	bom.Dependencies = &[]cdx.Dependency{{Ref: root, Dependencies: &refs}}
	first, err := encode(bom)
	if err != nil {
		return nil, err
	}
	bom.SerialNumber = "urn:uuid:" + uuid5(artifact.DigestOf(first))
	return encode(bom)
}

func encode(bom *cdx.BOM) ([]byte, error) {
	var b bytes.Buffer
	if err := cdx.NewBOMEncoder(&b, cdx.BOMFileFormatJSON).SetPretty(true).SetEscapeHTML(false).EncodeVersion(bom, cdx.SpecVersion1_6); err != nil {
		return nil, fmt.Errorf("encode the bill of materials: %w", err)
	}
	return b.Bytes(), nil
}

func fileComponent(ref string, s Sum) cdx.Component {
	c := cdx.Component{BOMRef: ref, Type: cdx.ComponentTypeFile, Name: s.Name}
	if hex := s.Digest.Hex(); hex != "" {
		c.Hashes = &[]cdx.Hash{{Algorithm: cdx.HashAlgoSHA256, Value: hex}}
	}
	return c
}

// expression looks like one of SPDX. The names that package managers have for "none" do, too.
var expression = regexp.MustCompile(`^\(*[A-Za-z0-9][A-Za-z0-9.+-]*\)*( (AND|OR|WITH) \(*[A-Za-z0-9][A-Za-z0-9.+-]*\)*)*$`)

func (d Dependency) component() cdx.Component {
	c := cdx.Component{BOMRef: d.URL, Type: cdx.ComponentTypeLibrary, Name: d.Name, Version: d.Version, PackageURL: d.URL, Scope: cdx.ScopeRequired}
	if d.Development {
		c.Scope = cdx.ScopeExcluded
	}
	if len(d.Hashes) > 0 {
		hashes := []cdx.Hash{}
		for _, h := range d.Hashes {
			hashes = append(hashes, cdx.Hash{Algorithm: cdx.HashAlgorithm(h.Algorithm), Value: h.Value})
		}
		c.Hashes = &hashes
	}
	if l := licences(d.Licences); len(l) > 0 {
		c.Licenses = &l
	}
	properties := []cdx.Property{}
	for _, from := range d.From {
		properties = append(properties, cdx.Property{Name: "stint:lock", Value: from})
	}
	if d.Sum != "" {
		properties = append(properties, cdx.Property{Name: "stint:go.sum", Value: d.Sum})
	}
	if len(properties) > 0 {
		c.Properties = &properties
	}
	return c
}

// licences are one expression, or any number of names: the format has no mixture.
func licences(list []string) cdx.Licenses {
	if len(list) == 1 && expression.MatchString(list[0]) && !strings.EqualFold(list[0], "unlicensed") && !strings.EqualFold(list[0], "proprietary") {
		return cdx.Licenses{{Expression: list[0]}}
	}
	var out cdx.Licenses
	for _, name := range list {
		out = append(out, cdx.LicenseChoice{License: &cdx.License{Name: name}})
	}
	return out
}

// merged makes one of what several lock files name. It is for development only where all say so.
func merged(list []Dependency) []Dependency {
	byURL := map[string]int{}
	var out []Dependency
	for _, d := range list {
		i, ok := byURL[d.URL]
		if !ok {
			byURL[d.URL] = len(out)
			d.Hashes, d.From, d.Licences = slices.Clone(d.Hashes), slices.Clone(d.From), slices.Clone(d.Licences)
			out = append(out, d)
			continue
		}
		o := &out[i]
		o.Hashes, o.From, o.Licences = append(o.Hashes, d.Hashes...), append(o.From, d.From...), append(o.Licences, d.Licences...)
		o.Development = o.Development && d.Development
		o.Sum = max(o.Sum, d.Sum)
	}
	for i := range out {
		o := &out[i]
		slices.SortFunc(o.Hashes, func(a, b Hash) int {
			return cmp.Or(cmp.Compare(a.Algorithm, b.Algorithm), cmp.Compare(a.Value, b.Value))
		})
		slices.Sort(o.From)
		slices.Sort(o.Licences)
		o.Hashes, o.From, o.Licences = slices.Compact(o.Hashes), slices.Compact(o.From), slices.Compact(o.Licences)
	}
	slices.SortFunc(out, func(a, b Dependency) int { return cmp.Compare(a.URL, b.URL) })
	return out
}

// uuid5 makes a UUID of version 5 in the name space for URLs.
func uuid5(d artifact.Digest) string {
	space := []byte{0x6b, 0xa7, 0xb8, 0x11, 0x9d, 0xad, 0x11, 0xd1, 0x80, 0xb4, 0x00, 0xc0, 0x4f, 0xd4, 0x30, 0xc8}
	sum := sha1.Sum(append(space, d...))
	u := sum[:16]
	u[6], u[8] = u[6]&0x0f|0x50, u[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", u[:4], u[4:6], u[6:8], u[8:10], u[10:])
}
