package pack_test

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	cdx "github.com/CycloneDX/cyclonedx-go"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/stint-run/stint/tasks"
	"github.com/stint-run/stint/tasks/builder/pack"
)

var lockFiles = fstest.MapFS{
	"go.mod": {Data: []byte("module x\n\ngo 1.26\n\nrequire (\n\texample.com/a v1.2.3\n\texample.com/old v2.0.0+incompatible // indirect\n\texample.com/here v1.0.0\n)\n\nreplace example.com/here => ../here\nreplace example.com/old => example.com/new v3.0.0\n")},
	"go.sum": {Data: []byte("example.com/a v1.2.3 h1:aaaa=\nexample.com/a v1.2.3/go.mod h1:bbbb=\n")},
	"web/package-lock.json": {Data: []byte(`{"lockfileVersion":3,"packages":{"":{"name":"w","version":"1.0.0"},"node_modules/@babel/core":{"version":"7.0.0","integrity":"sha512-AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA== sha1-AAAA","license":"MIT"},
		"node_modules/a/node_modules/b":{"version":"2.0.0","dev":true,"license":"SEE LICENSE IN x"},"node_modules/own":{"link":true,"resolved":"own"},"own":{"version":"1.0.0"},"node_modules/alias":{"name":"real","version":"1.1.1"}}}`)},
	"old/package-lock.json":            {Data: []byte(`{"lockfileVersion":1,"dependencies":{"c":{"version":"1.0.0","dependencies":{"b":{"version":"2.0.0"}}}}}`)},
	"cs/packages.lock.json":            {Data: []byte(`{"version":1,"dependencies":{"net8.0":{"Newtonsoft.Json":{"type":"Direct","resolved":"13.0.3","contentHash":"AQIDAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=="},"own":{"type":"Project"}}}}`)},
	"rs/Cargo.lock":                    {Data: []byte("version = 3\n\n[[package]]\nname = \"own\"\nversion = \"0.1.0\"\n\n[[package]]\nname = \"serde\"\nversion = \"1.0.1\"\nsource = \"registry+https://github.com/rust-lang/crates.io-index\"\nchecksum = \"" + strings.Repeat("0f", 32) + "\"\n")},
	"py/requirements.txt":              {Data: []byte("# c\nDjango_Extra[x] == 4.2 ; python_version > '3' \\\n  --hash=sha256:" + strings.Repeat("ab", 32) + "\nranged>=1\n-r other.txt\nPyYAML==6.0\n")},
	"php/composer.lock":                {Data: []byte(`{"packages":[{"name":"acme/w","version":"v1.0","license":["MIT","GPL-2.0-only"],"dist":{"shasum":"` + strings.Repeat("01", 20) + `"}}],"packages-dev":[{"name":"acme/t","version":"2"}]}`)},
	"node_modules/z/package-lock.json": {Data: []byte("not read")},
}

func TestLockFilesSayWhatABuildDependsOn(t *testing.T) {
	t.Parallel()
	list, err := pack.FindLocks(t.Context(), lockFiles)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, d := range list {
		text := d.URL
		for _, h := range d.Hashes {
			text += " " + h.Algorithm + ":" + h.Value[:min(len(h.Value), 6)]
		}
		text += " " + strings.Join(d.Licences, "+")
		if d.Development {
			text += " dev"
		}
		got = append(got, strings.TrimSpace(text+" "+d.Sum))
	}
	want := []string{
		"pkg:cargo/serde@1.0.1 SHA-256:0f0f0f", "pkg:composer/acme/t@2  dev", "pkg:composer/acme/w@v1.0 SHA-1:010101 GPL-2.0-only+MIT",
		"pkg:golang/example.com/a@v1.2.3  h1:aaaa=", "pkg:golang/example.com/new@v3.0.0",
		"pkg:npm/%40babel/core@7.0.0 SHA-512:000000 MIT", "pkg:npm/b@2.0.0 SEE LICENSE IN x", "pkg:npm/c@1.0.0", "pkg:npm/real@1.1.1",
		"pkg:nuget/Newtonsoft.Json@13.0.3 SHA-512:010203", "pkg:pypi/django-extra@4.2 SHA-256:ababab", "pkg:pypi/pyyaml@6.0",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestALockFileThatCannotBeReadIsNamed(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{"a/package-lock.json": "{", "go.mod": "module", "Cargo.lock": "[[", "composer.lock": "[]", "packages.lock.json": "<",
		"npm-shrinkwrap.json": `{"dependencies":` + strings.Repeat(`{"a":{"dependencies":`, 200) + "{}" + strings.Repeat("}}", 200) + "}"} {
		_, err := pack.FindLocks(t.Context(), fstest.MapFS{name: {Data: []byte(text)}})
		if err == nil || !strings.Contains(err.Error(), name) || tasks.HintOf(err) == "" {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// schema compiles the published one, which comes with the library.
func schema(t *testing.T) *jsonschema.Schema {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "go", "list", "-m", "-f", "{{.Dir}}", "github.com/CycloneDX/cyclonedx-go").Output()
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	for url, name := range map[string]string{"http://cyclonedx.org/schema/bom-1.6.schema.json": "bom-1.6.schema.json", "http://cyclonedx.org/schema/spdx.schema.json": "spdx.schema.json", "http://cyclonedx.org/schema/jsf-0.82.schema.json": "jsf-0.82.schemax.json"} {
		b, err := os.ReadFile(filepath.Join(strings.TrimSpace(string(out)), "schema", name))
		if err != nil {
			t.Fatal(err)
		}
		doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(b))
		if err != nil {
			t.Fatal(err)
		}
		if err := c.AddResource(url, doc); err != nil {
			t.Fatal(err)
		}
	}
	s, err := c.Compile("http://cyclonedx.org/schema/bom-1.6.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestTheBillOfMaterialsKeepsToThePublishedSchema(t *testing.T) {
	t.Parallel()
	dependencies, err := pack.FindLocks(t.Context(), lockFiles)
	if err != nil {
		t.Fatal(err)
	}
	in := pack.SBOMInput{Product: "widgets", Version: "1.5.57", Commit: strings.Repeat("ab", 20), Repository: "https://u:hunter2@git.example.com/w.git", Time: commitTime, Dependencies: dependencies,
		Packages: []pack.Content{{Sum: pack.Sum{Name: "w.zip", Digest: digest("w")}, Files: []pack.Sum{{Name: "b", Digest: digest("b")}, {Name: "a", Digest: digest("a")}}}, {Sum: pack.Sum{Name: "a.exe", Digest: digest("e")}}}}
	b, err := pack.SBOM(in)
	if err != nil {
		t.Fatal(err)
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	if err := schema(t).Validate(doc); err != nil {
		t.Errorf("%v\n%s", err, b)
	}
	var bom cdx.BOM
	if err := cdx.NewBOMDecoder(bytes.NewReader(b), cdx.BOMFileFormatJSON).Decode(&bom); err != nil || len(*bom.Components) != 14 || bom.Metadata.Timestamp != "2026-11-20T07:30:01Z" {
		t.Errorf("%v, %+v", err, bom.Metadata)
	}
	if strings.Contains(string(b), "hunter2") {
		t.Error("a password is in it")
	}
	slices.Reverse(in.Dependencies)
	slices.Reverse(in.Packages)
	if again, err := pack.SBOM(in); err != nil || !bytes.Equal(again, b) {
		t.Errorf("in another order it has other bytes: %v", err)
	}
	in.Version = "1.5.58"
	other, err := pack.SBOM(in)
	if err != nil {
		t.Fatal(err)
	}
	var next struct{ SerialNumber string }
	if err := json.Unmarshal(other, &next); err != nil || next.SerialNumber == bom.SerialNumber {
		t.Errorf("another content has the serial number %s, %v", next.SerialNumber, err)
	}
	empty, err := pack.SBOM(pack.SBOMInput{Product: "w", Version: "1.0.0", Time: commitTime})
	if err != nil {
		t.Fatal(err)
	}
	if doc, err = jsonschema.UnmarshalJSON(bytes.NewReader(empty)); err != nil || schema(t).Validate(doc) != nil {
		t.Errorf("empty: %v, %v\n%s", err, schema(t).Validate(doc), empty)
	}
}

func TestALockFileOfTooManyLevelsIsAnErrorAndNotTheEndOfTheProcess(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"a=" + strings.Repeat("[", 5_000_000), "a=" + strings.Repeat("[\n", 5_000_000), "a=" + strings.Repeat("{a=", 2_000_000), "a" + strings.Repeat(".a", 2_000_000) + "=1", "a = [\"]\", '''\n]''', # ]\n" + strings.Repeat("[ \"]\",\n", 1_000_000)} {
		_, err := pack.FindLocks(t.Context(), fstest.MapFS{"Cargo.lock": {Data: []byte(text)}})
		if err == nil || !strings.Contains(err.Error(), "Cargo.lock") {
			t.Errorf("%.20s...: %v", text, err)
		}
	}
	list, err := pack.FindLocks(t.Context(), fstest.MapFS{"Cargo.lock": {Data: []byte("a = \"[\" # [\nb = '[['\nc = \"\"\"\n[[[\\\"\"\"\"\nd = \"\\\"[\"\n[[package]]\nname = \"serde\"\nversion = \"1\"\nsource = \"registry+x\"\ndependencies = [\n \"a\",\n]\n")}})
	if err != nil || len(list) != 1 {
		t.Errorf("%v, %v", list, err)
	}
}
