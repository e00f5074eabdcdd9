package config

import (
	"slices"
	"strings"
	"time"
)

// Builds says what agents may build, with what, and where packages go.
type Builds struct {
	// Dir is this machine's folder for workspaces, mirrors of repositories and tools; "" means the folder builds in Data.
	Dir string `key:"dir"`
	// Repositories are the URLs that may be built, such as https://github.com/acme/*; none allows none.
	Repositories []string `key:"repositories"`
	// Tools are the URLs that tools of pipelines may come from; none is any https.
	Tools []string `key:"tools"`
	// Environment are the names of variables of the agent that commands get.
	Environment []string `key:"environment"`
	// SigningKey signs checksums and provenance: an ed25519 key in PEM form (PKCS#8); "" signs nothing.
	SigningKey Secret `key:"signing_key"`
	// Limits are those of a step's commands, and the most that a pipeline may ask for.
	Limits BuildLimits `key:"limits"`
	// Credentials open repositories.
	Credentials BuildCredentials `key:"credentials"`
	// Secrets are what steps may ask for by name.
	Secrets BuildSecrets `key:"secrets"`
	// Targets are where packages are published.
	Targets BuildTargets `key:"targets"`
	// Environments are what builds are promoted through: each but the first takes only what stands in the one above it.
	Environments BuildEnvironments `key:"environments"`
}

// BuildLimits bound a step's commands, all their processes together. 0 is no limit.
type BuildLimits struct {
	// Memory is in bytes.
	Memory int `key:"memory"`
	// CPU is time on processors.
	CPU time.Duration `key:"cpu"`
	// Disk is how many bytes the workspace may grow by.
	Disk int `key:"disk"`
	// Processes is how many there may be at once.
	Processes int `key:"processes"`
	// Log is how many bytes are kept of what a step prints; 0 is 64 MiB.
	Log int `key:"log"`
}

// BuildCredential opens repositories.
type BuildCredential struct {
	// Name is for messages.
	Name string `key:"name" jsonschema:"required"`
	// Repositories are the URLs that it opens, as in builds.repositories.
	Repositories []string `key:"repositories"`
	// User is the account; some servers take any with a token.
	User string `key:"user"`
	// Password is its password, or a token.
	Password Secret `key:"password"`
}

// BuildCredentials are asked in the order in which their names first appeared.
type BuildCredentials []BuildCredential

// BuildSecret is what a step finds in the variable of its name.
type BuildSecret struct {
	// Name is that of the variable.
	Name string `key:"name" jsonschema:"required"`
	// Value has at least 6 bytes, or it could not be kept out of logs.
	Value Secret `key:"value"`
}

// BuildSecrets are in the order in which their names first appeared.
type BuildSecrets []BuildSecret

// BuildTarget is a place for packages.
type BuildTarget struct {
	// Name is what pipelines call it.
	Name string `key:"name" jsonschema:"required"`
	// Type is folder, s3, http or nuget.
	Type string `key:"type" jsonschema:"enum=folder,enum=s3,enum=http,enum=nuget"`
	// Dir is the path of a folder.
	Dir string `key:"dir"`
	// URL is s3://BUCKET/PREFIX?…, a URL with {product}, {version} and {name} in it, or that of a feed.
	URL URL `key:"url"`
	// User and Password open it; of s3 they are the two keys.
	User string `key:"user"`
	// Password belongs to User.
	Password Secret `key:"password"`
	// Token is sent as Bearer; of nuget it is the API key.
	Token Secret `key:"token"`
	// Private lets it be in a private network, or on this machine.
	Private bool `key:"private"`
}

// BuildTargets are in the order in which their names first appeared.
type BuildTargets []BuildTarget

// BuildEnvironment is where builds are promoted to.
type BuildEnvironment struct {
	// Name is a-z, digits and -.
	Name string `key:"name" jsonschema:"required"`
	// Channels are those of versions that may come here; none is release alone.
	Channels []string `key:"channels"`
}

// BuildEnvironments are in the order in which their names first appeared.
type BuildEnvironments []BuildEnvironment

// defaultBuilds is what holds where nobody has said anything.
var defaultBuilds = Builds{
	Environment: []string{"PATH", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy", "SSL_CERT_FILE", "SSL_CERT_DIR", "GOPROXY", "GONOSUMDB", "GOSUMDB", "GOPRIVATE", "GOTOOLCHAIN",
		"NPM_CONFIG_REGISTRY", "PIP_INDEX_URL", "SystemRoot", "ComSpec", "PATHEXT"},
	Limits: BuildLimits{Processes: 4096},
}

// minSecret is how long a secret of a build is at least, in bytes.
const minSecret = 6

// buildTargetParts are the types, and the scheme of their URLs.
var buildTargetParts = map[string][]string{"folder": {""}, "s3": {"s3"}, "http": {"http", "https"}, "nuget": {"http", "https"}}

func (b Builds) check(k *checker) {
	for key, n := range map[string]int{"memory": b.Limits.Memory, "disk": b.Limits.Disk, "processes": b.Limits.Processes, "log": b.Limits.Log} {
		k.notNegative("builds.limits."+key, n, "0 is no limit")
	}
	if b.Limits.CPU < 0 {
		k.add("builds.limits.cpu", "0 is no limit", "want 0 or more, got %s", b.Limits.CPU)
	}
	for _, name := range b.Environment {
		if name == "" || strings.ContainsAny(name, "= \t\n") {
			k.add("builds.environment", "list names of variables, such as GOPROXY", "%q is no name of a variable", name)
		}
	}
	for _, c := range b.Credentials {
		part := func(name string) string { return itemKey("builds.credentials", c.Name, name) }
		if len(c.Repositories) == 0 {
			k.add(part("repositories"), "list URLs, such as https://github.com/acme/*", "opens no repository")
		}
	}
	for _, s := range b.Secrets {
		if !s.Value.IsZero() && len(s.Value.Reveal()) < minSecret {
			k.add(itemKey("builds.secrets", s.Name, "value"), "write env:NAME or file:PATH of one that has 6 bytes or more", "is too short to be kept out of logs")
		}
	}
	for _, t := range b.Targets {
		t.check(k)
	}
	for _, e := range b.Environments {
		for _, c := range e.Channels {
			if !slices.Contains([]string{"release", "branch"}, c) {
				k.add(itemKey("builds.environments", e.Name, "channels"), "write release or branch", "there is no channel %q", c)
			}
		}
	}
}

func (t BuildTarget) check(k *checker) {
	part := func(name string) string { return itemKey("builds.targets", t.Name, name) }
	schemes, known := buildTargetParts[t.Type]
	if !known {
		k.add(part("type"), "write folder, s3, http or nuget", "there is no type %q", t.Type)
		return
	}
	if t.Type == "folder" && (t.Dir == "" || !t.URL.IsZero()) {
		k.add(part("dir"), "write dir: PATH, and no url", "a folder has a path")
		return
	}
	if t.Type != "folder" && t.Dir != "" {
		k.add(part("dir"), "write url", "is that of a folder, and this is a %s", t.Type)
	}
	if !slices.Contains(schemes, t.URL.Scheme()) {
		k.add(part("url"), "a "+t.Type+" has a URL that begins with "+strings.Join(schemes, ": or ")+":", "does not fit the type")
	}
}
