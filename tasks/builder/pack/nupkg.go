package pack

import (
	"bytes"
	"context"
	"encoding/xml"
	"fmt"
	"io"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/stint-run/stint/tasks"
	"github.com/stint-run/stint/tasks/builder/pipeline"
)

// manifest is what stands in a .nuspec.
type manifest struct {
	id, version string
	words       map[string]string
}

var idForm = regexp.MustCompile(`^[A-Za-z0-9_]+([.-][A-Za-z0-9_]+)*$`)

// nuspecWords are the words of a .nuspec that may be given, in the order in which they are written. dependencies is a list of
// "ID VERSION" with ; between.
var nuspecWords = []string{"authors", "title", "description", "summary", "language", "projectUrl", "licenseUrl", "license", "icon", "readme", "copyright", "tags",
	"releaseNotes", "requireLicenseAcceptance", "developmentDependency", "dependencies"}

// newManifest reads a package's metadata and keeps to NuGet's rules.
func newManifest(p pipeline.Package, v string) (manifest, error) {
	v, _, _ = strings.Cut(v, "+") // NuGet takes versions that differ behind the + for the same
	m := manifest{id: p.Metadata["id"], version: v, words: map[string]string{}}
	if m.id == "" {
		m.id = p.Name
	}
	if !idForm.MatchString(m.id) || len(m.id) > 100 {
		return m, tasks.WithHint(ErrName, "ids are letters, digits and _ with . or - between, up to 100: set metadata: id", "package %s: %q is no id for NuGet", p.Name, m.id)
	}
	for _, word := range slices.Sorted(maps.Keys(p.Metadata)) {
		switch {
		case word == "id":
		case !slices.Contains(nuspecWords, word):
			return m, tasks.WithHint(nil, "there are id, "+strings.Join(nuspecWords, ", "), "package %s has the unknown metadata %q", p.Name, word)
		default:
			m.words[word] = p.Metadata[word]
		}
	}
	for _, word := range []string{"authors", "description"} {
		if strings.TrimSpace(m.words[word]) == "" {
			return m, tasks.WithHint(nil, "NuGet wants id, authors and description", "package %s has no metadata %q", p.Name, word)
		}
	}
	_, err := m.dependencies()
	return m, err
}

type dependencyElement struct {
	ID      string `xml:"id,attr"`
	Version string `xml:"version,attr"`
}

func (m manifest) dependencies() ([]dependencyElement, error) {
	var list []dependencyElement
	for entry := range strings.SplitSeq(m.words["dependencies"], ";") {
		if entry = strings.TrimSpace(entry); entry == "" {
			continue
		}
		id, v, ok := strings.Cut(entry, " ")
		if !ok || !idForm.MatchString(id) || strings.TrimSpace(v) == "" {
			return nil, tasks.WithHint(nil, `write "ID VERSION; ID VERSION"`, "%q is no dependency for NuGet", entry)
		}
		list = append(list, dependencyElement{id, strings.TrimSpace(v)})
	}
	return list, nil
}

const (
	xmlHead     = `<?xml version="1.0" encoding="utf-8"?>` + "\n"
	nuspecSpace = "http://schemas.microsoft.com/packaging/2013/05/nuspec.xsd"
)

// nuspec returns the text of the .nuspec.
func (m manifest) nuspec() ([]byte, error) {
	var b bytes.Buffer
	b.WriteString(xmlHead)
	e := xml.NewEncoder(&b)
	e.Indent("", "  ")
	element := func(name, value string, attributes ...xml.Attr) error {
		return e.EncodeElement(value, xml.StartElement{Name: xml.Name{Local: name}, Attr: attributes})
	}
	root := xml.StartElement{Name: xml.Name{Local: "package"}, Attr: []xml.Attr{{Name: xml.Name{Local: "xmlns"}, Value: nuspecSpace}}}
	metadata := xml.StartElement{Name: xml.Name{Local: "metadata"}}
	for _, t := range []xml.Token{root, metadata} {
		if err := e.EncodeToken(t); err != nil {
			return nil, err
		}
	}
	if err := element("id", m.id); err != nil {
		return nil, err
	}
	if err := element("version", m.version); err != nil {
		return nil, err
	}
	for _, word := range nuspecWords {
		value, ok := m.words[word]
		var err error
		switch {
		case !ok:
		case word == "dependencies":
			var list []dependencyElement
			if list, err = m.dependencies(); err == nil {
				err = e.EncodeElement(struct {
					List []dependencyElement `xml:"dependency"`
				}{list}, xml.StartElement{Name: xml.Name{Local: word}})
			}
		case word == "license":
			kind := "expression"
			if ext := path.Ext(value); ext == ".txt" || ext == ".md" {
				kind = "file"
			}
			err = element(word, value, xml.Attr{Name: xml.Name{Local: "type"}, Value: kind})
		default:
			err = element(word, value)
		}
		if err != nil {
			return nil, err
		}
	}
	for _, t := range []xml.Token{metadata.End(), root.End()} {
		if err := e.EncodeToken(t); err != nil {
			return nil, err
		}
	}
	err := e.Close() // which writes the rest
	return b.Bytes(), err
}

// The parts that OPC asks for: what kind each file is of, and which of them is the manifest.
const (
	typesPart = "[Content_Types].xml"
	relsPart  = "_rels/.rels"
	relsType  = "application/vnd.openxmlformats-package.relationships+xml"
	anyType   = "application/octet"
	specType  = "http://schemas.microsoft.com/packaging/2010/07/manifest"
)

// nupkg writes a package of NuGet's. The parts come first, so that who lists the package sees soon what it is.
func (p *packing) nupkg(ctx context.Context, w io.Writer) error {
	m, err := newManifest(p.Package, p.Version)
	if err != nil {
		return err
	}
	for _, f := range p.files {
		part := fold(f.Name)
		own := part == fold(typesPart) || strings.HasPrefix(part, fold("_rels/")) || strings.HasPrefix(part, fold("package/services/")) || part == fold(".signature.p7s")
		if own || !strings.Contains(f.Name, "/") && strings.EqualFold(path.Ext(f.Name), ".nuspec") {
			return tasks.WithHint(ErrName, "leave it out: it is made from the metadata", "%s is a part that NuGet's packages have of their own", f.Name)
		}
	}
	nuspec, err := m.nuspec()
	if err != nil {
		return err
	}
	z, err := newZip(w, nil)
	if err != nil {
		return err
	}
	rels := fmt.Sprintf(xmlHead+`<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships"><Relationship Type="%s" Target="/%s.nuspec" Id="R1" /></Relationships>`+"\n", specType, m.id)
	for _, part := range []struct {
		name    string
		content []byte
	}{{typesPart, p.contentTypes()}, {relsPart, []byte(rels)}, {m.id + ".nuspec", nuspec}} {
		f := File{Name: part.name, Size: int64(len(part.content)), Open: func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(part.content)), nil }}
		if err := p.zipEntry(ctx, z, part.name, f); err != nil {
			return err
		}
	}
	for _, f := range p.files {
		if err := p.zipEntry(ctx, z, partName(f.Name), f); err != nil {
			return err
		}
	}
	return z.Close()
}

// contentTypes says of every extension, and of every file without one, that it is just bytes.
func (p *packing) contentTypes() []byte {
	extensions := map[string]bool{"nuspec": true}
	var b, bare bytes.Buffer
	for _, f := range p.files {
		ext := strings.TrimPrefix(path.Ext(f.Name), ".")
		if plain := ext != "" && !strings.ContainsFunc(ext, func(r rune) bool { return !asciiWord(r) }); plain {
			extensions[strings.ToLower(ext)] = true
			continue
		}
		bare.WriteString(`<Override PartName="/`)
		_ = xml.EscapeText(&bare, []byte(partName(f.Name))) // into memory, where nothing fails
		bare.WriteString(`" ContentType="` + anyType + `" />`)
	}
	delete(extensions, "rels")
	b.WriteString(xmlHead + `<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types"><Default Extension="rels" ContentType="` + relsType + `" />`)
	for _, ext := range slices.Sorted(maps.Keys(extensions)) {
		b.WriteString(`<Default Extension="` + ext + `" ContentType="` + anyType + `" />`)
	}
	b.Write(bare.Bytes())
	b.WriteString("</Types>\n")
	return b.Bytes()
}

// partName writes a path as OPC wants it: all but letters, digits and -_.~ in percents. NuGet reads it back.
func partName(name string) string {
	var b strings.Builder
	for i := range len(name) {
		if c := name[i]; asciiWord(rune(c)) || strings.IndexByte("-.~/", c) >= 0 {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}
