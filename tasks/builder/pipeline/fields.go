package pipeline

import (
	"time"

	"go.yaml.in/yaml/v3"
)

// Bounds of what a step may ask for. They are here so that a slip of the finger is found on the writer's machine.
const (
	maxTimeout = 7 * 24 * time.Hour
	maxKeep    = 100 * 365 * 24 * time.Hour
	maxRetries = 10
	maxBytes   = 1 << 50
)

// Names as the schema and the check have them.
const (
	namePattern     = `^[a-z0-9][a-z0-9._-]{0,63}$`
	labelPattern    = `^[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}(=[A-Za-z0-9_.+-]{1,64})?$`
	variablePattern = `^[A-Za-z_][A-Za-z0-9_]*$`
	digestPattern   = `^[0-9a-f]{64}$`
	httpPattern     = `^https?://`
)

// The forms that several entries have.
var (
	textsForm       = listOf(textForm, true)
	globsForm       = textsForm
	environmentForm = mapOf(textForm, variablePattern)
	channelsForm    = listOf(wordForm(Channels...), true)
	// argumentsForm is one command without a shell.
	argumentsForm = form[[]string]{schema{"anyOf": []schema{textForm.schema, listOf(textForm, false).schema}}, readArguments}
)

// document is the file.
var document = object([]field[Pipeline]{
	must(entry("name", patternForm(namePattern), func(p *Pipeline) *string { return &p.Name },
		"Of the product: a-z, 0-9, - . and _, up to 64. Its builds are counted by it.")),
	entry("version_file", textForm, func(p *Pipeline) *string { return &p.VersionFile },
		"The file with MAJOR.MINOR, from the folder that is built. Default: the nearest VERSION from there upwards."),
	entry("environment", environmentForm, func(p *Pipeline) *map[string]string { return &p.Environment },
		"Variables for the commands of all steps, as they are written. Of an agent's own they get PATH alone."),
	entry("exclude", globsForm, func(p *Pipeline) *[]string { return &p.Exclude },
		"Patterns of files that do not travel from step to step: caches that can be made anew."),
	entry("submodules", boolForm, func(p *Pipeline) *bool { return &p.Submodules },
		"Check the repository's submodules out, too, from repositories that are allowed. Default: false."),
	entry("tools", listOf(toolForm, false), func(p *Pipeline) *[]Tool { return &p.Tools },
		"Programs that an agent fetches, by their digests, when it has not got them yet."),
	entry("capabilities", listOf(capabilityForm, false), func(p *Pipeline) *[]Capability { return &p.Capabilities },
		"How it is proven that an agent has what its labels say."),
	must(entry("steps", listOf(stepForm, false), func(p *Pipeline) *[]Step { return &p.Steps },
		"The parts of the build, each on one agent. What a step has changed is taken along to those that need it.")),
	entry("packages", listOf(packageForm, false), func(p *Pipeline) *[]Package { return &p.Packages },
		"Files that the build leaves behind, each called NAME-VERSION with the format's extension."),
	entry("publish", listOf(publishForm, true), func(p *Pipeline) *[]Publish { return &p.Publish },
		"Where packages are sent."),
	entry("tag", tagForm, func(p *Pipeline) **Tag { return &p.Tag },
		"The tag that the commit gets when all else has passed. A text is its name."),
	entry("keep", keepForm, func(p *Pipeline) *Keep { return &p.Keep },
		"How long packages are kept that no environment holds. Default: as the server has it."),
}, nil)

var toolForm = object([]field[Tool]{
	must(entry("name", patternForm(namePattern), func(t *Tool) *string { return &t.Name }, "By which steps ask for it.")),
	must(entry("version", textForm, func(t *Tool) *string { return &t.Version }, "As it is written in the URL.")),
	must(entry("url", patternForm(httpPattern), func(t *Tool) *string { return &t.URL },
		"Where it is, over https; {version}, {os} and {arch} in it are filled in, the last two with Go's words: linux, windows, amd64, arm64.")),
	must(entry("sha256", digestsForm, func(t *Tool) *map[string]string { return &t.SHA256 },
		"The digest of the file, for each OS/ARCH; one text is for all of them.")),
	entry("strip", intForm(0, 16), func(t *Tool) *int { return &t.Strip }, "How many leading folders of the archive's paths are left out. Default: 0."),
	entry("path", textsForm, func(t *Tool) *[]string { return &t.Path }, "The folders in it that PATH gets. Default: its root."),
}, nil)

// digestsForm reads digests by platform, or one for any.
var digestsForm = form[map[string]string]{
	schema{"anyOf": []schema{patternForm(digestPattern).schema, mapOf(patternForm(digestPattern), `^(any|[a-z0-9]+/[a-z0-9]+)$`).schema}},
	func(r *reader, n *yaml.Node, path string) (map[string]string, bool) {
		if n.Kind == yaml.MappingNode {
			return mapOf(textForm, "").read(r, n, path)
		}
		text, ok := textForm.read(r, n, path)
		return map[string]string{anyPlatform: text}, ok
	},
}

var capabilityForm = object([]field[Capability]{
	must(entry("name", patternForm(labelPattern), func(c *Capability) *string { return &c.Name }, "The label that it proves.")),
	must(entry("run", argumentsForm, func(c *Capability) *[]string { return &c.Run }, "The command that proves it, by its exit code 0. No shell runs it.")),
	entry("match", textForm, func(c *Capability) *string { return &c.Match }, "A regular expression that what the command prints has to match, too."),
}, nil)

var stepForm = object([]field[Step]{
	must(entry("name", patternForm(namePattern), func(s *Step) *string { return &s.Name }, "Of the step: a-z, 0-9, - . and _, up to 64.")),
	entry("needs", textsForm, func(s *Step) *[]string { return &s.Needs },
		"Steps that come before this one, and whose files it gets. Default: the step above; [] is none."),
	entry("requires", listOf(patternForm(labelPattern), true), func(s *Step) *[]string { return &s.Requires },
		"Labels that an agent must have: NAME, or NAME=VALUE."),
	entry("run", commandsForm, func(s *Step) *[]Command { return &s.Commands },
		"The commands, one after the other until one fails: a text, which is split into words, or a list of them; an item that is a list has the words one by one. No shell runs them."),
	{name: "script", schema: textForm.schema, doc: "Instead of run: a script for sh -e, on Windows for cmd.",
		read: func(r *reader, n *yaml.Node, path string, s *Step) {
			if text, ok := textForm.read(r, n, path); ok {
				s.Commands = append(s.Commands, Command{Script: text})
			}
		}},
	entry("dir", textForm, func(s *Step) *string { return &s.Dir }, "The folder in which the commands run. Default: the one that is built."),
	entry("environment", environmentForm, func(s *Step) *map[string]string { return &s.Environment },
		"Variables for the commands. With version: true, {version}, {file_version}, {channel}, {commit} and {number} in them are filled in."),
	entry("secrets", listOf(patternForm(variablePattern), true), func(s *Step) *[]string { return &s.Secrets },
		"Names of secrets in the agents' configuration; each is in the variable of its name, and masked in what the commands print."),
	entry("tools", listOf(patternForm(namePattern), true), func(s *Step) *[]string { return &s.Tools }, "Tools of the list above that are put on PATH, the first one in front."),
	entry("version", boolForm, func(s *Step) *bool { return &s.Version },
		"The commands get BUILD_VERSION, BUILD_FILE_VERSION, BUILD_CHANNEL, BUILD_NUMBER and BUILD_COMMIT. A step without has the same result in each version, and that of an earlier build is taken. Default: false, and true with stamp."),
	entry("stamp", textsForm, func(s *Step) *[]string { return &s.Stamp },
		"Files that the version is written into before the commands, and that are put back after them: PATH, or PATH=REGULAR EXPRESSION."),
	entry("timeout", durationForm(time.Second, maxTimeout), func(s *Step) *time.Duration { return &s.Timeout }, "How long all commands together may take: 90s, 10m, 1h30m. Default: 1h."),
	entry("produces", globsForm, func(s *Step) *[]string { return &s.Produces }, "Patterns of files that must be there when the commands have ended, at least one for each."),
	entry("junit", globsForm, func(s *Step) *[]string { return &s.JUnit }, "Patterns of test results in JUnit's form, which are read whether the commands pass or fail."),
	entry("cache", cacheForm, func(s *Step) *Cache { return &s.Cache },
		"When the result of an earlier build is taken: off for never. Default: when commands, environment, tools and all files are the same."),
	entry("limits", limitsForm, func(s *Step) *Limits { return &s.Limits }, "What all processes of the commands together may use. Default: the agent's limits."),
	entry("retries", intForm(0, maxRetries), func(s *Step) *int { return &s.Retries }, "How often commands that fail are tried again, in clean files. A lost agent does not count. Default: 0."),
}, oneOfRunAndScript)

func oneOfRunAndScript(r *reader, n *yaml.Node, path string, _ *Step) {
	run, script := r.places[join(path, "run")], r.places[join(path, "script")]
	if run != nil && script != nil {
		r.add(script, join(path, "run"), "a list below run: can have both: - script: |", "has run and script")
	}
}

// cacheForm reads off, or what the result depends on.
var cacheForm = func() form[Cache] {
	parts := object([]field[Cache]{
		entry("inputs", globsForm, func(c *Cache) *[]string { return &c.Inputs }, "Patterns of the files that the result depends on. Default: all."),
		entry("key", textForm, func(c *Cache) *string { return &c.Key }, "One more text that the result depends on. A new one makes the step run again."),
	}, nil)
	return form[Cache]{schema{"anyOf": []schema{{"enum": []any{"off", false}}, parts.schema}}, func(r *reader, n *yaml.Node, path string) (Cache, bool) {
		if n.Kind == yaml.ScalarNode && (n.Value == "off" || n.Value == "false" && isPlain(n)) { // off is false to some editors
			return Cache{Off: true}, true
		}
		if n.Kind != yaml.MappingNode {
			r.add(n, path, "write cache: off, or inputs: and key: below it", "must be off, or names with values, not %s", shown(n))
			return Cache{}, false
		}
		return parts.read(r, n, path)
	}}
}()

var limitsForm = object([]field[Limits]{
	entry("memory", sizeForm(1<<20, maxBytes), func(l *Limits) *int64 { return &l.Memory }, "Memory: 512MiB, 2GiB."),
	entry("cpu", durationForm(time.Second, maxTimeout), func(l *Limits) *time.Duration { return &l.CPU }, "Time on processors, that of all of them added: 30m."),
	entry("disk", sizeForm(1<<10, maxBytes), func(l *Limits) *int64 { return &l.Disk }, "What the files may grow by: 5GiB."),
	entry("processes", intForm(1, 1_000_000), func(l *Limits) *int { return &l.Processes }, "Processes at the same time."),
	entry("log", sizeForm(1<<10, maxBytes), func(l *Limits) *int64 { return &l.Log }, "What is kept of what the commands print; the rest is counted: 10MiB."),
}, nil)

var packageForm = object([]field[Package]{
	must(entry("name", patternForm(`^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$`), func(p *Package) *string { return &p.Name }, "The file is called NAME-VERSION, with the format's extension.")),
	must(entry("format", wordForm(Formats...), func(p *Package) *string { return &p.Format },
		"zip, tar.zst, tar.gz, sfx-unix and sfx-windows (programs that unpack themselves), nupkg (NuGet), file (one file as it is).")),
	must(entry("files", listOf(filesForm, true), func(p *Package) *[]Files { return &p.Files }, "What is in it: patterns, or from: and to:.")),
	entry("after", textsForm, func(p *Package) *[]string { return &p.After }, "The steps whose files it is made of. Default: those that no other step needs."),
	entry("run", argumentsForm, func(p *Package) *[]string { return &p.Run }, "sfx: what is started in the folder that it has unpacked itself into."),
	entry("metadata", mapOf(textForm, ""), func(p *Package) *map[string]string { return &p.Metadata }, "nupkg: id, authors and description, and what else a .nuspec has."),
}, nil)

// filesForm reads from and to, or from alone.
var filesForm = func() form[Files] {
	parts := object([]field[Files]{
		must(entry("from", textForm, func(f *Files) *string { return &f.From }, "A pattern, from the folder that is built.")),
		entry("to", textForm, func(f *Files) *string { return &f.To }, "A folder in the package, where it ends with /, else the name of the one file. Default: the same path."),
	}, nil)
	return form[Files]{schema{"anyOf": []schema{textForm.schema, parts.schema}}, func(r *reader, n *yaml.Node, path string) (Files, bool) {
		if n.Kind == yaml.MappingNode {
			return parts.read(r, n, path)
		}
		text, ok := textForm.read(r, n, path)
		return Files{From: text}, ok
	}}
}()

// publishForm reads a target's name, or all of it.
var publishForm = func() form[Publish] {
	parts := object([]field[Publish]{
		must(entry("to", patternForm(labelPattern), func(p *Publish) *string { return &p.To }, "A target of the agents' configuration.")),
		entry("packages", textsForm, func(p *Publish) *[]string { return &p.Packages }, "Names of packages. Default: all."),
		entry("channels", channelsForm, func(p *Publish) *[]string { return &p.Channels }, "The versions that are sent: release, branch, local. Default: release."),
	}, nil)
	return form[Publish]{schema{"anyOf": []schema{textForm.schema, parts.schema}}, func(r *reader, n *yaml.Node, path string) (Publish, bool) {
		if n.Kind == yaml.MappingNode {
			return parts.read(r, n, path)
		}
		text, ok := textForm.read(r, n, path)
		return Publish{To: text}, ok
	}}
}()

// tagForm reads a tag's name, or all of it.
var tagForm = func() form[*Tag] {
	parts := object([]field[Tag]{
		must(entry("name", patternForm(`\{version\}`), func(t *Tag) *string { return &t.Name }, "With {version} in it; {channel}, {number}, {file_version} and {commit} are filled in, too.")),
		entry("channels", channelsForm, func(t *Tag) *[]string { return &t.Channels }, "The versions that set it: release, branch, local. Default: release."),
		entry("message", textForm, func(t *Tag) *string { return &t.Message }, "Of the tag, with the same words filled in. Default: the tag's name."),
	}, nil)
	return form[*Tag]{schema{"anyOf": []schema{textForm.schema, parts.schema}}, func(r *reader, n *yaml.Node, path string) (*Tag, bool) {
		if n.Kind == yaml.MappingNode {
			t, ok := parts.read(r, n, path)
			return &t, ok
		}
		text, ok := textForm.read(r, n, path)
		return &Tag{Name: text}, ok
	}}
}()

var keepForm = object([]field[Keep]{
	entry("builds", intForm(1, 1_000_000), func(k *Keep) *int { return &k.Builds }, "The newest so many of each channel stay."),
	entry("for", durationForm(time.Hour, maxKeep), func(k *Keep) *time.Duration { return &k.For }, "Those younger than this stay: 90d."),
}, nil)
