// Package pipeline reads stint.build.yaml, the file in a product's repository that says how the product is built.
//
// Read finds each mistake with its line and column, and a Pipeline that it returns is right in itself: names are unique, needs lead
// nowhere in a circle, patterns and durations can be read. It opens nothing but the text it is given, so that the same code checks a
// file on a developer's machine, in an agent and in an editor (Schema).
package pipeline

import "time"

// FileName is the pipeline file where nothing else is said: in the folder that is built.
const FileName = "stint.build.yaml"

// Pipeline is how a product is built. Its JSON form is canonical: two files that mean the same have the same bytes.
type Pipeline struct {
	// Name is the product's: a-z, 0-9 and - . _, up to 64. Numbers of builds are counted by it.
	Name string `json:"name"`
	// VersionFile holds MAJOR.MINOR; "" is the nearest VERSION from the folder upwards. A path from the folder that is built.
	VersionFile string `json:"version_file,omitempty"`
	// Environment is set for every command, as it is. Nothing of an agent's own environment is, but PATH.
	Environment map[string]string `json:"environment,omitempty"`
	// Exclude are globs of what does not travel from step to step: caches that can be made anew.
	Exclude []string `json:"exclude,omitempty"`
	// Submodules: those of the repository are checked out too, from repositories that are allowed.
	Submodules bool `json:"submodules,omitempty"`
	// Tools are fetched by an agent that has not got them yet.
	Tools []Tool `json:"tools,omitempty"`
	// Capabilities say how it is proven that an agent has what its labels say.
	Capabilities []Capability `json:"capabilities,omitempty"`
	Steps        []Step       `json:"steps"`
	Packages     []Package    `json:"packages,omitempty"`
	Publish      []Publish    `json:"publish,omitempty"`
	Tag          *Tag         `json:"tag,omitempty"`
	Keep         Keep         `json:"keep"`
}

// Tool is a program in an archive (tar.gz, tar.xz, tar.zst, zip), or a bare file, that is fetched once for each agent.
type Tool struct {
	Name    string `json:"name"`
	Version string `json:"version"`
	// URL is https, or http on loopback, with {version}, {os} and {arch} (Go's words for them) in it.
	URL string `json:"url"`
	// SHA256 are the digests of what the URL gives, by "os/arch", or by "any": 64 hexadecimal digits. Other bytes are refused.
	SHA256 map[string]string `json:"sha256"`
	// Strip is how many leading folders of the paths in the archive are left out.
	Strip int `json:"strip,omitempty"`
	// Path are the folders in it that PATH gets; none is its root.
	Path []string `json:"path,omitempty"`
}

// Capability is proven by a command. An agent that has the label and fails the proof does not get the step.
type Capability struct {
	Name string   `json:"name"`
	Run  []string `json:"run"`
	// Match is a regular expression that what the command prints has to match; "" is satisfied by exit code 0.
	Match string `json:"match,omitempty"`
}

// Step is a part of a build that runs on one agent, from its beginning to its end: it starts with clean files, and what it has changed
// is taken along when it has ended. So it can be begun again, by another agent, at any time.
type Step struct {
	Name string `json:"name"`
	// Needs are the steps before this one, whose files it gets, in the order of the file. Where the file says nothing Read puts the step
	// above here; none is none.
	Needs []string `json:"needs,omitempty"`
	// Requires are capabilities that an agent must have: labels "NAME=true", or "NAME=VALUE" to ask for another value.
	Requires []string `json:"requires,omitempty"`
	// Commands run one after the other until one fails. No shell is between them and the system: what a branch is called runs nowhere.
	Commands []Command `json:"commands"`
	// Dir is where they run, from the folder that is built.
	Dir string `json:"dir,omitempty"`
	// Environment is added to the pipeline's, and wins. Where Version is set, Facts.Fill is to be called for each value.
	Environment map[string]string `json:"environment,omitempty"`
	// Secrets are names in the agents' configuration; a command finds each in the variable of its name.
	Secrets []string `json:"secrets,omitempty"`
	Tools   []string `json:"tools,omitempty"`
	// Version: commands get BUILD_VERSION, BUILD_FILE_VERSION, BUILD_CHANNEL, BUILD_NUMBER and BUILD_COMMIT. Without it (and without Stamp) a step
	// has the same result in every version, and that of an earlier build is taken. Read sets it where Stamp is.
	Version bool `json:"version,omitempty"`
	// Stamp are the files that the version is written into before the commands, and that are put back after them (package stamp).
	Stamp []string `json:"stamp,omitempty"`
	// Timeout ends the commands. Read puts DefaultTimeout where the file says nothing.
	Timeout time.Duration `json:"timeout"`
	// Produces are globs, from the folder that is built like all others here, that must fit at least one file each when the commands have ended.
	Produces []string `json:"produces,omitempty"`
	// JUnit are globs of test results, which are read whether the commands pass or fail.
	JUnit  []string `json:"junit,omitempty"`
	Cache  Cache    `json:"cache"`
	Limits Limits   `json:"limits"`
	// Retries is how often a command that fails is tried again, in clean files; 0 is never. A lost agent is not a failure.
	Retries int `json:"retries,omitempty"`
}

// Command is one command: Args as they are, or Script for a shell.
type Command struct {
	Args []string `json:"args,omitempty"`
	// Script is run by "sh -e" (on Windows by "cmd"), as its input file: nothing is put into its text.
	Script string `json:"script,omitempty"`
}

// Cache says when a step's result is that of an earlier one.
type Cache struct {
	// Off: never. For steps whose result depends on more than their files: a test against a server, a signature with a time.
	Off bool `json:"off,omitempty"`
	// Inputs are globs of the files that the result depends on; none is all files. Only they are in its key, and only what the step
	// has changed is taken from an earlier one.
	Inputs []string `json:"inputs,omitempty"`
	// Key is one more text that the result depends on.
	Key string `json:"key,omitempty"`
}

// Limits of a step's commands, all their processes together. 0 is the agent's own limit.
type Limits struct {
	Memory    int64         `json:"memory,omitempty"` // bytes
	CPU       time.Duration `json:"cpu,omitempty"`    // time on processors
	Disk      int64         `json:"disk,omitempty"`   // bytes that the workspace may grow by
	Processes int           `json:"processes,omitempty"`
	Log       int64         `json:"log,omitempty"` // bytes that are kept of what they print; the rest is counted
}

// Channels are those of a version, in the order in which they are written down.
var Channels = []string{"release", "branch", "local"}

// Formats are those of packages.
var Formats = []string{Zip, TarZstd, TarGzip, SFXUnix, SFXWindows, NuGet, Plain}

// The formats of packages.
const (
	Zip        = "zip"
	TarZstd    = "tar.zst"
	TarGzip    = "tar.gz"
	SFXUnix    = "sfx-unix"    // a shell script with an archive behind it
	SFXWindows = "sfx-windows" // a program with a zip behind it
	Plain      = "file"        // one file, as it is
	NuGet      = "nupkg"       // a zip with a .nuspec and the parts that NuGet wants
)

// Package is a file that a build leaves behind, with the version in its name: NAME-VERSION.FORMAT.
type Package struct {
	Name   string   `json:"name"`
	Format string   `json:"format"`
	Files  []Files  `json:"files"`
	After  []string `json:"after,omitempty"` // the steps whose files it is made of; none are those that no step needs: Pipeline.Last
	// Run is what a self-extracting archive starts when it has unpacked itself; none unpacks only.
	Run []string `json:"run,omitempty"`
	// NuGet's own words: id, authors, description; for that format alone.
	Metadata map[string]string `json:"metadata,omitempty"`
}

// Files are files of a package.
type Files struct {
	From string `json:"from"` // a glob, from the folder that is built
	To   string `json:"to"`   // a folder in the package where it ends with /, else the name of the one file; "" keeps the path: Place
}

// Publish sends packages to a target of the agents' configuration.
type Publish struct {
	To       string   `json:"to"`
	Packages []string `json:"packages,omitempty"` // none is all
	Channels []string `json:"channels"`           // of the version: release, branch, local; Read puts release where the file says nothing
}

// Tag is set on the commit when all else has passed.
type Tag struct {
	Name     string   `json:"name"`     // with {version} in it, and whatever else Facts.Fill fills in
	Channels []string `json:"channels"` // as those of Publish
	Message  string   `json:"message,omitempty"`
}

// Keep says how long a build's packages are kept that no environment holds. Zero values are the server's.
type Keep struct {
	Builds int           `json:"builds,omitempty"` // the newest so many of a channel
	For    time.Duration `json:"for,omitempty"`
}

// What holds where the file does not say, and what is the most.
const (
	DefaultTimeout = time.Hour
	MaxSteps       = 200
	MaxPackages    = 500
	MaxPublish     = 100
)
