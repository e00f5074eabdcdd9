package stamp_test

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf16"

	"github.com/stint-run/stint/tasks"
	"github.com/stint-run/stint/tasks/builder/stamp"
)

var values = stamp.Values{Version: "1.5.57-br.b-x.g01234567", File: [4]int{1, 5, 57, 0}}

// tree makes a folder with files.
func tree(t *testing.T, files map[string]string) string {
	t.Helper()
	root := t.TempDir()
	for name, text := range files {
		path := filepath.Join(root, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o640); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

func targets(t *testing.T, list ...string) []stamp.Target {
	t.Helper()
	var out []stamp.Target
	for _, s := range list {
		target, err := stamp.Parse(s)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, target)
	}
	return out
}

func stamped(t *testing.T, root string, list ...string) *stamp.Stamped {
	t.Helper()
	s, err := stamp.Files(root, ".", targets(t, list...), values)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// snapshot is all that is in a folder: names, bytes, modes and times.
func snapshot(t *testing.T, root string) string {
	t.Helper()
	var b strings.Builder
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || path == root {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(root, path)
		b.WriteString(rel + " " + info.Mode().String())
		if info.Mode().IsRegular() {
			text, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			b.WriteString(" " + info.ModTime().Format(time.RFC3339Nano) + " " + string(text))
		}
		b.WriteByte('\n')
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func content(t *testing.T, root, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(name)))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func utf16le(s string) string {
	out := []byte{0xff, 0xfe}
	for _, u := range utf16.Encode([]rune(s)) {
		out = append(out, byte(u), byte(u>>8))
	}
	return string(out)
}

const resource = "#include \"a.h\"\r\nVS_VERSION_INFO VERSIONINFO\r\n FILEVERSION 1,0,0,1\r\n productversion 1, 0, 0, 1\r\n// FILEVERSION 9,9,9,9\r\n" +
	"BEGIN\r\n VALUE \"FileVersion\", \"1.0.0.1\\0\"\r\n VALUE \"ProductVersion\", \"1.0\"\r\n VALUE \"Comments\", \"FILEVERSION 2,2,2,2 \u00e9\"\r\nEND\r\n"

const resourceAfter = "#include \"a.h\"\r\nVS_VERSION_INFO VERSIONINFO\r\n FILEVERSION 1,5,57,0\r\n productversion 1,5,57,0\r\n// FILEVERSION 9,9,9,9\r\n" +
	"BEGIN\r\n VALUE \"FileVersion\", \"1.5.57.0\\0\"\r\n VALUE \"ProductVersion\", \"1.5.57-br.b-x.g01234567\"\r\n VALUE \"Comments\", \"FILEVERSION 2,2,2,2 \u00e9\"\r\nEND\r\n"

func TestEachKindOfFileHasItsPlaces(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ target, name, before, after string }{
		{"", "Properties/AssemblyInfo.cs", "\ufeffusing System; // AssemblyVersion(\"0\")\r\n[assembly: AssemblyVersion(\"1.0.*\")]\r\n[assembly: System.Reflection.AssemblyFileVersionAttribute ( @\"1.0\" ), AssemblyInformationalVersion(\"\")]\r\n/* [assembly: AssemblyVersion(\"7\")] */ char c = '\"'; // \"\r\n",
			"\ufeffusing System; // AssemblyVersion(\"0\")\r\n[assembly: AssemblyVersion(\"1.5.57.0\")]\r\n[assembly: System.Reflection.AssemblyFileVersionAttribute ( @\"1.5.57.0\" ), AssemblyInformationalVersion(\"1.5.57-br.b-x.g01234567\")]\r\n/* [assembly: AssemblyVersion(\"7\")] */ char c = '\"'; // \"\r\n"},
		{"", "AssemblyInfo.vb", "' <Assembly: AssemblyVersion(\"1.0.*\")>\n<Assembly: AssemblyVersion(\"1.0\")>\n", "' <Assembly: AssemblyVersion(\"1.0.*\")>\n<Assembly: AssemblyVersion(\"1.5.57.0\")>\n"},
		{"", "GlobalAssemblyInfo.cs", "x = \"// no comment\"; [assembly: AssemblyVersion(\"1\")]", "x = \"// no comment\"; [assembly: AssemblyVersion(\"1.5.57.0\")]"},
		{"", "app.rc", resource, resourceAfter},
		{"", "wide.RC", utf16le(resource), utf16le(resourceAfter)},
		{"", "ansi.rc", "FILEVERSION 1,0\r\nVALUE \"CompanyName\", \"M\xfcller\xff\"\r\n", "FILEVERSION 1,5,57,0\r\nVALUE \"CompanyName\", \"M\xfcller\xff\"\r\n"},
		{"", "package.json", "{\n\t\"name\": \"x\",\n\t\"version\" : \"0.0.0\",\n\t\"a\": {\"version\": \"2.0.0\"}, \"b\": [{\"version\": \"3.0.0\"}]\n}\n",
			"{\n\t\"name\": \"x\",\n\t\"version\" : \"1.5.57-br.b-x.g01234567\",\n\t\"a\": {\"version\": \"2.0.0\"}, \"b\": [{\"version\": \"3.0.0\"}]\n}\n"},
		{"", "package-lock.json", `{"version":"0.0.0","packages":{"":{"name":"x","version":"0.0.0"},"node_modules/y":{"version":"2.0.0"}}}`,
			`{"version":"1.5.57-br.b-x.g01234567","packages":{"":{"name":"x","version":"1.5.57-br.b-x.g01234567"},"node_modules/y":{"version":"2.0.0"}}}`},
		{`version.h=#define VERSION "(.*)"`, "version.h", "#define VERSION \"dev\"\n#define OTHER \"dev\"\n", "#define VERSION \"1.5.57-br.b-x.g01234567\"\n#define OTHER \"dev\"\n"},
		{`a.txt=@@VERSION@@`, "a.txt", "a @@VERSION@@ b @@VERSION@@", "a 1.5.57-br.b-x.g01234567 b 1.5.57-br.b-x.g01234567"},
		{`a.iss=^(?:AppVersion=(?P<version>.*)|Info=(?P<file_version>[\d.]*),(?P<file_commas>[\d,]*))$`, "a.iss", "AppVersion=1\nInfo=0,0\n", "AppVersion=1.5.57-br.b-x.g01234567\nInfo=1.5.57.0,1,5,57,0\n"},
		{`**/v.py=__version__ = "(.*)"`, "a/b/v.py", "__version__ = \"0\"", "__version__ = \"1.5.57-br.b-x.g01234567\""},
		{`*/v?.[pq]y=__version__ = "(.*)"`, "a/v1.py", "__version__ = \"\"", "__version__ = \"1.5.57-br.b-x.g01234567\""},
		{`[x].txt=dev`, "[x].txt", "dev", "1.5.57-br.b-x.g01234567"},
	} {
		t.Run(c.name+" "+c.target, func(t *testing.T) {
			t.Parallel()
			root := tree(t, map[string]string{c.name: c.before})
			before := snapshot(t, root)
			if c.target == "" {
				c.target = c.name
			}
			s := stamped(t, root, c.target)
			if got := content(t, root, c.name); got != c.after {
				t.Errorf("got\n%q, want\n%q", got, c.after)
			}
			if len(s.Files) != 1 || s.Files[0] != c.name {
				t.Errorf("%q", s.Files)
			}
			if changed, err := s.Restore(); err != nil || len(changed) > 0 {
				t.Errorf("%q, %v", changed, err)
			}
			if after := snapshot(t, root); after != before {
				t.Errorf("before\n%s\nafter\n%s", before, after)
			}
		})
	}
}

func TestAStampedFileKeepsItsMode(t *testing.T) {
	t.Parallel()
	root := tree(t, map[string]string{"a.rc": resource})
	path := filepath.Join(root, "a.rc")
	if err := os.Chmod(path, 0o444); err != nil {
		t.Fatal(err)
	}
	s := stamped(t, root, "a.rc")
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o444 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	if _, err := s.Restore(); err != nil {
		t.Error(err)
	}
}

// A file of another name for the same bytes must neither be stamped with it nor be torn off.
func TestAHardLinkStaysOne(t *testing.T) {
	t.Parallel()
	root := tree(t, map[string]string{"a.rc": resource})
	if err := os.Link(filepath.Join(root, "a.rc"), filepath.Join(root, "b.rc")); err != nil {
		t.Skip(err)
	}
	s := stamped(t, root, "a.rc")
	if content(t, root, "b.rc") != resource {
		t.Error("the other name was stamped, too")
	}
	if _, err := s.Restore(); err != nil {
		t.Fatal(err)
	}
	a, _ := os.Stat(filepath.Join(root, "a.rc"))
	b, _ := os.Stat(filepath.Join(root, "b.rc"))
	if !os.SameFile(a, b) {
		t.Error("they are two files now")
	}
}

func TestWhatCannotBeStampedChangesNothing(t *testing.T) {
	t.Parallel()
	outside := tree(t, map[string]string{"package.json": `{"version": "0"}`})
	for want, list := range map[string][]string{
		"there is no file nope.rc":           {"a.rc", "nope.rc"},
		"there is no file *.rc2":             {"a.rc", "*.rc2"},
		"bad.rc cannot be stamped":           {"a.rc", "bad.rc"},
		"broken.rc cannot be stamped":        {"a.rc", "broken.rc"},
		"package.json cannot be stamped":     {"a.rc", "package.json"},
		"deep/package.json cannot":           {"a.rc", "deep/package.json"},
		"b.txt cannot be stamped":            {"a.rc", "b.txt=VERSION=(.*)"},
		"leads out of the tree":              {"a.rc", "../package.json"},
		"/package.json\" leads out":          {"a.rc", filepath.ToSlash(outside) + "/package.json"},
		"linked.rc is a symbolic link":       {"a.rc", "linked.rc"},
		"leads through a symbolic link":      {"a.rc", "out/package.json"},
		"inner/b.txt leads through":          {"a.rc", "inner/b.txt=x"},
		".git/config is not the product's":   {"a.rc", ".git/config=x"},
		".GIT/config is not the product's":   {"a.rc", ".GIT/config=x"},
		"dir is no regular file":             {"a.rc", "dir=x"},
		"two groups of the pattern lie in":   {"a.rc", "c.txt=VERSION(=(.*))"},
		"nothing is known about where the v": {"a.rc", "*"},
	} {
		t.Run(want, func(t *testing.T) {
			t.Parallel()
			root := tree(t, map[string]string{"a.rc": resource, "bad.rc": "IDI_ICON ICON \"a.ico\"", "broken.rc": "\xff\xfeF", "package.json": `{"name": "x"}`, "deep/package.json": `{"version": `,
				"b.txt": "x", "c.txt": "VERSION=1", ".git/config": "x", "dir/x": "x"})
			for from, to := range map[string]string{"linked.rc": "a.rc", "out": outside, "inner": "."} {
				if err := os.Symlink(to, filepath.Join(root, from)); err != nil {
					t.Fatal(err)
				}
			}
			before := snapshot(t, root)
			var asked []stamp.Target
			for _, s := range list {
				target, err := stamp.Parse(s)
				if s == "*" || s == "dir" {
					err = nil
				}
				if err != nil {
					t.Fatal(err)
				}
				asked = append(asked, target)
			}
			_, err := stamp.Files(root, ".", asked, values)
			if err == nil || !strings.Contains(err.Error(), want) || tasks.HintOf(err) == "" {
				t.Errorf("%v, hint %q", err, tasks.HintOf(err))
			}
			if after := snapshot(t, root); after != before {
				t.Errorf("before\n%s\nafter\n%s", before, after)
			}
			if content(t, outside, "package.json") != `{"version": "0"}` {
				t.Error("a file outside was changed")
			}
		})
	}
}

func TestATargetThatSaysTooLittleIsRefused(t *testing.T) {
	t.Parallel()
	for s, want := range map[string]string{
		"":                  "names no file",
		"=x":                "names no file",
		"a.txt":             "nothing is known about where the version stands in a.txt",
		"a.txt=(":           "cannot be read",
		"a.txt=x*":          "matches where nothing stands",
		"a.txt=(?P<vers>x)": `has a group "vers"`,
	} {
		if _, err := stamp.Parse(s); err == nil || !strings.Contains(err.Error(), want) || tasks.HintOf(err) == "" {
			t.Errorf("%q: %v", s, err)
		}
	}
}

func TestWhatACommandDidToAStampedFileIsUndoneAndSaid(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(root string) error{
		"written":           func(root string) error { return os.WriteFile(filepath.Join(root, "src", "a.rc"), []byte("x"), 0o600) },
		"gone":              func(root string) error { return os.Remove(filepath.Join(root, "src", "a.rc")) },
		"gone with its dir": func(root string) error { return os.RemoveAll(filepath.Join(root, "src")) },
		"cleaned":           func(root string) error { return os.RemoveAll(filepath.Join(root, stamp.Folder)) },
		"cleaned and gone": func(root string) error {
			return errors.Join(os.RemoveAll(filepath.Join(root, stamp.Folder)), os.RemoveAll(filepath.Join(root, "src")))
		},
		"a link": func(root string) error {
			path := filepath.Join(root, "src", "a.rc")
			return errors.Join(os.Remove(path), os.Symlink("/nowhere", path))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			root := tree(t, map[string]string{"src/a.rc": resource})
			before := snapshot(t, root)
			s := stamped(t, root, "src/a.rc")
			if err := change(root); err != nil {
				t.Fatal(err)
			}
			changed, err := s.Restore()
			if err != nil {
				t.Fatal(err)
			}
			if after := snapshot(t, root); after != before {
				t.Errorf("before\n%s\nafter\n%s", before, after)
			}
			if said := len(changed) == 1; said != (name == "written" || name == "a link") {
				t.Errorf("changed: %q", changed)
			}
		})
	}
}

func TestTwoProcessesDoNotStampOneTree(t *testing.T) {
	t.Parallel()
	root := tree(t, map[string]string{"a.rc": resource, "b.rc": resource})
	s := stamped(t, root, "a.rc")
	if _, err := stamp.Files(root, ".", targets(t, "b.rc"), values); !errors.Is(err, stamp.ErrBusy) {
		t.Errorf("%v", err)
	}
	if _, err := stamp.Recover(root); !errors.Is(err, stamp.ErrBusy) {
		t.Errorf("%v", err)
	}
	if !bytes.Equal([]byte(content(t, root, "a.rc")), []byte(resourceAfter)) {
		t.Error("the other one put it back")
	}
	if _, err := s.Restore(); err != nil {
		t.Error(err)
	}
}

func TestPathsBeginInTheFolderThatIsBuilt(t *testing.T) {
	t.Parallel()
	root := tree(t, map[string]string{"products/a/a.rc": resource, "shared/b.rc": resource})
	s, err := stamp.Files(root, "products/a", targets(t, "a.rc", "../../shared/b.rc", "*.rc"), values)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Join(s.Files, ",") != "products/a/a.rc,shared/b.rc" {
		t.Errorf("%q", s.Files)
	}
	if _, err := s.Restore(); err != nil {
		t.Error(err)
	}
}
